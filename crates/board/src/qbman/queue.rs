// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One frame queue: frames in the order of their arrival, and when somebody has
//! to be told of them.

use super::{
    budget::{Budget, Store},
    channel::{Link, Work},
    config::{Consumer, QueueConfig, Unit},
};
use crate::fabric::Engine;
use qbman_abi::{
    DequeueEntry, Fd, Rejection, Status,
    management::{self, Schedule},
};

/// Frames that each queue may hold whatever the others do.
const SHARE: usize = 1024;

/// Who is to be told that a queue can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    Nobody,
    Engine(Engine),
    Channel(Link),
}

/// A ticket: the right to serve a queue, as long as its consumer stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub queue: u32,
    generation: u32,
}

/// A frame queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    config: Option<QueueConfig>,
    /// Changes whenever another consumer is set: older tickets are void.
    generation: u32,
    frames: Store<Fd>,
    bytes: u64,
    /// There is a ticket: in a work queue, or in the hand of who serves it.
    linked: bool,
    /// A notification is to be sent for the next frame.
    notify: bool,
    xoff: bool,
    forced: bool,
    /// Entries of a dequeue ring that hold the queue.
    held: u32,
}

impl Queue {
    /// The configuration; `None`: nobody's.
    pub fn config(&self) -> Option<&QueueConfig> {
        self.config.as_ref()
    }

    /// Frames and bytes in the queue.
    pub fn counts(&self) -> (u32, u64) {
        (self.frames.len() as u32, self.bytes)
    }

    /// Gives the queue to somebody, or changes how it is used. Frames stay.
    pub fn configure(&mut self, number: u32, config: QueueConfig) -> Wake {
        let consumer = |config: &QueueConfig| (config.icid, config.consumer);
        if self.config.as_ref().map(consumer) != Some(consumer(&config)) {
            self.forget_consumer();
        }
        self.config = Some(config);
        self.wake(number)
    }

    /// Takes the queue away from its owner: it is as after power-on.
    pub fn clear(&mut self, budget: &Budget) {
        self.frames.clear(budget);
        self.config = None;
        self.bytes = 0;
        self.xoff = false;
        self.forced = false;
        self.forget_consumer();
    }

    fn forget_consumer(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.linked = false;
        self.notify = true;
        self.held = 0;
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// The reason where the queue does not take it.
    pub fn push(&mut self, number: u32, fd: Fd, budget: &Budget) -> Result<Wake, Rejection> {
        let config = self.config.as_ref().ok_or(Rejection::Error)?;
        if let Some(limit) = &config.tail_drop {
            let after = match limit.unit {
                Unit::Frames => self.frames.len() as u64 + 1,
                Unit::Bytes => {
                    let frames = self.frames.len() as i64 + 1;
                    let overhead = i64::from(limit.overhead).saturating_mul(frames);
                    (self.bytes + u64::from(fd.length())).saturating_add_signed(overhead)
                }
            };
            if after > limit.threshold {
                return Err(Rejection::QueueTailDrop);
            }
        }
        if !self.frames.push(fd, SHARE, budget) {
            return Err(Rejection::QueueTailDrop);
        }
        self.bytes += u64::from(fd.length());
        Ok(self.wake(number))
    }

    /// Takes the oldest frame.
    pub fn pop(&mut self) -> Option<Fd> {
        let fd = self.frames.pop_oldest()?;
        self.bytes -= u64::from(fd.length());
        Some(fd)
    }

    /// The entry of a dequeue: the oldest frame, or, of a queue that was forced
    /// eligible and is empty, none.
    pub fn entry(&mut self, number: u32, status: Status) -> Option<DequeueEntry> {
        let frame = self.pop();
        let forced = std::mem::take(&mut self.forced);
        if frame.is_none() && !forced {
            return None;
        }
        let set =
            |status: Status, condition, bits| if condition { status.with(bits) } else { status };
        let status = set(status, frame.is_some(), Status::VALID_FRAME);
        let status = set(status, self.frames.is_empty(), Status::QUEUE_EMPTY);
        let status = set(status, forced, Status::FORCE_ELIGIBLE);
        Some(DequeueEntry {
            status,
            queue: number,
            bytes: self.bytes as u32,
            frames: self.frames.len() as u32,
            context: self.config.as_ref().map_or(0, |config| config.context),
            fd: frame.unwrap_or_default(),
            ..DequeueEntry::default()
        })
    }

    /// Whether a ticket still counts, for who has this isolation id.
    pub fn honours(&self, ticket: Ticket, icid: u16) -> bool {
        self.linked
            && ticket.generation == self.generation
            && self.config.as_ref().is_some_and(|config| config.icid == icid)
    }

    /// Whether a scheduled dequeue gives something.
    pub fn eligible(&self) -> bool {
        !self.xoff && self.held == 0 && (self.forced || !self.frames.is_empty())
    }

    /// The ticket that came with a turn is used up: there is a new one if there
    /// is more to serve.
    pub fn served(&mut self, number: u32) -> Wake {
        self.linked = false;
        self.wake(number)
    }

    /// A notification's ticket: whether it still counts.
    pub fn notified(&self, ticket: Ticket) -> Option<&QueueConfig> {
        self.config.as_ref().filter(|_| ticket.generation == self.generation)
    }

    /// Entries of a dequeue ring hold the queue until they are consumed; the
    /// ticket to let go of it.
    pub fn hold(&mut self, number: u32, entries: u32) -> Ticket {
        self.held += entries;
        self.ticket(number)
    }

    /// An entry that held the queue is consumed.
    pub fn release(&mut self, ticket: Ticket, park: bool) -> Wake {
        if ticket.generation != self.generation || self.held == 0 {
            return Wake::Nobody;
        }
        self.held -= 1;
        self.xoff |= park;
        self.wake(ticket.queue)
    }

    /// Lets dequeues go on.
    pub fn xon(&mut self, number: u32) -> Wake {
        self.xoff = false;
        self.wake(number)
    }

    /// Stops scheduled dequeues.
    pub fn xoff(&mut self) {
        self.xoff = true;
    }

    /// Makes the queue eligible even if it is empty.
    pub fn force(&mut self, number: u32) -> Wake {
        self.forced = true;
        self.wake(number)
    }

    /// Schedules a queue that waits for software after its notification, or
    /// that was parked. `None` where there is nobody to serve it.
    pub fn schedule(&mut self, number: u32) -> Option<Wake> {
        match self.config.as_ref()?.consumer {
            Consumer::Parked => return None,
            Consumer::Notify { .. } => self.notify = true,
            Consumer::Channel { .. } | Consumer::Engine(_) => self.xoff = false,
        }
        Some(self.wake(number))
    }

    /// What a query tells.
    pub fn state(&self) -> management::QueueState {
        let consumer = self.config.as_ref().map(|config| config.consumer);
        let schedule = match consumer {
            None => Schedule::OutOfService,
            Some(Consumer::Parked) => Schedule::Parked,
            Some(Consumer::Notify { .. }) if !self.notify => Schedule::Parked,
            Some(_) if self.held > 0 => Schedule::Active,
            Some(_) if self.linked => Schedule::Scheduled,
            Some(_) => Schedule::Tentative,
        };
        management::QueueState {
            schedule,
            forced: self.forced,
            xoff: self.xoff,
            frames: self.frames.len() as u32,
            bytes: self.bytes as u32,
        }
    }

    /// Whom to tell, once for each time that there is something new.
    fn wake(&mut self, number: u32) -> Wake {
        if !self.eligible() {
            return Wake::Nobody;
        }
        match self.config.as_ref().map(|config| config.consumer) {
            Some(Consumer::Engine(engine)) => Wake::Engine(engine),
            Some(Consumer::Channel { channel, priority }) if !self.linked => {
                self.linked = true;
                Wake::Channel(Link { channel, priority, work: Work::Queue(self.ticket(number)) })
            }
            Some(Consumer::Notify { channel, priority }) if self.notify => {
                self.notify = false;
                Wake::Channel(Link { channel, priority, work: Work::Data(self.ticket(number)) })
            }
            _ => Wake::Nobody,
        }
    }

    fn ticket(&self, queue: u32) -> Ticket {
        Ticket { queue, generation: self.generation }
    }
}
