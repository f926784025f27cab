// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory that others write: mapped device regions and buffers for DMA. All access
//! is volatile and goes through checked offsets.
#![allow(unsafe_code)]

use crate::error::{Error, Result, refused};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::ptr::NonNull;

/// A range of mapped memory; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; access through `&self`
// is by volatile loads and stores of single words.
unsafe impl Send for Mapping {}
// SAFETY: as above. Two threads that store to the same word race as two masters on a
// bus do: one of the values stays.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a part of a device.
    pub(crate) fn of_device(
        device: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        writable: bool,
    ) -> std::result::Result<Self, Errno> {
        let mut protection = ProtFlags::READ;
        protection.set(ProtFlags::WRITE, writable);
        // SAFETY: the kernel chooses the place, so that no other memory is touched.
        let start = unsafe {
            mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, device, offset)
        }?;
        Self::new(start, length)
    }

    /// Maps fresh, zeroed memory of the process.
    pub(crate) fn anonymous(length: usize) -> std::result::Result<Self, Errno> {
        // SAFETY: the kernel chooses the place, so that no other memory is touched.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        Self::new(start, length)
    }

    fn new(start: *mut c_void, length: usize) -> std::result::Result<Self, Errno> {
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, length })
    }

    pub(crate) fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The word at a byte offset; `None` outside or when misaligned.
    pub(crate) fn load<W: Word>(&self, offset: usize) -> Option<W> {
        let pointer = self.pointer::<W>(offset)?;
        // SAFETY: `pointer` checks range and alignment; every bit pattern is a value.
        Some(W::of_little_endian(unsafe { pointer.read_volatile() }))
    }

    /// Replaces the word at a byte offset; `None` outside or when misaligned.
    pub(crate) fn store<W: Word>(&self, offset: usize, value: W) -> Option<()> {
        let pointer = self.pointer::<W>(offset)?;
        // SAFETY: `pointer` checks range and alignment. The callers of this module
        // store to writable mappings only.
        unsafe { pointer.write_volatile(value.little_endian()) };
        Some(())
    }

    fn pointer<W: Word>(&self, offset: usize) -> Option<*mut W> {
        let size = size_of::<W>();
        let inside = offset.checked_add(size).is_some_and(|end| end <= self.length);
        // The mapping starts at a page, so that the offset decides the alignment.
        if !inside || offset % size != 0 {
            return None;
        }
        // SAFETY: `offset` is inside the mapping.
        Some(unsafe { self.start.as_ptr().add(offset) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is one that mmap gave, nobody else has it, and no pointer
        // into it outlives `self`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A number that memory is accessed by in one piece, little-endian.
pub trait Word: Copy + sealed::Sealed {
    /// From memory's order.
    fn of_little_endian(raw: Self) -> Self;
    /// To memory's order.
    fn little_endian(self) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! words {
    ($($number:ty)*) => { $(
        impl sealed::Sealed for $number {}
        impl Word for $number {
            fn of_little_endian(raw: Self) -> Self {
                <$number>::from_le(raw)
            }
            fn little_endian(self) -> Self {
                <$number>::to_le(self)
            }
        }
    )* };
}

words! { u8 u16 u32 u64 }

/// A region of a device, mapped into this process. The mapping keeps the device open
/// on the kernel's side, even when the [`Device`](crate::Device) is gone.
#[derive(Debug)]
pub struct MappedRegion {
    mapping: Mapping,
    device: String,
    index: u32,
    writable: bool,
}

impl MappedRegion {
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        device: &str,
        index: u32,
        offset: u64,
        size: u64,
        writable: bool,
    ) -> Result<Self> {
        let length = usize::try_from(size).map_err(|_| Error::Region {
            device: device.to_owned(),
            index,
            what: format!("is too large to be mapped ({size:#x} bytes)"),
        })?;
        let mapping = Mapping::of_device(fd, offset, length, writable).map_err(refused(
            "mmap of a region",
            format!("{device} (region {index})"),
            |errno| match errno {
                Errno::INVAL => "The region is smaller than a page, or may not be mapped",
                _ => "",
            },
        ))?;
        Ok(Self { mapping, device: device.to_owned(), index, writable })
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.mapping.length()
    }

    /// Where it is in this process, for a memory slot of a guest.
    pub fn address(&self) -> u64 {
        self.mapping.address()
    }

    /// Reads the word at a byte offset, in one access.
    ///
    /// # Errors
    /// [`Error::Region`] outside the region or when misaligned.
    pub fn load<W: Word>(&self, offset: usize) -> Result<W> {
        self.mapping.load(offset).ok_or_else(|| self.no_word(offset, size_of::<W>()))
    }

    /// Writes the word at a byte offset, in one access.
    ///
    /// # Errors
    /// [`Error::Region`] outside the region, when misaligned or read-only.
    pub fn store<W: Word>(&self, offset: usize, value: W) -> Result<()> {
        if !self.writable {
            return Err(self.error("is read-only".to_owned()));
        }
        self.mapping.store(offset, value).ok_or_else(|| self.no_word(offset, size_of::<W>()))
    }

    fn no_word(&self, offset: usize, size: usize) -> Error {
        self.error(format!(
            "has no aligned word of {size} bytes at {offset:#x}; it is {:#x} bytes long",
            self.size()
        ))
    }

    fn error(&self, what: String) -> Error {
        Error::Region { device: self.device.clone(), index: self.index, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian_and_stay_inside() {
        let memory = Mapping::anonymous(4096).unwrap();
        memory.store(8, 0x1122_3344_5566_7788_u64).unwrap();
        assert_eq!(memory.load::<u8>(8), Some(0x88));
        assert_eq!(memory.load::<u32>(12), Some(0x1122_3344));
        assert_eq!(memory.load::<u64>(4096), None);
        assert_eq!(memory.load::<u64>(4092), None);
        assert_eq!(memory.load::<u32>(2), None);
        assert_eq!(memory.store(usize::MAX - 3, 0_u64), None);
        assert_eq!(memory.load::<u64>(4088), Some(0));
    }
}
