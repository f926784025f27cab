// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory files that are mapped here and in QEMU.

use std::fs::File;
use std::io;

use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{FileOffset, MmapRegion};

// The values of mmap(2) on Linux for x86-64 and arm64 alike.
const READ_WRITE: i32 = 0x1 | 0x2;
const SHARED_NORESERVE: i32 = 0x01 | 0x4000;

/// Maps `size` bytes of `file` from `offset` on, readable, writable and shared
/// with everybody else who does.
///
/// # Errors
/// Where the file is too short, or the host has no address space left.
pub fn map_shared(file: File, offset: u64, size: u64) -> io::Result<MmapRegion> {
    let length = usize::try_from(size).map_err(io::Error::other)?;
    // A mapping past the file's end would end this process with SIGBUS.
    let file_size = file.metadata()?.len();
    if offset.checked_add(size).is_none_or(|end| end > file_size) {
        return Err(io::Error::other(format!(
            "its file has {file_size:#x} bytes and the range starts at {offset:#x}"
        )));
    }
    MmapRegionBuilder::new(length)
        .with_mmap_prot(READ_WRITE)
        .with_mmap_flags(SHARED_NORESERVE)
        .with_file_offset(FileOffset::new(file, offset))
        .build()
        .map_err(io::Error::other)
}
