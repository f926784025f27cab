// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory that the devices of a container reach. That they reach no other takes a bus
//! master to find out: the tests of the emulated board have one.

use crate::check::{Check, Outcome, Stop, check, done, ensure, fail, is, skip};
use crate::context::Context;
use crate::helper::{Helper, IOVA, Job, MEMORY};
use crate::kernel;
use crate::patience::patience;
use crate::sys::{Block, Map};
use dprc::{Access, AssignedContainer, DmaBuffer, Mapped};
use fsl_mc_linux::bus;
use fsl_mc_linux::ioctl::{IOMMU_MAP_DMA, IOMMU_UNMAP_DMA};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::fs;
use std::path::Path;
use vfio_bindings::bindings::vfio as abi;

const GROUP: Check = Check::group("dma");

const USER_API: &str = "linux/vfio.h: VFIO_IOMMU_MAP_DMA";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(pins_while_mapped, "Memory that is mapped for DMA is pinned, and no longer when it is unmapped.", USER_API),
    check!(exit_unpins, "What a process has mapped that ends without unmapping it is unpinned.", USER_API)
    .seconds(60),
    check!(kill_unpins, "What a process has mapped that is killed is unpinned.", USER_API)
    .seconds(60),
    check!(one_mapping_an_address, "An address that is mapped cannot be mapped again before it is unmapped.", USER_API),
    check!(not_where_messages_go, "The addresses of interrupt messages cannot be mapped.", "kernel: reserved regions of an IOMMU group"),
    check!(outlives_devices, "Mappings stay when a device is reset, and when all devices of the container are closed.", USER_API),
    check!(outlives_container, "Memory that is mapped stays so when all else of its container has been let go, and is \
         unmapped after that.", "the library: Mapped"),
    check!(with_interrupts, "Memory can be mapped before and after interrupts are enabled, and unmapped while they are.", USER_API)
    .interrupts(),
    check!(two_containers, "Two containers have the same address mapped for different memory; what one unmaps or \
         closes, the other keeps.", USER_API),
    check!(memory_of_a_device, "A region that is mapped into the process is mapped for DMA like memory, and unmapped \
         there before and after its munmap; a rescan of the bus meanwhile does no harm.",
        "DPDK before 20.11 maps its software portal so; QEMU maps each region of an assigned device"),
];

fn map(held: &AssignedContainer, iova: u64, pages: usize) -> Result<Mapped, Stop> {
    let buffer = DmaBuffer::allocate(pages * rustix::param::page_size())?;
    held.iommu
        .map(buffer, iova, Access::ReadWrite)
        .or_else(|error| fail(format!("memory can be mapped at {iova:#x}"), error.to_string()))
}

fn locked() -> Result<u64, Stop> {
    Ok(kernel::own_status("VmLck")? * 1024)
}

fn pins_while_mapped(context: &Context) -> Outcome {
    let held = context.hold()?;
    let _dprc = held.dprc()?;
    let before = locked()?;
    for pages in [1, 16, 1024] {
        let mapped = map(&held, IOVA, pages)?;
        is("bytes that are pinned", locked()? - before, mapped.size())?;
        mapped.unmap()?;
        is("bytes that are pinned after unmapping", locked()?, before)?;
    }
    Ok(())
}

fn unpinned_after(context: &Context, end: fn(Helper) -> Outcome) -> Outcome {
    // The kernel counts pins on each processor and adds them up now and then, so that
    // the numbers are right within a few dozens.
    const SLACK: u64 = MEMORY as u64 / 2;
    let before = kernel::pinned_pages()?;
    for _ in 0..context.times(10) {
        let helper = Helper::start(Job::HoldMemory, &[&context.container])?;
        let during = || kernel::pinned_pages().unwrap_or(0);
        let pinned = bus::wait_until(patience(), || during() >= before + SLACK);
        ensure(pinned, format!("{MEMORY} pages are pinned"), || {
            format!("{} more than before", during().saturating_sub(before))
        })?;
        end(helper)?;
        let gone = bus::wait_until(patience(), || during() <= before + SLACK);
        ensure(gone, "no page more is pinned than before", || {
            format!("{} pages more", during().saturating_sub(before))
        })?;
    }
    Ok(())
}

fn exit_unpins(context: &Context) -> Outcome {
    unpinned_after(context, Helper::finish)
}

fn kill_unpins(context: &Context) -> Outcome {
    unpinned_after(context, Helper::kill)
}

fn refused_with(held: &AssignedContainer, iova: u64, pages: usize, errno: Errno) -> Outcome {
    let buffer = DmaBuffer::allocate(pages * rustix::param::page_size())?;
    let what = || format!("mapping {pages} pages at {iova:#x} is refused with {errno:?}");
    match held.iommu.map(buffer, iova, Access::ReadWrite) {
        Ok(_) => fail(what(), "they are mapped"),
        Err(error) => match &error.error {
            dprc::Error::Kernel { errno: got, .. } if *got == errno => Ok(()),
            error => fail(what(), error.to_string()),
        },
    }
}

fn one_mapping_an_address(context: &Context) -> Outcome {
    let held = context.hold()?;
    let page = rustix::param::page_size() as u64;
    let mapped = map(&held, IOVA, 4)?;
    refused_with(&held, IOVA, 4, Errno::EXIST)?;
    refused_with(&held, IOVA + 3 * page, 4, Errno::EXIST)?;
    refused_with(&held, IOVA - page, 2, Errno::EXIST)?;
    mapped.unmap()?;
    map(&held, IOVA - page, 2)?.unmap()?;
    map(&held, IOVA, 4)?.unmap()?;
    Ok(())
}

fn not_where_messages_go(context: &Context) -> Outcome {
    let held = context.hold()?;
    let group = held.group.number();
    let path = format!("/sys/kernel/iommu_groups/{group}/reserved_regions");
    let text = fs::read_to_string(path)?;
    let number = |word: Option<&str>| {
        word.and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
    };
    let mut found = false;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (first, last) = (number(words.next()), number(words.next()));
        let (Some(first), Some(last), Some("msi")) = (first, last, words.next()) else { continue };
        found = true;
        let page = rustix::param::page_size() as u64;
        refused_with(&held, first, 1, Errno::INVAL)?;
        refused_with(&held, (last + 1).saturating_sub(page), 1, Errno::INVAL)?;
    }
    if found { Ok(()) } else { skip(format!("group {group} has no region for messages")) }
}

fn outlives_devices(context: &Context) -> Outcome {
    let before = locked()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mapped = map(&held, IOVA, 64)?;
    dprc.reset()?;
    is("bytes that are pinned after a reset", locked()? - before, mapped.size())?;
    drop(dprc);
    is("bytes that are pinned with no device open", locked()? - before, mapped.size())?;
    let _dprc = held.dprc()?;
    refused_with(&held, IOVA, 1, Errno::EXIST)?;
    mapped.unmap()?;
    is("bytes that are pinned after unmapping", locked()?, before)
}

fn outlives_container(context: &Context) -> Outcome {
    let before = locked()?;
    for _ in 0..context.times(3) {
        let held = context.hold()?;
        let dprc = held.dprc()?;
        let mapped = map(&held, IOVA, 64)?;
        drop((dprc, held));
        is("bytes that are pinned with the rest let go", locked()? - before, mapped.size())?;
        mapped.unmap()?;
        is("bytes that are pinned after unmapping", locked()?, before)?;
    }
    // Its group is free again.
    context.hold().map(drop)
}

fn with_interrupts(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let first = map(&held, IOVA, 64)?;
    let mut armed = crate::mc::EnabledInterrupt::new(&dprc)?;
    armed.raise_once()?;
    let second = map(&held, 2 * IOVA, 64)?;
    armed.raise_once()?;
    first.unmap()?;
    armed.raise_once()?;
    second.unmap()?;
    armed.raise_once()
}

fn two_containers(context: &Context) -> Outcome {
    let before = locked()?;
    let (one, other) = (context.hold()?, context.hold_second()?);
    ensure(one.group.number() != other.group.number(), "two IOMMU groups", || "one".into())?;
    let (near, far) = (map(&one, IOVA, 16)?, map(&other, IOVA, 32)?);
    let (near_size, far_size) = (near.size(), far.size());
    is("bytes that are pinned", locked()? - before, near_size + far_size)?;
    near.unmap()?;
    is("bytes that are pinned after one unmaps", locked()? - before, far_size)?;
    refused_with(&other, IOVA, 1, Errno::EXIST)?;
    map(&one, IOVA, 1)?.unmap()?;
    drop(one);
    is("bytes that are pinned after one closes", locked()? - before, far_size)?;
    far.unmap()?;
    is("bytes that are pinned after all is unmapped", locked()?, before)
}

fn memory_of_a_device(context: &Context) -> Outcome {
    if !Path::new("/sys/module/vfio_iommu_type1").exists() {
        return skip("iommufd answers for containers: it maps no memory of devices");
    }
    let held = context.hold()?;
    let mut iova = IOVA;
    for name in context.objects()? {
        let device = held.device(&name)?;
        for index in 0..device.info().regions {
            let region = device.region(index)?;
            if !region.mappable {
                continue;
            }
            let length = usize::try_from(region.size).unwrap_or(usize::MAX);
            let all = ProtFlags::READ | ProtFlags::WRITE;
            let map = Map::of(device.as_fd(), region.offset, length, all, MapFlags::SHARED);
            let map = done(&format!("a mapping of region {index} of {name}"), map)?;
            let what = format!("region {index} of {name}, mapped");
            map_for_dma(&held, map.address(), iova, region.size, &what)?;
            unmap_for_dma(&held, iova, region.size, &what)?;
            map_for_dma(&held, map.address(), iova, region.size, &what)?;
            let rescan = Path::new(bus::ROOT).join("rescan");
            bus::write_attribute(&rescan, "1", |_| String::new())?;
            drop(map);
            unmap_for_dma(&held, iova, region.size, &format!("{what} and unmapped again"))?;
            iova += region.size;
        }
    }
    if iova == IOVA { skip("nothing in the container can be mapped") } else { Ok(()) }
}

/// By the call itself: the library maps memory that it owns, or a guest's.
fn map_for_dma(held: &AssignedContainer, from: u64, to: u64, size: u64, what: &str) -> Outcome {
    let flags = abi::VFIO_DMA_MAP_FLAG_READ | abi::VFIO_DMA_MAP_FLAG_WRITE;
    let [from, to, size] = [from, to, size].map(halves);
    let words = [32, flags, from[0], from[1], to[0], to[1], size[0], size[1]];
    let got = Block::new(&words).ioctl(&held.container, IOMMU_MAP_DMA);
    done(&format!("VFIO_IOMMU_MAP_DMA of {what}"), got).map(drop)
}

fn unmap_for_dma(held: &AssignedContainer, at: u64, size: u64, what: &str) -> Outcome {
    let [at, wanted] = [at, size].map(halves);
    let mut block = Block::new(&[24, 0, at[0], at[1], wanted[0], wanted[1]]);
    let got = block.ioctl(&held.container, IOMMU_UNMAP_DMA);
    done(&format!("VFIO_IOMMU_UNMAP_DMA of {what}"), got)?;
    let unmapped = u64::from(block.word(4)) | u64::from(block.word(5)) << 32;
    is(&format!("bytes unmapped of {what}"), unmapped, size)
}

/// The words of a number, the low one first.
const fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}
