// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Mapped regions: making, changing, touching and unmapping them.
//!
//! A thread knows its maps and touches nothing else. A map outside of the window may
//! be unmapped in parts, since nothing is ever put at its place on mode; one in
//! the window is replaced by memory, so that no hole is left there for others.

use super::devices::{device, within};
use crate::abi;
use crate::caller::{Caller, DeviceMap, MAPS, WINDOW_PAGES};
use crate::kind::Kind;
use crate::memory::{PAGE, Touch};
use crate::shared::REGIONS;
use std::sync::atomic::Ordering::Relaxed;

const READ_WRITE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
const REPLACED: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED) as u64;

/// A part of a region that can be mapped: file, object, index, offset and length.
struct Part {
    file: i32,
    object: usize,
    index: u64,
    offset: u64,
    length: u64,
}

fn mappable(caller: &mut Caller<'_>) -> Option<Part> {
    for _ in 0..6 {
        let (file, object) = device(caller)?;
        let facts = caller.facts(object);
        let regions = facts.regions.load(Relaxed).min(REGIONS as u32);
        let index = within(caller, regions) as usize;
        let size = facts.size[index].load(Relaxed);
        let flags = facts.flags[index].load(Relaxed);
        if flags & abi::VFIO_REGION_INFO_FLAG_MMAP != 0 && size >= PAGE {
            let pages = size / PAGE;
            let offset = if caller.random.bool() { 0 } else { caller.random.u64(..pages) };
            let length = caller.random.u64(1..=pages - offset);
            let (offset, length) = (offset * PAGE, length * PAGE);
            return Some(Part { file, object, index: index as u64, offset, length });
        }
    }
    None
}

/// Remembers a map; the oldest one of a full list is unmapped.
fn keep(caller: &mut Caller<'_>, map: DeviceMap) {
    match caller.maps.iter_mut().find(|place| place.is_none()) {
        Some(place) => *place = Some(map),
        None => {
            let place = caller.random.usize(..MAPS);
            if let Some(old) = caller.maps[place].replace(map) {
                remove(caller, old);
            }
        }
    }
}

fn remove(caller: &mut Caller<'_>, map: DeviceMap) {
    let DeviceMap { start, length, .. } = map;
    let _ = if map.fixed {
        let none = libc::PROT_NONE as u64;
        let nothing = u64::MAX;
        caller.call(Kind::Unmap, libc::SYS_mmap, [start, length, none, REPLACED, nothing, 0])
    } else {
        caller.call(Kind::Unmap, libc::SYS_munmap, [start, length, 0, 0, 0, 0])
    };
}

/// Unmaps all maps of the thread, and the rests of those that others were put over.
pub fn unmap_all(caller: &mut Caller<'_>) {
    let window = caller.memory.window;
    let whole = DeviceMap {
        start: window.start(),
        length: window.end() - window.start(),
        offset: 0,
        object: 0,
        fixed: true,
    };
    for place in 0..MAPS {
        if let Some(map) = caller.maps[place].take().filter(|map| !map.fixed) {
            remove(caller, map);
        }
    }
    remove(caller, whole);
}

pub fn map(caller: &mut Caller<'_>) {
    let Some(part) = mappable(caller) else { return };
    let at = abi::region_offset(part.index) + part.offset;
    let arguments = [0, part.length, READ_WRITE, libc::MAP_SHARED as u64, part.file as u64, at];
    if let Ok(start) = caller.call(Kind::Map, libc::SYS_mmap, arguments) {
        let Part { object, offset, length, .. } = part;
        keep(caller, DeviceMap { start, length, offset, object, fixed: false });
    }
}

/// Into the thread's window, over what is there.
pub fn fixed(caller: &mut Caller<'_>) {
    let Some(part) = mappable(caller) else { return };
    let length = part.length.min(WINDOW_PAGES * PAGE / 4);
    let window = caller.memory.window;
    let places = (WINDOW_PAGES * PAGE - length) / PAGE;
    let start = window.start() + caller.random.u64(..=places) * PAGE;
    // What the new map covers is forgotten.
    let end = start + length;
    for place in &mut caller.maps {
        *place = place.filter(|map| map.start >= end || map.start + map.length <= start);
    }
    let flags = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
    let at = abi::region_offset(part.index) + part.offset;
    let arguments = [start, length, READ_WRITE, flags, part.file as u64, at];
    let mapped = caller.call(Kind::MapFixed, libc::SYS_mmap, arguments);
    if mapped.is_ok() {
        let Part { object, offset, .. } = part;
        keep(caller, DeviceMap { start, length, offset, object, fixed: true });
    } else {
        // The kernel may have unmapped what was there before it refused.
        let none = libc::PROT_NONE as u64;
        let nothing = u64::MAX;
        let arguments = [start, length, none, REPLACED, nothing, 0];
        let _ = caller.call(Kind::Unmap, libc::SYS_mmap, arguments);
    }
}

/// Any protection, flags, length and offset.
pub fn odd(caller: &mut Caller<'_>) {
    let Some((file, object)) = device(caller) else { return };
    let facts = caller.facts(object);
    let regions = facts.regions.load(Relaxed);
    let index = if caller.once_in(3) {
        caller.edge(regions.into()) & 0xff_ffff
    } else {
        within(caller, regions).into()
    };
    let size = facts.size[(index as usize).min(REGIONS - 1)].load(Relaxed);
    let length = match caller.random.u32(..4) {
        0 => caller.edge(size) & ((1 << 40) - 1),
        1 => size + PAGE,
        2 => 1 + caller.random.u64(..PAGE),
        _ => size,
    };
    let offset = match caller.random.u32(..4) {
        0 => caller.edge(size),
        1 => size & !(PAGE - 1),
        2 => caller.random.u64(..16) * PAGE,
        _ => 0,
    };
    let protection = caller.random.u64(..8);
    let mut flags = if caller.random.bool() { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    for flag in [libc::MAP_POPULATE, libc::MAP_LOCKED, libc::MAP_NORESERVE, libc::MAP_HUGETLB] {
        if caller.once_in(8) {
            flags |= flag;
        }
    }
    if flags & libc::MAP_PRIVATE != 0 {
        // Else the kernel refuses large ones before the driver is asked, and logs it.
        flags |= libc::MAP_NORESERVE;
    }
    let at = abi::region_offset(index).wrapping_add(offset);
    let arguments = [0, length, protection, flags as u64, file as u64, at];
    if let Ok(start) = caller.call(Kind::MapOdd, libc::SYS_mmap, arguments) {
        let length = length.next_multiple_of(PAGE);
        // Not to be touched: it may not be writable, or executable alone.
        let _ = caller.call(Kind::Unmap, libc::SYS_munmap, [start, length, 0, 0, 0, 0]);
    }
}

/// A whole map, or a part of one.
pub fn unmap(caller: &mut Caller<'_>) {
    let place = caller.random.usize(..MAPS);
    let Some(map) = caller.maps[place].take() else { return };
    if map.fixed || map.length <= PAGE || caller.random.bool() {
        return remove(caller, map);
    }
    // From the end, the start, or the middle: what is behind the hole goes too.
    let pages = map.length / PAGE;
    let (from, count) = match caller.random.u32(..3) {
        0 => (pages - 1, 1),
        1 => (0, 1),
        _ => {
            let from = caller.random.u64(..pages);
            (from, caller.random.u64(1..=pages - from))
        }
    };
    let arguments = [map.start + from * PAGE, count * PAGE, 0, 0, 0, 0];
    let _ = caller.call(Kind::Unmap, libc::SYS_munmap, arguments);
    let rest = from + count;
    if rest < pages {
        let tail = DeviceMap {
            start: map.start + rest * PAGE,
            length: (pages - rest) * PAGE,
            offset: map.offset + rest * PAGE,
            ..map
        };
        if from == 0 {
            caller.maps[place] = Some(tail);
            return;
        }
        remove(caller, tail);
    }
    if from > 0 {
        caller.maps[place] = Some(DeviceMap { length: from * PAGE, ..map });
    }
}

pub fn protect(caller: &mut Caller<'_>) {
    let Some(map) = caller.any_map() else { return };
    let protection = caller.random.u64(..8);
    let arguments = [map.start, map.length, protection, 0, 0, 0];
    let _ = caller.call(Kind::Protect, libc::SYS_mprotect, arguments);
    if caller.random.bool() {
        let arguments = [map.start, map.length, READ_WRITE, 0, 0, 0];
        let _ = caller.call(Kind::Protect, libc::SYS_mprotect, arguments);
    }
}

/// Moves, shrinks, or tries to grow a map.
pub fn remap(caller: &mut Caller<'_>) {
    let place = caller.random.usize(..MAPS);
    let Some(map) = caller.maps[place].filter(|map| !map.fixed) else { return };
    let pages = map.length / PAGE;
    let new = match caller.random.u32(..4) {
        0 => pages + 1 + caller.random.u64(..16),
        1 => caller.random.u64(1..=pages),
        // A second map of the same pages, which the kernel allows for shared ones.
        2 => return duplicate(caller, map),
        _ => pages,
    } * PAGE;
    let flags = if caller.random.bool() { libc::MREMAP_MAYMOVE as u64 } else { 0 };
    let arguments = [map.start, map.length, new, flags, 0, 0];
    if let Ok(start) = caller.call(Kind::Remap, libc::SYS_mremap, arguments) {
        caller.maps[place] = Some(DeviceMap { start, length: new.min(map.length), ..map });
        if new > map.length {
            // What grew must not be forgotten, nor touched.
            let arguments = [start + map.length, new - map.length, 0, 0, 0, 0];
            let _ = caller.call(Kind::Unmap, libc::SYS_munmap, arguments);
        }
    }
}

fn duplicate(caller: &mut Caller<'_>, map: DeviceMap) {
    let arguments = [map.start, 0, map.length, libc::MREMAP_MAYMOVE as u64, 0, 0];
    if let Ok(start) = caller.call(Kind::Remap, libc::SYS_mremap, arguments) {
        keep(caller, DeviceMap { start, ..map });
    }
}

pub fn advise(caller: &mut Caller<'_>) {
    let Some(map) = caller.any_map() else { return };
    let at = caller.memory.own.start();
    let (number, arguments) = match caller.random.u32(..5) {
        0 => (libc::SYS_mlock, [map.start, map.length, 0, 0, 0, 0]),
        1 => (libc::SYS_munlock, [map.start, map.length, 0, 0, 0, 0]),
        2 => (libc::SYS_msync, [map.start, map.length, libc::MS_SYNC as u64, 0, 0, 0]),
        3 => (libc::SYS_mincore, [map.start, map.length.min(64 * PAGE), at, 0, 0, 0]),
        _ => {
            let advice = [
                libc::MADV_DONTNEED,
                libc::MADV_WILLNEED,
                libc::MADV_DONTFORK,
                libc::MADV_DOFORK,
                libc::MADV_REMOVE,
                libc::MADV_FREE,
                libc::MADV_COLD,
                libc::MADV_PAGEOUT,
                libc::MADV_HUGEPAGE,
                libc::MADV_MERGEABLE,
                libc::MADV_POPULATE_READ,
            ];
            let advice = caller.one_of(&advice).unwrap_or(libc::MADV_NORMAL);
            (libc::SYS_madvise, [map.start, map.length, advice as u64, 0, 0, 0])
        }
    };
    let _ = caller.call(Kind::Advise, number, arguments);
}

/// An aligned address in a map; the maps of regions are device memory, where others
/// are faults of the program.
fn place(caller: &mut Caller<'_>) -> Option<(u64, bool)> {
    let map = caller.any_map()?;
    let wide = caller.random.bool();
    let page = caller.random.u64(..map.length / PAGE);
    let mask = if wide { !7 } else { !3 };
    Some((map.start + page * PAGE + (caller.random.u64(..PAGE) & mask), wide))
}

pub fn load(caller: &mut Caller<'_>) {
    let Some((address, wide)) = place(caller) else { return map(caller) };
    let touch = if wide { Touch::Load64 } else { Touch::Load32 };
    let _ = caller.touch(Kind::Load, touch, address, 0);
}

pub fn store(caller: &mut Caller<'_>) {
    let Some((address, wide)) = place(caller) else { return map(caller) };
    let touch = if wide { Touch::Store64 } else { Touch::Store32 };
    let value = caller.edge(64);
    let _ = caller.touch(Kind::Store, touch, address, value);
}

/// Takes pages away that calls of other threads may be using, or gives them back.
/// They are replaced, never unmapped: their place stays taken.
pub fn flicker(caller: &mut Caller<'_>) {
    let area = caller.memory.flicker;
    let pages = (area.end() - area.start()) / PAGE;
    let start = area.start() + caller.random.u64(..pages) * PAGE;
    let fresh = |protection: i32| [start, PAGE, protection as u64, REPLACED, u64::MAX, 0];
    let (number, arguments) = match caller.random.u32(..6) {
        0 => (libc::SYS_mmap, fresh(libc::PROT_NONE)),
        1 => (libc::SYS_mprotect, [start, PAGE, libc::PROT_READ as u64, 0, 0, 0]),
        2 => (libc::SYS_mprotect, [start, PAGE, libc::PROT_NONE as u64, 0, 0, 0]),
        3 => (libc::SYS_madvise, [start, PAGE, libc::MADV_DONTNEED as u64, 0, 0, 0]),
        _ => (libc::SYS_mmap, fresh(libc::PROT_READ | libc::PROT_WRITE)),
    };
    let _ = caller.call(Kind::Flicker, number, arguments);
}
