// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The thread that lets the data plane go on when something in it is due.

use crate::host::{Clock, Wakeup};
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// What has deadlines.
pub(crate) trait Timed: Send + Sync + 'static {
    /// When something is due, nanoseconds of the board's clock; `None`: nothing
    /// waits.
    fn deadline(&self) -> Option<u64>;

    /// Does what is due.
    fn expire(self: &Arc<Self>);
}

/// No deadline.
const NEVER: u64 = u64::MAX;

/// A thread that sleeps until the next deadline. It is there from the first
/// deadline on and ends with what it serves.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Arc<dyn Clock>,
    wakeup: Arc<Wakeup>,
    /// What the thread sleeps until.
    armed: AtomicU64,
    closed: AtomicBool,
    started: OnceLock<()>,
}

impl Timer {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            wakeup: Arc::default(),
            armed: AtomicU64::new(NEVER),
            closed: AtomicBool::new(false),
            started: OnceLock::new(),
        })
    }

    /// To be called when `timed` may have got an earlier deadline.
    pub fn arm<T: Timed>(self: &Arc<Self>, timed: &Arc<T>) {
        let Some(deadline) = timed.deadline() else { return };
        self.started.get_or_init(|| self.start(Arc::downgrade(timed)));
        // The thread stores NEVER before it asks for the deadline: either it sees
        // this one, or its store is seen here and it is woken.
        if deadline < self.armed.load(Ordering::SeqCst) {
            self.wakeup.signal();
        }
    }

    /// Ends the thread.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wakeup.signal();
    }

    fn start<T: Timed>(self: &Arc<Self>, timed: Weak<T>) {
        let timer = self.clone();
        let run = move || timer.run(&timed);
        if let Err(error) = thread::Builder::new().name("data-plane-timer".into()).spawn(run) {
            tracing::error!(%error, "no thread for timers: hold-off times do not end, and frames that pile up are not sent");
        }
    }

    fn run<T: Timed>(&self, timed: &Weak<T>) {
        while !self.closed.load(Ordering::SeqCst) {
            self.armed.store(NEVER, Ordering::SeqCst);
            let deadline = {
                let Some(timed) = timed.upgrade() else { return };
                match timed.deadline() {
                    Some(deadline) if deadline <= self.clock.now() => {
                        timed.expire();
                        continue;
                    }
                    deadline => deadline,
                }
            };
            self.armed.store(deadline.unwrap_or(NEVER), Ordering::SeqCst);
            self.clock.wait(&self.wakeup, deadline);
        }
    }
}
