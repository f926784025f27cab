// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Lets transactions pass beside each other, and register writes alone.
//!
//! A lock whose readers share nothing: a transaction writes to a place of its own
//! thread and looks whether the gate is closed; who closes it waits until all of
//! those places are empty. That is one fence for a transaction where a lock has two
//! contended read-modify-writes, and nothing at all for a transaction inside
//! another.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::{hint, thread};

use parking_lot::{Mutex, ReentrantMutex, ReentrantMutexGuard};

/// Threads with a place of their own; the others take turns.
const PLACES: usize = 64;

/// What a thread has to itself. The alignment keeps it off other threads' cache
/// lines, of which processors fetch two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Place {
    /// Transactions of the thread that are under way, one inside the other.
    inside: AtomicU32,
    /// Counted here since no other thread does.
    pub(super) hits: AtomicU64,
    pub(super) bypasses: AtomicU64,
}

/// The gate.
pub(super) struct Gate {
    places: Box<[Place]>,
    closed: AtomicBool,
    /// Held by who closes the gate, and by a transaction whose thread has no
    /// place.
    turn: ReentrantMutex<()>,
}

/// A transaction under way.
pub(super) struct Pass<'a> {
    place: Result<&'a Place, ReentrantMutexGuard<'a, ()>>,
    /// The place is the thread's: a pass cannot go to another.
    here: PhantomData<*const ()>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            places: (0..PLACES).map(|_| Place::default()).collect(),
            closed: AtomicBool::new(false),
            turn: ReentrantMutex::new(()),
        }
    }

    /// All places, also those of threads that have ended.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Lets a transaction through, when the gate is open.
    #[inline]
    pub(super) fn pass(&self) -> Pass<'_> {
        let Some(place) = self.own_place() else { return self.pass_in_turn() };
        loop {
            let inside = place.inside.load(Ordering::Relaxed);
            place.inside.store(inside + 1, Ordering::Relaxed);
            if inside > 0 {
                break;
            }
            // Either this sees that the gate is closed, or who closes it sees that
            // the place is taken: both write, pass a fence, and read.
            fence(Ordering::SeqCst);
            // Acquire: what the last closing changed is seen.
            if !self.closed.load(Ordering::Acquire) {
                break;
            }
            place.inside.store(0, Ordering::Relaxed);
            drop(self.turn.lock());
        }
        Pass { place: Ok(place), here: PhantomData }
    }

    #[cold]
    fn pass_in_turn(&self) -> Pass<'_> {
        Pass { place: Err(self.turn.lock()), here: PhantomData }
    }

    /// Does `work` while no transaction is under way but those of this thread.
    pub(super) fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        let _turn = self.turn.lock();
        // Also on a panic of `work`, or all others would wait for ever.
        struct Open<'a>(&'a AtomicBool);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        let _open = Open(&self.closed);
        self.closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let own = own_number();
        for (number, place) in self.places.iter().enumerate() {
            if Some(number) != own {
                place.wait_until_empty();
            }
        }
        work()
    }

    #[inline]
    fn own_place(&self) -> Option<&Place> {
        own_number().and_then(|number| self.places.get(number))
    }
}

impl Place {
    fn wait_until_empty(&self) {
        // A transaction is short, unless its thread is not running.
        let mut patience = 100;
        // Acquire: all that the transaction did comes before what follows.
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

impl Pass<'_> {
    /// The thread's place, if it has one.
    #[inline]
    pub(super) fn place(&self) -> Option<&Place> {
        self.place.as_ref().ok().copied()
    }

    /// Whether this is part of another transaction of the thread, as far as is
    /// known.
    #[inline]
    pub(super) fn is_inner(&self) -> bool {
        self.place().is_some_and(|place| place.inside.load(Ordering::Relaxed) > 1)
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

impl Drop for Pass<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Ok(place) = self.place {
            let inside = place.inside.load(Ordering::Relaxed);
            // Release: the transaction is over before the place is empty.
            place.inside.store(inside.saturating_sub(1), Ordering::Release);
        }
    }
}

/// Numbers of threads that are alive, from 0 on.
#[derive(Debug)]
struct Numbers {
    next: usize,
    free: Vec<usize>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, free: Vec::new() });

/// The number of a thread until it ends.
struct Number(usize);

impl Number {
    fn take() -> Self {
        let mut numbers = NUMBERS.lock();
        Self(numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        }))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        NUMBERS.lock().free.push(self.0);
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

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("closed", &self.closed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn places_are_empty_after_all() {
        let gate = Gate::new();
        let outer = gate.pass();
        assert!(!outer.is_inner());
        {
            let inner = gate.pass();
            assert!(inner.is_inner());
            // Its own transactions hold nobody up.
            gate.alone(|| ());
        }
        assert!(!outer.is_inner());
        drop(outer);
        assert!(gate.places().iter().all(|place| place.inside.load(Ordering::Relaxed) == 0));
    }

    /// A value that only who is alone may change, in two steps, under more threads
    /// than there are places, with transactions inside transactions.
    #[test]
    fn nobody_passes_while_somebody_is_alone() {
        const PASSING: usize = PLACES + 8;
        const ROUNDS: u64 = if cfg!(miri) { 3 } else { 300 };
        let gate = Gate::new();
        let pair = [AtomicU64::new(0), AtomicU64::new(0)];
        let start = Barrier::new(PASSING + 2);
        let look = || {
            let _outer = gate.pass();
            let first = pair[0].load(Ordering::Relaxed);
            thread::yield_now();
            let _inner = gate.pass();
            assert_eq!(pair[1].load(Ordering::Relaxed), first);
        };
        thread::scope(|scope| {
            for _ in 0..PASSING {
                scope.spawn(|| {
                    start.wait();
                    (0..ROUNDS).for_each(|_| look());
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..ROUNDS {
                        gate.alone(|| {
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
    fn a_panic_opens_the_gate_again() {
        let gate = Gate::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            gate.alone(|| panic!("of a register write"));
        }));
        assert!(panicked.is_err());
        drop(gate.pass());
    }
}
