// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A thread that makes calls: its random numbers, its memory, and the one function
//! through which every system call goes.
#![allow(unsafe_code)]

use crate::abi::Bytes;
use crate::kind::Kind;
use crate::memory::{Area, PAGE, Touch};
use crate::shared::{Facts, Process, Shared, Slot};
use mc_abi::ObjectId;
use std::ffi::CString;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Which commands are written to the MC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Commands {
    /// No commands.
    None,
    /// Commands that change neither the container's contents nor the kernel's use of it.
    Harmless,
    /// Any command; only harmless ones through mapped portals, which no driver sees.
    All,
}

/// What does not change during a run.
#[derive(Debug)]
pub struct Setup {
    /// PRNG seed.
    pub seed: u64,
    /// Threads of a process.
    pub threads: usize,
    /// Worker processes.
    pub processes: usize,
    /// `/dev/vfio/N`.
    pub group: CString,
    /// The container and its objects, the container first.
    pub objects: Vec<(CString, ObjectId)>,
    /// Commands to be sent.
    pub commands: Commands,
    /// Steps by random number, each as often as it is to be made.
    pub table: Vec<u8>,
}

/// A part of a device that is mapped.
#[derive(Debug, Clone, Copy)]
pub struct DeviceMap {
    /// Where it starts.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// Where it starts in its region.
    pub offset: u64,
    /// The object.
    pub object: usize,
    /// Whether it lies in the thread's window, where nothing may be unmapped.
    pub fixed: bool,
}

/// Device maps that a thread has at most.
pub const MAPS: usize = 6;

/// Memory of a thread.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Pages of [`layout`].
    pub own: Area,
    /// Pages that all threads of the process use and change.
    pub flicker: Area,
    /// Where regions are mapped at fixed places.
    pub window: Area,
}

/// The pages of a thread's own memory.
pub mod layout {
    /// Structures.
    pub const PLAIN: u64 = 0;
    /// Structures whose end may be missing: the next page is never there.
    pub const LAST: u64 = 3;
    /// Not there.
    pub const GUARD: u64 = 4;
    /// Can be read only.
    pub const READ_ONLY: u64 = 5;
    /// For calls that are none of the test's.
    pub const QUIET: u64 = 6;
    /// For devices.
    pub const DMA: u64 = 8;
    /// Pages for devices.
    pub const DMA_PAGES: u64 = 8;
    /// All of them.
    pub const PAGES: u64 = 16;
}

/// Pages of a window.
pub const WINDOW_PAGES: u64 = 64;
/// Pages that threads share and change.
pub const FLICKER_PAGES: u64 = 2;

impl Memory {
    /// Memory for a thread of a process.
    pub fn new(flicker: Area) -> io::Result<Self> {
        let memory =
            Self { own: Area::new(layout::PAGES)?, flicker, window: Area::new(WINDOW_PAGES)? };
        for (page, protection) in
            [(layout::GUARD, libc::PROT_NONE), (layout::READ_ONLY, libc::PROT_READ)]
        {
            let start = (memory.own.start() + page * PAGE) as *mut libc::c_void;
            // SAFETY: the page is one of the area, which no Rust reference covers.
            if unsafe { libc::mprotect(start, PAGE as usize, protection) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(memory)
    }

    /// The address of a page of the thread's own.
    pub fn page(&self, page: u64) -> u64 {
        self.own.start() + page * PAGE
    }
}

/// A thread, or the child process of a thread.
pub struct Caller<'a> {
    /// What does not change.
    pub setup: &'a Setup,
    /// What all share.
    pub shared: &'static Shared,
    /// Files of the process.
    pub process: &'static Process,
    /// Number of the slot.
    pub slot_number: usize,
    /// Where calls are counted.
    pub slot: &'static Slot,
    /// All choices.
    pub random: fastrand::Rng,
    /// What calls point to.
    pub memory: Memory,
    /// Mapped parts of devices.
    pub maps: [Option<DeviceMap>; MAPS],
    /// The child process, which has no children itself.
    pub child: Option<i32>,
    /// Whether this is a child process.
    pub is_child: bool,
}

/// Mixes numbers into a seed, so that each party has its own stream.
pub fn mix(seed: u64, parts: [u64; 3]) -> u64 {
    // SplitMix64's finaliser, once a part.
    parts.into_iter().fold(seed, |state, part| {
        let mut z = state.wrapping_add(part.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

impl Caller<'_> {
    /// Makes a system call, remembered and counted under `kind`.
    ///
    /// Pointers among the arguments are of the thread's [`Memory`], of its device
    /// maps, or of no memory at all (see [`Caller::place`]); calls that change the
    /// address space name ranges of those.
    pub fn call(&mut self, kind: Kind, number: libc::c_long, args: [u64; 6]) -> Result<u64, i32> {
        self.slot.start(kind, args);
        let result = unsafe_call(number, args);
        self.slot.end(kind, result);
        outcome(result)
    }

    /// Makes a system call that is none of the test's: neither remembered nor counted.
    /// Its pointers are of the thread's [`Memory`].
    pub fn quietly(&self, number: libc::c_long, args: [u64; 6]) -> Result<u64, i32> {
        outcome(unsafe_call(number, args))
    }

    /// An ioctl.
    pub fn ioctl(
        &mut self,
        kind: Kind,
        file: i32,
        request: u32,
        argument: u64,
    ) -> Result<u64, i32> {
        self.call(kind, libc::SYS_ioctl, [file as u64, request.into(), argument, 0, 0, 0])
    }

    /// Whether something happens that does so once in `n` times.
    pub fn once_in(&mut self, n: u32) -> bool {
        self.random.u32(0..n.max(1)) == 0
    }

    /// A random number to pick a place by.
    pub fn pick(&mut self) -> usize {
        self.random.usize(..)
    }

    /// One of some values.
    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> Option<T> {
        if values.is_empty() {
            None
        } else {
            values.get(self.random.usize(..values.len())).copied()
        }
    }

    /// A number at the edge of something, where `limit` is the first that is too
    /// large.
    pub fn edge(&mut self, limit: u64) -> u64 {
        match self.random.u32(..16) {
            0 => 0,
            1 => limit,
            2 => limit.wrapping_sub(1),
            3 => limit.wrapping_add(1),
            4 => u64::MAX,
            5 => u64::from(u32::MAX),
            6 => 1 << 31,
            7 => (1 << 31) - 1,
            8 => 1 << self.random.u32(..64),
            9 => (1_u64 << self.random.u32(..64)).wrapping_sub(1),
            10 => self.random.u64(..),
            11 => 1 << 40,
            _ => self.random.u64(..limit.clamp(1, 1 << 32).saturating_mul(2)),
        }
    }

    /// The same for a field of 32 bits.
    pub fn edge32(&mut self, limit: u32) -> u32 {
        self.edge(limit.into()) as u32
    }

    /// `argsz` of a structure: right most of the time.
    pub fn argsz(&mut self, size: u32) -> u32 {
        if self.once_in(12) { self.edge32(size) } else { size }
    }

    /// Puts a structure where the kernel finds it; now and then where it is hard to
    /// find, or not there at all.
    pub fn place(&mut self, bytes: &Bytes) -> u64 {
        let data = bytes.as_slice();
        let own = self.memory.own;
        match self.random.u32(..64) {
            // Pages that other threads take away.
            0..=3 => {
                let pages = self.memory.flicker.end() - self.memory.flicker.start();
                let offset = self.random.u64(..pages) & !7;
                self.memory.flicker.store(offset, data)
            }
            // The end is missing.
            4 => {
                let missing = self.random.u64(..=data.len() as u64);
                let offset = (layout::GUARD * PAGE) + missing - data.len() as u64;
                own.store(offset, data)
            }
            // Nothing may be written there.
            5 => self.memory.page(layout::READ_ONLY),
            6 => self.nowhere(),
            // In a region of a device.
            7 => match self.any_map() {
                Some(map) => map.start + (self.random.u64(..map.length) & !7),
                None => self.nowhere(),
            },
            8 => own.store(self.random.u64(..64), data),
            _ => own.store(self.random.u64(..64) * 16, data),
        }
    }

    /// Puts a structure where the kernel finds it for sure.
    pub fn place_well(&mut self, bytes: &Bytes) -> u64 {
        self.memory.own.store(layout::LAST * PAGE, bytes.as_slice())
    }

    /// What [`Caller::place_well`] placed, as the kernel left it.
    pub fn placed<const N: usize>(&self) -> [u8; N] {
        self.memory.own.load(layout::LAST * PAGE)
    }

    /// An address where no memory can be.
    pub fn nowhere(&mut self) -> u64 {
        let choices =
            [0, 8, 0xffff_0000_0000_0000, u64::MAX, u64::MAX - 7, 0xdead_0000_0000_0000, 1 << 56];
        self.one_of(&choices).unwrap_or(0)
    }

    /// One of the mapped parts of devices.
    pub fn any_map(&mut self) -> Option<DeviceMap> {
        let start = self.pick();
        (0..MAPS).find_map(|step| self.maps[start.wrapping_add(step) % MAPS])
    }

    /// What is known of an object.
    pub fn facts(&self, object: usize) -> &'static Facts {
        &self.shared.facts[object.min(self.shared.facts.len() - 1)]
    }

    /// Waits a little, where there is nothing to do.
    pub fn nap(&self) {
        std::thread::sleep(Duration::from_micros(500));
    }

    /// Touches an address of a device map.
    pub fn touch(&mut self, kind: Kind, touch: Touch, address: u64, value: u64) -> Option<u64> {
        self.slot.start(kind, [address, value, touch as u64, 0, 0, 0]);
        let touched = touch.at(address, value);
        self.slot.end(kind, touched.map_or(-i64::from(libc::EFAULT), |_| 0));
        touched.ok()
    }

    /// Whether the thread is to stop.
    pub fn is_over(&self) -> bool {
        self.shared.stop.load(Relaxed) || self.process.ending.load(Relaxed)
    }
}

/// A system call: the negative error number, or what it returns.
fn unsafe_call(number: libc::c_long, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    // SAFETY: whatever the kernel reads or writes by way of the arguments is memory of
    // an `Area`, a device's region, or not there; the callers of `Caller::call` and
    // `Caller::quietly` keep to that. No Rust object lives in such memory.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    } else {
        result
    }
}

/// What a system call returns, as a result.
fn outcome(result: i64) -> Result<u64, i32> {
    u64::try_from(result).map_err(|_| -result as i32)
}

#[cfg(test)]
mod tests {
    use super::mix;

    #[test]
    fn streams_differ_and_repeat() {
        assert_eq!(mix(1, [0, 1, 2]), mix(1, [0, 1, 2]));
        assert_ne!(mix(1, [0, 1, 2]), mix(1, [0, 2, 1]));
        assert_ne!(mix(1, [0, 0, 0]), mix(2, [0, 0, 0]));
        assert_ne!(mix(1, [0, 0, 0]), mix(1, [0, 0, 1]));
    }
}
