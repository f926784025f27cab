// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What all processes of a run share: counters, what each thread is doing, what it
//! did last, and which files each process has open.
//!
//! All of it is numbers that one party writes and others look at, in memory that
//! survives the processes: after a crash it is still there for the report.
#![allow(unsafe_code)]

use crate::kind::{KINDS, Kind, errno_name};
use crate::mode_lock::ModeLock;
use fsl_mc_linux::Mapping;
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Most worker processes.
pub const PROCESSES: usize = 8;
/// Most threads of a worker process.
pub const THREADS: usize = 8;
/// Threads of all processes, each with its child process, and the supervisor's
/// helper.
pub const SLOTS: usize = PROCESSES * THREADS * 2 + 1;
/// The slot of the supervisor's helper.
pub const HELPER: usize = SLOTS - 1;
/// Calls that are remembered of each thread.
pub const RING: usize = 64;
/// One more than the largest error number of Linux that calls here meet.
const ERRNOS: usize = 134;
/// Objects of a container that are used.
pub const OBJECTS: usize = 64;
/// Regions of an object that are known.
pub const REGIONS: usize = 4;

/// A call as it is remembered.
#[derive(Debug, Default)]
pub struct Record {
    sequence: AtomicU64,
    kind: AtomicU32,
    arguments: [AtomicU64; 6],
    /// What the system call returned; [`RUNNING`] until then.
    result: AtomicU64,
}

/// Stands for a result that is not there yet.
const RUNNING: u64 = i64::MIN as u64;

/// One party that makes calls: a thread, or the child process of a thread.
pub struct Slot {
    /// Calls that were started.
    sequence: AtomicU64,
    /// Whether one is under way.
    busy: AtomicBool,
    /// Its thread, as the kernel names it.
    pub thread: AtomicI32,
    /// Its process.
    pub process: AtomicI32,
    ring: [Record; RING],
    /// When the call under way was started, in nanoseconds of some clock.
    started_at: AtomicU64,
    spent: [AtomicU64; KINDS],
    succeeded: [AtomicU64; KINDS],
    refused: [[AtomicU64; ERRNOS]; KINDS],
}

fn add(counter: &AtomicU64, more: u64) {
    // One writer: no need for an atomic addition.
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

/// Nanoseconds since the system started.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live structure; the clock exists, and 0 is as good a time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

impl Slot {
    /// Remembers that a call is started.
    pub fn start(&self, kind: Kind, arguments: [u64; 6]) {
        self.started_at.store(now(), Relaxed);
        let sequence = self.sequence.load(Relaxed);
        let record = &self.ring[(sequence % RING as u64) as usize];
        record.sequence.store(sequence, Relaxed);
        record.kind.store(kind as u32, Relaxed);
        for (slot, argument) in record.arguments.iter().zip(arguments) {
            slot.store(argument, Relaxed);
        }
        record.result.store(RUNNING, Relaxed);
        self.sequence.store(sequence + 1, Relaxed);
        self.busy.store(true, Relaxed);
    }

    /// Counts the call that was started last. `result` is what a system call returns: a
    /// negative error number, or a success.
    pub fn end(&self, kind: Kind, result: i64) {
        self.busy.store(false, Relaxed);
        let spent = now().saturating_sub(self.started_at.load(Relaxed));
        add(&self.spent[kind as usize], spent);
        let sequence = self.sequence.load(Relaxed).wrapping_sub(1);
        self.ring[(sequence % RING as u64) as usize].result.store(result as u64, Relaxed);
        let errno = usize::try_from(-result).unwrap_or(0);
        if errno == 0 {
            add(&self.succeeded[kind as usize], 1);
        } else if let Some(counter) = self.refused[kind as usize].get(errno) {
            add(counter, 1);
        }
    }

    /// Says who makes the calls from here on: the calling thread.
    pub fn try_lock(&self) {
        // SAFETY: takes nothing and returns a number.
        let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };
        self.process.store(process, Relaxed);
        self.thread.store(thread, Relaxed);
    }

    /// Forgets a call whose caller is gone.
    fn vacate(&self) {
        self.busy.store(false, Relaxed);
        self.process.store(0, Relaxed);
        self.thread.store(0, Relaxed);
    }

    /// Calls that were started.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Relaxed)
    }

    /// Whether a call is under way.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Whether the last call never came back: it is under way, or its caller ended in it.
    pub fn is_in_call(&self) -> bool {
        let last = self.sequence().checked_sub(1);
        last.is_some_and(|last| {
            self.ring[(last % RING as u64) as usize].result.load(Relaxed) == RUNNING
        })
    }

    /// The last calls in words, oldest first.
    pub fn history(&self, count: usize) -> Vec<String> {
        let end = self.sequence();
        let count = count.min(RING) as u64;
        (end.saturating_sub(count)..end)
            .map(|sequence| self.ring[(sequence % RING as u64) as usize].words())
            .collect()
    }
}

impl Record {
    fn words(&self) -> String {
        let kind = Kind::from_number(self.kind.load(Relaxed) as usize);
        let mut text =
            format!("#{} {}(", self.sequence.load(Relaxed), kind.map_or("?", Kind::name));
        for (index, argument) in self.arguments.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}{:#x}", argument.load(Relaxed));
        }
        let result = self.result.load(Relaxed);
        let _ = match result as i64 {
            _ if result == RUNNING => write!(text, ") has not returned"),
            errno @ -4095..=-1 => write!(text, ") = {}", errno_name(-errno as i32)),
            _ => write!(text, ") = {result:#x}"),
        };
        text
    }
}

/// Files of one kind that a process has open: numbers, or nothing.
#[derive(Debug)]
pub struct Files<const N: usize> {
    /// Descriptor plus one; 0 is nothing.
    places: [AtomicI32; N],
    /// Which object of the container a descriptor is.
    objects: [AtomicU32; N],
}

impl<const N: usize> Files<N> {
    /// A descriptor by a random number, with its place.
    pub fn any(&self, random: usize) -> Option<(usize, i32)> {
        (0..N).map(|step| (random.wrapping_add(step)) % N).find_map(|place| {
            let held = self.places[place].load(Relaxed);
            (held > 0).then_some((place, held - 1))
        })
    }

    /// The object that was opened at a place.
    pub fn object(&self, place: usize) -> usize {
        self.objects.get(place).map_or(0, |object| object.load(Relaxed) as usize)
    }

    /// Keeps a descriptor. Gives back one that has to be closed for it.
    pub fn keep(&self, descriptor: i32, object: usize, random: usize) -> Option<i32> {
        for (place, holder) in self.places.iter().enumerate() {
            if holder.compare_exchange(0, descriptor + 1, Relaxed, Relaxed).is_ok() {
                self.objects[place].store(object as u32, Relaxed);
                return None;
            }
        }
        let place = random % N;
        let before = self.places[place].swap(descriptor + 1, Relaxed);
        self.objects[place].store(object as u32, Relaxed);
        (before > 0).then_some(before - 1)
    }

    /// Puts a descriptor at the first place. Gives back the one that was there.
    pub fn put_first(&self, descriptor: i32) -> Option<i32> {
        let before = self.places.first()?.swap(descriptor + 1, Relaxed);
        (before > 0).then_some(before - 1)
    }

    /// Takes a descriptor away from others.
    pub fn take(&self, random: usize) -> Option<i32> {
        let (place, _) = self.any(random)?;
        let before = self.places[place].swap(0, Relaxed);
        (before > 0).then_some(before - 1)
    }

    fn copy(&self, other: &Self) {
        for place in 0..N {
            self.places[place].store(other.places[place].load(Relaxed), Relaxed);
            self.objects[place].store(other.objects[place].load(Relaxed), Relaxed);
        }
    }
}

/// What a process has open, and objects of the MC that it has opened.
#[derive(Debug)]
pub struct Process {
    /// Its number for the kernel.
    pub id: AtomicI32,
    /// Its threads shall end.
    pub ending: AtomicBool,
    /// VFIO containers.
    pub containers: Files<4>,
    /// VFIO groups.
    pub groups: Files<2>,
    /// VFIO devices.
    pub devices: Files<24>,
    /// Event file descriptors.
    pub events: Files<8>,
    /// Tokens of the MC: the token, and the number of the family above it.
    pub tokens: [AtomicU32; 16],
}

impl Process {
    /// Becomes what a process is right after it was forked from `other`.
    pub fn fork_of(&self, other: &Self) {
        self.containers.copy(&other.containers);
        self.groups.copy(&other.groups);
        self.devices.copy(&other.devices);
        self.events.copy(&other.events);
        for (own, token) in self.tokens.iter().zip(&other.tokens) {
            own.store(token.load(Relaxed), Relaxed);
        }
    }

    /// Forgets everything: the process has ended.
    pub fn clear(&self) {
        self.id.store(0, Relaxed);
        self.ending.store(false, Relaxed);
        for place in self
            .containers
            .places
            .iter()
            .chain(&self.groups.places)
            .chain(&self.devices.places)
            .chain(&self.events.places)
        {
            place.store(0, Relaxed);
        }
        self.tokens.iter().for_each(|token| token.store(0, Relaxed));
    }
}

/// What is known of an object, once a thread has asked.
#[derive(Debug)]
pub struct Facts {
    /// Whether anything is.
    pub known: AtomicBool,
    /// Regions.
    pub regions: AtomicU32,
    /// Interrupts.
    pub interrupts: AtomicU32,
    /// Bytes of each region.
    pub size: [AtomicU64; REGIONS],
    /// Flags of each region.
    pub flags: [AtomicU32; REGIONS],
}

/// All of it.
pub struct Shared {
    /// The run shall end.
    pub stop: AtomicBool,
    /// Those who make calls. The last one is the supervisor's helper.
    pub slots: [Slot; SLOTS],
    /// Worker processes, then the child processes of their threads, by slot.
    pub processes: [Process; PROCESSES + SLOTS],
    /// Objects of the container.
    pub facts: [Facts; OBJECTS],
    /// Keeps apart what VFIO does not.
    pub iommu_lock: ModeLock,
}

impl Shared {
    /// Memory that processes forked from here on have in common, all zero.
    pub fn new() -> io::Result<&'static Self> {
        let (start, _) = Mapping::anonymous_shared(size_of::<Self>())?.into_raw();
        // SAFETY: the memory is as large as the structure, aligned to a page, zeroed and
        // never unmapped. The structure is atomics throughout, for which zero is a value,
        // and which several processes may change.
        Ok(unsafe { start.cast::<Self>().as_ref() })
    }

    /// The slot of a thread, or of its child process.
    pub fn slot_of(&self, process: usize, thread: usize, child: bool) -> usize {
        ((process * THREADS + thread) * 2 + usize::from(child)).min(HELPER - 1)
    }

    /// Forgets a party that is gone: its call, and its use of the lock. Only once nothing
    /// of it can be in the kernel any more.
    pub fn vacate(&self, number: usize) {
        if let Some(slot) = self.slots.get(number) {
            slot.vacate();
        }
        self.iommu_lock.unlock(number);
    }

    /// How a slot is called: process, thread, whether a child.
    pub fn name(&self, slot: usize) -> String {
        if slot == HELPER {
            return "helper".into();
        }
        let child = if slot % 2 == 1 { " child" } else { "" };
        format!("{}.{}{child}", slot / 2 / THREADS, slot / 2 % THREADS)
    }

    /// Calls that were started by all.
    pub fn calls(&self) -> u64 {
        self.slots.iter().map(Slot::sequence).sum()
    }

    /// Successes of a kind.
    pub fn succeeded(&self, kind: Kind) -> u64 {
        self.slots.iter().map(|slot| slot.succeeded[kind as usize].load(Relaxed)).sum()
    }

    /// Time that a kind has taken, together.
    pub fn spent(&self, kind: Kind) -> Duration {
        let spent = |slot: &Slot| slot.spent[kind as usize].load(Relaxed);
        Duration::from_nanos(self.slots.iter().map(spent).sum())
    }

    /// Refusals of a kind, by error number, without those that never were.
    pub fn refused(&self, kind: Kind) -> Vec<(i32, u64)> {
        (1..ERRNOS)
            .map(|errno| {
                let of = |slot: &Slot| slot.refused[kind as usize][errno].load(Relaxed);
                (errno as i32, self.slots.iter().map(of).sum())
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_remembered() {
        let shared = Shared::new().unwrap();
        let slot = &shared.slots[3];
        slot.start(Kind::Poll, [1, 2, 3, 0, 0, 0]);
        assert!(slot.is_busy());
        assert!(slot.is_in_call());
        assert!(slot.history(9)[0].contains("has not returned"));
        slot.vacate();
        assert!(!slot.is_busy());
        assert!(slot.is_in_call());
        slot.end(Kind::Poll, -i64::from(libc::EINVAL));
        assert!(!slot.is_in_call());
        slot.start(Kind::Poll, [0; 6]);
        slot.end(Kind::Poll, 1);
        assert!(!slot.is_busy());
        assert_eq!(slot.history(9)[0], "#0 poll(0x1, 0x2, 0x3, 0x0, 0x0, 0x0) = EINVAL");
        assert_eq!(shared.calls(), 2);
        assert_eq!(shared.succeeded(Kind::Poll), 1);
        assert_eq!(shared.refused(Kind::Poll), [(libc::EINVAL, 1)]);
    }

    #[test]
    fn only_the_last_calls_are_kept() {
        let shared = Shared::new().unwrap();
        let slot = &shared.slots[0];
        for _ in 0..RING + 5 {
            slot.start(Kind::Close, [0; 6]);
            slot.end(Kind::Close, 0);
        }
        let history = slot.history(RING + 5);
        assert_eq!(history.len(), RING);
        assert!(history[0].starts_with("#5 "), "{}", history[0]);
    }

    #[test]
    fn full_tables_give_something_back() {
        let shared = Shared::new().unwrap();
        let groups = &shared.processes[0].groups;
        assert_eq!(groups.any(7), None);
        assert_eq!(groups.keep(0, 0, 0), None);
        assert_eq!(groups.keep(5, 3, 0), None);
        assert_eq!(groups.keep(6, 4, 1), Some(5));
        assert_eq!(groups.any(1), Some((1, 6)));
        assert_eq!(groups.object(1), 4);
        assert_eq!(groups.take(1), Some(6));
        assert_eq!(groups.take(1), Some(0));
        assert_eq!(groups.take(1), None);
    }

    #[test]
    fn every_thread_and_child_has_a_slot_of_its_own() {
        let shared = Shared::new().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for process in 0..PROCESSES {
            for thread in 0..THREADS {
                assert!(seen.insert(shared.slot_of(process, thread, false)));
                assert!(seen.insert(shared.slot_of(process, thread, true)));
            }
        }
        assert!(!seen.contains(&HELPER));
        assert_eq!(shared.name(shared.slot_of(2, 1, true)), "2.1 child");
    }
}
