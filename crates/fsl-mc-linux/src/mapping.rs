// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory that others write as well: devices, processes, the kernel. All access is
//! volatile and by checked offsets; Rust references to it do not exist.
#![allow(unsafe_code)]

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// A range of mapped memory; unmapped when dropped.
///
/// Access that the mapping's protection, or the device behind it, does not allow ends
/// the process by a signal.
#[derive(Debug)]
pub struct Mapping {
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
    /// Maps a part of a file, at a place that the kernel chooses: `MAP_FIXED` among the
    /// flags is ignored.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of_file(
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self, Errno> {
        let flags = flags.difference(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE);
        // SAFETY: the kernel chooses the place, so that no other memory is touched.
        let start = unsafe { mmap(std::ptr::null_mut(), length, protection, flags, file, offset) }?;
        Self::new(start, length)
    }

    /// Maps a part of a device, shared with it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of_device(
        device: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        writable: bool,
    ) -> Result<Self, Errno> {
        let mut protection = ProtFlags::READ;
        protection.set(ProtFlags::WRITE, writable);
        Self::of_file(device, offset, length, protection, MapFlags::SHARED)
    }

    /// Maps fresh, zeroed memory of the process.
    ///
    /// # Errors
    /// The kernel's.
    pub fn anonymous(length: usize) -> Result<Self, Errno> {
        Self::fresh(length, MapFlags::PRIVATE)
    }

    /// Maps fresh, zeroed memory that children of the process share with it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn anonymous_shared(length: usize) -> Result<Self, Errno> {
        Self::fresh(length, MapFlags::SHARED)
    }

    fn fresh(length: usize, flags: MapFlags) -> Result<Self, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, so that no other memory is touched.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), length, protection, flags) }?;
        Self::new(start, length)
    }

    fn new(start: *mut c_void, length: usize) -> Result<Self, Errno> {
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, length })
    }

    /// A mapping of `length` bytes from `start` on.
    ///
    /// # Safety
    /// - `start` is a page's border: words are looked for by their offset from it, and the
    ///   alignment of the offset is to be that of the address.
    /// - `length` is what mmap or mremap was given for the range, or that of the whole pages that
    ///   are left of it: all pages that it touches are unmapped when the mapping is dropped.
    /// - The range is mapped, nobody else unmaps it, and no Rust reference covers it.
    pub unsafe fn from_raw(start: NonNull<u8>, length: usize) -> Self {
        debug_assert!(
            start.addr().get() % rustix::param::page_size() == 0,
            "a mapping starts at a page, not at {start:p}"
        );
        Self { start, length }
    }

    /// Start and length; nobody unmaps the range any more.
    pub fn into_raw(self) -> (NonNull<u8>, usize) {
        let kept = ManuallyDrop::new(self);
        (kept.start, kept.length)
    }

    /// Where it starts, a page's border.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Where it starts, as others (a guest's memory slot, an IOMMU) take it.
    pub fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// Bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The word at a byte offset; `None` outside or when misaligned.
    pub fn load<W: Word>(&self, offset: usize) -> Option<W> {
        let pointer = self.pointer::<W>(offset)?;
        // SAFETY: `pointer` checks range and alignment; every bit pattern is a value.
        Some(W::of_little_endian(unsafe { pointer.read_volatile() }))
    }

    /// Replaces the word at a byte offset; `None` outside or when misaligned.
    pub fn store<W: Word>(&self, offset: usize, value: W) -> Option<()> {
        let pointer = self.pointer::<W>(offset)?;
        // SAFETY: `pointer` checks range and alignment; a store that the mapping does not
        // allow ends the process.
        unsafe { pointer.write_volatile(value.little_endian()) };
        Some(())
    }

    /// Copies `bytes.len()` bytes from a byte offset, by whole words where they are
    /// aligned; `None` where a part is outside, and nothing is copied then.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Option<()> {
        self.check(offset, bytes.len())?;
        let (head, rest) = bytes.split_at_mut(to_word(offset).min(bytes.len()));
        let mut at = offset;
        for byte in head {
            *byte = self.load(at)?;
            at += 1;
        }
        let mut words = rest.chunks_exact_mut(WORD);
        for word in &mut words {
            word.copy_from_slice(&self.load::<u64>(at)?.to_le_bytes());
            at += WORD;
        }
        for byte in words.into_remainder() {
            *byte = self.load(at)?;
            at += 1;
        }
        Some(())
    }

    /// Copies `bytes` to a byte offset, by whole words where they are aligned; `None`
    /// where a part is outside, and nothing is copied then.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Option<()> {
        self.check(offset, bytes.len())?;
        let (head, rest) = bytes.split_at(to_word(offset).min(bytes.len()));
        let mut at = offset;
        for &byte in head {
            self.store(at, byte)?;
            at += 1;
        }
        let mut words = rest.chunks_exact(WORD);
        for word in &mut words {
            let mut value = [0; WORD];
            value.copy_from_slice(word);
            self.store(at, u64::from_le_bytes(value))?;
            at += WORD;
        }
        for &byte in words.remainder() {
            self.store(at, byte)?;
            at += 1;
        }
        Some(())
    }

    /// Makes what was stored to a range visible to who loads it past the caches, as a guest
    /// does that has the page as memory of a device, and returns when it is: the lines are
    /// cleaned to the point of coherency (Arm ARM, "Mismatched memory attributes"). `None`
    /// where a part is outside, and nothing is cleaned then. On other architectures than
    /// arm64, whose caches such loads do not pass, it only keeps the order.
    pub fn clean(&self, offset: usize, length: usize) -> Option<()> {
        self.check(offset, length)?;
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        #[cfg(target_arch = "aarch64")]
        self.clean_lines(offset, length);
        Some(())
    }

    /// The range, which may be empty, is inside the mapping.
    #[cfg(target_arch = "aarch64")]
    fn clean_lines(&self, offset: usize, length: usize) {
        let first = self.start.as_ptr().expose_provenance() + offset;
        let line = cache_line();
        for at in ((first & !(line - 1))..first + length).step_by(line) {
            // SAFETY: cleaning a line changes no byte of memory. The line has a byte of the
            // range in it, and lines are smaller than pages, so that the address is mapped.
            // Linux lets programs do it (SCTLR_EL1.UCI) or does it for them where the
            // processor has a defect (arch/arm64/kernel/traps.c, user_cache_maint_handler).
            unsafe {
                std::arch::asm!("dc cvac, {}", in(reg) at, options(nostack, preserves_flags));
            }
        }
        // SAFETY: a barrier changes neither registers nor memory.
        unsafe { std::arch::asm!("dsb sy", options(nostack, preserves_flags)) };
    }

    fn check(&self, offset: usize, length: usize) -> Option<()> {
        (offset.checked_add(length)? <= self.length).then_some(())
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

/// Bytes of the largest word.
const WORD: usize = 8;

/// Bytes up to the next word.
const fn to_word(offset: usize) -> usize {
    offset.next_multiple_of(WORD) - offset
}

/// Keeps all loads and stores before it before all after it, as devices see them too: a
/// device that is told by a store to a register of what lies in memory finds it there,
/// and what it wrote before it said so is read after.
pub fn dma_fence() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier changes neither registers nor memory. The fence above reaches the
    // processors alone (inner shareable); masters on the bus are in the outer domain.
    unsafe {
        std::arch::asm!("dmb osh", options(nostack, preserves_flags));
    }
}

/// Bytes of the smallest line of a data cache in the machine (Arm ARM, CTR_EL0.DminLine: the
/// logarithm of its words of 32 bits).
#[cfg(target_arch = "aarch64")]
fn cache_line() -> usize {
    let register: u64;
    // SAFETY: reading the register changes nothing else. Linux lets programs do it
    // (SCTLR_EL1.UCT) or does it for them (arch/arm64/kernel/traps.c, ctr_read_handler).
    unsafe {
        std::arch::asm!(
            "mrs {}, ctr_el0",
            out(reg) register,
            options(nomem, nostack, preserves_flags)
        );
    }
    4 << ((register >> 16) & 0xf)
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is mapped, nobody else has it, and no pointer into it
        // outlives `self`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A number that memory is accessed by in one piece, little-endian.
pub trait Word: Copy + sealed::Sealed {
    /// From memory's order.
    fn of_little_endian(raw: Self) -> Self;
    /// To memory's order.
    fn little_endian(self) -> Self;
    /// The lowest bits of a number.
    fn from_bits(bits: u64) -> Self;
    /// The number, filled up with zeros.
    fn to_bits(self) -> u64;
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
            fn from_bits(bits: u64) -> Self {
                bits as $number
            }
            fn to_bits(self) -> u64 {
                self as u64
            }
        }
    )* };
}

words! { u8 u16 u32 u64 }

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

    #[test]
    fn bytes_are_copied_at_any_offset_or_not_at_all() {
        let memory = Mapping::anonymous(4096).unwrap();
        let bytes: Vec<u8> = (1..=29).collect();
        for offset in [0, 1, 7, 8, 4096 - 29] {
            memory.write(offset, &bytes).unwrap();
            let mut found = [0; 29];
            memory.read(offset, &mut found).unwrap();
            assert_eq!(found, *bytes);
            assert_eq!(memory.load::<u8>(offset + 28), Some(29));
        }
        assert_eq!(memory.write(4096 - 28, &[0; 29]), None);
        assert_eq!(memory.read(usize::MAX, &mut [0; 2]), None);
        assert_eq!(memory.load::<u8>(4095), Some(29));
    }

    #[test]
    fn what_is_cleaned_stays_as_it_is_and_is_inside() {
        let memory = Mapping::anonymous(4096).unwrap();
        memory.store(56, 7_u64).unwrap();
        for (offset, length) in [(0, 64), (60, 1), (4095, 1), (4096, 0), (0, 4096)] {
            memory.clean(offset, length).unwrap();
        }
        assert_eq!(memory.load::<u64>(56), Some(7));
        assert_eq!(memory.clean(4095, 2), None);
        assert_eq!(memory.clean(usize::MAX, 2), None);
    }

    #[test]
    fn a_mapping_survives_its_parts() {
        let (start, length) = Mapping::anonymous_shared(4096).unwrap().into_raw();
        // SAFETY: start and length are those of the mapping that was taken apart, which mmap gave.
        let again = unsafe { Mapping::from_raw(start, length) };
        again.store(0, 7_u8).unwrap();
        assert_eq!((again.load::<u8>(0), again.length()), (Some(7), 4096));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic = "a mapping starts at a page"]
    fn a_mapping_starts_at_a_page() {
        let memory = Mapping::anonymous(4096).unwrap();
        let start = NonNull::new(memory.as_ptr().wrapping_add(1)).unwrap();
        // SAFETY: it is against the contract, which is found before anything is done.
        let _ = unsafe { Mapping::from_raw(start, 8) };
    }

    #[test]
    fn a_fixed_place_is_not_taken() {
        let own = Mapping::anonymous(4096).unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        let fd = rustix::fd::AsFd::as_fd(&file);
        let mapped = Mapping::of_file(fd, 0, 4096, ProtFlags::READ, flags).unwrap();
        assert!(!mapped.as_ptr().is_null() && mapped.as_ptr() != own.as_ptr());
        // The magic number of ELF.
        assert_eq!(mapped.load::<u32>(0), Some(0x464c_457f));
    }
}
