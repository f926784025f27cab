// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A frame on its way, and reading one out of guest memory.

use super::{MAX_FRAME_LENGTH, parser::Parsed};
use crate::smmu::{DmaError, HeldStream};
use qbman_abi::{Fd, Format, SgEntry, annotation::control};

/// Most entries of the tables of one frame.
const MOST_ENTRIES: usize = 512;
/// Entries that are read at once.
const ENTRIES: usize = 16;

/// A frame between two interfaces.
pub(super) struct Frame<'a> {
    pub bytes: &'a [u8],
    /// What the sender's parser found, where it looked and knows no kinds of tags of its own.
    pub parsed: Option<&'a Parsed>,
}

/// Reads the frame of a descriptor to the start of `into`, which has room for its
/// [`Fd::length`] if that is not more than [`MAX_FRAME_LENGTH`].
///
/// # Errors
/// The error bit of the descriptor's control word.
pub(super) fn read(memory: &HeldStream, fd: &Fd, into: &mut [u8]) -> Result<(), u32> {
    let length = fd.length() as usize;
    if length == 0 || length > MAX_FRAME_LENGTH {
        return Err(control::FRAME_SIZE_ERROR);
    }
    let into = into.get_mut(..length).ok_or(control::FRAME_SIZE_ERROR)?;
    let data = fd.address.wrapping_add(u64::from(fd.offset()));
    match fd.format() {
        Format::Single => memory.read(data, into).map_err(|_| control::BUS_ERROR),
        Format::ScatterGather => gather(memory, data, into),
        Format::List | Format::Reserved => Err(control::UNSUPPORTED_FORMAT),
    }
}

/// Reads the frame of a table.
fn gather(memory: &HeldStream, table: u64, into: &mut [u8]) -> Result<(), u32> {
    let (mut done, mut gathered) = (0, Ok(()));
    let walked = each_entry(
        |at, bytes| memory.read(at, bytes),
        table,
        |entry| {
            let end = into.len().min(done + entry.length() as usize);
            let at = entry.address.wrapping_add(u64::from(entry.offset()));
            let part = into.get_mut(done..end).unwrap_or_default();
            gathered = memory.read(at, part).map_err(|_| control::BUS_ERROR);
            done = end;
            gathered.is_ok() && done < into.len()
        },
    );
    gathered.and(walked)?;
    if done < into.len() { Err(control::FRAME_SIZE_ERROR) } else { Ok(()) }
}

/// Calls `visit` for the entries of a table, which `read` reads, up to the last, until it
/// says `false`. Entries of further tables follow in their place.
///
/// # Errors
/// The error bit of a descriptor's control word, where a table cannot be read
/// or does not end.
pub(super) fn each_entry(
    read: impl Fn(u64, &mut [u8]) -> Result<(), DmaError>,
    mut table: u64,
    mut visit: impl FnMut(&SgEntry) -> bool,
) -> Result<(), u32> {
    let mut seen = 0;
    'tables: loop {
        let mut bytes = [0; ENTRIES * SgEntry::SIZE];
        // Of the entries that lie behind the last one nothing is known: they
        // are read only as far as the page of those before goes.
        let to_page_end = (0x1000 - (table & 0xfff)) as usize / SgEntry::SIZE * SgEntry::SIZE;
        let size = if to_page_end == 0 { SgEntry::SIZE } else { to_page_end.min(bytes.len()) };
        let part = bytes.get_mut(..size).unwrap_or_default();
        read(table, part).map_err(|_| control::BUS_ERROR)?;
        for bytes in part.chunks_exact(SgEntry::SIZE) {
            let Some(entry) = bytes.first_chunk().map(SgEntry::from_bytes) else { continue };
            seen += 1;
            if seen > MOST_ENTRIES {
                return Err(control::FRAME_SIZE_ERROR);
            }
            if entry.format() == Format::ScatterGather {
                table = entry.address.wrapping_add(u64::from(entry.offset()));
                continue 'tables;
            }
            if !visit(&entry) || entry.is_final() {
                return Ok(());
            }
        }
        table = table.wrapping_add(size as u64);
    }
}
