// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The side of the engines: network interfaces and others. Queues they reach as
//! they are configured; buffers are those of the container that they work for.

use super::{Qbman, Rejection};
use crate::{fabric::Pass, wriop::Queues};
use qbman_abi::Fd;
use std::{slice, sync::atomic::Ordering};

impl Qbman {
    /// Appends a frame to a queue.
    ///
    /// # Errors
    /// The reason where the queue does not take it; the frame is the caller's
    /// still.
    pub fn enqueue(&self, fqid: u32, fd: &Fd, pass: &mut Pass) -> Result<(), Rejection> {
        let mut outcome = Ok(());
        self.enqueue_many(fqid, slice::from_ref(fd), pass, &mut |_, reason| outcome = Err(reason));
        outcome
    }

    /// Appends frames to a queue, in their order. Calls `refused` with the place in
    /// `fds` of each that the queue does not take, which is the caller's still, and the
    /// reason; it must not call the queue manager.
    pub fn enqueue_many(
        &self,
        fqid: u32,
        fds: &[Fd],
        pass: &mut Pass,
        refused: &mut impl FnMut(usize, Rejection),
    ) {
        let Some(queue) = self.queues.get(fqid as usize) else {
            return (0..fds.len()).for_each(|place| refused(place, Rejection::Error));
        };
        let wake = {
            let mut queue = queue.lock();
            let flow_context = queue.config().and_then(|config| config.flow_context);
            let fds = fds.iter().map(|fd| Fd { flc: flow_context.unwrap_or(fd.flc), ..*fd });
            self.push(&mut queue, fqid, fds, refused)
        };
        let kicks = self.wake(wake, pass);
        self.settle(kicks, pass);
    }

    /// Takes the oldest frame of a queue.
    pub fn dequeue(&self, fqid: u32) -> Option<Fd> {
        let mut frame = Fd::default();
        let taken = self.dequeue_many(fqid, slice::from_mut(&mut frame));
        (taken == 1).then_some(frame)
    }

    /// Takes as many frames as `out` has places, or as there are, oldest first;
    /// how many.
    pub fn dequeue_many(&self, fqid: u32, out: &mut [Fd]) -> usize {
        let place = fqid as usize;
        let (Some(queue), Some(filled)) = (self.queues.get(place), self.filled.get(place)) else {
            return 0;
        };
        // Who appends a frame tells so under the queue's lock, before he wakes an engine.
        if !filled.load(Ordering::Acquire) {
            return 0;
        }
        let mut queue = queue.lock();
        let taken = queue.pop(out, &self.shared);
        if queue.counts().0 == 0 {
            filled.store(false, Ordering::Relaxed);
        }
        drop(queue);
        if self.shared.waiting() {
            // Whoever has a pass next delivers what the group has to tell.
            self.note_deadline(0);
        }
        taken
    }

    /// Takes as many buffers of a container's pool as `out` has places, or as
    /// there are; how many.
    pub fn acquire(&self, icid: u16, bpid: u32, out: &mut [u64]) -> usize {
        let Some(pool) = self.pools.get(bpid as usize) else { return 0 };
        let mut pool = pool.lock();
        match pool.config() {
            Some(config) if config.icid == icid => pool.acquire(bpid, out, &self.shared),
            _ => 0,
        }
    }

    /// Puts buffers into a container's pool; how many it took. It takes none
    /// where it is somebody else's, and fewer where memory is short: they are
    /// lost.
    pub fn release(&self, icid: u16, bpid: u32, buffers: &[u64], _pass: &mut Pass) -> usize {
        let Some(pool) = self.pools.get(bpid as usize) else { return 0 };
        let mut pool = pool.lock();
        match pool.config() {
            Some(config) if config.icid == icid => pool.release(bpid, buffers, &self.shared),
            _ => 0,
        }
    }
}

/// What network interfaces need.
impl Queues for Qbman {
    fn enqueue_many(
        &self,
        fqid: u32,
        fds: &[Fd],
        pass: &mut Pass,
        refused: &mut impl FnMut(usize),
    ) {
        Qbman::enqueue_many(self, fqid, fds, pass, &mut |place, _| refused(place));
    }

    fn dequeue_many(&self, fqid: u32, out: &mut [Fd]) -> usize {
        Qbman::dequeue_many(self, fqid, out)
    }

    fn acquire(&self, icid: u16, bpid: u16, buffers: &mut [u64]) -> usize {
        Qbman::acquire(self, icid, bpid.into(), buffers)
    }

    fn release(&self, icid: u16, bpid: u16, buffers: &[u64], pass: &mut Pass) {
        Qbman::release(self, icid, bpid.into(), buffers, pass);
    }
}
