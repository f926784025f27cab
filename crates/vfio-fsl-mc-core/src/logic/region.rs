// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Regions: what user space may read, write and map, and how it is mapped.
//!
//! The file of a device has region `i` at offset `i << 40`. A command portal,
//! region 0 of a container or a `dpmcp`, is read and written in blocks of 64
//! bytes: a command and its answer. The stock driver takes such a block for any
//! region and waits for an answer to it, for seconds in the kernel (defect 7 of
//! the C driver); here reads and writes of other regions are refused, though
//! their information still says that they can be read and written: the rights to
//! map them are told by the same flags.

use super::command::{trimmed, TypeName, SIZE};
use super::Errno;

/// Bits of a file offset below the region's number.
pub const OFFSET_SHIFT: u32 = 40;

/// Flag of a region's information: can be read.
pub const FLAG_READ: u32 = 1 << 0;
/// Flag of a region's information: can be written.
pub const FLAG_WRITE: u32 = 1 << 1;
/// Flag of a region's information: can be mapped.
pub const FLAG_MMAP: u32 = 1 << 2;

/// What of an object's type matters for its regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A container: its portal is shared with the driver, so never mapped.
    Dprc,
    /// A command portal.
    Dpmcp,
    /// A queuing portal.
    Dpio,
    /// Anything else.
    Other,
}

impl ObjectKind {
    /// The kind of a type's name.
    pub const fn from_name(name: &TypeName) -> Self {
        match trimmed(name) {
            b"dprc" => Self::Dprc,
            b"dpmcp" => Self::Dpmcp,
            b"dpio" => Self::Dpio,
            _ => Self::Other,
        }
    }

    /// Whether region 0 is a command portal.
    pub const fn has_portal(self) -> bool {
        matches!(self, Self::Dprc | Self::Dpmcp)
    }
}

/// A region of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Physical address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// Whether the firmware says that it is memory.
    pub cacheable: bool,
    /// Whether the firmware says that it is coherent.
    pub shareable: bool,
    /// Whether the bus says that it cannot be written.
    pub read_only: bool,
}

/// How a mapping behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemoryKind {
    /// Device registers: every access as it is written.
    Device,
    /// Memory behind the cache.
    Cached,
    /// Memory past the cache, which a guest may map as it likes.
    WriteCombined,
}

/// What of the processor matters for mappings.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    /// Whether KVM gives a guest a mapping of memory that is no RAM of the
    /// host's: with FEAT_S2FWB and CTR_EL0.DIC. Without them it refuses.
    pub can_map_cacheable_into_guest: bool,
    /// Gives an index below a length back so that the processor does not
    /// speculate with one that is not below it: the kernel's array_index_nospec.
    pub bound_index: fn(index: usize, length: usize) -> usize,
}

/// What a mapping is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapRequest {
    /// File offset in pages.
    pub page_offset: u64,
    /// First address.
    pub start: u64,
    /// First address behind.
    pub end: u64,
    /// Whether stores go to the device rather than to a copy.
    pub shared: bool,
    /// Whether it is to be read.
    pub read: bool,
    /// Whether it is to be written.
    pub write: bool,
}

/// How to make a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Physical address of the first byte.
    pub physical: u64,
    /// Bytes.
    pub length: u64,
    /// How it behaves.
    pub memory: MemoryKind,
    /// Whether it must never become writable (clear `VM_MAYWRITE`).
    pub forbid_write: bool,
}

/// The file offset of a region.
pub const fn position(index: u32) -> u64 {
    (index as u64) << OFFSET_SHIFT
}

/// Number of the region and offset in it, of a file offset.
pub const fn split(position: u64) -> (u64, u64) {
    (
        position >> OFFSET_SHIFT,
        position & ((1 << OFFSET_SHIFT) - 1),
    )
}

impl Region {
    /// The flags of the region's information.
    pub const fn info_flags(&self, kind: ObjectKind, page_size: u64) -> u32 {
        let mut flags = FLAG_READ;
        if !self.read_only {
            flags |= FLAG_WRITE;
        }
        if self.can_map(kind, page_size) {
            flags |= FLAG_MMAP;
        }
        flags
    }

    /// Whether whole pages belong to the region, and to user space alone.
    const fn can_map(&self, kind: ObjectKind, page_size: u64) -> bool {
        let beyond_page = page_size.wrapping_sub(1);
        !matches!(kind, ObjectKind::Dprc)
            && page_size.is_power_of_two()
            && self.base & beyond_page == 0
            && self.size & beyond_page == 0
    }

    /// How the region is mapped; `for_guest` where the one who maps it runs a
    /// guest.
    ///
    /// Memory is cached, except where KVM would not take it so: a guest gets it
    /// past the cache rather than not at all. Memory as device registers would
    /// not do, since software stores to it unaligned.
    pub const fn memory(&self, cpu: Cpu, for_guest: bool) -> MemoryKind {
        if !(self.cacheable && self.shareable) {
            MemoryKind::Device
        } else if for_guest && !cpu.can_map_cacheable_into_guest {
            MemoryKind::WriteCombined
        } else {
            MemoryKind::Cached
        }
    }
}

/// Whether `count` bytes at `offset` of region `index` may be read or written:
/// only as a command of a portal.
///
/// # Errors
/// [`Errno::Inval`] for anything but 64 bytes at the start of region 0 of a
/// container or a `dpmcp`, or a write to what is read-only.
pub fn check_access(
    regions: &[Region],
    kind: ObjectKind,
    index: u64,
    offset: u64,
    count: u64,
    write: bool,
) -> Result<(), Errno> {
    let region = regions.first().ok_or(Errno::Inval)?;
    let size = SIZE as u64;
    let allowed = index == 0
        && kind.has_portal()
        && offset == 0
        && count == size
        && region.size >= size
        && !(write && region.read_only);
    if allowed {
        Ok(())
    } else {
        Err(Errno::Inval)
    }
}

/// Where a mapping goes and how it behaves.
///
/// # Errors
/// [`Errno::Inval`] for a range that is none or not of whole pages, a private
/// mapping, a region that there is not or that cannot be mapped, a right that
/// the region does not give, or a range that leaves the region.
pub fn check_map(
    regions: &[Region],
    kind: ObjectKind,
    request: &MapRequest,
    page_size: u64,
    cpu: Cpu,
    for_guest: bool,
) -> Result<Mapping, Errno> {
    map(regions, kind, request, page_size, cpu, for_guest).ok_or(Errno::Inval)
}

fn map(
    regions: &[Region],
    kind: ObjectKind,
    request: &MapRequest,
    page_size: u64,
    cpu: Cpu,
    for_guest: bool,
) -> Option<Mapping> {
    if !page_size.is_power_of_two() {
        return None;
    }
    let page_shift = page_size.trailing_zeros();
    let pages_shift = OFFSET_SHIFT.checked_sub(page_shift)?;
    let index = request.page_offset >> pages_shift;
    let page = request.page_offset & !(u64::MAX << pages_shift);

    let length = request.end.checked_sub(request.start)?;
    if length == 0 || (request.start | request.end) & page_size.wrapping_sub(1) != 0 {
        return None;
    }
    if !request.shared {
        return None;
    }
    let index = usize::try_from(index).ok()?;
    if index >= regions.len() {
        return None;
    }
    let region = regions.get((cpu.bound_index)(index, regions.len()))?;
    let flags = region.info_flags(kind, page_size);
    if flags & FLAG_MMAP == 0
        || (request.read && flags & FLAG_READ == 0)
        || (request.write && flags & FLAG_WRITE == 0)
    {
        return None;
    }
    let offset = page << page_shift;
    if offset.checked_add(length)? > region.size {
        return None;
    }
    let physical = region.base.checked_add(offset)?;
    // The last byte must have an address too.
    physical.checked_add(length.wrapping_sub(1))?;
    Some(Mapping {
        physical,
        length,
        memory: region.memory(cpu, for_guest),
        forbid_write: region.read_only,
    })
}
