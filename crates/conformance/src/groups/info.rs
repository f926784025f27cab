// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the driver says of devices, regions and interrupts.

use crate::check::{Check, Outcome, done, ensure, is, refused};
use crate::context::Context;
use crate::raw::{Block, DEVICE_GET_INFO};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

const fn check(
    name: &'static str,
    rule: &'static str,
    source: &'static str,
    run: fn(&Context) -> Outcome,
) -> Check {
    Check::new("info", name, rule, source, run)
}

/// The checks.
pub const CHECKS: &[Check] = &[
    check(
        "device-argsz-short",
        "GET_INFO refuses an argsz below the first five fields with EINVAL.",
        "linux/vfio.h: argsz; C driver",
        device_argsz_short,
    ),
    check(
        "device-argsz-long",
        "GET_INFO takes any larger argsz and writes no byte beyond the fields that it has.",
        "linux/vfio.h: argsz; C driver",
        device_argsz_long,
    ),
    check(
        "device-flags",
        "A device says that it is one of the fsl-mc bus, and claims no other bus.",
        "linux/vfio.h: VFIO_DEVICE_FLAGS_FSL_MC",
        device_flags,
    ),
];

/// Bytes of the fields of GET_INFO that have always been there.
const DEVICE_MINIMUM: u32 = 16;

fn device_argsz_short(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    for argsz in [0, 1, 4, DEVICE_MINIMUM - 1] {
        let mut block = Block::new(&[argsz, 0, 0, 0]);
        refused(&format!("argsz {argsz}"), block.ioctl(&device, DEVICE_GET_INFO), Errno::INVAL)?;
        ensure(block.untouched_from(4), "nothing is written", || format!("{block:x?}"))?;
    }
    Ok(())
}

fn device_argsz_long(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    for argsz in [DEVICE_MINIMUM, 20, 24, 4096, u32::MAX] {
        let mut block = Block::new(&[argsz, 0, 0, 0]);
        done(&format!("argsz {argsz}"), block.ioctl(&device, DEVICE_GET_INFO))?;
        // Newer kernels may know fields up to byte 24.
        let known = if argsz < 24 { argsz / 4 } else { 6 } as usize;
        ensure(
            block.untouched_from(known),
            format!("argsz {argsz}: no byte beyond {} is written", 4 * known),
            || "one was written".to_owned(),
        )?;
    }
    Ok(())
}

fn device_flags(context: &Context) -> Outcome {
    let held = context.hold()?;
    for name in context.devices()? {
        let device = held.device(&name)?;
        let flags = device.info().flags;
        let bus = flags & !(abi::VFIO_DEVICE_FLAGS_RESET | abi::VFIO_DEVICE_FLAGS_CAPS);
        is(&format!("flags of {name} but RESET and CAPS"), bus, abi::VFIO_DEVICE_FLAGS_FSL_MC)?;
    }
    Ok(())
}
