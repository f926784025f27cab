// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! VFIO containers and groups, memory for devices, and the way to a device.

use crate::abi::{self, Bytes};
use crate::caller::{Caller, layout};
use crate::kind::Kind;
use crate::memory::PAGE;
use crate::mode_lock::Mode;
use fsl_mc_linux::ioctl;
use std::sync::atomic::Ordering::Relaxed;

/// Where memory is mapped for devices: 64 places, a little apart.
const IOVA: u64 = 0x1_0000_0000;
/// The lowest number of a held group's descriptor: above those of all other files, so that
/// no number of a file that was closed meanwhile comes to name it.
const HELD: u64 = 256;

fn open(caller: &mut Caller<'_>, kind: Kind, path: &[u8]) -> Result<i32, i32> {
    let path = caller.place_well(&Bytes::of(path));
    let flags = libc::O_RDWR | libc::O_CLOEXEC;
    let at = libc::AT_FDCWD as u64;
    caller
        .call(kind, libc::SYS_openat, [at, path, flags as u64, 0, 0, 0])
        .map(|descriptor| descriptor as i32)
}

pub fn open_container(caller: &mut Caller<'_>) {
    if let Ok(descriptor) = open(caller, Kind::OpenContainer, b"/dev/vfio/vfio\0") {
        let pick = caller.pick();
        if let Some(old) = caller.process.containers.keep(descriptor, 0, pick) {
            super::files::close_one(caller, old);
        }
    }
}

pub fn open_group(caller: &mut Caller<'_>) {
    let path = caller.setup.group.as_bytes_with_nul();
    if let Ok(descriptor) = open(caller, Kind::OpenGroup, path) {
        let pick = caller.pick();
        if let Some(old) = caller.process.groups.keep(descriptor, 0, pick) {
            super::files::close_one(caller, old);
        }
    }
}

/// A container: most of the time the first one, which the group is attached to.
fn container(caller: &mut Caller<'_>) -> Option<i32> {
    let pick = if caller.once_in(8) { caller.pick() } else { 0 };
    if caller.process.containers.any(pick).is_none() {
        open_container(caller);
    }
    caller.process.containers.any(pick).map(|(_, descriptor)| descriptor)
}

/// The group. Where another process has it, that one's, or nothing for now.
fn group(caller: &mut Caller<'_>) -> Option<i32> {
    let pick = caller.pick();
    if let Some((_, descriptor)) = caller.process.groups.any(pick) {
        return Some(descriptor);
    }
    match caller.random.u32(..8) {
        0..=2 => open_group(caller),
        3 => super::processes::pass_group(caller),
        4..=5 => super::processes::pass(caller),
        // Nobody has it, but for devices that are still open here.
        6 if caller.once_in(2) => {
            super::maps::unmap_all(caller);
            super::files::close_all_devices(caller);
        }
        _ => {}
    }
    let found = caller.process.groups.any(pick).map(|(_, descriptor)| descriptor);
    let has_device = caller.process.devices.any(pick).is_some();
    if found.is_none() && !has_device {
        caller.nap();
    }
    found
}

pub fn api_version(caller: &mut Caller<'_>) {
    let Some(file) = container(caller) else { return };
    let argument = caller.random.u64(..);
    let _ = caller.ioctl(Kind::ApiVersion, file, ioctl::GET_API_VERSION, argument);
}

pub fn extension(caller: &mut Caller<'_>) {
    let Some(file) = container(caller) else { return };
    let argument = caller.edge(12);
    let _ = caller.ioctl(Kind::Extension, file, ioctl::CHECK_EXTENSION, argument);
}

pub fn set_iommu(caller: &mut Caller<'_>) {
    let Some(file) = container(caller) else { return };
    let kind = if caller.once_in(6) {
        caller.edge(12)
    } else {
        u64::from(if caller.random.bool() {
            abi::VFIO_TYPE1_IOMMU
        } else {
            abi::VFIO_TYPE1v2_IOMMU
        })
    };
    change(caller, Kind::SetIommu, file, ioctl::SET_IOMMU, kind);
}

pub fn group_status(caller: &mut Caller<'_>) {
    let pick = caller.pick();
    let Some((_, file)) = caller.process.groups.any(pick) else { return };
    let bytes = Bytes::new().u32(caller.argsz(8)).u32(caller.random.u32(..));
    let at = caller.place(&bytes);
    let _ = caller.ioctl(Kind::GroupStatus, file, ioctl::GROUP_GET_STATUS, at);
}

pub fn set_container(caller: &mut Caller<'_>) {
    let Some(group) = group(caller) else { return };
    let file = if caller.once_in(4) {
        // Anything else that is open, or was.
        let pick = caller.pick();
        let other = caller.process.devices.any(pick).map(|(_, descriptor)| descriptor);
        other.unwrap_or(caller.edge(64) as i32)
    } else {
        match container(caller) {
            Some(container) => container,
            None => return,
        }
    };
    let at = caller.place(&Bytes::new().u32(file as u32));
    let _ = caller.ioctl(Kind::SetContainer, group, ioctl::GROUP_SET_CONTAINER, at);
}

pub fn unset_container(caller: &mut Caller<'_>) {
    let Some(group) = group(caller) else { return };
    change(caller, Kind::UnsetContainer, group, ioctl::GROUP_UNSET_CONTAINER, 0);
}

/// Makes an ioctl that gives a container its IOMMU driver or takes it away, unless
/// somebody is calling that driver ([`crate::mode_lock`]).
fn change(caller: &mut Caller<'_>, kind: Kind, file: i32, request: u32, argument: u64) {
    let (lock, party) = (&caller.shared.iommu_lock, caller.slot_number);
    let _ = lock.try_with(party, Mode::Change, || caller.ioctl(kind, file, request, argument));
}

/// Makes an ioctl that VFIO passes on to the IOMMU driver, unless that driver may go
/// away meanwhile ([`crate::mode_lock`]).
fn pass_on(
    caller: &mut Caller<'_>,
    kind: Kind,
    file: i32,
    request: u32,
    argument: u64,
) -> Option<Result<u64, i32>> {
    let (lock, party) = (&caller.shared.iommu_lock, caller.slot_number);
    lock.try_with(party, Mode::Call, || {
        let held = hold_group(caller)?;
        let result = caller.ioctl(kind, file, request, argument);
        release(caller, held);
        Some(result)
    })?
}

/// A descriptor of the group's file that nobody else closes, if the process has one at
/// all. Only with the lock held: a group whose devices are unbound does not count, since
/// the next ones are in a new group.
fn hold_group(caller: &mut Caller<'_>) -> Option<u64> {
    let pick = caller.pick();
    let (_, group) = caller.process.groups.any(pick)?;
    let duplicate = [group as u64, libc::F_DUPFD_CLOEXEC as u64, HELD, 0, 0, 0];
    let held = caller.quietly(libc::SYS_fcntl, duplicate).ok()?;
    // Another thread may have closed the group just now, and opened any file of that
    // number. Only the file of a group that has devices says what state it is in.
    let status = Bytes::new().u32(8).u32(0);
    let at = caller.memory.own.store(layout::QUIET * PAGE, status.as_slice());
    if caller.quietly(libc::SYS_ioctl, [held, ioctl::GROUP_GET_STATUS.into(), at, 0, 0, 0]).is_ok()
    {
        return Some(held);
    }
    release(caller, held);
    None
}

fn release(caller: &Caller<'_>, held: u64) {
    let _ = caller.quietly(libc::SYS_close, [held, 0, 0, 0, 0, 0]);
}

pub fn iommu_info(caller: &mut Caller<'_>) {
    let Some(file) = container(caller) else { return };
    let argsz = if caller.random.bool() { 24 } else { 200 };
    let bytes = Bytes::new().u32(caller.argsz(argsz)).bytes(&[0; 20]);
    let at = caller.place(&bytes);
    let _ = pass_on(caller, Kind::IommuInfo, file, ioctl::IOMMU_GET_INFO, at);
}

/// A place in the address space of devices.
fn iova(caller: &mut Caller<'_>) -> u64 {
    IOVA + caller.random.u64(..64) * 8 * PAGE
}

pub fn map_dma(caller: &mut Caller<'_>) {
    let Some(file) = container(caller) else { return };
    let pages = caller.random.u64(1..=layout::DMA_PAGES);
    let first = caller.random.u64(..=layout::DMA_PAGES - pages);
    let flags = match caller.random.u32(..3) {
        0 => abi::VFIO_DMA_MAP_FLAG_READ,
        1 => abi::VFIO_DMA_MAP_FLAG_WRITE,
        _ => abi::VFIO_DMA_MAP_FLAG_READ | abi::VFIO_DMA_MAP_FLAG_WRITE,
    };
    let bytes = Bytes::new()
        .u32(32)
        .u32(flags)
        .u64(caller.memory.page(layout::DMA + first))
        .u64(iova(caller))
        .u64(pages * PAGE);
    let at = caller.place_well(&bytes);
    if pass_on(caller, Kind::MapDma, file, ioctl::IOMMU_MAP_DMA, at) == Some(Err(libc::EEXIST)) {
        unmap_dma(caller);
    }
}

pub fn map_dma_odd(caller: &mut Caller<'_>) {
    let Some(file) = container(caller) else { return };
    // Memory that is none, or a device's, or taken away meanwhile.
    let address = match caller.random.u32(..4) {
        0 => caller.nowhere(),
        1 => caller.memory.flicker.start() + caller.random.u64(..PAGE),
        2 => match caller.any_map() {
            Some(map) => map.start,
            None => return,
        },
        _ => caller.memory.page(layout::DMA) + caller.random.u64(..PAGE),
    };
    let flags = if caller.random.bool() { 3 } else { caller.edge32(8) };
    let iova = if caller.random.bool() { iova(caller) } else { caller.edge(1 << 48) };
    let size = if caller.random.bool() { PAGE } else { caller.edge(PAGE) };
    let bytes = Bytes::new().u32(caller.argsz(32)).u32(flags).u64(address).u64(iova).u64(size);
    let at = caller.place(&bytes);
    let _ = pass_on(caller, Kind::MapDmaOdd, file, ioctl::IOMMU_MAP_DMA, at);
}

pub fn unmap_dma(caller: &mut Caller<'_>) {
    let Some(file) = container(caller) else { return };
    let (flags, iova, size) = match caller.random.u32(..8) {
        0 => (abi::VFIO_DMA_UNMAP_FLAG_ALL, 0, 0),
        1 => (caller.edge32(8), caller.edge(1 << 48), caller.edge(PAGE)),
        2 => (0, IOVA, 1 << 32),
        _ => (0, iova(caller), 8 * PAGE),
    };
    let bytes = Bytes::new().u32(caller.argsz(24)).u32(flags).u64(iova).u64(size).bytes(&[0; 16]);
    let at = caller.place(&bytes);
    let _ = pass_on(caller, Kind::UnmapDma, file, ioctl::IOMMU_UNMAP_DMA, at);
}

/// Makes the calls that lead to a device, in their order.
pub fn attach(caller: &mut Caller<'_>) {
    let Some(group) = group(caller) else { return };
    let Some(container) = container(caller) else { return };
    let at = caller.place_well(&Bytes::new().u32(container as u32));
    let _ = caller.ioctl(Kind::SetContainer, group, ioctl::GROUP_SET_CONTAINER, at);
    let kind = if caller.random.bool() { abi::VFIO_TYPE1_IOMMU } else { abi::VFIO_TYPE1v2_IOMMU };
    change(caller, Kind::SetIommu, container, ioctl::SET_IOMMU, kind.into());
}

/// Opens a device, and learns what there is to know of it.
pub fn get_device(caller: &mut Caller<'_>) {
    let Some(group) = group(caller) else { return };
    let object = caller.random.usize(..caller.setup.objects.len());
    let Some((name, _)) = caller.setup.objects.get(object) else { return };
    let at = caller.place_well(&Bytes::of(name.as_bytes_with_nul()));
    match caller.ioctl(Kind::GetDeviceFd, group, ioctl::GROUP_GET_DEVICE_FD, at) {
        Ok(descriptor) => keep(caller, descriptor as i32, object),
        Err(_) => attach(caller),
    }
}

fn keep(caller: &mut Caller<'_>, descriptor: i32, object: usize) {
    let pick = caller.pick();
    if let Some(old) = caller.process.devices.keep(descriptor, object, pick) {
        super::files::close_one(caller, old);
    }
    if !caller.facts(object).known.load(Relaxed) {
        super::devices::learn(caller, descriptor, object);
    }
}

/// Names of no device, and names that are hard to read.
pub fn get_device_odd(caller: &mut Caller<'_>) {
    let pick = caller.pick();
    let Some((_, group)) = caller.process.groups.any(pick) else { return };
    let mut bytes = match caller.random.u32(..4) {
        0 => Bytes::of(b"dpni.99999\0"),
        1 => Bytes::of(&[b'x'; Bytes::CAPACITY]),
        2 => Bytes::new().u64(caller.random.u64(..)).u32(0),
        _ => Bytes::of(b"\0"),
    };
    if caller.once_in(8) {
        // Without its end.
        bytes = Bytes::of(b"dprc.");
    }
    let at = caller.place(&bytes);
    if let Ok(descriptor) =
        caller.ioctl(Kind::GetDeviceFdOdd, group, ioctl::GROUP_GET_DEVICE_FD, at)
    {
        // Memory had the name of a device from before.
        super::files::close_one(caller, descriptor as i32);
    }
}
