// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a device says of itself, its reset, and ioctls that it does not know.

use crate::abi::{self, Bytes};
use crate::caller::Caller;
use crate::kind::Kind;
use crate::shared::REGIONS;
use fsl_mc_linux::ioctl;
use std::sync::atomic::Ordering::Relaxed;

/// A device that is open, and which object it is.
pub fn device(caller: &mut Caller<'_>) -> Option<(i32, usize)> {
    let pick = caller.pick();
    if caller.process.devices.any(pick).is_none() {
        super::containers::get_device(caller);
    }
    let Some((place, descriptor)) = caller.process.devices.any(pick) else {
        caller.nap();
        return None;
    };
    Some((descriptor, caller.process.devices.object(place)))
}

/// Asks a device for its regions and interrupts, and writes it down for all.
pub fn learn(caller: &mut Caller<'_>, file: i32, object: usize) {
    let at = caller.place_well(&Bytes::new().u32(24).bytes(&[0; 20]));
    if caller.ioctl(Kind::DeviceInfo, file, ioctl::DEVICE_GET_INFO, at).is_err() {
        return;
    }
    let facts = caller.facts(object);
    let [_, _, _, _, _, _, _, _, r0, r1, r2, r3, i0, i1, i2, i3] = caller.placed::<16>();
    let regions = u32::from_ne_bytes([r0, r1, r2, r3]);
    facts.regions.store(regions, Relaxed);
    facts.interrupts.store(u32::from_ne_bytes([i0, i1, i2, i3]), Relaxed);
    for region in 0..regions.min(REGIONS as u32) {
        let at = caller.place_well(&Bytes::new().u32(32).u32(0).u32(region).bytes(&[0; 20]));
        if caller.ioctl(Kind::RegionInfo, file, ioctl::DEVICE_GET_REGION_INFO, at).is_err() {
            return;
        }
        let answer = caller.placed::<32>();
        let word = |from: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&answer[from..from + 8]);
            u64::from_ne_bytes(bytes)
        };
        facts.flags[region as usize].store((word(0) >> 32) as u32, Relaxed);
        facts.size[region as usize].store(word(16), Relaxed);
    }
    facts.known.store(true, Relaxed);
}

pub fn info(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let bytes = Bytes::new().u32(caller.argsz(24)).bytes(&[0xff; 20]);
    let at = caller.place(&bytes);
    let _ = caller.ioctl(Kind::DeviceInfo, file, ioctl::DEVICE_GET_INFO, at);
}

pub fn region_info(caller: &mut Caller<'_>) {
    let Some((file, object)) = device(caller) else { return };
    let regions = caller.facts(object).regions.load(Relaxed);
    let index = if caller.once_in(4) { caller.edge32(regions) } else { within(caller, regions) };
    let bytes = Bytes::new().u32(caller.argsz(32)).u32(caller.random.u32(..)).u32(index);
    let at = caller.place(&bytes.bytes(&[0xff; 20]));
    let _ = caller.ioctl(Kind::RegionInfo, file, ioctl::DEVICE_GET_REGION_INFO, at);
}

pub fn irq_info(caller: &mut Caller<'_>) {
    let Some((file, object)) = device(caller) else { return };
    let interrupts = caller.facts(object).interrupts.load(Relaxed);
    let index =
        if caller.once_in(4) { caller.edge32(interrupts) } else { within(caller, interrupts) };
    let bytes = Bytes::new().u32(caller.argsz(16)).u32(caller.random.u32(..)).u32(index);
    let bytes = bytes.u32(caller.random.u32(..));
    let at = caller.place(&bytes);
    let _ = caller.ioctl(Kind::IrqInfo, file, ioctl::DEVICE_GET_IRQ_INFO, at);
}

/// A number below a limit; 0 where there is none.
pub fn within(caller: &mut Caller<'_>, limit: u32) -> u32 {
    if limit == 0 { 0 } else { caller.random.u32(..limit) }
}

pub fn feature(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let argsz = if caller.random.bool() { 8 } else { caller.edge32(64) };
    let which = caller.random.u32(..16);
    let flags = match caller.random.u32(..5) {
        0 => abi::VFIO_DEVICE_FEATURE_GET,
        1 => abi::VFIO_DEVICE_FEATURE_SET,
        2 => abi::VFIO_DEVICE_FEATURE_PROBE,
        3 => abi::VFIO_DEVICE_FEATURE_PROBE | abi::VFIO_DEVICE_FEATURE_GET,
        _ => caller.random.u32(..) & !0xffff,
    };
    let at = caller.place(&Bytes::new().u32(argsz).u32(which | flags).bytes(&[0xff; 56]));
    let _ = caller.ioctl(Kind::Feature, file, ioctl::DEVICE_FEATURE, at);
}

/// A number from `first` to below `end`.
fn number(caller: &mut Caller<'_>, first: u32, end: u32) -> u32 {
    // Both are 32 bits wide, and so is what lies between.
    caller.random.u64(u64::from(first)..u64::from(end)) as u32
}

/// Numbers of VFIO that are none of a device's, and numbers with the size and
/// direction of other calls.
pub fn unknown(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let (kind, request) = match caller.random.u32(..4) {
        // These may succeed: another thread can have closed the device just now, and opened
        // a group or a container of that number.
        0 => (Kind::ForeignIoctl, number(caller, ioctl::IOMMU_GET_INFO, ioctl::DEVICE_FEATURE)),
        1 => (Kind::ForeignIoctl, number(caller, ioctl::GET_API_VERSION, ioctl::DEVICE_GET_INFO)),
        2 => (Kind::UnknownIoctl, number(caller, abi::LAST, abi::LAST + 64)),
        // _IOWR of a known number.
        _ => {
            let size = number(caller, 1, 1 << 14) << 16;
            (Kind::UnknownIoctl, ioctl::DEVICE_GET_INFO | 0xc000_0000 | size)
        }
    };
    let at = caller.place(&Bytes::of(&[0xff; 64]));
    let _ = caller.ioctl(kind, file, request, at);
}

/// Ioctls that the kernel answers for any file.
pub fn file_ioctl(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let requests = [libc::FIOCLEX, libc::FIONBIO, libc::FIOASYNC, libc::FIONREAD];
    let Some(request) = caller.one_of(&requests) else { return };
    // All are 32 bits wide. Blocking or not means nothing to a device; asynchronous signals are refused.
    let at = caller.place(&Bytes::new().u64(0));
    let _ = caller.ioctl(Kind::FileIoctl, file, request as u32, at);
}

/// A reset, or some of them.
pub fn reset(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let times = if caller.once_in(16) { 8 } else { 1 };
    for _ in 0..times {
        let argument = caller.random.u64(..);
        let _ = caller.ioctl(Kind::Reset, file, ioctl::DEVICE_RESET, argument);
    }
}
