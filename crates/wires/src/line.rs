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

    /// Takes the line down, with all that is under way, or up again.
    pub fn set_up(&self, up: bool) {
        let mut state = self.state.lock();
        state.up = up;
        if !up {
            state.direction.cut();
        }
    }

    /// Ends [`run`](Self::run).
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
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

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
