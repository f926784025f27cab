// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A direction of a wire between threads: who puts a frame in goes on at once, a
//! thread of the line hands over what has arrived.

use crate::{direction::Direction, faults::Faults};
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// A line.
#[derive(Debug)]
pub struct Line {
    state: Mutex<State>,
    changed: Condvar,
    /// There is a place again.
    taken: Condvar,
    start: Instant,
}

#[derive(Debug)]
struct State {
    direction: Direction,
    up: bool,
    closed: bool,
}

impl Line {
    /// A line that carries frames from now on.
    pub fn new(faults: Faults, salt: u64) -> Self {
        let direction = Direction::new(faults, salt);
        Self {
            state: Mutex::new(State { direction, up: true, closed: false }),
            changed: Condvar::new(),
            taken: Condvar::new(),
            start: Instant::now(),
        }
    }

    /// A frame goes in. It is lost where the line is down.
    pub fn put(&self, frame: &[u8]) {
        let mut state = self.state.lock();
        if !state.up || state.closed {
            return;
        }
        let now = self.now();
        state.direction.put(now, frame);
        self.changed.notify_one();
    }

    /// A frame goes in as soon as there is a place for it.
    pub fn put_waiting(&self, frame: &[u8]) {
        let mut state = self.state.lock();
        self.taken
            .wait_while(&mut state, |state| state.up && !state.closed && state.direction.is_full());
        drop(state);
        self.put(frame);
    }

    /// Takes the line down, with all that is under way, or up again.
    pub fn set_up(&self, up: bool) {
        let mut state = self.state.lock();
        state.up = up;
        if !up {
            state.direction.cut();
        }
        self.taken.notify_all();
    }

    /// Ends [`run`](Self::run).
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
        self.taken.notify_all();
    }

    /// Frames that got lost.
    pub fn lost(&self) -> u64 {
        self.state.lock().direction.lost()
    }

    /// Gives every frame that arrives to `arrive`, until the line is closed.
    pub fn run(&self, mut arrive: impl FnMut(&[u8])) {
        let mut state = self.state.lock();
        while !state.closed {
            let now = self.now();
            if let Some(frame) = state.direction.take(now) {
                drop(state);
                arrive(&frame);
                state = self.state.lock();
                state.direction.give_back(frame);
                self.taken.notify_one();
                continue;
            }
            match state.direction.next_due() {
                Some(due) => {
                    let due = self.start + Duration::from_nanos(due);
                    let _ = self.changed.wait_until(&mut state, due);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// The same, and what is under way at the end: at once, in order.
    pub fn run_to_the_last(&self, mut arrive: impl FnMut(&[u8])) {
        self.run(&mut arrive);
        let mut state = self.state.lock();
        while let Some(frame) = state.direction.take(u64::MAX) {
            arrive(&frame);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
