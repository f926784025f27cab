// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! System calls as they are, with arguments that no well-behaved program gives.
//! All of this program's `unsafe` is here.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, MremapFlags, ProtFlags};
use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use vfio_bindings::bindings::vfio::{VFIO_BASE, VFIO_TYPE};

/// The number of one of VFIO's calls, by its offset in `linux/vfio.h`.
pub const fn vfio(offset: u32) -> u32 {
    (VFIO_TYPE as u32) << 8 | (VFIO_BASE + offset)
}

/// VFIO_GROUP_GET_STATUS.
pub const GROUP_GET_STATUS: u32 = vfio(3);
/// VFIO_GROUP_SET_CONTAINER.
pub const GROUP_SET_CONTAINER: u32 = vfio(4);
/// VFIO_GROUP_GET_DEVICE_FD.
pub const GROUP_GET_DEVICE_FD: u32 = vfio(6);
/// VFIO_DEVICE_GET_INFO.
pub const DEVICE_GET_INFO: u32 = vfio(7);
/// VFIO_DEVICE_GET_REGION_INFO.
pub const DEVICE_GET_REGION_INFO: u32 = vfio(8);
/// VFIO_DEVICE_GET_IRQ_INFO.
pub const DEVICE_GET_IRQ_INFO: u32 = vfio(9);
/// VFIO_DEVICE_SET_IRQS.
pub const DEVICE_SET_IRQS: u32 = vfio(10);
/// VFIO_DEVICE_RESET.
pub const DEVICE_RESET: u32 = vfio(11);

/// VFIO_DEVICE_BIND_IOMMUFD.
pub const DEVICE_BIND_IOMMUFD: u32 = vfio(18);
/// VFIO_DEVICE_ATTACH_IOMMUFD_PT.
pub const DEVICE_ATTACH_IOMMUFD_PT: u32 = vfio(19);
/// VFIO_DEVICE_DETACH_IOMMUFD_PT.
pub const DEVICE_DETACH_IOMMUFD_PT: u32 = vfio(20);
/// IOMMU_IOAS_ALLOC of `linux/iommufd.h`.
pub const IOMMU_IOAS_ALLOC: u32 = (b';' as u32) << 8 | 0x81;

/// What bytes hold that nobody wrote.
pub const PATTERN: u32 = 0xa5c3_5a3c;

/// Words of a [`Block`].
const BLOCK_WORDS: usize = 1024;

/// The argument of a call, in a page of which a pattern fills the rest, so that what
/// a kernel writes beyond what it should is noticed and hurts nobody.
#[derive(Debug, Clone)]
pub struct Block {
    words: Vec<u32>,
}

impl Block {
    /// An argument; at most a page of it is taken.
    pub fn new(words: &[u32]) -> Self {
        let mut all = vec![PATTERN; BLOCK_WORDS];
        for (to, from) in all.iter_mut().zip(words) {
            *to = *from;
        }
        Self { words: all }
    }

    /// The word at an index.
    pub fn word(&self, index: usize) -> u32 {
        self.words.get(index).copied().unwrap_or(PATTERN)
    }

    /// Whether the words from an index on hold the pattern.
    pub fn untouched_from(&self, index: usize) -> bool {
        self.words.iter().skip(index).all(|word| *word == PATTERN)
    }

    /// Calls with this argument.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ioctl(&mut self, file: impl AsFd, request: u32) -> Result<i32, Errno> {
        let argument = self.words.as_mut_ptr();
        // SAFETY: the pointer is to a page of plain numbers that is alive during the
        // call. No structure of VFIO's or iommufd's calls is longer, and what a kernel does
        // with a larger `argsz` than it needs is to read or write what it needs.
        answer(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request.into(), argument) })
    }
}

/// Opens a device of a group.
///
/// # Errors
/// The kernel's.
pub fn device_of_group(group: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let group = group.as_fd().as_raw_fd();
    // SAFETY: the call reads a string that ends with NUL, which `name` is.
    let fd = answer(unsafe { libc::ioctl(group, GROUP_GET_DEVICE_FD.into(), name.as_ptr()) })?;
    // SAFETY: the call answers with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls with a number in place of an argument.
///
/// # Errors
/// The kernel's.
pub fn ioctl_number(file: impl AsFd, request: u32, number: u32) -> Result<i32, Errno> {
    // SAFETY: the calls made through this function take a number or nothing. Where one
    // takes a pointer, a number below 4 GiB is no memory of this program, which is
    // linked and mapped above or is not writable there by the kernel: see `Guarded`
    // for addresses that are known to be inaccessible.
    answer(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request.into(), u64::from(number)) })
}

fn answer(result: i32) -> Result<i32, Errno> {
    if result < 0 { Err(last_error()) } else { Ok(result) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Memory whose end is followed by a page that nobody may touch.
#[derive(Debug)]
pub struct Guarded {
    map: Map,
    page: usize,
}

impl Guarded {
    /// A page before an inaccessible one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> Result<Self, Errno> {
        let page = rustix::param::page_size();
        let map = Map::anonymous(2 * page)?;
        map.protect(page, page, MprotectFlags::empty())?;
        Ok(Self { map, page })
    }

    /// The address that has `bytes` accessible bytes before the inaccessible page.
    fn address(&self, bytes: usize) -> *mut c_void {
        let offset = self.page - bytes.min(self.page);
        // SAFETY: `offset` is in the first page of two.
        unsafe { self.map.start.as_ptr().add(offset) }.cast()
    }

    /// Fills what is accessible of the last `data.len()` bytes before the
    /// inaccessible page.
    pub fn fill(&self, accessible: usize, data: &[u8]) {
        for (index, byte) in data.iter().take(accessible).enumerate() {
            let offset = self.page - accessible.min(self.page) + index;
            if offset < self.page {
                // SAFETY: `offset` is in the first page, which is readable and writable.
                unsafe { self.map.start.as_ptr().add(offset).write_volatile(*byte) };
            }
        }
    }

    /// Calls with an argument of which only the first bytes are accessible.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ioctl(&self, accessible: usize, file: impl AsFd, request: u32) -> Result<i32, Errno> {
        let argument = self.address(accessible);
        // SAFETY: whatever the kernel reads or writes there is either in the mapping,
        // of which Rust holds no reference, or in the page that it cannot access.
        answer(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request.into(), argument) })
    }

    /// Writes `length` bytes of which only the first are accessible.
    ///
    /// # Errors
    /// The kernel's.
    pub fn pwrite(
        &self,
        accessible: usize,
        length: usize,
        file: impl AsFd,
        offset: u64,
    ) -> Result<usize, Errno> {
        let fd = file.as_fd().as_raw_fd();
        let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
        // SAFETY: as in `ioctl`; `length` is at most a page.
        let got =
            unsafe { libc::pwrite64(fd, self.address(accessible), length.min(self.page), offset) };
        usize::try_from(got).map_err(|_| last_error())
    }

    /// Reads `length` bytes to a place of which only the first are accessible.
    ///
    /// # Errors
    /// The kernel's.
    pub fn pread(
        &self,
        accessible: usize,
        length: usize,
        file: impl AsFd,
        offset: u64,
    ) -> Result<usize, Errno> {
        let fd = file.as_fd().as_raw_fd();
        let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
        // SAFETY: as in `ioctl`; `length` is at most a page.
        let got =
            unsafe { libc::pread64(fd, self.address(accessible), length.min(self.page), offset) };
        usize::try_from(got).map_err(|_| last_error())
    }
}

/// Memory that is mapped; unmapped when dropped.
#[derive(Debug)]
pub struct Map {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; it is accessed by volatile
// loads and stores of single words only.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps a part of a file, however senseless.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of(
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self, Errno> {
        // SAFETY: the kernel chooses the place, so that no other memory is touched;
        // no caller passes MAP_FIXED.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), length, protection, flags, file, offset)
        }?;
        Self::new(start, length)
    }

    /// Fresh memory of the process.
    ///
    /// # Errors
    /// The kernel's.
    pub fn anonymous(length: usize) -> Result<Self, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, so that no other memory is touched.
        let start = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, protection, MapFlags::PRIVATE)
        }?;
        Self::new(start, length)
    }

    fn new(start: *mut c_void, length: usize) -> Result<Self, Errno> {
        // As the kernel rounds.
        let page = rustix::param::page_size();
        let length = length.div_ceil(page).saturating_mul(page);
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, length })
    }

    /// Bytes, whole pages.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The word at a byte offset; `None` outside or when misaligned. What may not be
    /// read ends the process.
    pub fn load(&self, offset: usize) -> Option<u64> {
        if offset % 8 != 0 || offset.checked_add(8)? > self.length {
            return None;
        }
        // SAFETY: inside the mapping and aligned; any bit pattern is a value.
        Some(unsafe { self.start.as_ptr().add(offset).cast::<u64>().read_volatile() })
    }

    /// The word at any byte offset; `None` outside. Device memory may end the process.
    pub fn load_unaligned(&self, offset: usize) -> Option<u64> {
        if offset.checked_add(8)? > self.length {
            return None;
        }
        let address = self.start.as_ptr().wrapping_add(offset);
        let value: u64;
        #[cfg(target_arch = "aarch64")]
        // SAFETY: inside the mapping; the instruction reads eight bytes at any address,
        // or the kernel ends the process.
        unsafe {
            std::arch::asm!("ldr {}, [{}]", out(reg) value, in(reg) address,
                            options(nostack, readonly));
        }
        #[cfg(not(target_arch = "aarch64"))]
        {
            // SAFETY: inside the mapping; `read_unaligned` takes any address.
            value = unsafe { address.cast::<u64>().read_unaligned() };
        }
        Some(value)
    }

    /// Replaces the word at a byte offset; `None` outside or when misaligned. What may
    /// not be written ends the process.
    pub fn store(&self, offset: usize, value: u64) -> Option<()> {
        if offset % 8 != 0 || offset.checked_add(8)? > self.length {
            return None;
        }
        // SAFETY: inside the mapping and aligned.
        unsafe { self.start.as_ptr().add(offset).cast::<u64>().write_volatile(value) };
        Some(())
    }

    /// Copies bytes there by a plain copy of memory, at any alignment; `None` outside.
    /// Device memory ends the process then.
    pub fn copy_in(&self, offset: usize, data: &[u8]) -> Option<()> {
        if offset.checked_add(data.len())? > self.length {
            return None;
        }
        // SAFETY: inside the mapping; `data` is other memory, and nobody holds a
        // reference into the mapping.
        unsafe {
            let to = self.start.as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len());
        }
        Some(())
    }

    /// Copies bytes out by a plain copy of memory, at any alignment; `None` outside.
    pub fn copy_out(&self, offset: usize, length: usize) -> Option<Vec<u8>> {
        if offset.checked_add(length)? > self.length {
            return None;
        }
        let mut data = vec![0; length];
        // SAFETY: as in `copy_in`, the other way round.
        unsafe {
            let from = self.start.as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(from, data.as_mut_ptr(), length);
        }
        Some(data)
    }

    /// Changes what may be done with a part.
    ///
    /// # Errors
    /// The kernel's; EINVAL outside.
    pub fn protect(&self, offset: usize, length: usize, to: MprotectFlags) -> Result<(), Errno> {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(Errno::INVAL);
        }
        // SAFETY: the range is in this mapping, which is accessed through raw pointers
        // only.
        unsafe { rustix::mm::mprotect(self.start.as_ptr().add(offset).cast(), length, to) }
    }

    /// Makes the mapping longer, wherever there is room.
    ///
    /// # Errors
    /// The kernel's; EINVAL where it would not become longer.
    pub fn grow(&mut self, length: usize) -> Result<(), Errno> {
        if length <= self.length {
            return Err(Errno::INVAL);
        }
        let flags = MremapFlags::MAYMOVE;
        // SAFETY: the range is this mapping, to which no pointer is kept.
        let moved =
            unsafe { rustix::mm::mremap(self.start.as_ptr().cast(), self.length, length, flags)? };
        self.start = NonNull::new(moved.cast()).ok_or(Errno::NOMEM)?;
        self.length = length;
        Ok(())
    }

    /// Keeps the first `length` bytes and unmaps the rest.
    ///
    /// # Errors
    /// The kernel's; EINVAL where nothing would stay or go, or no page ends there.
    pub fn keep(&mut self, length: usize) -> Result<(), Errno> {
        if length == 0 || length >= self.length || length % rustix::param::page_size() != 0 {
            return Err(Errno::INVAL);
        }
        // SAFETY: the range is the end of this mapping, which is shortened with it.
        unsafe {
            rustix::mm::munmap(self.start.as_ptr().add(length).cast(), self.length - length)?;
        }
        self.length = length;
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is one that mmap gave, nobody else has it, and no pointer
        // into it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Runs a function in a copy of this process and waits for its end; its answer is
/// below 255. To be called while the process has one thread only.
///
/// # Errors
/// The kernel's. `Ok(Err(signal))` where a signal ended the copy.
pub fn in_a_fork(work: impl FnOnce() -> u8) -> Result<Result<u8, i32>, Errno> {
    wait_for_fork(start_fork(work)?)
}

/// A copy of this process that is to be [waited for](wait_for_fork).
#[derive(Debug)]
pub struct Fork(i32);

/// Starts a function in a copy of this process. To be called while the process has one
/// thread only.
///
/// # Errors
/// The kernel's.
pub fn start_fork(work: impl FnOnce() -> u8) -> Result<Fork, Errno> {
    // SAFETY: the process has one thread, so that the copy may do what the process may.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(last_error());
    }
    if pid == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(255);
        // SAFETY: ends the copy without running what belongs to the original.
        unsafe { libc::_exit(code.into()) }
    }
    Ok(Fork(pid))
}

/// Waits for the end of a copy.
///
/// # Errors
/// The kernel's. `Ok(Err(signal))` where a signal ended the copy.
pub fn wait_for_fork(fork: Fork) -> Result<Result<u8, i32>, Errno> {
    let mut status = 0;
    // SAFETY: `status` is a number that is alive during the call.
    if unsafe { libc::waitpid(fork.0, &raw mut status, 0) } < 0 {
        return Err(last_error());
    }
    if libc::WIFSIGNALED(status) {
        return Ok(Err(libc::WTERMSIG(status)));
    }
    Ok(Ok(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(255)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_user_api() {
        assert_eq!(GROUP_GET_STATUS, 0x3b67);
        assert_eq!(DEVICE_RESET, 0x3b6f);
        assert_eq!(DEVICE_BIND_IOMMUFD, 0x3b76);
        assert_eq!(IOMMU_IOAS_ALLOC, 0x3b81);
    }

    #[test]
    fn a_guarded_page_ends_where_it_should() {
        let guarded = Guarded::new().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        guarded.fill(4, &[1, 2, 3, 4, 5]);
        let fd = writer.as_fd().as_raw_fd();
        // SAFETY: four bytes are accessible, and the kernel checks the others.
        let got = unsafe { libc::write(fd, guarded.address(4), 4) };
        assert_eq!(got, 4);
        let mut bytes = [0; 4];
        rustix::io::read(&reader, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4]);
        // SAFETY: as above.
        let got = unsafe { libc::write(fd, guarded.address(0), 4) };
        assert_eq!((got, last_error()), (-1, Errno::FAULT));
    }

    #[test]
    fn blocks_notice_what_is_written() {
        let mut block = Block::new(&[16, 0]);
        assert!(block.untouched_from(2) && !block.untouched_from(1));
        block.words[7] = 1;
        assert!(!block.untouched_from(2) && block.untouched_from(8));
    }
}
