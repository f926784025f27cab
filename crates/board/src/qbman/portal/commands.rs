// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands that software puts into the enqueue and release rings.

use super::{Memory, Portal, count};
use crate::{
    fabric::Pass,
    qbman::{Qbman, kicks::Kicks, order::Waiting},
};
use qbman_abi::{
    Completion, EnqueueCommand, EnqueueResponse, Entry, Fd, Rejection, ReleaseCommand, Rings,
    Target, interrupts,
};
use std::{
    slice,
    sync::atomic::{Ordering, fence},
};

/// What commands work on.
pub(super) struct Side<'a> {
    pub qbman: &'a Qbman,
    pub portal: &'a Portal,
    pub memory: Memory<'a>,
    pub icid: Option<u16>,
    pub pass: &'a mut Pass,
}

impl Side<'_> {
    /// Entries of the enqueue ring, in their order: one lock for plain ones with the same
    /// target.
    pub fn enqueue_all(&mut self, entries: &[u8]) -> Kicks {
        let mut kicks = Kicks::NONE;
        let mut run = Run::default();
        for entry in entries.chunks_exact(size_of::<Entry>()).filter_map(<[u8]>::first_chunk) {
            let command = EnqueueCommand::from_bytes(entry);
            if self.icid.is_none() || !command.is_plain() {
                kicks |= self.enqueue_run(&mut run);
                kicks |= self.execute(&command);
            } else if !run.add(&command) {
                kicks |= self.enqueue_run(&mut run);
                run.add(&command);
            }
        }
        kicks |= self.enqueue_run(&mut run);
        kicks
    }

    /// An entry of the enqueue ring.
    pub fn enqueue(&mut self, entry: &Entry) -> Kicks {
        self.execute(&EnqueueCommand::from_bytes(entry))
    }

    fn enqueue_run(&mut self, run: &mut Run) -> Kicks {
        let fds = run.fds.get(..run.count).unwrap_or_default();
        run.count = 0;
        let Some(icid) = self.icid.filter(|_| !fds.is_empty()) else { return Kicks::NONE };
        let mut refused = 0u64;
        let note = &mut |place: usize, _| refused |= 1 << place;
        let (queue, mut kicks) = self.qbman.enqueue_for(icid, run.target, fds, self.pass, note);
        if refused != 0 {
            for (_, fd) in fds.iter().enumerate().filter(|(place, _)| refused >> place & 1 != 0) {
                count(&self.portal.counters.rejected, 1);
                kicks |= self.reject(icid, queue, fd);
            }
        }
        kicks
    }

    fn execute(&mut self, command: &EnqueueCommand) -> Kicks {
        let mut kicks = Kicks::NONE;
        if command.completion() == Completion::Reserved || self.icid.is_none() {
            count(&self.portal.counters.refused, 1);
        }
        if let Some(icid) = self.icid {
            kicks |= self.dispatch(icid, command);
        }
        // The order of frames is kept: the queue is let go after they are in
        // the next one.
        if let Some((index, park)) = command.consumes() {
            kicks |= self.consume(index, park);
        }
        if command.interrupt() {
            self.interrupt(interrupts::EQDI);
        }
        kicks
    }

    fn dispatch(&mut self, icid: u16, command: &EnqueueCommand) -> Kicks {
        if command.completion() == Completion::Reserved {
            return Kicks::NONE;
        }
        let frame = Waiting { command: *command, icid, portal: self.portal.number };
        if command.ordered() {
            return self.in_order(&frame);
        }
        match command.completion() {
            Completion::NoFrame => {
                count(&self.portal.counters.refused, 1);
                Kicks::NONE
            }
            _ => self.enqueue_now(&frame),
        }
    }

    /// A command that goes through order restoration: frames whose turn it is
    /// are enqueued under the lock of the record, so that nobody overtakes.
    fn in_order(&mut self, frame: &Waiting) -> Kicks {
        let command = &frame.command;
        let mut kicks = Kicks::NONE;
        let qbman = self.qbman;
        let record =
            qbman.records.get(usize::from(command.record)).map(|(record, _)| record.lock());
        let own = record.filter(|r| r.config().is_some_and(|config| config.icid == frame.icid));
        let number = command.sequence();
        let outcome = match own {
            None => Err(Rejection::Error),
            Some(mut record) => {
                let out = &mut |frame: &Waiting| kicks |= self.enqueue_now(frame);
                match command.completion() {
                    Completion::NoFrame if command.sets_next() => record.set_next(number, out),
                    Completion::NoFrame => record.hole(number, out),
                    _ => record.frame(number, command.more_fragments(), frame, out),
                }
            }
        };
        match outcome {
            Ok(()) => {}
            Err(_) if command.completion() == Completion::NoFrame => {
                count(&self.portal.counters.refused, 1);
            }
            Err(rejection) => {
                let queue = match command.target() {
                    Target::Queue(queue) => queue,
                    Target::Destination { .. } => 0,
                };
                kicks |= self.rejected(frame, rejection, queue);
            }
        }
        kicks
    }

    fn enqueue_now(&mut self, frame: &Waiting) -> Kicks {
        let Waiting { command, icid, .. } = frame;
        let (target, fds) = (command.target(), slice::from_ref(&command.fd));
        let mut outcome = Ok(());
        let note = &mut |_, rejection| outcome = Err(rejection);
        let (queue, kicks) = self.qbman.enqueue_for(*icid, target, fds, self.pass, note);
        match outcome {
            Ok(()) => {
                if command.completion() == Completion::Respond {
                    let code = EnqueueResponse::ACCEPTED;
                    self.respond(*icid, &EnqueueResponse { command: *command, code, queue });
                }
                kicks
            }
            Err(rejection) => self.rejected(frame, rejection, queue),
        }
    }

    fn rejected(&mut self, frame: &Waiting, rejection: Rejection, queue: u32) -> Kicks {
        let Waiting { command, icid, portal } = *frame;
        if let Some(portal) = self.qbman.portals.get(portal as usize) {
            count(&portal.counters.rejected, 1);
        }
        if command.completion() == Completion::Respond {
            self.respond(icid, &EnqueueResponse { command, code: rejection.code(), queue });
            return Kicks::NONE;
        }
        self.reject(icid, queue, &command.fd)
    }

    /// The response's token, by which software knows it is there, goes last.
    fn respond(&mut self, icid: u16, response: &EnqueueResponse) {
        let bytes = response.to_bytes();
        let (at, token) = (response.command.response, EnqueueResponse::TOKEN);
        let dma = &self.qbman.shared.dma;
        let written = dma
            .write(icid, at, &bytes[..16])
            .and_then(|()| dma.write(icid, at.wrapping_add(24), &bytes[24..]))
            .and_then(|()| {
                fence(Ordering::Release);
                dma.write(icid, at.wrapping_add(16), &bytes[16..=token])
            });
        if let Err(fault) = written {
            count(&self.portal.counters.faults, 1);
            tracing::debug!(portal = self.portal.number, at, %fault, "enqueue response lost");
        }
    }

    /// A rejected frame goes where its queue wants such frames, once.
    fn reject(&mut self, icid: u16, queue: u32, fd: &Fd) -> Kicks {
        let rejects = self.qbman.queues.get(queue as usize).and_then(|queue| {
            let queue = queue.lock();
            let config = queue.config().filter(|config| config.icid == icid);
            config.and_then(|config| config.rejects)
        });
        let taken = rejects.and_then(|number| {
            let mut queue = self.qbman.queues.get(number as usize)?.lock();
            let mut taken = true;
            let wake = self.qbman.push(&mut queue, number, [*fd], &mut |_, _| taken = false);
            taken.then_some(wake)
        });
        match taken {
            Some(wake) => self.qbman.wake(wake, self.pass),
            None => {
                count(&self.portal.counters.lost, 1);
                Kicks::NONE
            }
        }
    }

    /// An entry of the release ring.
    pub fn release(&mut self, entry: &Entry) -> Kicks {
        let command = ReleaseCommand::from_bytes(entry);
        let place = command.and_then(|command| self.qbman.pools.get(usize::from(command.pool)));
        let (Some(command), Some(pool)) = (command, place) else {
            count(&self.portal.counters.refused, 1);
            return Kicks::NONE;
        };
        {
            let mut pool = pool.lock();
            if pool.config().is_some_and(|config| Some(config.icid) == self.icid) {
                let number = command.pool.into();
                let taken = pool.release(number, command.buffers(), &self.qbman.shared);
                count(&self.portal.counters.lost_buffers, command.buffers().len() - taken);
            } else {
                count(&self.portal.counters.refused, 1);
                count(&self.portal.counters.lost_buffers, command.buffers().len());
            }
        }
        if command.interrupt {
            self.interrupt(interrupts::RCDI);
        }
        Kicks::NONE
    }

    /// Consumes an entry of the dequeue ring.
    pub fn consume(&mut self, index: u8, park: bool) -> Kicks {
        let (qbman, portal) = (self.qbman, self.portal);
        let mut side = portal.producer_side(qbman, self.pass);
        portal.producer.lock().consume(index.into(), park, &mut side)
    }

    /// Something happened that the interrupt status tells.
    pub fn interrupt(&mut self, bits: u32) {
        let mut side = self.portal.producer_side(self.qbman, self.pass);
        self.portal.producer.lock().set_status(bits, &mut side);
    }
}

/// Entries of the largest enqueue ring.
const MOST: usize = Rings::MEMORY_BACKED.eqcr_entries as usize;

/// Frames of plain commands with the same target.
struct Run {
    target: Target,
    fds: [Fd; MOST],
    count: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self { target: Target::Queue(0), fds: [Fd::default(); MOST], count: 0 }
    }
}

impl Run {
    /// Adds a plain command's frame; `false` where it does not belong to the others.
    fn add(&mut self, command: &EnqueueCommand) -> bool {
        let target = command.target();
        if self.count > 0 && target != self.target {
            return false;
        }
        let Some(place) = self.fds.get_mut(self.count) else { return false };
        *place = command.fd;
        self.target = target;
        self.count += 1;
        true
    }
}
