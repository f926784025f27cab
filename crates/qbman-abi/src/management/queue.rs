// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Queries of frame queues.

use super::{GroupThreshold, answer, results, verbs};
use crate::fields::{Entry, get_u32, put_u16, put_u32, put_u64};

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

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code & 0x7 {
            0 => Self::OutOfService,
            2 => Self::Tentative,
            3 => Self::Scheduled,
            4 => Self::Parked,
            5 => Self::Active,
            _ => return None,
        })
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
    /// Reads an answer; `None` where its scheduling state is none that is known.
    pub fn from_bytes(answer: &Entry) -> Option<Self> {
        Schedule::from_code(answer[2]).map(|schedule| Self {
            schedule,
            forced: answer[2] & 1 << 3 != 0,
            xoff: answer[2] & 1 << 4 != 0,
            frames: get_u32(answer, 24) & 0x00ff_ffff,
            bytes: get_u32(answer, 28),
        })
    }

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

/// Fields of a frame queue that are programmable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueFields {
    /// Congestion group.
    pub group: u16,
    /// Work queue that serves it: channel times eight plus priority.
    pub work_queue: u16,
    /// Bits of the control field; see [`QueueFields::IN_GROUP`] and on.
    pub control: u8,
    /// Tail drop threshold.
    pub tail_drop: GroupThreshold,
    /// Overhead accounting length, 12 bits.
    pub overhead: u16,
    /// What comes with each dequeued frame.
    pub context: u64,
    /// Isolation id.
    pub icid: u16,
    /// The queue's number as its owner knows it.
    pub number: u32,
    /// Where rejected frames go.
    pub rejects: u32,
    /// Order restoration record, 12 bits.
    pub record: u16,
}

impl QueueFields {
    /// Control: the queue is in a congestion group.
    pub const IN_GROUP: u8 = 0x01;
    /// Control: there is a tail drop threshold.
    pub const TAIL_DROP: u8 = 0x02;
    /// Control: the queue is held in the portal that it is dequeued to.
    pub const HOLD_ACTIVE: u8 = 0x10;
    /// Control: a notification goes out instead of frames, and the queue parks.
    pub const NOTIFY: u8 = 0x20;
    /// Control: frames get a place in an order.
    pub const ORDERED: u8 = 0x80;

    /// The answer's bytes, without a valid bit.
    pub fn to_bytes(&self) -> Entry {
        let mut entry = answer(verbs::QUEUE_QUERY, results::OK);
        put_u16(&mut entry, 10, self.group);
        put_u16(&mut entry, 12, self.work_queue);
        entry[15] = self.control;
        put_u16(&mut entry, 18, self.tail_drop.bits());
        put_u16(&mut entry, 20, self.overhead & 0x0fff);
        put_u64(&mut entry, 24, self.context);
        put_u16(&mut entry, 32, self.icid & 0x7fff);
        put_u32(&mut entry, 36, self.number & 0x00ff_ffff);
        put_u32(&mut entry, 40, self.rejects & 0x00ff_ffff);
        put_u16(&mut entry, 44, self.record & 0x0fff);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(QueueState::from_bytes(&bytes), Some(state));
        let unknown = answer(verbs::QUEUE_STATE_QUERY, results::OK);
        let unknown = unknown.map(|byte| if byte == verbs::QUEUE_STATE_QUERY { 1 } else { 7 });
        assert_eq!(QueueState::from_bytes(&unknown), None);
    }

    /// `struct qbman_fq_query_rslt`: cgid at 10, dest_wq 12, fq_ctrl 15,
    /// td_thresh 18, oal_oac 20, fqd_ctx 24, icid 32, vfqid 36, fqid_er 40,
    /// opridsz 44.
    #[test]
    fn programmable_fields_are_written_as_dpdk_reads_them() {
        let fields = QueueFields {
            group: 1,
            work_queue: 2,
            control: 3,
            tail_drop: GroupThreshold::from_value(4),
            overhead: 5,
            context: 6,
            icid: 7,
            number: 8,
            rejects: 9,
            record: 10,
        };
        let bytes = fields.to_bytes();
        assert_eq!((bytes[0], bytes[10], bytes[12], bytes[15]), (0x44, 1, 2, 3));
        assert_eq!((bytes[18], bytes[20], bytes[24], bytes[32]), (4 << 5, 5, 6, 7));
        assert_eq!((bytes[36], bytes[40], bytes[44]), (8, 9, 10));
    }
}
