// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Management commands of a portal and their answers.
//!
//! Layouts: Linux `drivers/soc/fsl/dpio/qbman-portal.c`, DPDK
//! `drivers/bus/fslmc/qbman/qbman_portal.c` and `include/fsl_qbman_debug.h`.

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

/// What a command sets of a channel's data notification (CDAN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelNotification {
    /// The channel.
    pub channel: u16,
    /// Whether the notification is armed; `None` where that stays.
    pub enable: Option<bool>,
    /// What the notification carries; `None` where that stays.
    pub context: Option<u64>,
}

impl ChannelNotification {
    const ENABLE: u8 = 0x1;
    const CONTEXT: u8 = 0x4;

    /// Reads a command.
    pub fn from_bytes(command: &Entry) -> Self {
        let (fields, control) = (command[4], command[5]);
        Self {
            channel: get_u16(command, 2),
            enable: (fields & Self::ENABLE != 0).then_some(control & 1 != 0),
            context: (fields & Self::CONTEXT != 0).then(|| get_u64(command, 8)),
        }
    }

    /// The command's bytes, without a valid bit.
    pub fn to_bytes(&self) -> Entry {
        let mut entry = [0; 64];
        entry[0] = verbs::CHANNEL_CONFIGURE;
        put_u16(&mut entry, 2, self.channel);
        let enable = if self.enable.is_some() { Self::ENABLE } else { 0 };
        let context = if self.context.is_some() { Self::CONTEXT } else { 0 };
        entry[4] = enable | context;
        entry[5] = u8::from(self.enable == Some(true));
        put_u64(&mut entry, 8, self.context.unwrap_or(0));
        entry
    }
}

/// Scheduling state of a frame queue. The codes are those of DPAA
/// (`QM_MCR_NP_STATE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Not in use.
    OutOfService,
    /// To be scheduled once there are frames.
    Tentative,
    /// In a work queue.
    Scheduled,
    /// Not to be scheduled.
    Parked,
    /// Being dequeued from.
    Active,
}

impl Schedule {
    const fn code(self) -> u8 {
        match self {
            Self::OutOfService => 0,
            Self::Tentative => 2,
            Self::Scheduled => 3,
            Self::Parked => 4,
            Self::Active => 5,
        }
    }
}

/// Fields of a frame queue that are not programmable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueState {
    /// Scheduling state.
    pub schedule: Schedule,
    /// Forced eligible.
    pub forced: bool,
    /// Not to be dequeued from.
    pub xoff: bool,
    /// Frames, 24 bits.
    pub frames: u32,
    /// Bytes.
    pub bytes: u32,
}

impl QueueState {
    /// The answer's bytes, without a valid bit.
    pub fn to_bytes(&self) -> Entry {
        let mut entry = answer(verbs::QUEUE_STATE_QUERY, results::OK);
        let flags = u8::from(self.forced) << 3 | u8::from(self.xoff) << 4;
        entry[2] = self.schedule.code() | flags;
        put_u32(&mut entry, 24, self.frames.min(0x00ff_ffff));
        put_u32(&mut entry, 28, self.bytes);
        entry
    }
}

/// State of a buffer pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolState {
    /// State bits, as in a [`crate::Notice`].
    pub state: u8,
    /// Free buffers.
    pub free: u32,
    /// Isolation id.
    pub icid: u16,
    /// Thresholds, as the bits that the fields hold: depletion entry and exit
    /// for software, for hardware, surplus entry and exit.
    pub thresholds: [u16; 6],
    /// Where the state change is written, I/O virtual address.
    pub message: u64,
    /// What the notification carries.
    pub context: u64,
}

impl PoolState {
    /// The answer's bytes, without a valid bit.
    pub fn to_bytes(&self, pool: u16) -> Entry {
        let mut entry = answer(verbs::POOL_QUERY, results::OK);
        entry[7] = self.state;
        put_u32(&mut entry, 8, self.free);
        for (n, threshold) in self.thresholds.iter().enumerate() {
            put_u16(&mut entry, 16 + 2 * n, *threshold);
        }
        put_u16(&mut entry, 28, pool);
        put_u16(&mut entry, 30, self.icid & 0x7fff);
        put_u64(&mut entry, 32, self.message);
        put_u64(&mut entry, 40, self.context);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes put down by hand after `struct qbman_cdan_ctrl_desc`.
    #[test]
    fn channel_notifications_are_read_as_linux_writes_them() {
        let mut bytes = [0; 64];
        bytes[0] = 0x46;
        bytes[2..4].copy_from_slice(&0x402u16.to_le_bytes());
        bytes[4] = 0x5;
        bytes[5] = 1;
        bytes[8..16].copy_from_slice(&0xffff_1111_2222_3333u64.to_le_bytes());
        let command = ChannelNotification::from_bytes(&bytes);
        let expected = ChannelNotification {
            channel: 0x402,
            enable: Some(true),
            context: Some(0xffff_1111_2222_3333),
        };
        assert_eq!(command, expected);
        assert_eq!(command.to_bytes(), bytes);
        bytes[4] = 1;
        bytes[5] = 0;
        let command = ChannelNotification::from_bytes(&bytes);
        assert_eq!((command.enable, command.context), (Some(false), None));
    }

    /// `struct qbman_fq_query_np_rslt`: st1 at 2, frame count at 24, bytes at 28.
    #[test]
    fn queue_states_are_written_as_dpdk_reads_them() {
        let state = QueueState {
            schedule: Schedule::Parked,
            forced: false,
            xoff: true,
            frames: 0x0201,
            bytes: 0x0403,
        };
        let bytes = state.to_bytes();
        assert_eq!((bytes[0], bytes[1], bytes[2]), (0x45, 0xf0, 0x14));
        assert_eq!((bytes[24], bytes[25], bytes[28], bytes[29]), (1, 2, 3, 4));
    }

    /// `struct qbman_acquire_rslt`: count at 4, buffers from 8.
    #[test]
    fn acquired_buffers_are_written_as_linux_reads_them() {
        let bytes = acquired(verbs::ACQUIRE, &[0x1000, 0x2000]);
        assert_eq!((bytes[0], bytes[1], bytes[4]), (0x30, 0xf0, 2));
        assert_eq!((bytes[9], bytes[17]), (0x10, 0x20));
        assert_eq!(acquired(verbs::ACQUIRE, &[1; 9])[4], 7);
    }
}
