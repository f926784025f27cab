// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Regions mapped into a process.

use super::mapped::{read_portal, try_command, works};
use super::util::{
    describe_region, exchange, fetch, identity, is_enabled, offset_of, open_container,
    without_object,
};
use crate::check::{
    Check, Outcome, Stop, check, done, ensure, fail, is, refused, refused_any, skip,
};
use crate::context::Context;
use crate::sys::{Map, in_a_fork};
use dprc::{AssignedContainer, Device, Group, RegionInfo};
use fsl_mc_linux::bus;
use mc_abi::{Status, common, dpmng, dprc as mc};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

const GROUP: Check = Check::group("mmap");

const DRIVER: &str = "C driver";
const UAPI: &str = "linux/vfio.h: VFIO_REGION_INFO_FLAG_MMAP";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        container_refused,
        "A container's own portal cannot be mapped: EINVAL.",
        "C driver, since version 5 of its series"
    ),
    check!(every_region, "Every region that says so can be mapped in one piece.", UAPI),
    check!(private_refused, "A private mapping is refused with EINVAL.", DRIVER),
    check!(
        index_out_of_range,
        "A mapping of a region that there is not is refused with EINVAL.",
        DRIVER
    ),
    check!(
        beyond_the_region,
        "A mapping that starts or ends beyond the region is refused with EINVAL.",
        DRIVER
    ),
    check!(
        offset_not_of_a_page,
        "A mapping from the middle of a page is refused with EINVAL.",
        "mmap(2)"
    ),
    check!(no_regions, "An object without regions has nothing to map: EINVAL.", DRIVER),
    check!(
        protections,
        "A region that can be read and written is mapped with any of these rights.",
        DRIVER
    ),
    check!(
        part_of_a_region,
        "Any pages of a region can be mapped, and are those of the whole.",
        DRIVER
    ),
    check!(
        portal_takes_commands,
        "A command that is stored into a mapped dpmcp is executed.",
        "DPDK: mc_sys.c maps its command portal"
    ),
    check!(
        dpio_registers,
        "The registers of a dpio can be read through a mapping, and say the same twice.",
        "DPDK: qbman_portal.c maps the cache-inhibited area"
    ),
    check!(
        cacheable_is_memory,
        "A region that the MC calls cacheable and shareable is plain memory: stores may be \
         unaligned.",
        "C driver: such regions keep the cached protection"
    ),
    check!(
        portal_is_device_memory,
        "A command portal is device memory: an unaligned access ends in SIGBUS.",
        "C driver: pgprot_noncached for all other regions; arm64"
    ),
    check!(
        read_only_stays,
        "A mapping of a read-only region cannot be made writable later: EACCES.",
        "mprotect(2); linux/vfio.h: VFIO_REGION_INFO_FLAG_WRITE"
    )
    .defect(15),
    check!(
        no_growth,
        "A mapping cannot be made longer than it was asked for.",
        "kernel: remap_pfn_range sets VM_DONTEXPAND"
    ),
    check!(partial_unmap, "When a part of a mapping is unmapped, the rest works.", "munmap(2)"),
    check!(
        two_mappings_agree,
        "Two mappings, also by two files, are the same portal, and a read of the file shows it as \
         well.",
        DRIVER
    ),
    check!(
        fork,
        "A mapping works in a child process, and in the parent after the child's end.",
        "fork(2)"
    ),
    check!(
        outlives_the_files,
        "A mapping works when all files are closed, and the group stays taken until it is \
         unmapped.",
        "DPDK: closes the file of its command portal after it has mapped it"
    ),
    check!(
        reset_at_unmap,
        "The reset of the last close waits for the last mapping.",
        "DPDK relies on it; kernel: a mapping holds the file"
    ),
    check!(many_times, "Mapping and unmapping may be repeated as often as one likes.", DRIVER)
        .seconds(60),
];

const ALL: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

fn page() -> usize {
    rustix::param::page_size()
}

/// Maps a part of a region for reading and writing.
fn map(device: &Device, offset: u64, length: usize) -> Result<Map, Errno> {
    Map::of(device.as_fd(), offset, length, ALL, MapFlags::SHARED)
}

/// Bytes of a region, which a 64 bit system can map.
fn length_of(region: &RegionInfo) -> usize {
    usize::try_from(region.size).unwrap_or(usize::MAX)
}

/// The first region of a family's first object, if it can be mapped.
fn first_region(
    context: &Context,
    held: &AssignedContainer,
    family: &str,
) -> Result<(Device, RegionInfo), Stop> {
    let device = held.device(&context.first(family)?)?;
    let region = device.region(0)?;
    if region.mappable {
        Ok((device, region))
    } else {
        skip(format!("region 0 of {} is not a whole page", device.name()))
    }
}

/// A mapped command portal.
fn portal(context: &Context, held: &AssignedContainer) -> Result<(Device, Map), Stop> {
    let (device, region) = first_region(context, held, "dpmcp")?;
    let mapped = done("a mapping of a dpmcp", map(&device, region.offset, length_of(&region)))?;
    Ok((device, mapped))
}

fn container_refused(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    for protection in [ProtFlags::READ, ALL] {
        let got = Map::of(device.as_fd(), 0, page(), protection, MapFlags::SHARED);
        refused("a mapping of a container", got, Errno::INVAL)?;
    }
    Ok(())
}

fn every_region(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut any = false;
    for name in context.objects()? {
        let device = held.device(&name)?;
        for index in 0..device.info().regions {
            let region = device.region(index)?;
            let got = map(&device, region.offset, length_of(&region));
            let what = format!("a mapping of region {index} of {name}");
            if region.mappable {
                any = true;
                let mapped = done(&what, got)?;
                is(&format!("bytes of {what}"), mapped.length() as u64, region.size)?;
            } else {
                refused(&what, got, Errno::INVAL)?;
            }
        }
    }
    if any { Ok(()) } else { skip("nothing in the container can be mapped") }
}

fn private_refused(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, region) = first_region(context, &held, "dpmcp")?;
    for protection in [ProtFlags::READ, ALL] {
        let got = Map::of(device.as_fd(), region.offset, page(), protection, MapFlags::PRIVATE);
        refused("a private mapping", got, Errno::INVAL)?;
    }
    Ok(())
}

fn index_out_of_range(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut last = String::new();
    for name in context.objects()? {
        if bus::family(&name) == last {
            continue;
        }
        bus::family(&name).clone_into(&mut last);
        let device = held.device(&name)?;
        let count = device.info().regions;
        for index in [count, count + 1, 0xff, 0x1000, 0x7f_ffff] {
            let got = map(&device, offset_of(index), page());
            // The largest offsets are refused by kernels before the driver sees them.
            let what = format!("a mapping of region {index:#x} of {name}");
            refused_any(&what, got, &[Errno::INVAL, Errno::OVERFLOW])?;
        }
    }
    Ok(())
}

fn beyond_the_region(context: &Context) -> Outcome {
    let held = context.hold()?;
    for family in ["dpmcp", "dpio"] {
        let (device, _) = match first_region(context, &held, family) {
            Err(Stop::Skip(_)) => continue,
            other => other?,
        };
        for index in 0..device.info().regions {
            let region = device.region(index)?;
            let (size, page) = (region.size, page() as u64);
            let ranges = [
                (size, page),
                (size + page, page),
                (size - page, 2 * page),
                (0, size + page),
                (page, size),
                (0, 1 << 40),
                ((1 << 40) - page, page),
                ((1 << 40) - page, 2 * page),
            ];
            for (from, length) in ranges {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let got = map(&device, region.offset + from, length);
                let what = format!(
                    "{length:#x} bytes at {from:#x} of region {index} of {}",
                    device.name()
                );
                refused(&what, got, Errno::INVAL)?;
            }
        }
    }
    Ok(())
}

fn offset_not_of_a_page(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, region) = first_region(context, &held, "dpmcp")?;
    for offset in [1, 64, 2048] {
        let got = map(&device, region.offset + offset, page());
        refused(&format!("a mapping at {offset}"), got, Errno::INVAL)?;
    }
    Ok(())
}

fn no_regions(context: &Context) -> Outcome {
    let held = context.hold()?;
    for name in context.objects()? {
        let device = held.device(&name)?;
        if device.info().regions == 0 {
            for protection in [ProtFlags::empty(), ProtFlags::READ, ALL] {
                let got = Map::of(device.as_fd(), 0, page(), protection, MapFlags::SHARED);
                refused(&format!("a mapping of {name}"), got, Errno::INVAL)?;
            }
            return Ok(());
        }
    }
    skip("each object has regions")
}

fn protections(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, region) = first_region(context, &held, "dpmcp")?;
    for protection in [ProtFlags::empty(), ProtFlags::READ, ProtFlags::WRITE, ALL] {
        let got = Map::of(
            device.as_fd(),
            region.offset,
            length_of(&region),
            protection,
            MapFlags::SHARED,
        );
        let mapped = done(&format!("a mapping with {protection:?}"), got)?;
        // And the rest later.
        let later = mapped.protect(0, mapped.length(), MprotectFlags::READ | MprotectFlags::WRITE);
        done(&format!("mprotect of a mapping with {protection:?}"), later)?;
        works("the portal after mprotect", &mapped)?;
    }
    Ok(())
}

fn part_of_a_region(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, mapped) = portal(context, &held)?;
    let first = done("a mapping of the first page", map(&device, offset_of(0), page()))?;
    works("the first page", &first)?;
    let shown = (read_portal(&mapped), read_portal(&first));
    is("the first page of the whole region", shown.0, shown.1)?;
    if mapped.length() > page() {
        let last = mapped.length() - page();
        let last = map(&device, offset_of(0) + last as u64, page());
        done("a mapping of the last page", last)?;
    }
    Ok(())
}

fn portal_takes_commands(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, mapped) = portal(context, &held)?;
    works("a mapped portal", &mapped)?;
    // Its own identity, by a token of its own.
    let mut typed = device.mapped_portal()?;
    let id = identity(device.name())?;
    let open = typed.open(id)?;
    let says = typed.call(open, &mc_abi::dpmcp::GetAttributes {})?;
    is("the portal's number in its attributes", says.id, id.id)?;
    Ok(typed.close(open)?)
}

fn dpio_registers(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.device(&context.first("dpio")?)?;
    if device.info().regions < 2 {
        return skip("a dpio with one region");
    }
    let region = device.region(1)?;
    let mapped = done("a mapping", map(&device, region.offset, length_of(&region)))?;
    let look = || -> Vec<Option<u64>> { (0..8).map(|index| mapped.load(8 * index)).collect() };
    let first = look();
    is("the first registers", look(), first)
}

fn cacheable_is_memory(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let open = open_container(&held, &mut portal)?;
    for name in context.objects()? {
        let device = held.device(&name)?;
        for index in 0..device.info().regions {
            let says = describe_region(&mut portal, open, &name, index)?;
            let memory = mc::REGION_CACHEABLE | mc::REGION_SHAREABLE;
            if says.flags & memory != memory {
                continue;
            }
            let region = device.region(index)?;
            let mapped = done("a mapping", map(&device, region.offset, length_of(&region)))?;
            // Rings and the like may live at the start: the last page is left as it was.
            let at = mapped.length() - page() + 1;
            let before = mapped.copy_out(at, 37);
            let data: Vec<u8> = (1..=37).collect();
            let copied = mapped.copy_in(at, &data).and_then(|()| mapped.copy_out(at, 37));
            is(&format!("what was stored in region {index} of {name}"), copied, Some(data))?;
            if let Some(before) = before {
                mapped.copy_in(at, &before);
            }
            return Ok(portal.close(open)?);
        }
    }
    skip("no region is cacheable and shareable")
}

fn portal_is_device_memory(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (_device, mapped) = portal(context, &held)?;
    // Behind the command, where no register is.
    let ended = in_a_fork(|| u8::from(mapped.load_unaligned(0x101).is_some()));
    is("signal of an unaligned access", done("fork", ended)?, Err(libc::SIGBUS))
}

fn read_only_stays(context: &Context) -> Outcome {
    let held = context.hold()?;
    for name in context.objects()? {
        let device = held.device(&name)?;
        for index in 0..device.info().regions {
            let region = device.region(index)?;
            if region.writable || !region.mappable {
                continue;
            }
            let length = length_of(&region);
            let shared = MapFlags::SHARED;
            let got = Map::of(device.as_fd(), region.offset, length, ALL, shared);
            refused("a writable mapping of a read-only region", got, Errno::INVAL)?;
            let got = Map::of(device.as_fd(), region.offset, length, ProtFlags::READ, shared);
            let mapped = done("a mapping to read", got)?;
            let later = mapped.protect(0, length, MprotectFlags::READ | MprotectFlags::WRITE);
            return refused("mprotect", later, Errno::ACCESS);
        }
    }
    skip("no region is read-only")
}

fn no_growth(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, region) = first_region(context, &held, "dpmcp")?;
    let mut mapped = done("a mapping of one page", map(&device, region.offset, page()))?;
    let grown = mapped.grow(2 * page());
    refused("mremap to two pages", grown, Errno::FAULT)?;
    works("the page", &mapped)
}

fn partial_unmap(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (_device, mut mapped) = portal(context, &held)?;
    if mapped.length() == page() {
        return skip("the region is one page");
    }
    done("munmap of all but the first page", mapped.keep(page()))?;
    works("the first page", &mapped)
}

fn two_mappings_agree(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, one) = portal(context, &held)?;
    let other_file = held.device(device.name())?;
    let other = done("a mapping by another file", map(&other_file, offset_of(0), page()))?;
    works("one mapping", &one)?;
    let answer = read_portal(&one);
    is("the portal in another mapping", read_portal(&other), answer)?;
    let read = done("a read of the file", fetch(&device, 0))?;
    is("the portal by a read", Some(read), answer)?;
    // And the other way round.
    let command = without_object(&dpmng::GetContainerId {});
    let answer = exchange(&device, &command)?;
    is("the portal after a command by write", read_portal(&one), Some(answer))
}

fn fork(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (_device, mapped) = portal(context, &held)?;
    let command = without_object(&dpmng::GetVersion {});
    let ended = in_a_fork(|| match try_command(&mapped, &command) {
        Some(answer) => answer.header.status_byte(),
        None => 254,
    });
    is("status of a command by the child", done("fork", ended)?, Ok(Status::Ok.byte()))?;
    works("the parent's mapping", &mapped)
}

fn outlives_the_files(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, mapped) = portal(context, &held)?;
    drop(device);
    works("the mapping without its device", &mapped)?;
    drop(held);
    works("the mapping without any file", &mapped)?;
    let taken = Group::of_device(&context.container).and_then(|group| {
        let container = dprc::Container::open()?;
        group.attach(&container)
    });
    match taken {
        Err(dprc::Error::Kernel { errno: Errno::BUSY | Errno::INVAL, .. }) => {}
        other => return fail("the group stays taken", format!("{other:?}")),
    }
    works("the mapping", &mapped)?;
    drop(mapped);
    drop(context.hold()?);
    Ok(())
}

fn reset_at_unmap(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, region) = first_region(context, &held, "dpio")?;
    let mapped = done("a mapping", map(&device, region.offset, length_of(&region)))?;
    let mut portal = held.dprc()?.portal()?;
    let open = portal.open(identity(device.name())?)?;
    portal.call(open, &common::Enable {})?;
    ensure(is_enabled(&mut portal, open)?, "a dpio that was enabled is on", || "off".into())?;
    drop(device);
    ensure(
        is_enabled(&mut portal, open)?,
        "a mapped dpio stays on when its file is closed",
        || "it is off: reset too early".into(),
    )?;
    drop(mapped);
    ensure(!is_enabled(&mut portal, open)?, "a dpio is off after it is unmapped", || {
        "it is on: not reset".into()
    })?;
    Ok(portal.close(open)?)
}

fn many_times(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (device, region) = first_region(context, &held, "dpmcp")?;
    for _ in 0..context.times(500) {
        let mapped = done("a mapping", map(&device, region.offset, length_of(&region)))?;
        ensure(mapped.load(0).is_some(), "a word of the portal", || "none".into())?;
    }
    let mapped = done("a mapping", map(&device, region.offset, length_of(&region)))?;
    works("the portal", &mapped)
}
