// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Mapped regions of devices.
#![allow(unsafe_code)]

use crate::error::{Error, Result, refused};
use fsl_mc_linux::{Mapping, Word};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap_fixed, munmap};
use std::fmt::Debug;
use std::ptr::null_mut;
use std::sync::Arc;

/// A region that is no memory of this process: each access is a call. The caller checks
/// that accesses are of 1, 2, 4 or 8 bytes, aligned, and inside.
pub trait RegionAccess: Debug + Send + Sync {
    /// Fills `bytes` with what is at a byte offset, little-endian, in one access.
    fn load(&self, offset: u64, bytes: &mut [u8]);

    /// Writes `bytes` to a byte offset, little-endian, in one access.
    fn store(&self, offset: u64, bytes: &[u8]);
}

/// Where the bytes of a region are.
#[derive(Debug)]
enum Place {
    Mapping(Mapping),
    /// Size in bytes, and what answers.
    Calls(usize, Arc<dyn RegionAccess>),
}

/// A region of a device, mapped into this process. The mapping keeps the device open
/// on the kernel's side, even when the [`Device`](crate::Device) is gone.
#[derive(Debug)]
pub struct MappedRegion {
    place: Place,
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
        let place = Place::Mapping(mapping);
        Ok(Self { place, device: device.to_owned(), index, writable })
    }

    /// A writable region that was mapped in another way than by VFIO.
    pub fn of_mapping(device: &str, index: u32, mapping: Mapping) -> Self {
        let place = Place::Mapping(mapping);
        Self { place, device: device.to_owned(), index, writable: true }
    }

    /// A writable region of `size` bytes whose accesses are calls, for a
    /// [`Backend`](crate::Backend) other than VFIO.
    pub fn of_calls(device: &str, index: u32, size: usize, access: Arc<dyn RegionAccess>) -> Self {
        let place = Place::Calls(size, access);
        Self { place, device: device.to_owned(), index, writable: true }
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        match &self.place {
            Place::Mapping(mapping) => mapping.length(),
            Place::Calls(size, _) => *size,
        }
    }

    /// Where it is in this process, for a memory slot of a guest; 0 where it is no memory
    /// of this process ([`MappedRegion::of_calls`]).
    pub fn address(&self) -> u64 {
        match &self.place {
            Place::Mapping(mapping) => mapping.address(),
            Place::Calls(..) => 0,
        }
    }

    /// Lets the device go: from now on, fresh memory of this process, which reads as zero at
    /// first, is where the region was. Whoever has the region by its address, as a memory
    /// slot of a guest has, never finds nothing there, as he does where a mapping of a device
    /// that has left its container is used (SIGBUS).
    ///
    /// A region whose accesses are calls stays as it is.
    ///
    /// # Errors
    /// The kernel has no memory; then the region stays as it is.
    pub fn replace_by_memory(&self) -> Result<()> {
        let Place::Mapping(mapping) = &self.place else { return Ok(()) };
        let (place, length) = (mapping.as_ptr().cast(), mapping.length());
        let failed =
            |asked| refused(asked, format!("{} (region {})", self.device, self.index), |_| "");
        // Elsewhere at first: a mapping that fails in place may leave a hole there.
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: at no place that anybody knows.
        let fresh = unsafe { mmap_anonymous(null_mut(), length, protection, MapFlags::PRIVATE) };
        let fresh = fresh.map_err(failed("mmap of memory for the place of a region"))?;
        // SAFETY: the fresh memory is nobody else's. The place that it comes to is the mapping's
        // own, which keeps it to its end, and there is no reference into it: all access is by
        // volatile loads and stores of words, for which every content is one.
        let moved = unsafe { mremap_fixed(fresh, length, length, MremapFlags::MAYMOVE, place) };
        moved.map(drop).map_err(|errno| {
            // SAFETY: as above; it has not moved.
            let _ = unsafe { munmap(fresh, length) };
            failed("mremap of memory to the place of a region")(errno)
        })
    }

    /// Reads the word at a byte offset, in one access.
    ///
    /// # Errors
    /// [`Error::Region`] outside the region or when misaligned.
    pub fn load<W: Word>(&self, offset: usize) -> Result<W> {
        let word = match &self.place {
            Place::Mapping(mapping) => mapping.load(offset),
            Place::Calls(size, access) if is_word::<W>(offset, *size) => {
                let mut bytes = [0; 8];
                access.load(offset as u64, &mut bytes[..size_of::<W>()]);
                Some(W::from_bits(u64::from_le_bytes(bytes)))
            }
            Place::Calls(..) => None,
        };
        word.ok_or_else(|| self.no_word(offset, size_of::<W>()))
    }

    /// Writes the word at a byte offset, in one access.
    ///
    /// # Errors
    /// [`Error::Region`] outside the region, when misaligned or read-only.
    pub fn store<W: Word>(&self, offset: usize, value: W) -> Result<()> {
        if !self.writable {
            return Err(self.error("is read-only".to_owned()));
        }
        let stored = match &self.place {
            Place::Mapping(mapping) => mapping.store(offset, value),
            Place::Calls(size, access) if is_word::<W>(offset, *size) => {
                let bytes = value.to_bits().to_le_bytes();
                access.store(offset as u64, &bytes[..size_of::<W>()]);
                Some(())
            }
            Place::Calls(..) => None,
        };
        stored.ok_or_else(|| self.no_word(offset, size_of::<W>()))
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

fn is_word<W>(offset: usize, region: usize) -> bool {
    let size = size_of::<W>();
    offset % size == 0 && offset.checked_add(size).is_some_and(|end| end <= region)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct Bytes(Mutex<[u8; 16]>);

    impl RegionAccess for Bytes {
        fn load(&self, offset: u64, bytes: &mut [u8]) {
            let offset = offset as usize;
            bytes.copy_from_slice(&self.0.lock().unwrap()[offset..offset + bytes.len()]);
        }

        fn store(&self, offset: u64, bytes: &[u8]) {
            let offset = offset as usize;
            self.0.lock().unwrap()[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    #[test]
    fn memory_takes_the_place_of_a_region_whose_device_is_gone() {
        let page = rustix::param::page_size();
        let file = tempfile::tempfile().unwrap();
        file.set_len(page as u64).unwrap();
        let mapping = Mapping::of_device(file.as_fd(), 0, page, true).unwrap();
        let region = MappedRegion::of_mapping("dpio.1", 0, mapping);
        region.store(8, 7_u32).unwrap();
        let address = region.address();
        // What is behind it is not there any more: a load is a SIGBUS.
        file.set_len(0).unwrap();
        region.replace_by_memory().unwrap();
        assert_eq!((region.address(), region.size()), (address, page));
        assert_eq!(region.load::<u32>(8).unwrap(), 0);
        // Stores stay here.
        file.set_len(page as u64).unwrap();
        region.store(8, 9_u32).unwrap();
        let mut found = [0xff; 4];
        rustix::io::pread(&file, &mut found, 8).unwrap();
        assert_eq!((found, region.load::<u32>(8).unwrap()), ([0; 4], 9));
        let calls = MappedRegion::of_calls("dpio.1", 1, 16, Arc::new(Bytes::default()));
        calls.store(0, 5_u8).unwrap();
        calls.replace_by_memory().unwrap();
        assert_eq!(calls.load::<u8>(0).unwrap(), 5);
    }

    #[test]
    fn a_region_of_calls_has_aligned_words_inside_only() {
        let region = MappedRegion::of_calls("dpio.1", 1, 16, Arc::new(Bytes::default()));
        region.store(8, 0x1122_3344_5566_7788_u64).unwrap();
        assert_eq!(region.load::<u8>(9).unwrap(), 0x77);
        assert_eq!(region.load::<u32>(12).unwrap(), 0x1122_3344);
        assert_eq!(region.load::<u64>(0).unwrap(), 0);
        let error = region.store(2, 1_u32).unwrap_err().to_string();
        assert!(error.contains("region 1 of dpio.1") && error.contains("at 0x2"), "{error}");
        assert!(region.load::<u64>(16).is_err() && region.load::<u64>(usize::MAX - 7).is_err());
    }
}
