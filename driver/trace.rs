// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Tracepoints: `/sys/kernel/tracing/events/vfio_fsl_mc`.

use crate::{
    abstractions::{
        bindings as ext,
        fsl_mc, //
    },
    logic::command::Command, //
};
use kernel::{
    device::DeviceContext,
    prelude::*, //
};

/// A device was bound or unbound.
pub(crate) fn bind<Ctx: DeviceContext>(device: &fsl_mc::Device<Ctx>, bound: bool) {
    // SAFETY: The device is valid.
    unsafe { ext::vfm_trace_bind(device.as_dev(), bound) }
}

/// User space sent a command. The answer's first word is zero where there is none.
pub(crate) fn command(device: &fsl_mc::Device, command: &Command, result: &Result<u64>) {
    let (answer, errno) = match result {
        Ok(answer) => (*answer, 0),
        Err(e) => (0, e.to_errno()),
    };
    // SAFETY: The device is valid.
    unsafe { ext::vfm_trace_command(device.as_dev(), command.header(), answer, errno) }
}

/// An interrupt came.
pub(crate) fn irq(device: &fsl_mc::Device, index: u32, virq: u32) {
    // SAFETY: The device is valid.
    unsafe { ext::vfm_trace_irq(device.as_dev(), index, virq) }
}

/// An object was reset, or not.
pub(crate) fn reset(device: &fsl_mc::Device, result: &Result) {
    let errno = result.as_ref().map_or_else(|e| e.to_errno(), |()| 0);
    // SAFETY: The device is valid.
    unsafe { ext::vfm_trace_reset(device.as_dev(), errno) }
}
