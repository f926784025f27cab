// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The enqueue command and its response (`struct qbman_eq_desc` of Linux,
//! `struct eq_resp` of DPDK).

use crate::{
    Fd,
    fields::{Entry, get_fd, get_u16, get_u32, get_u64, put_fd, put_u16, put_u32, put_u64},
};

const COMPLETION: u8 = 0x3;
const ORDERED: u8 = 1 << 2;
const INTERRUPT: u8 = 1 << 3;
const TO_DESTINATION: u8 = 1 << 4;

const DCA_ENABLED: u8 = 1 << 7;
const DCA_PARK: u8 = 1 << 6;
const DCA_INDEX: u8 = 0x0f;

const SEQUENCE: u16 = 0x3fff;
const NOT_LAST: u16 = 1 << 14;
const IS_NESN: u16 = 1 << 15;

const ID: u32 = 0x00ff_ffff;

/// What a command's end is answered with: the lower two bits of the verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// There is no frame: the command only tells the order restoration that a
    /// number will not come, or what the next one is.
    NoFrame,
    /// A response is written to memory, whatever the outcome.
    Respond,
    /// A frame that is rejected goes to the queue that the target names for it.
    RejectToQueue,
    /// The fourth code, which means nothing.
    Reserved,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A frame queue, by its 24-bit number.
    Queue(u32),
    /// A queuing destination, which picks the queue by priority and bin.
    Destination {
        /// Number of the destination.
        id: u32,
        /// Bin.
        bin: u16,
        /// Priority.
        priority: u8,
    },
}

/// An enqueue command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnqueueCommand {
    /// Verb, without meaning of its bit 7 (valid).
    pub verb: u8,
    /// Discrete consumption: bit 7 enables it, 6 parks the queue, 3..0 index.
    pub dca: u8,
    /// Sequence number (bits 13..0), more fragments follow (14), the number is
    /// the next expected one (15).
    pub sequence_word: u16,
    /// Order restoration record.
    pub record: u16,
    /// Queue or destination.
    pub target_word: u32,
    /// Comes back in the response.
    pub tag: u32,
    /// Bin of the destination.
    pub bin: u16,
    /// Priority of the destination.
    pub priority: u8,
    /// Response is to be allocated in the cache (nothing in this model).
    pub write_allocate: u8,
    /// Comes back in the response, written last.
    pub token: u8,
    /// I/O virtual address of the response.
    pub response: u64,
    /// The frame.
    pub fd: Fd,
}

impl EnqueueCommand {
    /// Reads a command.
    #[inline]
    pub fn from_bytes(entry: &Entry) -> Self {
        Self {
            verb: entry[0],
            dca: entry[1],
            sequence_word: get_u16(entry, 2),
            record: get_u16(entry, 4),
            target_word: get_u32(entry, 8),
            tag: get_u32(entry, 12),
            bin: get_u16(entry, 16),
            priority: entry[18],
            write_allocate: entry[22],
            token: entry[23],
            response: get_u64(entry, 24),
            fd: get_fd(entry),
        }
    }

    /// The command's bytes.
    #[inline]
    pub fn to_bytes(&self) -> Entry {
        let mut entry = [0; 64];
        entry[0] = self.verb;
        entry[1] = self.dca;
        put_u16(&mut entry, 2, self.sequence_word);
        put_u16(&mut entry, 4, self.record);
        put_u32(&mut entry, 8, self.target_word);
        put_u32(&mut entry, 12, self.tag);
        put_u16(&mut entry, 16, self.bin);
        entry[18] = self.priority;
        entry[22] = self.write_allocate;
        entry[23] = self.token;
        put_u64(&mut entry, 24, self.response);
        put_fd(&mut entry, &self.fd);
        entry
    }

    /// A frame for its target and nothing else: no response, no order, no interrupt. A
    /// frame that is rejected goes to the queue that the target names for it.
    #[inline]
    pub fn plain(target: Target, fd: Fd) -> Self {
        let mut command = Self { fd, ..Self::from_bytes(&[0; 64]) };
        command.verb = 2;
        match target {
            Target::Queue(id) => command.target_word = id & ID,
            Target::Destination { id, bin, priority } => {
                command.verb |= TO_DESTINATION;
                command.target_word = id & ID;
                command.bin = bin;
                command.priority = priority;
            }
        }
        command
    }

    /// How the command's end is answered.
    #[inline]
    pub fn completion(&self) -> Completion {
        match self.verb & COMPLETION {
            0 => Completion::NoFrame,
            1 => Completion::Respond,
            2 => Completion::RejectToQueue,
            _ => Completion::Reserved,
        }
    }

    /// Where the frame goes.
    #[inline]
    pub fn target(&self) -> Target {
        let id = self.target_word & ID;
        match self.verb & TO_DESTINATION {
            0 => Target::Queue(id),
            _ => Target::Destination { id, bin: self.bin, priority: self.priority },
        }
    }

    /// Whether the order is to be restored first.
    #[inline]
    pub fn ordered(&self) -> bool {
        self.verb & ORDERED != 0
    }

    /// Whether the command is nothing but a frame for its target: no response, no order,
    /// no interrupt, nothing consumed.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.completion() == Completion::RejectToQueue
            && self.verb & (ORDERED | INTERRUPT) == 0
            && self.dca & DCA_ENABLED == 0
    }

    /// Whether the portal reports the dispatch with an interrupt.
    #[inline]
    pub fn interrupt(&self) -> bool {
        self.verb & INTERRUPT != 0
    }

    /// The entry of the dequeue ring that the command consumes, and whether its
    /// queue is to be parked.
    #[inline]
    pub fn consumes(&self) -> Option<(u8, bool)> {
        (self.dca & DCA_ENABLED != 0).then_some((self.dca & DCA_INDEX, self.dca & DCA_PARK != 0))
    }

    /// Sequence number, 14 bits.
    #[inline]
    pub fn sequence(&self) -> u16 {
        self.sequence_word & SEQUENCE
    }

    /// Whether more fragments of the same sequence number follow.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.sequence_word & NOT_LAST != 0
    }

    /// Whether the sequence number is the next one to be expected.
    #[inline]
    pub fn sets_next(&self) -> bool {
        self.sequence_word & IS_NESN != 0
    }
}

/// Why a frame was not taken: the lower four bits of a response's code. The
/// codes are those that the queue manager of the predecessor, DPAA, gives
/// (Linux `include/soc/fsl/qman.h`, `QM_MR_RC_*`); clients of DPAA2 look at
/// nothing but whether it is [`EnqueueResponse::ACCEPTED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The congestion group is over its tail drop threshold.
    GroupTailDrop,
    /// Picked by early drop (WRED).
    EarlyDrop,
    /// No such target, not the sender's, or not in a state to take frames.
    Error,
    /// The sequence number is too far ahead of the window.
    TooEarly,
    /// The sequence number is behind the window.
    TooLate,
    /// The queue is over its tail drop threshold, or there is no room left.
    QueueTailDrop,
}

impl Rejection {
    /// The code in a response.
    #[inline]
    pub fn code(self) -> u8 {
        match self {
            Self::GroupTailDrop => 0,
            Self::EarlyDrop => 1,
            Self::Error => 2,
            Self::TooEarly => 3,
            Self::TooLate => 4,
            Self::QueueTailDrop => 5,
        }
    }
}

/// The response to an enqueue command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnqueueResponse {
    /// The command that it answers.
    pub command: EnqueueCommand,
    /// Outcome.
    pub code: u8,
    /// The queue that took or rejected the frame.
    pub queue: u32,
}

impl EnqueueResponse {
    /// The frame was taken (DPDK `qbman_result_eqresp_rc`).
    pub const ACCEPTED: u8 = 0xe;
    /// Where the token is, which is to become visible last.
    pub const TOKEN: usize = 23;

    /// The response's bytes.
    #[inline]
    pub fn to_bytes(&self) -> Entry {
        let mut entry = self.command.to_bytes();
        entry[6] = 0;
        entry[7] = self.code;
        let queue = self.queue & ID | u32::from(self.command.token) << 24;
        put_u32(&mut entry, 20, queue);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes put down by hand after `struct qbman_eq_desc`.
    #[test]
    fn fields_are_where_linux_puts_them() {
        let mut bytes = [0; 64];
        bytes[0] = 0x80 | 0x10 | 0x4 | 2;
        bytes[1] = 0x80 | 0x40 | 5;
        bytes[2..4].copy_from_slice(&(0x4000u16 | 77).to_le_bytes());
        bytes[4..6].copy_from_slice(&3u16.to_le_bytes());
        bytes[8..12].copy_from_slice(&0x12u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&0xaabbu32.to_le_bytes());
        bytes[16..18].copy_from_slice(&6u16.to_le_bytes());
        bytes[18] = 2;
        bytes[22] = 1;
        bytes[23] = 0x55;
        bytes[24..32].copy_from_slice(&0x1234_5000u64.to_le_bytes());
        bytes[32..40].copy_from_slice(&0x8000u64.to_le_bytes());
        let command = EnqueueCommand::from_bytes(&bytes);
        assert_eq!(command.completion(), Completion::RejectToQueue);
        assert_eq!(command.target(), Target::Destination { id: 0x12, bin: 6, priority: 2 });
        assert_eq!(command.consumes(), Some((5, true)));
        assert!(command.ordered() && command.more_fragments() && !command.sets_next());
        assert_eq!((command.sequence(), command.record, command.token), (77, 3, 0x55));
        assert_eq!((command.response, command.fd.address), (0x1234_5000, 0x8000));
        assert_eq!(command.to_bytes(), bytes);
        assert!(!command.is_plain() && !EnqueueCommand { verb: 2, ..command }.is_plain());
        assert!(EnqueueCommand { verb: 0x82, dca: 0x7f, ..command }.is_plain());
        assert!(!EnqueueCommand { verb: 1, dca: 0, ..command }.is_plain());
    }

    /// `struct eq_resp` of DPDK has the code at 7, the queue at 20, the token
    /// at 23.
    #[test]
    fn a_response_repeats_its_command() {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        bytes[23] = 0x55;
        bytes[40] = 64;
        let command = EnqueueCommand::from_bytes(&bytes);
        let response = EnqueueResponse { command, code: EnqueueResponse::ACCEPTED, queue: 0x0102 };
        let bytes = response.to_bytes();
        assert_eq!((bytes[7], bytes[20], bytes[21], bytes[22], bytes[23]), (0xe, 2, 1, 0, 0x55));
        assert_eq!(bytes[40], 64);
    }

    #[test]
    fn a_plain_command_is_a_frame_for_its_target() {
        let fd = Fd { address: 0x1000, length_word: 60, ..Fd::default() };
        let target = Target::Destination { id: 0x0102, bin: 3, priority: 4 };
        let command = EnqueueCommand::plain(target, fd);
        assert!(command.is_plain());
        assert_eq!((command.target(), command.fd), (target, fd));
        let bytes = command.to_bytes();
        assert_eq!((bytes[0], &bytes[8..12]), (0x12, &[2, 1, 0, 0][..]));
        assert_eq!((bytes[16], bytes[18]), (3, 4));
        let command = EnqueueCommand::plain(Target::Queue(7), fd);
        assert_eq!(
            (command.verb, command.target(), command.is_plain()),
            (2, Target::Queue(7), true)
        );
    }

    proptest! {
        #[test]
        fn commands_survive(bytes in any::<[[u8; 32]; 2]>()) {
            let mut entry = [0; 64];
            entry[..32].copy_from_slice(&bytes[0]);
            entry[32..].copy_from_slice(&bytes[1]);
            let command = EnqueueCommand::from_bytes(&entry);
            prop_assert_eq!(EnqueueCommand::from_bytes(&command.to_bytes()), command);
        }
    }
}
