// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Mapped regions of devices.

use crate::error::{Error, Result, refused};
use fsl_mc_linux::{Mapping, Word};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

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

    /// The mapping, where it can be written.
    pub(crate) fn writable(&self) -> Option<&Mapping> {
        self.writable.then_some(&self.mapping)
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
