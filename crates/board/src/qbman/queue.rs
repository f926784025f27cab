// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One frame queue: frames in the order of their arrival, and when somebody has
//! to be notified of them.

use super::{
    budget::Store,
    channel::{Link, Work},
    config::{Consumer, QueueConfig, TailDrop, Unit},
    shared::Shared,
};
use crate::fabric::Engine;
use qbman_abi::{
    DequeueEntry, Fd, Rejection, Status,
    management::{self, GroupThreshold, QueueFields, Schedule},
};

/// Frames that each queue may hold whatever the others do.
const SHARE: usize = 1024;

/// Who is to be notified that a queue can be served.
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
    /// There is a notification in a work queue: it tells of what comes meanwhile, too.
    told: bool,
    xoff: bool,
    /// Its portal has parked it: it waits to be scheduled.
    parked: bool,
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

    /// Gives the queue to somebody, or changes how it is used. Frames stay where the owner
    /// does; they are gone where it is another one, in whose memory their addresses mean
    /// something else.
    pub fn configure(&mut self, number: u32, config: QueueConfig, shared: &Shared) -> Wake {
        if self.config.as_ref().is_some_and(|before| before.icid != config.icid) {
            self.clear(shared);
        }
        let consumer = |config: &QueueConfig| (config.icid, config.consumer);
        if self.config.as_ref().map(consumer) != Some(consumer(&config)) {
            self.forget_consumer();
        }
        if self.group() != config.congestion_group {
            shared.leave(self.group(), self.frames.len() as u64, self.bytes);
            shared.join(config.congestion_group, self.frames.len() as u64, self.bytes);
        }
        self.config = Some(config);
        self.wake(number)
    }

    /// Takes the queue away from its owner: it is as after power-on.
    pub fn clear(&mut self, shared: &Shared) {
        shared.leave(self.group(), self.frames.len() as u64, self.bytes);
        self.frames.clear(&shared.budget);
        self.config = None;
        self.bytes = 0;
        self.xoff = false;
        self.forced = false;
        self.forget_consumer();
    }

    fn group(&self) -> Option<u32> {
        self.config.as_ref()?.congestion_group
    }

    fn forget_consumer(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.linked = false;
        self.notify = true;
        self.told = false;
        self.parked = false;
        self.held = 0;
    }

    /// Appends frames, in their order. Calls `refused` with the place of each that the
    /// queue does not take, and the reason.
    pub fn push(
        &mut self,
        number: u32,
        fds: impl IntoIterator<Item = Fd>,
        shared: &Shared,
        refused: &mut impl FnMut(usize, Rejection),
    ) -> Wake {
        let config = self.config.as_ref();
        let limits = config.map(|config| (config.tail_drop, config.congestion_group));
        for (place, fd) in fds.into_iter().enumerate() {
            let taken = match limits {
                Some((tail_drop, group)) => self.add(fd, tail_drop.as_ref(), group, shared),
                None => Err(Rejection::Error),
            };
            if let Err(rejection) = taken {
                refused(place, rejection);
            }
        }
        self.wake(number)
    }

    #[inline]
    fn add(
        &mut self,
        fd: Fd,
        tail_drop: Option<&TailDrop>,
        group: Option<u32>,
        shared: &Shared,
    ) -> Result<(), Rejection> {
        let length = u64::from(fd.length());
        if let Some(limit) = tail_drop {
            let after = match limit.unit {
                Unit::Frames => self.frames.len() as u64 + 1,
                Unit::Bytes => {
                    let frames = self.frames.len() as i64 + 1;
                    let overhead = i64::from(limit.overhead).saturating_mul(frames);
                    (self.bytes + length).saturating_add_signed(overhead)
                }
            };
            if after > limit.threshold {
                return Err(Rejection::QueueTailDrop);
            }
        }
        if group.is_some() {
            shared.admit(group, &fd)?;
        }
        if !self.frames.push(fd, SHARE, &shared.budget) {
            shared.leave(group, 1, length);
            return Err(Rejection::QueueTailDrop);
        }
        self.bytes += length;
        Ok(())
    }

    /// Takes the oldest frames, as many as `out` has places for; how many there were.
    pub fn pop(&mut self, out: &mut [Fd], shared: &Shared) -> usize {
        let before = self.bytes;
        let mut taken = 0;
        for place in out {
            let Some(fd) = self.take_oldest() else { break };
            *place = fd;
            taken += 1;
        }
        shared.leave(self.group(), taken as u64, before - self.bytes);
        taken
    }

    /// Takes the oldest frames, up to so many, as entries of a dequeue; how many
    /// entries there are. A queue that was forced eligible and is empty gives an
    /// entry without a frame. `numbers`: where the numbers of the queue's order
    /// come from.
    pub fn entries(
        &mut self,
        number: u32,
        most: usize,
        shared: &Shared,
        numbers: impl Fn(u32) -> Option<u16>,
        out: &mut impl FnMut(DequeueEntry),
    ) -> usize {
        let (group, before) = (self.group(), self.bytes);
        let order = self.config.as_ref().and_then(|config| config.order);
        let context = self.config.as_ref().map_or(0, |config| config.context);
        let (mut entries, mut frames) = (0, 0);
        while entries < most {
            let frame = self.take_oldest();
            let forced = std::mem::take(&mut self.forced);
            let mut entry = DequeueEntry {
                queue: number,
                bytes: self.bytes as u32,
                frames: self.frames.len() as u32,
                context,
                ..DequeueEntry::default()
            };
            match frame {
                Some(frame) => {
                    entry.fd = frame;
                    entry.status = entry.status.with(Status::VALID_FRAME);
                    frames += 1;
                }
                None if forced => {}
                None => break,
            }
            if self.frames.is_empty() {
                entry.status = entry.status.with(Status::QUEUE_EMPTY);
            }
            if forced {
                entry.status = entry.status.with(Status::FORCE_ELIGIBLE);
            }
            if let Some((record, sequence)) =
                order.and_then(|record| Some((record, numbers(record)?)))
            {
                entry.status = entry.status.with(Status::ORDERED);
                (entry.record, entry.sequence) = (record as u16, sequence);
            }
            out(entry);
            entries += 1;
        }
        shared.leave(group, frames, before - self.bytes);
        entries
    }

    fn take_oldest(&mut self) -> Option<Fd> {
        let fd = self.frames.pop_oldest()?;
        self.bytes -= u64::from(fd.length());
        Some(fd)
    }

    /// Whether a ticket still counts, for who has this isolation id.
    pub fn honours(&self, ticket: Ticket, icid: u16) -> bool {
        self.linked
            && ticket.generation == self.generation
            && self.config.as_ref().is_some_and(|config| config.icid == icid)
    }

    /// Whether a scheduled dequeue gives something.
    pub fn eligible(&self) -> bool {
        !self.xoff && !self.parked && self.held == 0 && (self.forced || !self.frames.is_empty())
    }

    /// The ticket that came with a dequeue is used up: there is a new one if there
    /// is more to serve.
    pub fn served(&mut self, number: u32) -> Wake {
        self.linked = false;
        self.wake(number)
    }

    /// A notification's ticket: whether it still counts.
    pub fn notified(&self, ticket: Ticket) -> Option<&QueueConfig> {
        self.config.as_ref().filter(|_| ticket.generation == self.generation)
    }

    /// A notification arrives at who has this isolation id: the context that it carries, or
    /// nothing where it does not count any more.
    ///
    /// # Errors
    /// The queue is somebody else's: the next frame is a reason to tell again.
    pub fn arrived(&mut self, ticket: Ticket, icid: u16) -> Option<Result<u64, ()>> {
        let config = self.config.as_ref().filter(|_| ticket.generation == self.generation)?;
        self.told = false;
        if config.icid != icid {
            self.notify = true;
            return Some(Err(()));
        }
        Some(Ok(config.context))
    }

    /// A ticket that is not honoured is thrown away: the next frame makes a new one.
    pub fn lose(&mut self, ticket: Ticket) {
        self.linked &= ticket.generation != self.generation;
    }

    /// Whether a ticket is of the consumer that there is now, whoever that is.
    pub fn is_current(&self, ticket: Ticket) -> bool {
        ticket.generation == self.generation
    }

    /// So many entries of a dequeue ring hold the queue until they are consumed.
    pub fn hold(&mut self, entries: u32) {
        self.held += entries;
    }

    /// An entry that held the queue is consumed.
    pub fn release(&mut self, ticket: Ticket, park: bool) -> Wake {
        if ticket.generation != self.generation || self.held == 0 {
            return Wake::Nobody;
        }
        self.held -= 1;
        self.parked |= park;
        self.wake(ticket.queue)
    }

    /// Lets dequeues go on that were stopped; a parked queue stays parked.
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
    /// that was parked. Stopped dequeues stay stopped: that is a command of its own.
    /// `None` where there is nobody to serve it.
    pub fn schedule(&mut self, number: u32) -> Option<Wake> {
        match self.config.as_ref()?.consumer {
            Consumer::Parked => return None,
            Consumer::Notify { .. } => self.notify = true,
            Consumer::Channel { .. } | Consumer::Engine(_) => self.parked = false,
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
            Some(_) if self.parked => Schedule::Parked,
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

    /// What a query of the programmable fields tells.
    pub fn fields(&self, number: u32) -> Option<QueueFields> {
        let config = self.config.as_ref()?;
        let work_queue = match config.consumer {
            Consumer::Channel { channel, priority } | Consumer::Notify { channel, priority } => {
                (channel as u16) << 3 | u16::from(priority & 7)
            }
            Consumer::Parked | Consumer::Engine(_) => 0,
        };
        let bits = [
            (config.congestion_group.is_some(), QueueFields::IN_GROUP),
            (config.tail_drop.is_some(), QueueFields::TAIL_DROP),
            (config.hold_active, QueueFields::HOLD_ACTIVE),
            (matches!(config.consumer, Consumer::Notify { .. }), QueueFields::NOTIFY),
            (config.order.is_some(), QueueFields::ORDERED),
        ];
        let threshold = config.tail_drop.map_or(0, |limit| limit.threshold);
        Some(QueueFields {
            group: config.congestion_group.unwrap_or(0) as u16,
            work_queue,
            control: bits.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit),
            tail_drop: GroupThreshold::from_value(threshold),
            overhead: config.tail_drop.map_or(0, |limit| limit.overhead as u16),
            context: config.context,
            icid: config.icid,
            number,
            rejects: config.rejects.unwrap_or(0),
            record: config.order.unwrap_or(0) as u16,
        })
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
                if std::mem::replace(&mut self.told, true) {
                    return Wake::Nobody;
                }
                Wake::Channel(Link { channel, priority, work: Work::Data(self.ticket(number)) })
            }
            _ => Wake::Nobody,
        }
    }

    /// The ticket that counts now.
    pub fn ticket(&self, queue: u32) -> Ticket {
        Ticket { queue, generation: self.generation }
    }
}
