// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A big-reader lock: transactions are its readers, register writes its writers.
//!
//! Readers share nothing: each writes to its own thread's slot and checks whether there
//! is a writer; a writer waits until all slots are empty. That costs a reader one fence,
//! where a plain read-write lock costs two contended read-modify-writes, and a nested
//! read costs nothing at all.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::{hint, thread};

use parking_lot::{Mutex, ReentrantMutex, ReentrantMutexGuard};

/// Threads with a slot of their own; the others share the writers' lock.
const SLOTS: usize = 64;

/// What a thread has to itself. The alignment keeps it off other threads' cache
/// lines, of which processors fetch two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Slot {
    /// Nested reads of the thread.
    inside: AtomicU32,
    /// Counted here since no other thread does.
    pub(super) hits: AtomicU64,
    pub(super) bypasses: AtomicU64,
}

/// The lock.
pub(super) struct BigReaderLock {
    slots: Box<[Slot]>,
    writing: AtomicBool,
    /// Held by a writer, and by a reader whose thread has no slot.
    exclusive: ReentrantMutex<()>,
}

/// A read under way: the lock is released when this is dropped.
pub(super) struct ReadGuard<'a> {
    slot: Result<&'a Slot, ReentrantMutexGuard<'a, ()>>,
    /// The slot is the thread's: a guard cannot go to another.
    here: PhantomData<*const ()>,
}

impl BigReaderLock {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            writing: AtomicBool::new(false),
            exclusive: ReentrantMutex::new(()),
        }
    }

    /// All slots, also those of threads that have ended.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Waits until nobody writes.
    #[inline]
    pub(super) fn read(&self) -> ReadGuard<'_> {
        let Some(slot) = self.own_slot() else { return self.read_exclusively() };
        loop {
            let inside = slot.inside.load(Ordering::Relaxed);
            slot.inside.store(inside + 1, Ordering::Relaxed);
            if inside > 0 {
                break;
            }
            // Either this sees that there is a writer, or the writer sees that the
            // slot is taken: both write, pass a fence, and read.
            fence(Ordering::SeqCst);
            // Acquire: what the last writer changed is seen.
            if !self.writing.load(Ordering::Acquire) {
                break;
            }
            slot.inside.store(0, Ordering::Relaxed);
            drop(self.exclusive.lock());
        }
        ReadGuard { slot: Ok(slot), here: PhantomData }
    }

    #[cold]
    fn read_exclusively(&self) -> ReadGuard<'_> {
        ReadGuard { slot: Err(self.exclusive.lock()), here: PhantomData }
    }

    /// Does `work` while nobody reads but this thread.
    pub(super) fn write<R>(&self, work: impl FnOnce() -> R) -> R {
        let _exclusive = self.exclusive.lock();
        // Also on a panic of `work`, or all others would wait for ever.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        let _done = Done(&self.writing);
        self.writing.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let own = own_number();
        for (number, slot) in self.slots.iter().enumerate() {
            if Some(number) != own {
                slot.wait_until_empty();
            }
        }
        work()
    }

    #[inline]
    fn own_slot(&self) -> Option<&Slot> {
        own_number().and_then(|number| self.slots.get(number))
    }
}

impl Slot {
    fn wait_until_empty(&self) {
        // A read is short, unless its thread is not running.
        let mut patience = 100;
        // Acquire: all that the reader did comes before what follows.
        while self.inside.load(Ordering::Acquire) != 0 {
            if patience > 0 {
                patience -= 1;
                hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

impl ReadGuard<'_> {
    /// The thread's slot, if it has one.
    #[inline]
    pub(super) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref().ok().copied()
    }

    /// Whether this is nested in another read of the thread, as far as is known.
    #[inline]
    pub(super) fn is_inner(&self) -> bool {
        self.slot().is_some_and(|slot| slot.inside.load(Ordering::Relaxed) > 1)
    }
}

/// Adds one to a count of the thread's own, or else to one that all share.
#[inline]
pub(super) fn count(own: Option<&AtomicU64>, shared: &AtomicU64) {
    match own {
        Some(own) => own.store(own.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed),
        None => drop(shared.fetch_add(1, Ordering::Relaxed)),
    }
}

impl Drop for ReadGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Ok(slot) = self.slot {
            let inside = slot.inside.load(Ordering::Relaxed);
            // Release: the read is over before the slot is empty.
            slot.inside.store(inside.saturating_sub(1), Ordering::Release);
        }
    }
}

/// Numbers of threads that are alive, from 0 on.
#[derive(Debug)]
struct Numbers {
    next: usize,
    free: BTreeSet<usize>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, free: BTreeSet::new() });

/// The number of a thread until it ends.
struct Number(usize);

impl Number {
    fn take() -> Self {
        let mut numbers = NUMBERS.lock();
        // The lowest: while there is a slot, its thread has one.
        Self(numbers.free.pop_first().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        }))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        NUMBERS.lock().free.insert(self.0);
    }
}

thread_local! {
    static NUMBER: Number = Number::take();
}

/// The number of this thread; none where it is about to end.
#[inline]
fn own_number() -> Option<usize> {
    NUMBER.try_with(|number| number.0).ok()
}

impl fmt::Debug for BigReaderLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BigReaderLock").field("writing", &self.writing).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Barrier, Mutex, PoisonError};

    /// Threads of all locks share the slots, and a thread that finds none free is no
    /// reader of its own: one of these tests takes them all.
    static SLOTS_IN_USE: Mutex<()> = Mutex::new(());

    #[test]
    fn slots_are_empty_after_all() {
        let _alone = SLOTS_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = BigReaderLock::new();
        let outer = lock.read();
        assert!(!outer.is_inner());
        {
            let inner = lock.read();
            assert!(inner.is_inner());
            // Its own reads do not block a writer.
            lock.write(|| ());
        }
        assert!(!outer.is_inner());
        drop(outer);
        assert!(lock.slots().iter().all(|slot| slot.inside.load(Ordering::Relaxed) == 0));
    }

    /// A value that only a writer may change, in two steps, under more threads than
    /// there are slots, with nested reads.
    #[test]
    fn nobody_reads_while_somebody_writes() {
        const READERS: usize = SLOTS + 8;
        const ROUNDS: u64 = if cfg!(miri) { 3 } else { 300 };
        let _alone = SLOTS_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = BigReaderLock::new();
        let pair = [AtomicU64::new(0), AtomicU64::new(0)];
        let start = Barrier::new(READERS + 2);
        let look = || {
            let _outer = lock.read();
            let first = pair[0].load(Ordering::Relaxed);
            thread::yield_now();
            let _inner = lock.read();
            assert_eq!(pair[1].load(Ordering::Relaxed), first);
        };
        thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| {
                    start.wait();
                    (0..ROUNDS).for_each(|_| look());
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..ROUNDS {
                        lock.write(|| {
                            let next = pair[0].load(Ordering::Relaxed) + 1;
                            pair[0].store(next, Ordering::Relaxed);
                            thread::yield_now();
                            pair[1].store(next, Ordering::Relaxed);
                        });
                        look();
                    }
                });
            }
        });
        assert_eq!(pair.map(AtomicU64::into_inner), [2 * ROUNDS; 2]);
    }

    #[test]
    fn a_panic_releases_the_lock() {
        let lock = BigReaderLock::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lock.write(|| panic!("of a register write"));
        }));
        assert!(panicked.is_err());
        drop(lock.read());
    }
}
