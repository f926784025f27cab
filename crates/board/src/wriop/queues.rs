// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the interfaces need of the queue and buffer manager.

use crate::fabric::Pass;
use qbman_abi::Fd;

/// Frame queues and buffer pools.
pub trait Queues {
    /// Appends a frame to a queue; `false` where the queue does not take it.
    fn enqueue(&self, fqid: u32, fd: &Fd, pass: &mut Pass) -> bool;

    /// Takes the oldest frame out of a queue.
    fn dequeue(&self, fqid: u32) -> Option<Fd>;

    /// Takes buffers from a pool of an isolation id; how many there were.
    fn acquire(&self, icid: u16, bpid: u16, buffers: &mut [u64]) -> usize;

    /// Puts buffers into a pool of an isolation id. Into a pool of another one
    /// nothing goes.
    fn release(&self, icid: u16, bpid: u16, buffers: &[u64], pass: &mut Pass);
}
