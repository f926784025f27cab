// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the driver says of devices, regions and interrupts.

use super::util::{self, describe, describe_region, offset_of, open_container};
use crate::check::{Check, Outcome, Stop, check, done, ensure, is, refused, skip};
use crate::context::Context;
use crate::sys::{Block, Guarded, ioctl_number};
use dprc::{AssignedContainer, Device, Group};
use fsl_mc_linux::bus::{self, SYSFS};
use fsl_mc_linux::ioctl::{
    DEVICE_GET_INFO, DEVICE_GET_IRQ_INFO, DEVICE_GET_REGION_INFO, DEVICE_RESET, DEVICE_SET_IRQS,
    GROUP_GET_DEVICE_FD, GROUP_GET_STATUS, vfio,
};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

const GROUP: Check = Check::group("info");

const ARGSZ: &str = "linux/vfio.h: argsz is the size of what the caller gives; C driver";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        "device-argsz-short",
        |context| argsz_short(context, DEVICE_GET_INFO, 4),
        "GET_INFO refuses an argsz below its four fields with EINVAL and writes nothing.",
        ARGSZ
    ),
    check!(
        "device-argsz-long",
        |context| argsz_long(context, DEVICE_GET_INFO, 4, 6),
        "GET_INFO takes any larger argsz and writes no byte beyond the fields that it has.",
        ARGSZ
    ),
    check!(
        device_flags,
        "A device says that it is one of the fsl-mc bus, and claims no other bus.",
        "linux/vfio.h: VFIO_DEVICE_FLAGS_FSL_MC"
    ),
    check!(
        device_counts,
        "A device has the regions and interrupts that the MC says the object has.",
        "C driver: num_regions and num_irqs are those of the object's description"
    ),
    check!(
        "region-argsz-short",
        |context| argsz_short(context, DEVICE_GET_REGION_INFO, 8),
        "GET_REGION_INFO refuses an argsz below its six fields with EINVAL and writes nothing.",
        ARGSZ
    ),
    check!(
        "region-argsz-long",
        |context| argsz_long(context, DEVICE_GET_REGION_INFO, 8, 8),
        "GET_REGION_INFO takes any larger argsz and writes no byte beyond its fields.",
        ARGSZ
    ),
    check!(
        "region-index",
        |context| index_out_of_range(context, DEVICE_GET_REGION_INFO, |device| device.regions),
        "GET_REGION_INFO refuses each index from the number of regions on with EINVAL.",
        "linux/vfio.h: num_regions; C driver"
    ),
    check!(
        region_offset,
        "Region N is found at N << 40 of the device's file.",
        "C driver; DPDK and other programs take the offset as it is given"
    ),
    check!(
        region_size,
        "A region is as large as the MC says.",
        "C driver; linux/vfio.h: size in bytes"
    ),
    check!(
        region_flags,
        "Regions may be read and written; whole pages may be mapped, but not a container's own \
         portal.",
        "C driver: only regions addressed with page granularity, and none of a DPRC, are mapped"
    ),
    check!(
        "irq-argsz-short",
        |context| argsz_short(context, DEVICE_GET_IRQ_INFO, 4),
        "GET_IRQ_INFO refuses an argsz below its four fields with EINVAL and writes nothing.",
        ARGSZ
    ),
    check!(
        "irq-argsz-long",
        |context| argsz_long(context, DEVICE_GET_IRQ_INFO, 4, 4),
        "GET_IRQ_INFO takes any larger argsz and writes no byte beyond its fields.",
        ARGSZ
    ),
    check!(
        "irq-index",
        |context| index_out_of_range(context, DEVICE_GET_IRQ_INFO, |device| device.irqs),
        "GET_IRQ_INFO refuses each index from the number of interrupts on with EINVAL.",
        "linux/vfio.h: num_irqs; C driver"
    ),
    check!(
        irq_kind,
        "Each interrupt index stands for one interrupt, which signals an eventfd and cannot be \
         masked.",
        "C driver: VFIO_IRQ_INFO_EVENTFD, count 1"
    ),
    check!(
        bad_pointer,
        "A structure that is not accessible, wholly or in part, is answered with EFAULT.",
        "errno(3); C driver"
    ),
    check!(
        unknown_call,
        "A call that the device does not have is answered with ENOTTY, also those of other buses.",
        "linux/vfio.h; ioctl(2)"
    ),
    check!(
        wrong_file,
        "Calls of devices on a group or a container, and calls of groups on a device, are answered \
         with ENOTTY.",
        "linux/vfio.h; ioctl(2)"
    ),
    check!(
        group_status,
        "The group is viable when the whole container is bound, and says whether it is attached.",
        "linux/vfio.h: VFIO_GROUP_GET_STATUS"
    ),
    check!(
        group_device_name,
        "The group gives its own devices by name: others, parts of names and nothing are answered \
         with ENODEV.",
        "linux/vfio.h: VFIO_GROUP_GET_DEVICE_FD"
    ),
    check!(
        group_exclusive,
        "A group is opened by one at a time; a second open is answered with EBUSY.",
        "Documentation/driver-api/vfio.rst"
    ),
    check!(
        device_twice,
        "A device may be opened again through its group, and both files work after one is closed.",
        "linux/vfio.h: VFIO_GROUP_GET_DEVICE_FD; C driver"
    ),
    check!(
        reset_works,
        "VFIO_DEVICE_RESET resets any object of the container.",
        "C driver: reset of an object by its open, reset and close commands"
    )
    .seconds(30),
    check!(
        reset_advertised,
        "A device on which VFIO_DEVICE_RESET works says so by VFIO_DEVICE_FLAGS_RESET.",
        "linux/vfio.h: VFIO_DEVICE_FLAGS_RESET, device supports reset"
    )
    .seconds(30)
    .defect(13),
];

/// Words of an argument that asks for index 0 with some argsz.
fn asking(argsz: u32) -> Block {
    // The index is word 2 of the calls about regions and interrupts, and the number
    // of regions, which is written only, in that about the device.
    Block::new(&[argsz, 0, 0, 0, 0, 0, 0, 0])
}

/// Runs `with` on the container's device and on one object of each family.
fn for_each_family(context: &Context, with: impl Fn(&str, &Device) -> Outcome) -> Outcome {
    let held = context.hold()?;
    let mut last = String::new();
    for name in context.devices()? {
        let family = bus::family(&name).to_owned();
        if family != last {
            with(&name, &held.device(&name)?)?;
            last = family;
        }
    }
    Ok(())
}

/// `words` is the length of the structure in words.
fn argsz_short(context: &Context, request: u32, words: u32) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    for argsz in [0, 1, 4 * words / 2, 4 * words - 1] {
        let mut block = asking(argsz);
        refused(&format!("argsz {argsz}"), block.ioctl(&device, request), Errno::INVAL)?;
        let same = (1..8).all(|index| block.word(index) == 0) && block.untouched_from(8);
        ensure(same, "a refused call writes nothing", || format!("{block:x?}"))?;
    }
    Ok(())
}

/// `words` is the length of the structure, `known` that of the longest one known.
fn argsz_long(context: &Context, request: u32, words: u32, known: u32) -> Outcome {
    for_each_family(context, |name, device| {
        for argsz in [4 * words, 4 * words + 1, 4 * known, 4096, u32::MAX] {
            let mut block = Block::new(&[argsz, 0, 0]);
            match block.ioctl(device, request) {
                // Objects without regions or interrupts.
                Err(Errno::INVAL) if request != DEVICE_GET_INFO && has_none(device, request) => {}
                got => {
                    done(&format!("argsz {argsz} of {name}"), got)?;
                }
            }
            let end = (argsz / 4).min(known) as usize;
            ensure(
                block.untouched_from(end),
                format!("argsz {argsz} of {name}: no byte beyond {} is written", 4 * end),
                || "one was written".to_owned(),
            )?;
        }
        Ok(())
    })
}

fn has_none(device: &Device, request: u32) -> bool {
    let info = device.info();
    (if request == DEVICE_GET_REGION_INFO { info.regions } else { info.irqs }) == 0
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

fn device_counts(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let open = open_container(&held, &mut portal)?;
    for name in context.objects()? {
        let info = held.device(&name)?.info();
        let says = describe(&mut portal, open, &name)?;
        is(&format!("regions of {name}"), info.regions, says.regions.into())?;
        is(&format!("interrupts of {name}"), info.irqs, says.irqs.into())?;
    }
    let info = held.dprc()?.info();
    is("regions of the container", info.regions, 1)?;
    Ok(portal.close(open)?)
}

fn index_out_of_range(
    context: &Context,
    request: u32,
    count: impl Fn(&dprc::DeviceInfo) -> u32,
) -> Outcome {
    for_each_family(context, |name, device| {
        let count = count(&device.info());
        for index in [count, count + 1, 0xff, 0x1_0000, 0x8000_0000, u32::MAX] {
            if index < count {
                continue;
            }
            let mut block = Block::new(&[32, 0, index, 0, 0, 0, 0, 0]);
            let what = format!("index {index:#x} of {name}");
            refused(&what, block.ioctl(device, request), Errno::INVAL)?;
        }
        Ok(())
    })
}

/// Runs `with` on each region of each device; says if there was none.
fn for_each_region(
    context: &Context,
    held: &AssignedContainer,
    mut with: impl FnMut(&str, dprc::RegionInfo) -> Outcome,
) -> Outcome {
    let mut any = false;
    for name in context.devices()? {
        let device = held.device(&name)?;
        for index in 0..device.info().regions {
            any = true;
            with(&name, device.region(index)?)?;
        }
    }
    if any { Ok(()) } else { skip("nothing in the container has a region") }
}

fn region_offset(context: &Context) -> Outcome {
    let held = context.hold()?;
    for_each_region(context, &held, |name, region| {
        let what = format!("offset of region {} of {name}", region.index);
        is(&what, region.offset, offset_of(region.index))
    })
}

fn region_size(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let open = open_container(&held, &mut portal)?;
    for_each_region(context, &held, |name, region| {
        if name == context.container {
            return ensure(region.size >= 64, "a portal of 64 bytes at least", || {
                format!("{} bytes", region.size)
            });
        }
        let says = describe_region(&mut portal, open, name, region.index)?;
        let what = format!("bytes of region {} of {name}", region.index);
        is(&what, region.size, says.size.into())
    })?;
    Ok(portal.close(open)?)
}

fn region_flags(context: &Context) -> Outcome {
    let held = context.hold()?;
    let page = rustix::param::page_size() as u64;
    for_each_region(context, &held, |name, region| {
        let of = format!("region {} of {name}", region.index);
        // No firmware is known to have read-only regions.
        is(
            &format!("{of} may be read and written"),
            (region.readable, region.writable),
            (true, true),
        )?;
        if bus::family(name) == "dprc" {
            is(&format!("{of} may be mapped"), region.mappable, false)
        } else if region.size % page == 0 {
            // Its start is not given; portals are as far apart as they are large.
            is(&format!("{of} may be mapped"), region.mappable, true)
        } else {
            is(&format!("{of} is not a whole page and may be mapped"), region.mappable, false)
        }
    })
}

fn irq_kind(context: &Context) -> Outcome {
    let held = context.hold()?;
    for name in context.devices()? {
        let device = held.device(&name)?;
        for index in 0..device.info().irqs {
            let mut block = Block::new(&[16, 0, index, 0]);
            done(
                &format!("interrupt {index} of {name}"),
                block.ioctl(&device, DEVICE_GET_IRQ_INFO),
            )?;
            let got = (block.word(1), block.word(2), block.word(3));
            let expected = (abi::VFIO_IRQ_INFO_EVENTFD, index, 1);
            is(&format!("flags, index and count of interrupt {index} of {name}"), got, expected)?;
        }
    }
    Ok(())
}

fn bad_pointer(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let guarded = done("memory", Guarded::new())?;
    for (call, request, size) in [
        ("GET_INFO", DEVICE_GET_INFO, 16),
        ("GET_REGION_INFO", DEVICE_GET_REGION_INFO, 32),
        ("GET_IRQ_INFO", DEVICE_GET_IRQ_INFO, 16),
        ("SET_IRQS", DEVICE_SET_IRQS, 20),
    ] {
        for accessible in [0, 4, size - 1] {
            // An argsz that would do.
            guarded.fill(accessible, &[size as u8, 0, 0, 0]);
            let what = format!("{call} with {accessible} of {size} bytes accessible");
            refused(&what, guarded.ioctl(accessible, &device, request), Errno::FAULT)?;
        }
        refused(&format!("{call} of address 0"), ioctl_number(&device, request, 0), Errno::FAULT)?;
    }
    let refused_name = guarded.ioctl(0, &held.group, GROUP_GET_DEVICE_FD);
    refused("GET_DEVICE_FD with a name that is not accessible", refused_name, Errno::FAULT)?;
    done("the device answers afterwards", asking(16).ioctl(&device, DEVICE_GET_INFO))?;
    Ok(())
}

fn unknown_call(context: &Context) -> Outcome {
    /// TCGETS and FIONREAD: calls of terminals and of pipes.
    const OTHERS: [u32; 2] = [0x5401, 0x541b];
    for_each_family(context, |name, device| {
        // PCI's hot reset, graphics, and numbers that no call has.
        for request in [vfio(12), vfio(13), vfio(14), vfio(15), vfio(60), vfio(155)] {
            let what = format!("call {request:#x} of {name}");
            refused(&what, asking(32).ioctl(device, request), Errno::NOTTY)?;
        }
        for request in OTHERS {
            let what = format!("call {request:#x} of {name}");
            refused(&what, asking(32).ioctl(device, request), Errno::NOTTY)?;
        }
        Ok(())
    })
}

fn wrong_file(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let files = [("the group", held.group.as_fd()), ("VFIO's container", held.container.as_fd())];
    for (file, fd) in files {
        for request in [DEVICE_GET_INFO, DEVICE_GET_REGION_INFO, DEVICE_SET_IRQS, DEVICE_RESET] {
            let what = format!("call {request:#x} on {file}");
            refused(&what, asking(32).ioctl(fd, request), Errno::NOTTY)?;
        }
    }
    for request in [GROUP_GET_STATUS, GROUP_GET_DEVICE_FD] {
        let what = format!("call {request:#x} on a device");
        refused(&what, asking(8).ioctl(&device, request), Errno::NOTTY)?;
    }
    Ok(())
}

fn group_status(context: &Context) -> Outcome {
    let viable = abi::VFIO_GROUP_FLAGS_VIABLE;
    let attached = viable | abi::VFIO_GROUP_FLAGS_CONTAINER_SET;
    let ask = |group: BorrowedFd<'_>, expected| {
        let mut block = Block::new(&[8, 0]);
        done("GET_STATUS", block.ioctl(group, GROUP_GET_STATUS))?;
        is("flags of the group", block.word(1), expected)?;
        ensure(block.untouched_from(2), "no byte beyond is written", || format!("{block:x?}"))?;
        refused(
            "GET_STATUS with argsz 7",
            Block::new(&[7, 0]).ioctl(group, GROUP_GET_STATUS),
            Errno::INVAL,
        )
    };
    let held = context.hold()?;
    ask(held.group.as_fd(), attached)?;
    drop(held);
    ask(Group::of_device(&context.container)?.as_fd(), viable)
}

fn group_device_name(context: &Context) -> Outcome {
    let held = context.hold()?;
    let name = &context.container;
    let half = &name[..name.len() - 1];
    let long = "dpni.".repeat(40);
    let mut strangers = vec!["", "none", half, &long, "dprc", "dprc.2 ", "../dprc.2"];
    let others = every_device()?.into_iter().filter(|device| device != name);
    let inside = SYSFS.objects(name)?;
    let others: Vec<String> = others.filter(|device| !inside.contains(device)).collect();
    strangers.extend(others.iter().map(String::as_str));
    for stranger in strangers {
        let refusal = device_by_name(&held, stranger);
        refused(&format!("a device {stranger:?}"), refusal, Errno::NODEV)?;
    }
    for own in context.devices()? {
        drop(held.device(&own)?);
    }
    Ok(())
}

fn device_by_name(held: &AssignedContainer, name: &str) -> Result<i32, Errno> {
    let mut words = Vec::new();
    for chunk in [name.as_bytes(), &[0; 4]].concat().chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        words.push(u32::from_ne_bytes(word));
    }
    Block::new(&words).ioctl(&held.group, GROUP_GET_DEVICE_FD)
}

/// The names of all devices of the bus.
fn every_device() -> Result<Vec<String>, Stop> {
    Ok(SYSFS.devices()?.into_iter().map(|device| device.name).collect())
}

fn group_exclusive(context: &Context) -> Outcome {
    let held = context.hold()?;
    match Group::of_device(&context.container) {
        Err(dprc::Error::Kernel { asked: "open", errno: Errno::BUSY, .. }) => {}
        other => return crate::check::fail("EBUSY", format!("{other:?}")),
    }
    drop(held);
    drop(context.hold()?);
    Ok(())
}

fn device_twice(context: &Context) -> Outcome {
    let held = context.hold()?;
    for name in context.devices()? {
        let (one, other) = (held.device(&name)?, held.device(&name)?);
        is(&format!("what two files say of {name}"), one.info(), other.info())?;
        drop(one);
        done(
            &format!("GET_INFO of {name} after the other file is closed"),
            asking(16).ioctl(&other, DEVICE_GET_INFO),
        )?;
    }
    let (one, other) = (held.dprc()?, held.dprc()?);
    let mut portals = [one.portal()?, other.portal()?];
    drop((one, other));
    for portal in &mut portals {
        let open = open_container(&held, portal)?;
        portal.close(open)?;
    }
    Ok(())
}

/// A device, and what its reset answered.
type Reset = (Device, Result<i32, Errno>);

/// Resets each device.
fn resets(context: &Context, held: &AssignedContainer) -> Result<Vec<Reset>, Stop> {
    let mut all = Vec::new();
    for name in context.devices()? {
        let device = held.device(&name)?;
        let answer = ioctl_number(&device, DEVICE_RESET, 0);
        all.push((device, answer));
    }
    Ok(all)
}

fn reset_works(context: &Context) -> Outcome {
    let held = context.hold()?;
    for (device, answer) in resets(context, &held)? {
        done(&format!("a reset of {}", device.name()), answer)?;
    }
    // And the container works afterwards.
    let mut portal = held.dprc()?.portal()?;
    let open = util::open_container(&held, &mut portal)?;
    Ok(portal.close(open)?)
}

fn reset_advertised(context: &Context) -> Outcome {
    let held = context.hold()?;
    for (device, answer) in resets(context, &held)? {
        let name = device.name();
        is(&format!("{name} says that reset works"), device.info().resettable, answer.is_ok())?;
    }
    Ok(())
}
