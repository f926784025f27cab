// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The volatile dequeue command, the entries that dequeues produce, and the
//! notifications among them (`struct qbman_pull_desc` and `struct dpaa2_dq` of
//! Linux).

use crate::{
    Fd,
    fields::{Entry, get_fd, get_u16, get_u32, get_u64, put_fd, put_u16, put_u32, put_u64},
};

/// Where a volatile dequeue takes frames from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Any queue of a channel.
    Channel(u32),
    /// Any queue of a channel's work queue.
    WorkQueue {
        /// Number of the channel.
        channel: u32,
        /// Its work queue, 0 to 7.
        queue: u8,
    },
    /// A frame queue, by its 24-bit number.
    Queue(u32),
    /// The fourth code, which means nothing.
    Reserved,
}

const RESPONSE_TO_MEMORY: u8 = 1 << 4;
const RESCHEDULE: u8 = 1 << 6;
const KIND: u8 = 0x3;

/// A volatile dequeue command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolatileDequeue {
    /// Verb, without meaning of its bit 7 (valid).
    pub verb: u8,
    /// Frames asked for, minus one.
    pub count_word: u8,
    /// Comes back in each entry.
    pub token: u8,
    /// Channel, work queue or frame queue.
    pub source_word: u32,
    /// I/O virtual address of the entries, where they go to memory.
    pub response: u64,
}

impl VolatileDequeue {
    /// Reads a command.
    #[inline]
    pub fn from_bytes(entry: &Entry) -> Self {
        Self {
            verb: entry[0],
            count_word: entry[1],
            token: entry[2],
            source_word: get_u32(entry, 4),
            response: get_u64(entry, 8),
        }
    }

    /// The command's bytes.
    #[inline]
    pub fn to_bytes(&self) -> Entry {
        let mut entry = [0; 64];
        entry[0] = self.verb;
        entry[1] = self.count_word;
        entry[2] = self.token;
        put_u32(&mut entry, 4, self.source_word);
        put_u64(&mut entry, 8, self.response);
        entry
    }

    /// Up to `count` frames, 1 to 32, from `source` to memory at `response`, where each
    /// entry has the token in it. `None` for [`Source::Reserved`].
    #[inline]
    pub fn new(source: Source, count: u8, token: u8, response: u64) -> Option<Self> {
        let (kind, source_word) = match source {
            Source::Channel(channel) => (0, channel & 0xffff),
            Source::WorkQueue { channel, queue } => {
                (1, (channel & 0x1fff) << 3 | u32::from(queue & 0x7))
            }
            Source::Queue(queue) => (2, queue & 0x00ff_ffff),
            Source::Reserved => return None,
        };
        // The kind of dequeue as Linux and DPDK ask for it: by priority, from what is
        // there.
        let verb = 1 | kind << 2 | RESPONSE_TO_MEMORY;
        let count_word = count.clamp(1, 32) - 1;
        Some(Self { verb, count_word, token, source_word, response })
    }

    /// Where the frames come from.
    #[inline]
    pub fn source(&self) -> Source {
        match self.verb >> 2 & 0x3 {
            0 => Source::Channel(self.source_word & 0xffff),
            1 => Source::WorkQueue {
                channel: self.source_word >> 3 & 0x1fff,
                queue: (self.source_word & 0x7) as u8,
            },
            2 => Source::Queue(self.source_word & 0x00ff_ffff),
            _ => Source::Reserved,
        }
    }

    /// Frames asked for: 1 to 32.
    #[inline]
    pub fn count(&self) -> usize {
        usize::from(self.count_word & 0x1f) + 1
    }

    /// Whether the entries go to memory instead of the dequeue ring.
    #[inline]
    pub fn to_memory(&self) -> bool {
        self.verb & RESPONSE_TO_MEMORY != 0
    }

    /// Whether the queue that is being served keeps precedence over others of
    /// its class.
    #[inline]
    pub fn prefers_active(&self) -> bool {
        self.verb & KIND >= 2 && self.verb & RESCHEDULE == 0
    }
}

/// Bits of a dequeue entry's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status(pub u8);

impl Status {
    /// The queue has no more frames.
    pub const QUEUE_EMPTY: Self = Self(0x80);
    /// The queue is held for this portal until its entries are consumed.
    pub const HELD_ACTIVE: Self = Self(0x40);
    /// The queue was forced eligible.
    pub const FORCE_ELIGIBLE: Self = Self(0x20);
    /// There is a frame in the entry.
    pub const VALID_FRAME: Self = Self(0x10);
    /// Sequence number and record are valid.
    pub const ORDERED: Self = Self(0x04);
    /// The entry answers a volatile dequeue.
    pub const VOLATILE: Self = Self(0x02);
    /// No further entry of the volatile dequeue follows.
    pub const EXPIRED: Self = Self(0x01);

    /// The same with these bits as well.
    #[must_use]
    #[inline]
    pub const fn with(self, bits: Self) -> Self {
        Self(self.0 | bits.0)
    }

    /// Whether all these bits are set.
    #[inline]
    pub const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }
}

/// Bits of a queue's number, and of the number of frames in it (Linux `dpaa2-global.h`,
/// `DQ_FQID_MASK` and `DQ_FRAME_COUNT_MASK`).
const NUMBER: u32 = 0xff_ffff;

/// A dequeued frame, or the end of a volatile dequeue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DequeueEntry {
    /// Status.
    pub status: Status,
    /// Sequence number, 14 bits.
    pub sequence: u16,
    /// Order restoration record.
    pub record: u16,
    /// Token of the command.
    pub token: u8,
    /// Number of the queue, 24 bits.
    pub queue: u32,
    /// Bytes left in the queue.
    pub bytes: u32,
    /// Frames left in the queue, 24 bits.
    pub frames: u32,
    /// What was set for the queue.
    pub context: u64,
    /// The frame.
    pub fd: Fd,
}

impl DequeueEntry {
    /// Verb of a dequeue entry.
    pub const VERB: u8 = 0x60;
    /// Where the token is.
    pub const TOKEN: usize = 7;

    /// Reads an entry; `None` where the verb is another.
    #[inline]
    pub fn from_bytes(entry: &Entry) -> Option<Self> {
        (entry[0] & 0x7f == Self::VERB).then(|| Self {
            status: Status(entry[1]),
            sequence: get_u16(entry, 2),
            record: get_u16(entry, 4),
            token: entry[7],
            queue: get_u32(entry, 8) & NUMBER,
            bytes: get_u32(entry, 16),
            frames: get_u32(entry, 20) & NUMBER,
            context: get_u64(entry, 24),
            fd: get_fd(entry),
        })
    }

    /// The entry's bytes, without a valid bit.
    #[inline]
    pub fn to_bytes(&self) -> Entry {
        let mut entry = [0; 64];
        entry[0] = Self::VERB;
        entry[1] = self.status.0;
        put_u16(&mut entry, 2, self.sequence);
        put_u16(&mut entry, 4, self.record);
        entry[7] = self.token;
        put_u32(&mut entry, 8, self.queue);
        put_u32(&mut entry, 16, self.bytes);
        put_u32(&mut entry, 20, self.frames);
        put_u64(&mut entry, 24, self.context);
        put_fd(&mut entry, &self.fd);
        entry
    }
}

/// What a notification tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// A frame queue has data (FQDAN).
    QueueData,
    /// A channel has data (CDAN).
    ChannelData,
    /// A congestion group changed its state; written to memory (CSCN).
    CongestionToMemory,
    /// A congestion group's count (CGCU).
    CongestionCount,
    /// A buffer pool changed its state (BPSCN).
    PoolState,
    /// A congestion group changed its state; in a work queue (CSCN).
    CongestionToQueue,
}

impl NoticeKind {
    /// The verb.
    #[inline]
    pub const fn verb(self) -> u8 {
        match self {
            Self::QueueData => 0x25,
            Self::ChannelData => 0x26,
            Self::CongestionToMemory => 0x27,
            Self::CongestionCount => 0x28,
            Self::PoolState => 0x29,
            Self::CongestionToQueue => 0x2a,
        }
    }

    #[inline]
    const fn from_verb(verb: u8) -> Option<Self> {
        Some(match verb & 0x7f {
            0x25 => Self::QueueData,
            0x26 => Self::ChannelData,
            0x27 => Self::CongestionToMemory,
            0x28 => Self::CongestionCount,
            0x29 => Self::PoolState,
            0x2a => Self::CongestionToQueue,
            _ => return None,
        })
    }
}

/// A notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// What it tells of.
    pub kind: NoticeKind,
    /// State: bit 0 of a congestion group: congested; of a pool: bit 0 no free
    /// buffer, 1 depleted, 2 surplus.
    pub state: u8,
    /// The queue, channel, group or pool.
    pub resource: u32,
    /// What was set for it.
    pub context: u64,
}

impl Notice {
    /// State of a congestion group: congested.
    pub const CONGESTED: u8 = 1 << 0;
    /// State of a pool: no buffer is free.
    pub const NO_BUFFER: u8 = 1 << 0;
    /// State of a pool: depleted.
    pub const DEPLETED: u8 = 1 << 1;
    /// State of a pool: surplus.
    pub const SURPLUS: u8 = 1 << 2;

    /// Reads a notification; `None` where the verb is no notification's.
    #[inline]
    pub fn from_bytes(entry: &Entry) -> Option<Self> {
        NoticeKind::from_verb(entry[0]).map(|kind| Self {
            kind,
            state: entry[2],
            resource: get_u32(entry, 4),
            context: get_u64(entry, 8),
        })
    }

    /// The notification's bytes, without a valid bit.
    #[inline]
    pub fn to_bytes(&self) -> Entry {
        let mut entry = [0; 64];
        entry[0] = self.kind.verb();
        entry[2] = self.state;
        put_u32(&mut entry, 4, self.resource);
        put_u64(&mut entry, 8, self.context);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes put down by hand after `struct qbman_pull_desc`.
    #[test]
    fn volatile_dequeues_are_read_as_linux_writes_them() {
        let mut bytes = [0; 64];
        bytes[0] = 1 | 1 << 4 | 1 << 5;
        bytes[1] = 15;
        bytes[2] = 1;
        bytes[4..8].copy_from_slice(&0x401u32.to_le_bytes());
        bytes[8..16].copy_from_slice(&0x9000u64.to_le_bytes());
        let command = VolatileDequeue::from_bytes(&bytes);
        assert_eq!((command.source(), command.count()), (Source::Channel(0x401), 16));
        assert!(command.to_memory() && !command.prefers_active());
        assert_eq!(command.to_bytes(), bytes);
        let source = |verb, source_word| VolatileDequeue { verb, source_word, ..command }.source();
        assert_eq!(source(1 | 2 << 2, 0xff00_0007), Source::Queue(7));
        assert_eq!(source(2 | 1 << 2, 0x2a), Source::WorkQueue { channel: 5, queue: 2 });
    }

    /// Bytes put down by hand after `struct dpaa2_dq`.
    #[test]
    fn entries_are_written_as_linux_reads_them() {
        let entry = DequeueEntry {
            status: Status::VALID_FRAME.with(Status::VOLATILE).with(Status::EXPIRED),
            sequence: 3,
            record: 4,
            token: 1,
            queue: 0x0010_0203,
            bytes: 9,
            frames: 2,
            context: 0xffff_0000_1234_5678,
            fd: Fd { address: 0x77, ..Fd::default() },
        };
        let bytes = entry.to_bytes();
        assert_eq!(bytes[..8], [0x60, 0x13, 3, 0, 4, 0, 0, 1]);
        assert_eq!(bytes[8..12], [3, 2, 0x10, 0]);
        assert_eq!((bytes[16], bytes[20], bytes[24], bytes[32]), (9, 2, 0x78, 0x77));
        assert_eq!(DequeueEntry::from_bytes(&bytes), Some(entry));
        let mut bytes = bytes;
        (bytes[11], bytes[23]) = (0xff, 0xff);
        assert_eq!(
            DequeueEntry::from_bytes(&bytes),
            Some(entry),
            "the upper eight bits do not count"
        );
    }

    #[test]
    fn notifications_are_written_as_linux_reads_them() {
        let notice =
            Notice { kind: NoticeKind::ChannelData, state: 0, resource: 5, context: 0xabcd };
        let bytes = notice.to_bytes();
        assert_eq!((bytes[0], bytes[4], bytes[8], bytes[9]), (0x26, 5, 0xcd, 0xab));
        assert_eq!(Notice::from_bytes(&bytes), Some(notice));
        assert_eq!(Notice::from_bytes(&DequeueEntry::default().to_bytes()), None);
    }

    #[test]
    fn a_new_command_says_what_it_was_made_of() {
        for source in [
            Source::Channel(9),
            Source::WorkQueue { channel: 9, queue: 3 },
            Source::Queue(0x01_0203),
        ] {
            let command = VolatileDequeue::new(source, 32, 5, 0x2000).unwrap();
            assert_eq!((command.source(), command.count()), (source, 32));
            assert_eq!((command.token, command.response, command.to_memory()), (5, 0x2000, true));
        }
        assert_eq!(VolatileDequeue::new(Source::Queue(1), 0, 5, 0).unwrap().count(), 1);
        assert_eq!(VolatileDequeue::new(Source::Reserved, 1, 5, 0), None);
    }
}
