// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! System calls as they are, with arguments that no well-behaved program gives.
//! All of this program's `unsafe` is here.
#![allow(unsafe_code)]

use fsl_mc_linux::Mapping;
use fsl_mc_linux::ioctl::GROUP_GET_DEVICE_FD;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, MremapFlags, ProtFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::ffi::{CStr, c_void};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

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
    pub fn ioctl(&mut self, file: impl AsFd, request: u32) -> Result<i32, Errno> {
        let argument = self.words.as_mut_ptr();
        // SAFETY: the pointer is to a page of plain numbers that is alive during the
        // call. No structure of VFIO's or iommufd's calls is longer, and what a kernel does
        // with a larger `argsz` than it needs is to read or write what it needs.
        answer(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request.into(), argument) })
    }
}

/// Opens a device of a group.
pub fn device_of_group(group: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let group = group.as_fd().as_raw_fd();
    // SAFETY: the call reads a string that ends with NUL, which `name` is.
    let fd = answer(unsafe { libc::ioctl(group, GROUP_GET_DEVICE_FD.into(), name.as_ptr()) })?;
    // SAFETY: the call answers with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls with a number in place of an argument.
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
        unsafe { self.map.0.as_ptr().add(offset) }.cast()
    }

    /// Fills what is accessible of the last `data.len()` bytes before the
    /// inaccessible page.
    pub fn fill(&self, accessible: usize, data: &[u8]) {
        for (index, byte) in data.iter().take(accessible).enumerate() {
            let offset = self.page - accessible.min(self.page) + index;
            if offset < self.page {
                // SAFETY: `offset` is in the first page, which is readable and writable.
                unsafe { self.map.0.as_ptr().add(offset).write_volatile(*byte) };
            }
        }
    }

    /// Calls with an argument of which only the first bytes are accessible.
    pub fn ioctl(&self, accessible: usize, file: impl AsFd, request: u32) -> Result<i32, Errno> {
        let argument = self.address(accessible);
        // SAFETY: whatever the kernel reads or writes there is either in the mapping,
        // of which Rust holds no reference, or in the page that it cannot access.
        answer(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request.into(), argument) })
    }

    /// Writes `length` bytes of which only the first are accessible.
    pub fn pwrite(
        &self,
        accessible: usize,
        length: usize,
        file: impl AsFd,
        offset: u64,
    ) -> Result<usize, Errno> {
        let fd = file.as_fd().as_raw_fd();
        self.transfer(accessible, length, offset, |from, length, offset| {
            // SAFETY: as in `ioctl`; `length` is at most a page.
            unsafe { libc::pwrite64(fd, from, length, offset) }
        })
    }

    /// Reads `length` bytes to a place of which only the first are accessible.
    pub fn pread(
        &self,
        accessible: usize,
        length: usize,
        file: impl AsFd,
        offset: u64,
    ) -> Result<usize, Errno> {
        let fd = file.as_fd().as_raw_fd();
        self.transfer(accessible, length, offset, |to, length, offset| {
            // SAFETY: as in `ioctl`; `length` is at most a page.
            unsafe { libc::pread64(fd, to, length, offset) }
        })
    }

    fn transfer(
        &self,
        accessible: usize,
        length: usize,
        offset: u64,
        call: impl FnOnce(*mut c_void, usize, i64) -> isize,
    ) -> Result<usize, Errno> {
        let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
        let done = call(self.address(accessible), length.min(self.page), offset);
        usize::try_from(done).map_err(|_| last_error())
    }
}

/// Memory that is mapped, whole pages, with what hostile programs do to it.
#[derive(Debug)]
pub struct Map(Mapping);

impl Map {
    /// Maps a part of a file, however senseless.
    pub fn of(
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self, Errno> {
        Mapping::of_file(file, offset, whole_pages(length), protection, flags).map(Self)
    }

    /// Fresh memory of the process.
    pub fn anonymous(length: usize) -> Result<Self, Errno> {
        Mapping::anonymous(whole_pages(length)).map(Self)
    }

    /// Where it is in this process, for calls that take it as a number.
    pub fn address(&self) -> u64 {
        self.0.as_ptr().addr() as u64
    }

    /// Bytes, whole pages.
    pub fn length(&self) -> usize {
        self.0.length()
    }

    /// The word at a byte offset; `None` outside or when misaligned. What may not be
    /// read ends the process.
    pub fn load(&self, offset: usize) -> Option<u64> {
        self.0.load(offset)
    }

    /// Replaces the word at a byte offset; `None` outside or when misaligned. What may
    /// not be written ends the process.
    pub fn store(&self, offset: usize, value: u64) -> Option<()> {
        self.0.store(offset, value)
    }

    /// The address of `length` bytes at an offset; `None` where they are not all inside.
    fn range(&self, offset: usize, length: usize) -> Option<*mut u8> {
        let inside = offset.checked_add(length)? <= self.length();
        inside.then(|| self.0.as_ptr().wrapping_add(offset))
    }

    /// The word at any byte offset; `None` outside. Device memory may end the process.
    pub fn load_unaligned(&self, offset: usize) -> Option<u64> {
        let address = self.range(offset, 8)?;
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

    /// Copies bytes there by a plain copy of memory, at any alignment; `None` outside.
    /// Device memory ends the process then.
    pub fn copy_in(&self, offset: usize, data: &[u8]) -> Option<()> {
        let to = self.range(offset, data.len())?;
        // SAFETY: inside the mapping; `data` is other memory, and nobody holds a
        // reference into the mapping.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
        Some(())
    }

    /// Copies bytes out by a plain copy of memory, at any alignment; `None` outside.
    pub fn copy_out(&self, offset: usize, length: usize) -> Option<Vec<u8>> {
        let from = self.range(offset, length)?;
        let mut data = vec![0; length];
        // SAFETY: as in `copy_in`, the other way round.
        unsafe { std::ptr::copy_nonoverlapping(from, data.as_mut_ptr(), length) };
        Some(data)
    }

    /// Changes what may be done with a part.
    ///
    /// EINVAL outside.
    pub fn protect(&self, offset: usize, length: usize, to: MprotectFlags) -> Result<(), Errno> {
        let start = self.range(offset, length).ok_or(Errno::INVAL)?;
        // SAFETY: the range is in this mapping, which is accessed through raw pointers
        // only.
        unsafe { rustix::mm::mprotect(start.cast(), length, to) }
    }

    /// Makes the mapping longer, wherever there is room.
    ///
    /// EINVAL where it would not become longer.
    pub fn grow(&mut self, length: usize) -> Result<(), Errno> {
        if length <= self.length() {
            return Err(Errno::INVAL);
        }
        let flags = MremapFlags::MAYMOVE;
        let (start, before) = (self.0.as_ptr().cast(), self.length());
        // SAFETY: the range is this mapping, to which no pointer is kept.
        let moved = unsafe { rustix::mm::mremap(start, before, length, flags)? };
        // SAFETY: the kernel has made the new range, which starts at a page, of the old one.
        unsafe { self.replace(moved.cast(), length) }
    }

    /// Keeps the first `length` bytes and unmaps the rest.
    ///
    /// EINVAL where nothing would stay or go, or no page ends there.
    pub fn keep(&mut self, length: usize) -> Result<(), Errno> {
        let all = self.length();
        if length == 0 || length >= all || length % rustix::param::page_size() != 0 {
            return Err(Errno::INVAL);
        }
        let start = self.0.as_ptr();
        // SAFETY: the range is the end of this mapping, which is shortened with it to whole pages.
        unsafe {
            rustix::mm::munmap(start.wrapping_add(length).cast(), all - length)?;
            self.replace(start, length)
        }
    }

    /// # Safety
    /// The kernel has the range, which starts at a page, in place of the mapping.
    unsafe fn replace(&mut self, start: *mut u8, length: usize) -> Result<(), Errno> {
        let start = NonNull::new(start).ok_or(Errno::NOMEM)?;
        // SAFETY: the caller's.
        let now = unsafe { Mapping::from_raw(start, length) };
        // What is gone is not unmapped.
        let _ = std::mem::replace(&mut self.0, now).into_raw();
        Ok(())
    }
}

/// Sends files through a socket.
pub fn send_files<const N: usize>(
    socket: impl AsFd,
    files: [BorrowedFd<'_>; N],
) -> Result<(), Errno> {
    let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(&files).size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    // A message without a byte carries no files.
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::empty()).map(drop)
}

/// Receives as many files through a socket.
///
/// EBADMSG where there are fewer or more.
pub fn receive_files<const N: usize>(socket: impl AsFd) -> Result<[OwnedFd; N], Errno> {
    // Room for more than are wanted.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let byte = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(socket, byte, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received);
        }
    }
    files.try_into().map_err(|_| Errno::BADMSG)
}

/// As the kernel rounds.
fn whole_pages(length: usize) -> usize {
    let page = rustix::param::page_size();
    length.div_ceil(page).saturating_mul(page)
}

/// Runs a function in a copy of this process and waits for its end; its answer is
/// below 255. To be called while the process has one thread only.
///
/// `Ok(Err(signal))` where a signal ended the copy.
pub fn in_a_fork(work: impl FnOnce() -> u8) -> Result<Result<u8, i32>, Errno> {
    wait_for_fork(start_fork(work)?)
}

/// A copy of this process that is to be [waited for](wait_for_fork).
#[derive(Debug)]
pub struct Fork(i32);

/// Starts a function in a copy of this process. To be called while the process has one
/// thread only.
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
/// `Ok(Err(signal))` where a signal ended the copy.
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
