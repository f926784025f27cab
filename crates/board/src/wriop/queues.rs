// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the interfaces need of the queue and buffer manager.

use crate::fabric::Pass;
use qbman_abi::Fd;
use std::slice;

/// Frame queues and buffer pools. What concerns several frames or buffers is done for
/// all of them at once, which costs less.
pub trait Queues {
    /// Appends frames to a queue, in their order. Calls `refused` with the place in `fds`
    /// of each that the queue does not take; it must not call the queues.
    fn enqueue_many(&self, fqid: u32, fds: &[Fd], pass: &mut Pass, refused: &mut impl FnMut(usize));

    /// Takes as many frames out of a queue as `out` has places, or as there are, oldest
    /// first; how many.
    fn dequeue_many(&self, fqid: u32, out: &mut [Fd]) -> usize;

    /// Takes buffers from a pool of an isolation id; how many there were.
    fn acquire(&self, icid: u16, bpid: u16, buffers: &mut [u64]) -> usize;

    /// Puts buffers into a pool of an isolation id. Into a pool of another one
    /// nothing goes.
    fn release(&self, icid: u16, bpid: u16, buffers: &[u64], pass: &mut Pass);

    /// Appends a frame to a queue; `false` where the queue does not take it.
    fn enqueue(&self, fqid: u32, fd: &Fd, pass: &mut Pass) -> bool {
        let mut taken = true;
        self.enqueue_many(fqid, slice::from_ref(fd), pass, &mut |_| taken = false);
        taken
    }

    /// Takes the oldest frame out of a queue.
    fn dequeue(&self, fqid: u32) -> Option<Fd> {
        let mut frame = Fd::default();
        let taken = self.dequeue_many(fqid, slice::from_mut(&mut frame));
        (taken == 1).then_some(frame)
    }
}
