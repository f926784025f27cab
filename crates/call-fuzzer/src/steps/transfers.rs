// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Reads and writes that are no commands: of any size, at any offset.

use super::devices::{device, within};
use crate::abi::{self, Bytes};
use crate::caller::{Caller, layout};
use crate::kind::Kind;
use crate::memory::PAGE;
use crate::shared::REGIONS;
use std::sync::atomic::Ordering::Relaxed;

/// What a transfer is like: where, how much, and from or to what memory. Never the
/// shape of a command, which is 64 bytes at the start of a region.
struct Odd {
    file: i32,
    offset: u64,
    size: u64,
    memory: u64,
}

fn odd(caller: &mut Caller<'_>) -> Option<Odd> {
    let (file, object) = device(caller)?;
    let facts = caller.facts(object);
    let regions = facts.regions.load(Relaxed);
    let index = if caller.once_in(4) {
        caller.edge(regions.into())
    } else {
        within(caller, regions).into()
    };
    let length = facts.size[(index as usize).min(REGIONS - 1)].load(Relaxed);
    let inside = match caller.random.u32(..4) {
        0 => 0,
        1 => caller.edge(length),
        2 => caller.random.u64(..=64),
        _ => caller.random.u64(..length.max(1)) & !7,
    };
    let mut size = match caller.random.u32(..6) {
        0 => caller.edge(PAGE),
        1 => 64,
        2 => 8,
        3 => 4,
        _ => caller.random.u64(..=128),
    };
    let offset = abi::region_offset(index).wrapping_add(inside);
    // 64 bytes at a region's start are a command or an answer: `portals` has
    // those. Only the region without the index counts.
    if size == 64 && offset & (abi::region_offset(1) - 1) == 0 {
        size = 63;
    }
    let memory = if caller.once_in(8) {
        caller.nowhere()
    } else {
        // Large sizes run into the page that is not there.
        caller.memory.page(layout::PLAIN) + caller.random.u64(..64)
    };
    Some(Odd { file, offset, size, memory })
}

pub fn read(caller: &mut Caller<'_>) {
    let Some(Odd { file, offset, size, memory }) = odd(caller) else { return };
    let _ = if caller.once_in(4) {
        // At the position of the file.
        caller.call(Kind::ReadOdd, libc::SYS_read, [file as u64, memory, size.min(63), 0, 0, 0])
    } else {
        caller.call(Kind::ReadOdd, libc::SYS_pread64, [file as u64, memory, size, offset, 0, 0])
    };
}

pub fn write(caller: &mut Caller<'_>) {
    let Some(Odd { file, offset, size, memory }) = odd(caller) else { return };
    let _ = if caller.once_in(4) {
        caller.call(Kind::WriteOdd, libc::SYS_write, [file as u64, memory, size.min(63), 0, 0, 0])
    } else {
        caller.call(Kind::WriteOdd, libc::SYS_pwrite64, [file as u64, memory, size, offset, 0, 0])
    };
}

/// Several pieces in one call.
pub fn vectors(caller: &mut Caller<'_>) {
    let Some(Odd { file, offset, size, memory }) = odd(caller) else { return };
    let parts = caller.random.u64(..=4);
    let mut vector = Bytes::new();
    for _ in 0..parts {
        // No part may be a command: even 64 bytes at a later place move the offset.
        let length = if caller.once_in(8) { size } else { caller.random.u64(..63) };
        vector = vector.u64(memory).u64(length);
    }
    let at = caller.place(&vector);
    let count = if caller.once_in(16) { caller.edge(4) } else { parts };
    let inside = offset | 8;
    let (kind, number) = if caller.random.bool() {
        (Kind::ReadOdd, libc::SYS_preadv)
    } else {
        (Kind::WriteOdd, libc::SYS_pwritev)
    };
    let _ = caller.call(kind, number, [file as u64, at, count, inside, 0, 0]);
}

pub fn seek(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let (to, whence) = (caller.edge(PAGE), caller.random.u64(..5));
    let _ = caller.call(Kind::Seek, libc::SYS_lseek, [file as u64, to, whence, 0, 0, 0]);
}

/// From a device into a pipe or an event, neither of which is one: files only.
pub fn splice(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let pick = caller.pick();
    let Some((_, other)) = caller.process.devices.any(pick) else { return };
    let at = caller.place(&Bytes::new().u64(8));
    let count = caller.random.u64(..128);
    let (number, arguments) = if caller.random.bool() {
        (libc::SYS_sendfile, [other as u64, file as u64, at, count, 0, 0])
    } else {
        (libc::SYS_splice, [file as u64, at, other as u64, 0, count, 0])
    };
    let _ = caller.call(Kind::Splice, number, arguments);
}
