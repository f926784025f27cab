// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Management commands of a portal and their answers.
//!
//! Layouts: Linux `drivers/soc/fsl/dpio/qbman-portal.c`, DPDK
//! `drivers/bus/fslmc/qbman/qbman_portal.c` and `include/fsl_qbman_debug.h`;
//! where neither has a command, NXP's library that both come from
//! (`fsl_qbman_portal`).

mod channel;
mod group;
mod pool;
mod queue;
mod threshold;

pub use channel::{ChannelNotification, ChannelState};
pub use group::{EarlyDrop, GroupCounts, GroupFields, GroupWrite};
pub use pool::PoolState;
pub use queue::{QueueFields, QueueState, Schedule};
pub use threshold::{GroupThreshold, PoolThreshold};

use crate::fields::{Entry, get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};

/// Verbs, without the valid bit.
pub mod verbs {
    /// Acquire buffers from a pool.
    pub const ACQUIRE: u8 = 0x30;
    /// Query a buffer pool.
    pub const POOL_QUERY: u8 = 0x32;
    /// Query a frame queue's programmable fields.
    pub const QUEUE_QUERY: u8 = 0x44;
    /// Query a frame queue's other fields.
    pub const QUEUE_STATE_QUERY: u8 = 0x45;
    /// Set up a channel's data notification.
    pub const CHANNEL_CONFIGURE: u8 = 0x46;
    /// Query a channel and its work queues.
    pub const CHANNEL_QUERY: u8 = 0x47;
    /// Schedule a frame queue.
    pub const QUEUE_SCHEDULE: u8 = 0x48;
    /// Make a frame queue eligible even if it is empty.
    pub const QUEUE_FORCE: u8 = 0x49;
    /// Let a frame queue be dequeued from again.
    pub const QUEUE_XON: u8 = 0x4d;
    /// Stop scheduled dequeues from a frame queue.
    pub const QUEUE_XOFF: u8 = 0x4e;
    /// Set up a congestion group.
    pub const GROUP_CONFIGURE: u8 = 0x50;
    /// Query a congestion group.
    pub const GROUP_QUERY: u8 = 0x51;
    /// Set up a congestion group's early drop (WRED).
    pub const EARLY_DROP_CONFIGURE: u8 = 0x53;
    /// Query a congestion group's early drop.
    pub const EARLY_DROP_QUERY: u8 = 0x54;
    /// Query what a congestion group has rejected.
    pub const GROUP_COUNTS_QUERY: u8 = 0x55;
    /// The same, and start over.
    pub const GROUP_COUNTS_QUERY_CLEAR: u8 = 0x56;
}

/// Results. Clients of DPAA2 tell only OK from anything else; the other values
/// are those of the predecessor, DPAA (Linux `include/soc/fsl/qman.h`,
/// `QM_MCR_RESULT_*`).
pub mod results {
    /// Done.
    pub const OK: u8 = 0xf0;
    /// There is no such queue, pool, group or channel for this portal.
    pub const BAD_ID: u8 = 0xf1;
    /// The queue is not in a state for that.
    pub const BAD_STATE: u8 = 0xf2;
    /// There is no such channel for this portal.
    pub const BAD_CHANNEL: u8 = 0xf4;
    /// There is no such command, or a field of it is out of range.
    pub const BAD_COMMAND: u8 = 0xff;
}

/// An answer: the command's verb and a result.
pub fn answer(verb: u8, result: u8) -> Entry {
    let mut entry = [0; 64];
    entry[0] = verb & 0x7f;
    entry[1] = result;
    entry
}

/// The pool, group or channel that most commands name.
pub fn id(command: &Entry) -> u16 {
    get_u16(command, 2)
}

/// The frame queue that commands on queues name, 24 bits.
pub fn queue(command: &Entry) -> u32 {
    get_u32(command, 4) & 0x00ff_ffff
}

/// How many buffers an acquire command asks for.
pub fn acquire_count(command: &Entry) -> u8 {
    command[4]
}

/// The answer to an acquire command with these buffers, at most seven.
pub fn acquired(verb: u8, buffers: &[u64]) -> Entry {
    let mut entry = answer(verb, results::OK);
    let buffers = &buffers[..buffers.len().min(7)];
    entry[4] = buffers.len() as u8;
    for (n, buffer) in buffers.iter().enumerate() {
        put_u64(&mut entry, 8 + 8 * n, *buffer);
    }
    entry
}

/// Most buffers that one command acquires.
pub const MOST_ACQUIRED: usize = 7;

/// The command that acquires `count` buffers, 1 to 7, from a pool, without a valid bit.
pub fn acquire(pool: u16, count: u8) -> Entry {
    let mut entry = [0; 64];
    entry[0] = verbs::ACQUIRE;
    put_u16(&mut entry, 2, pool);
    entry[4] = count;
    entry
}

/// The buffers in the answer to an acquire command, of which the first so many count.
pub fn acquired_buffers(answer: &Entry) -> ([u64; MOST_ACQUIRED], usize) {
    let mut buffers = [0; MOST_ACQUIRED];
    for (n, buffer) in buffers.iter_mut().enumerate() {
        *buffer = get_u64(answer, 8 + 8 * n);
    }
    (buffers, usize::from(answer[4]).min(MOST_ACQUIRED))
}

/// A command on a frame queue, such as [`verbs::QUEUE_STATE_QUERY`], without a valid bit.
pub fn on_queue(verb: u8, queue: u32) -> Entry {
    let mut entry = [0; 64];
    entry[0] = verb & 0x7f;
    put_u32(&mut entry, 4, queue & 0x00ff_ffff);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct qbman_acquire_rslt`: count at 4, buffers from 8.
    #[test]
    fn acquired_buffers_are_written_as_linux_reads_them() {
        let bytes = acquired(verbs::ACQUIRE, &[0x1000, 0x2000]);
        assert_eq!((bytes[0], bytes[1], bytes[4]), (0x30, 0xf0, 2));
        assert_eq!((bytes[9], bytes[17]), (0x10, 0x20));
        assert_eq!(acquired_buffers(&bytes), ([0x1000, 0x2000, 0, 0, 0, 0, 0], 2));
        assert_eq!(acquired(verbs::ACQUIRE, &[1; 9])[4], 7);
    }

    /// `struct qbman_acquire_desc`: bpid at 2, count at 4; `struct qbman_fq_query_desc`:
    /// fqid at 4.
    #[test]
    fn commands_are_written_as_the_portal_reads_them() {
        let bytes = acquire(0x0102, 7);
        assert_eq!(bytes[..5], [0x30, 0, 2, 1, 7]);
        assert_eq!((id(&bytes), acquire_count(&bytes)), (0x0102, 7));
        let bytes = on_queue(verbs::QUEUE_STATE_QUERY, 0x01_0203);
        assert_eq!(bytes[..8], [0x45, 0, 0, 0, 3, 2, 1, 0]);
        assert_eq!(queue(&bytes), 0x01_0203);
    }
}
