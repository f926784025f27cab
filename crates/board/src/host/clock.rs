// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Monotonic time: the host's, or that of a test.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// Monotonic time as the board's clocks and timers see it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Nanoseconds since a fixed instant in the past; never decreases.
    fn now(&self) -> u64;

    /// Blocks until `wakeup` is signalled or the clock shows `deadline`
    /// (nanoseconds; `None`: no deadline). A signal that came before the call
    /// counts; returning consumes it. May return early.
    fn wait(&self, wakeup: &Arc<Wakeup>, deadline: Option<u64>);
}

/// Ends a [`Clock::wait`] early. One thread waits on it at a time.
#[derive(Debug, Default)]
pub struct Wakeup {
    signalled: Mutex<bool>,
    changed: Condvar,
}

impl Wakeup {
    /// Lets the waiting thread go, or the next one that waits.
    pub fn signal(&self) {
        *self.signalled.lock() = true;
        self.changed.notify_one();
    }
}

/// The host's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        // 64 bits of nanoseconds last for 584 years.
        self.start.elapsed().as_nanos() as u64
    }

    fn wait(&self, wakeup: &Arc<Wakeup>, deadline: Option<u64>) {
        let deadline = deadline.map(|deadline| self.start + Duration::from_nanos(deadline));
        let mut signalled = wakeup.signalled.lock();
        while !*signalled {
            match deadline {
                None => wakeup.changed.wait(&mut signalled),
                Some(deadline) => {
                    if wakeup.changed.wait_until(&mut signalled, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        *signalled = false;
    }
}

/// A clock that advances only when it is told to: the clock of tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    state: Mutex<Manual>,
    /// Signalled when a thread falls asleep.
    asleep: Condvar,
}

#[derive(Debug, Default)]
struct Manual {
    now: u64,
    waiters: Vec<Waiter>,
}

/// A thread that waits, or has waited and has not come back since.
#[derive(Debug)]
struct Waiter {
    wakeup: Weak<Wakeup>,
    deadline: Option<u64>,
    asleep: bool,
}

impl Waiter {
    /// Whether the thread waits, and nobody has signalled it.
    fn sleeps(&self) -> bool {
        let signalled = || self.wakeup.upgrade().is_some_and(|wakeup| *wakeup.signalled.lock());
        self.asleep && !signalled()
    }
}

impl ManualClock {
    /// How long a thread may take that has something to do: far longer than any
    /// does on a busy host.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A clock that shows 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances the clock, wakes the threads whose deadline has come, and
    /// returns when they wait on this clock again or are gone: what was due has
    /// been done then.
    ///
    /// # Panics
    /// Where one of them does not come back within a minute.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock();
        state.now = state.now.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
        let now = state.now;
        for waiter in &mut state.waiters {
            if waiter.asleep && waiter.deadline.is_some_and(|deadline| deadline <= now) {
                waiter.asleep = false;
                if let Some(wakeup) = waiter.wakeup.upgrade() {
                    wakeup.signal();
                }
            }
        }
        self.until(state, |waiters| waiters.iter().all(Waiter::sleeps));
    }

    /// Returns when `count` threads wait on this clock.
    ///
    /// # Panics
    /// Where that takes longer than a minute.
    pub fn wait_for_sleepers(&self, count: usize) {
        let sleeping = |waiters: &[Waiter]| waiters.iter().filter(|w| w.sleeps()).count();
        self.until(self.state.lock(), |waiters| sleeping(waiters) == count);
    }

    fn until(&self, mut state: MutexGuard<'_, Manual>, done: impl Fn(&[Waiter]) -> bool) {
        let limit = Instant::now() + Self::PATIENCE;
        loop {
            state.waiters.retain(|waiter| waiter.wakeup.strong_count() > 0);
            if done(&state.waiters) {
                return;
            }
            assert!(Instant::now() < limit, "threads do not return to the clock: {state:?}");
            // A thread that ends does not say so: look now and then.
            self.asleep.wait_for(&mut state, Duration::from_millis(5));
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.state.lock().now
    }

    fn wait(&self, wakeup: &Arc<Wakeup>, deadline: Option<u64>) {
        {
            let mut state = self.state.lock();
            let due = deadline.is_some_and(|deadline| deadline <= state.now);
            let waiter = Waiter { wakeup: Arc::downgrade(wakeup), deadline, asleep: !due };
            state.waiters.retain(|known| !known.wakeup.ptr_eq(&waiter.wakeup));
            state.waiters.push(waiter);
            self.asleep.notify_all();
            if due {
                return;
            }
        }
        let mut signalled = wakeup.signalled.lock();
        while !*signalled {
            wakeup.changed.wait(&mut signalled);
        }
        // The signal stays until the thread no longer counts as asleep.
        drop(signalled);
        let mut state = self.state.lock();
        let own = Arc::downgrade(wakeup);
        if let Some(waiter) = state.waiters.iter_mut().find(|known| known.wakeup.ptr_eq(&own)) {
            waiter.asleep = false;
        }
        *wakeup.signalled.lock() = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
    };

    #[test]
    fn the_system_clock_advances_and_keeps_deadlines() {
        let clock = SystemClock::default();
        let before = clock.now();
        clock.wait(&Arc::default(), Some(before + 2_000_000));
        assert!(clock.now() >= before + 2_000_000);
    }

    #[test]
    fn a_signal_counts_before_and_during_a_wait() {
        let (clock, wakeup) = (Arc::new(SystemClock::default()), Arc::<Wakeup>::default());
        wakeup.signal();
        clock.wait(&wakeup, None);
        let waiter = thread::spawn({
            let (clock, wakeup) = (clock.clone(), wakeup.clone());
            move || clock.wait(&wakeup, None)
        });
        wakeup.signal();
        waiter.join().expect("it returns");
    }

    /// A thread that notes the time whenever it is woken.
    #[test]
    fn a_manual_clock_wakes_whom_it_should_and_waits_for_them() {
        let clock = Arc::new(ManualClock::new());
        let woken = Arc::new(AtomicU64::new(0));
        let wakeup = Arc::<Wakeup>::default();
        let thread = thread::spawn({
            let (clock, woken, wakeup) = (clock.clone(), woken.clone(), wakeup);
            move || {
                for deadline in [10, 20] {
                    clock.wait(&wakeup, Some(deadline));
                    woken.store(clock.now(), Ordering::SeqCst);
                }
            }
        });
        let ns = Duration::from_nanos;
        clock.wait_for_sleepers(1);
        clock.advance(ns(9));
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        clock.advance(ns(1));
        assert_eq!(woken.load(Ordering::SeqCst), 10);
        clock.advance(ns(90));
        assert_eq!(woken.load(Ordering::SeqCst), 100);
        thread.join().expect("it ends");
        clock.wait_for_sleepers(0);
    }
}
