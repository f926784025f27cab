// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory for DMA. A buffer is owned either by the process alone ([`DmaBuffer`]) or
//! shared with devices ([`Mapped`]); only unmapping leads back.

use crate::container::Space;
use crate::error::{Error, Result, refused};
use crate::ioctl;
use fsl_mc_linux::{Mapping, Word};
use rustix::fd::AsFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;
use std::fmt::Debug;
use std::sync::Arc;
use vfio_bindings::bindings::vfio as abi;

/// Pages of memory, zeroed at first.
#[derive(Debug)]
pub struct DmaBuffer {
    memory: Arc<Mapping>,
}

/// What I/O virtual addresses of a container mean, for a [`Backend`](crate::Backend) other
/// than VFIO.
pub trait AddressSpace: Debug + Send + Sync {
    /// Lets the container's objects reach the whole of `memory` from `iova` on, a page's
    /// border. Until [`AddressSpace::unmap`] has succeeded the caller keeps the memory
    /// as well.
    ///
    /// # Errors
    /// When something is mapped there already, or nothing can be.
    fn map(&self, memory: &Arc<Mapping>, iova: u64, access: Access) -> Result<()>;

    /// Takes the memory away that [`AddressSpace::map`] has put at `iova`, of that size in
    /// bytes.
    ///
    /// # Errors
    /// When it is not taken away: the memory is then never reused.
    fn unmap(&self, iova: u64, size: u64) -> Result<()>;
}

/// The address space of a VFIO container. Only [`Mapped`] calls it, which keeps the memory
/// while it is mapped.
#[derive(Debug)]
struct VfioSpace(Space);

/// What devices may do with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    pub(crate) const fn flags(self) -> u32 {
        match self {
            Self::Read => abi::VFIO_DMA_MAP_FLAG_READ,
            Self::Write => abi::VFIO_DMA_MAP_FLAG_WRITE,
            Self::ReadWrite => abi::VFIO_DMA_MAP_FLAG_READ | abi::VFIO_DMA_MAP_FLAG_WRITE,
        }
    }
}

impl DmaBuffer {
    /// Allocates `size` bytes, a multiple of the page size.
    ///
    /// # Errors
    /// [`Error::NotPages`], or that of the kernel when there is no memory.
    pub fn allocate(size: usize) -> Result<Self> {
        check_pages("the size of a buffer", size as u64)?;
        if size == 0 {
            return Err(not_pages("the size of a buffer", 0));
        }
        let memory =
            Mapping::anonymous(size).map_err(refused("mmap", "anonymous memory", |_| ""))?;
        Self::of_mapping(memory)
    }

    /// Memory that the caller has mapped, such as huge pages or a part of a memfd that
    /// another process shares.
    ///
    /// # Errors
    /// [`Error::NotPages`].
    pub fn of_mapping(memory: Mapping) -> Result<Self> {
        check_pages("the size of a buffer", memory.length() as u64)?;
        Ok(Self { memory: Arc::new(memory) })
    }

    /// Maps a part of a file that is memory, such as a memfd or a file in a hugetlbfs, and
    /// shares it with whoever else has the file.
    ///
    /// # Errors
    /// [`Error::NotPages`], or that of the kernel.
    pub fn of_file(file: impl AsFd, offset: u64, size: usize) -> Result<Self> {
        check_pages("the offset in a file", offset)?;
        check_pages("the size of a buffer", size as u64)?;
        let memory = Mapping::of_device(file.as_fd(), offset, size, true).map_err(refused(
            "mmap",
            format!("{size:#x} bytes at {offset:#x} of a file"),
            |errno| match errno {
                Errno::INVAL => {
                    "A file of huge pages is mapped by whole ones, and no file by nothing"
                }
                Errno::ACCESS => "Open the file for reading and writing",
                Errno::NOMEM => "There are not as many huge pages: see nr_hugepages",
                _ => "",
            },
        ))?;
        Self::of_mapping(memory)
    }

    /// Allocates huge pages of 2 MiB: `size` bytes, a multiple of that. An IOMMU maps each
    /// with one entry.
    ///
    /// # Errors
    /// That of the kernel: there may be too few huge pages.
    pub fn huge_pages(size: usize) -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
        let asked = "memfd_create of huge pages";
        let file = memfd_create("dprc", flags).map_err(refused(asked, "the kernel", |_| ""))?;
        ftruncate(&file, size as u64).map_err(refused(
            "ftruncate",
            "huge pages",
            |_| "The size is to be a multiple of 2 MiB",
        ))?;
        Self::of_file(&file, 0, size)
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.memory.length()
    }

    /// Where it is in this process, for a memory slot of a guest.
    pub fn address(&self) -> u64 {
        self.memory.address()
    }

    /// The word at a byte offset, or `None` outside or when misaligned.
    pub fn load<W: Word>(&self, offset: usize) -> Option<W> {
        self.memory.load(offset)
    }

    /// Replaces the word at a byte offset, or gives `None` outside or when misaligned.
    pub fn store<W: Word>(&self, offset: usize, value: W) -> Option<()> {
        self.memory.store(offset, value)
    }

    /// Copies bytes out; `None`, and nothing is copied, where a part is outside.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Option<()> {
        self.memory.read(offset, bytes)
    }

    /// Copies bytes in; `None`, and nothing is copied, where a part is outside.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Option<()> {
        self.memory.write(offset, bytes)
    }
}

/// A buffer that could not be mapped, with the reason.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct MapError {
    /// The buffer, unchanged.
    pub buffer: DmaBuffer,
    /// Why.
    #[source]
    pub error: Error,
}

/// A buffer that devices reach; unmapped when dropped. While there is one, what it takes to unmap
/// it stays open: VFIO's container and the group that its IOMMU was enabled with, or the iommufd.
#[derive(Debug)]
pub struct Mapped {
    space: Arc<dyn AddressSpace>,
    /// `None` only after unmapping.
    buffer: Option<DmaBuffer>,
    iova: u64,
    size: u64,
}

impl Mapped {
    pub(crate) fn map(
        space: Space,
        buffer: DmaBuffer,
        iova: u64,
        access: Access,
    ) -> std::result::Result<Self, Box<MapError>> {
        Self::within(Arc::new(VfioSpace(space)), buffer, iova, access)
    }

    /// Maps a buffer in an address space, for a [`Backend`](crate::Backend) other than VFIO.
    ///
    /// # Errors
    /// [`MapError`], which gives the buffer back.
    pub fn within(
        space: Arc<dyn AddressSpace>,
        buffer: DmaBuffer,
        iova: u64,
        access: Access,
    ) -> std::result::Result<Self, Box<MapError>> {
        let mapped = check_pages("the I/O virtual address", iova)
            .and_then(|()| space.map(&buffer.memory, iova, access));
        match mapped {
            Ok(()) => {
                let size = buffer.size() as u64;
                Ok(Self { space, buffer: Some(buffer), iova, size })
            }
            Err(error) => Err(Box::new(MapError { buffer, error })),
        }
    }

    /// Its I/O virtual address.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The word at a byte offset as it is at this moment: devices may change it at
    /// any time. `None` outside or when misaligned.
    pub fn load<W: Word>(&self, offset: usize) -> Option<W> {
        self.buffer.as_ref()?.load(offset)
    }

    /// Replaces the word at a byte offset, or gives `None` outside or when misaligned.
    pub fn store<W: Word>(&self, offset: usize, value: W) -> Option<()> {
        self.buffer.as_ref()?.store(offset, value)
    }

    /// Copies bytes out as they are at this moment; `None`, and nothing is copied, where a
    /// part is outside.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Option<()> {
        self.buffer.as_ref()?.read(offset, bytes)
    }

    /// Copies bytes in; `None`, and nothing is copied, where a part is outside.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Option<()> {
        self.buffer.as_ref()?.write(offset, bytes)
    }

    /// Takes the buffer back from the devices.
    ///
    /// # Errors
    /// When the kernel does not unmap it; the memory is then never reused, since
    /// devices may still reach it.
    pub fn unmap(mut self) -> Result<DmaBuffer> {
        self.take_back()?;
        // `take_back` leaves the buffer in its place.
        self.buffer.take().ok_or_else(|| lost(self.iova, self.size)(Errno::BADF))
    }

    fn take_back(&mut self) -> Result<()> {
        self.space.unmap(self.iova, self.size).inspect_err(|_| {
            std::mem::forget(self.buffer.take());
        })
    }
}

/// Why a buffer is not given back.
fn lost(iova: u64, size: u64) -> impl FnOnce(Errno) -> Error {
    let of = format!("IOVA {iova:#x}, {size:#x} bytes");
    let advice = "The memory stays reserved, as devices may still reach it";
    refused("VFIO_IOMMU_UNMAP_DMA", of, move |_| advice)
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.buffer.is_some() {
            // Nobody is left to report to; the memory is kept when it fails.
            let _ = self.take_back();
        }
    }
}

impl AddressSpace for VfioSpace {
    #[allow(unsafe_code)]
    fn map(&self, memory: &Arc<Mapping>, iova: u64, access: Access) -> Result<()> {
        let (address, size) = (memory.address(), memory.length() as u64);
        // SAFETY: `Mapped`, the only caller, keeps the memory until it is unmapped; when
        // unmapping fails the memory is leaked rather than reused. It is never borrowed as
        // a reference: all access is volatile.
        unsafe { ioctl::map_dma(self.0.as_fd(), access.flags(), address, iova, size) }
            .map_err(not_mapped(iova, size))
    }

    fn unmap(&self, iova: u64, size: u64) -> Result<()> {
        match ioctl::unmap_dma(self.0.as_fd(), iova, size) {
            Ok(unmapped) if unmapped == size => Ok(()),
            // A part only, or nothing: the kernel does not know this mapping as such.
            Ok(_) => Err(lost(iova, size)(Errno::INVAL)),
            Err(errno) => Err(lost(iova, size)(errno)),
        }
    }
}

/// Why a mapping was refused.
pub(crate) fn not_mapped(iova: u64, size: u64) -> impl FnOnce(Errno) -> Error {
    refused("VFIO_IOMMU_MAP_DMA", format!("IOVA {iova:#x}, {size:#x} bytes"), |errno| match errno {
        Errno::EXIST => "Something is mapped there already",
        Errno::NOMEM => "Raise the limit of locked memory (ulimit -l)",
        Errno::INVAL => "The address is outside of what the IOMMU translates",
        _ => "",
    })
}

/// 0 is a multiple, too.
pub(crate) fn check_pages(what: &'static str, value: u64) -> Result<()> {
    if value % rustix::param::page_size() as u64 == 0 {
        Ok(())
    } else {
        Err(not_pages(what, value))
    }
}

fn not_pages(what: &'static str, value: u64) -> Error {
    Error::NotPages { what, value, page: rustix::param::page_size() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_whole_pages() {
        let page = rustix::param::page_size();
        assert!(DmaBuffer::allocate(0).is_err());
        let error = DmaBuffer::allocate(page + 1).unwrap_err().to_string();
        assert!(error.contains("multiple of the page size"), "{error}");
        let buffer = DmaBuffer::allocate(2 * page).unwrap();
        buffer.store(page, 7_u32).unwrap();
        assert_eq!((buffer.load::<u32>(page), buffer.load::<u32>(0)), (Some(7), Some(0)));
        assert_eq!(buffer.load::<u8>(2 * page), None);
    }

    #[test]
    fn bytes_are_read_and_written_or_not_at_all() {
        let page = rustix::param::page_size();
        let buffer = DmaBuffer::allocate(page).unwrap();
        buffer.write(3, b"some bytes").unwrap();
        let mut found = [0; 10];
        buffer.read(3, &mut found).unwrap();
        assert_eq!(&found, b"some bytes");
        assert_eq!(buffer.write(page - 9, b"some bytes"), None);
        assert_eq!(buffer.load::<u8>(page - 9), Some(0));
    }

    #[test]
    fn memory_of_a_memfd_is_shared_with_who_has_it() {
        let page = rustix::param::page_size();
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 2 * page as u64).unwrap();
        let buffer = DmaBuffer::of_file(&file, page as u64, page).unwrap();
        buffer.store(8, 0x1234_u32).unwrap();
        let mut found = [0; 4];
        rustix::io::pread(&file, &mut found, page as u64 + 8).unwrap();
        assert_eq!(u32::from_le_bytes(found), 0x1234);
        let error = DmaBuffer::of_file(&file, 1, page).unwrap_err().to_string();
        assert!(error.contains("the offset in a file 0x1"), "{error}");
        let error = DmaBuffer::of_file(&file, 0, 0).unwrap_err().to_string();
        assert!(error.contains("mmap of 0x0 bytes"), "{error}");
        let odd = Mapping::anonymous(page + 1).unwrap();
        assert!(matches!(DmaBuffer::of_mapping(odd).unwrap_err(), Error::NotPages { .. }));
    }

    /// Machines have none reserved as a rule: then the error is to name them.
    #[test]
    fn huge_pages_are_had_or_named() {
        match DmaBuffer::huge_pages(2 << 20) {
            Ok(buffer) => assert_eq!(buffer.size(), 2 << 20),
            Err(error) => assert!(error.to_string().contains("huge pages"), "{error}"),
        }
    }

    #[test]
    fn a_refused_mapping_gives_the_buffer_back() {
        let null = Space::of_nothing(None);
        let buffer = DmaBuffer::allocate(rustix::param::page_size()).unwrap();
        buffer.store(0, 42_u8).unwrap();
        let refused = Mapped::map(null.clone(), buffer, 0x1000_0000, Access::Read).unwrap_err();
        assert_eq!(refused.buffer.load::<u8>(0), Some(42));
        assert!(refused.to_string().contains("VFIO_IOMMU_MAP_DMA"), "{refused}");
        let refused = Mapped::map(null, refused.buffer, 0x1001, Access::Read).unwrap_err();
        assert!(matches!(refused.error, Error::NotPages { .. }));
    }

    /// The kernel unmaps only while a group is in the container.
    #[test]
    fn what_is_mapped_keeps_its_group_to_the_end() {
        let (group, other_end) = std::os::unix::net::UnixStream::pair().unwrap();
        let group = Some(Arc::new(group.into()));
        let space = Arc::new(VfioSpace(Space::of_nothing(group)));
        let buffer = Some(DmaBuffer::allocate(rustix::param::page_size()).unwrap());
        let mapped = Mapped { space, buffer, iova: 0, size: 1 };
        let is_open = || rustix::io::write(&other_end, &[0]) == Ok(1);
        assert!(is_open());
        drop(mapped);
        assert!(!is_open());
    }
}
