// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Volatile dequeues: frames that software asks for.
//!
//! The frames of one command are all of one queue, since Linux takes them to be
//! (`dpaa2-eth.c`, `dpaa2_eth_consume_frames`). The last entry says that it is
//! the last; where there is no frame, an entry without one says that.

use super::{Portal, commands, count, producer};
use crate::{
    fabric::Pass,
    qbman::{Qbman, flow::Dequeue, kicks::Kicks},
};
use qbman_abi::{DequeueEntry, Entry, Rings, Source, Status, VolatileDequeue, interrupts};

use std::sync::atomic::{Ordering, fence};

/// Entries of one command, and their bytes.
const MOST: usize = 32;
const SIZE: usize = Rings::ENTRY as usize;

/// A volatile dequeue that is answered in the dequeue ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Volatile {
    command: VolatileDequeue,
    icid: u16,
    left: usize,
    /// The queue that has given frames so far.
    queue: Option<u32>,
}

/// An entry, and whether it is the last.
#[derive(Debug)]
pub(super) struct Step {
    pub entry: Entry,
    pub last: bool,
}

impl Volatile {
    fn new(command: VolatileDequeue, icid: u16) -> Self {
        Self { command, icid, left: command.count(), queue: None }
    }

    /// The next entry.
    pub fn step(&mut self, side: &mut producer::Side<'_>, kicks: &mut Kicks) -> Step {
        // Frames after the first are of the same queue.
        let source = self.queue.map_or(self.command.source(), Source::Queue);
        let mut found = None;
        let mut taker = Taker { qbman: side.qbman, portal: side.portal, pass: side.pass, kicks };
        taker.take(source, &self.command, self.icid, 1, &mut |entry| found = Some(entry));
        self.left -= 1;
        self.queue = found.map(|entry| entry.queue);
        let entry = found.unwrap_or_else(|| empty(source));
        let last = self.left == 0 || found.is_none() || entry.status.has(Status::QUEUE_EMPTY);
        Step { entry: marked(entry, &self.command, last).to_bytes(), last }
    }
}

impl commands::Side<'_> {
    /// A volatile dequeue command. It is answered at once where the answer goes
    /// to memory, or the ring has room.
    pub fn dequeue(&mut self, command: &VolatileDequeue) -> Kicks {
        let Some(icid) = self.icid else {
            count(&self.portal.counters.refused, 1);
            return Kicks::NONE;
        };
        if command.to_memory() {
            return self.dequeue_to_memory(command, icid);
        }
        let mut side = self.portal.producer_side(self.qbman, self.pass);
        self.portal.producer.lock().dequeue(Volatile::new(*command, icid), &mut side)
    }

    fn dequeue_to_memory(&mut self, command: &VolatileDequeue, icid: u16) -> Kicks {
        let mut kicks = Kicks::NONE;
        let mut bytes = [0; MOST * SIZE];
        let mut frames = 0;
        let mut places = bytes.chunks_exact_mut(SIZE);
        let mut put = |entry: &DequeueEntry, last| {
            if let Some(place) = places.next() {
                place.copy_from_slice(&marked(*entry, command, last).to_bytes());
            }
        };
        // The last entry is marked as such: each waits for the next.
        let mut before = None;
        let (qbman, portal) = (self.qbman, self.portal);
        let mut taker = Taker { qbman, portal, pass: self.pass, kicks: &mut kicks };
        taker.take(command.source(), command, icid, command.count(), &mut |entry| {
            frames += 1;
            if let Some(before) = before.replace(entry) {
                put(&before, false);
            }
        });
        put(&before.unwrap_or_else(|| empty(command.source())), true);
        self.write_entries(icid, command.response, &bytes[..SIZE * frames.max(1)], frames);
        self.interrupt(interrupts::VDCI);
        kicks
    }

    /// Entries in memory: software looks at the first one's token first, so
    /// that goes last, after all else.
    fn write_entries(&mut self, icid: u16, at: u64, bytes: &[u8], frames: usize) {
        let dma = &self.qbman.shared.dma;
        let Some((head, rest)) = bytes.split_at_checked(8) else { return };
        let written = dma.write(icid, at.wrapping_add(8), rest).and_then(|()| {
            fence(Ordering::Release);
            dma.write(icid, at, head)
        });
        if let Err(fault) = written {
            count(&self.portal.counters.faults, 1);
            count(&self.portal.counters.lost, frames);
            tracing::debug!(portal = self.portal.number, at, %fault, "dequeued frames lost");
        }
    }
}

fn marked(entry: DequeueEntry, command: &VolatileDequeue, last: bool) -> DequeueEntry {
    let status = entry.status.with(Status::VOLATILE);
    let status = if last { status.with(Status::EXPIRED) } else { status };
    DequeueEntry { token: command.token, status, ..entry }
}

/// The entry that says that there is nothing.
fn empty(source: Source) -> DequeueEntry {
    match source {
        Source::Queue(queue) => {
            DequeueEntry { queue, status: Status::QUEUE_EMPTY, ..DequeueEntry::default() }
        }
        _ => DequeueEntry::default(),
    }
}

/// Takes frames out of whatever a command names.
struct Taker<'a> {
    qbman: &'a Qbman,
    portal: &'a Portal,
    pass: &'a mut Pass,
    kicks: &'a mut Kicks,
}

impl Taker<'_> {
    /// Takes up to `most` frames of one queue.
    fn take(
        &mut self,
        source: Source,
        command: &VolatileDequeue,
        icid: u16,
        most: usize,
        out: &mut impl FnMut(DequeueEntry),
    ) {
        let (channel, mask) = match source {
            Source::Queue(queue) => return self.take_of_queue(queue, icid, most, out),
            Source::Channel(channel) => (channel, 0xff),
            Source::WorkQueue { channel, queue } => (channel, 1u8 << queue),
            Source::Reserved => {
                count(&self.portal.counters.refused, 1);
                return;
            }
        };
        let place = self.qbman.channels.get(channel as usize);
        let owner = place.and_then(|(channel, _)| channel.lock().config().map(|own| own.icid));
        if owner != Some(icid) {
            count(&self.portal.counters.refused, 1);
            return;
        }
        let keep_place = command.prefers_active();
        let checks_owner = false;
        let dequeue = Dequeue { icid, checks_owner, most, keep_place, pushed: false };
        let mut out = |entry, _| out(entry);
        self.qbman.serve(channel, mask, dequeue, &mut out, self.kicks, self.pass);
    }

    fn take_of_queue(
        &mut self,
        number: u32,
        icid: u16,
        most: usize,
        out: &mut impl FnMut(DequeueEntry),
    ) {
        let place = self.qbman.queues.get(number as usize);
        let queue = place.map(|queue| queue.lock());
        let own = queue.filter(|queue| queue.config().is_some_and(|config| config.icid == icid));
        let Some(mut queue) = own else {
            count(&self.portal.counters.refused, 1);
            return;
        };
        let numbers = |record| self.qbman.next_number(record);
        queue.entries(number, most, &self.qbman.shared, numbers, out);
    }
}
