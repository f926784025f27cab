// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interfaces to the DMA engine (qDMA). Layouts: `fsl_dpdmai_cmd.h` of MC
//! 10.40; version 1 from MC 10.7, version 2 from MC 10.8.

use crate::blocks::{CongestionNotification, CongestionNotificationOfDma, Destination};
pub use crate::common::Created;

/// In place of a queue's number: all queues.
pub const ALL_QUEUES: u8 = u8::MAX;

/// Option of creation: a congestion group for each priority rather than one
/// for all.
pub const OPT_CG_PER_PRIORITY: u32 = 0x1;

commands! {
    /// Makes an interface.
    Create = 0x90e, version 3 {
        /// Queue pairs of each priority; 0: the MC chooses.
        num_queues: u8 @ 0 since 2,
        /// Priorities in the engine, 1 to 8; a 0 ends the list.
        priorities: [u8; 2] @ 1,
        /// [`OPT_CG_PER_PRIORITY`].
        options: u32 @ 4 since 3,
    } -> Created;

    /// Asks for the interface's identity.
    GetAttributes = 0x004, version 3 {} -> GetAttributesReply {
        /// Number of the object.
        id: u32 @ 0,
        /// Priorities.
        num_of_priorities: u8 @ 4,
        /// Queue pairs of each priority.
        num_of_queues: u8 @ 5 since 2,
        /// Options of creation.
        options: u32 @ 8 since 3,
    };

    /// Sets where finished transfers are reported.
    SetRxQueue = 0x1a0, version 2 {
        /// Where its frames go.
        destination: Destination @ 0,
        /// Which priority of the interface, or [`ALL_QUEUES`].
        priority: u8 @ 5,
        /// Which queue of that priority.
        queue_idx: u8 @ 7 since 2,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// What of this counts: bit 0 context, 1 destination.
        options: u32 @ 16,
    } -> ();

    /// Asks for what [`SetRxQueue`] set, and for the queue's number.
    GetRxQueue = 0x1a1, version 2 {
        /// Which priority of the interface.
        priority: u8 @ 5,
        /// Which queue of that priority.
        queue_idx: u8 @ 6 since 2,
    } -> GetRxQueueReply {
        /// Where its frames go.
        destination: Destination @ 0,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// Number to dequeue with.
        fqid: u32 @ 16,
    };

    /// Asks for the number of a queue to the engine.
    GetTxQueue = 0x1a2, version 2 {
        /// Which priority of the interface.
        priority: u8 @ 5,
        /// Which queue of that priority.
        queue_idx: u8 @ 6 since 2,
    } -> GetTxQueueReply {
        /// Number to enqueue with.
        fqid: u32 @ 8,
    };

    /// Sets when and where congestion of the queues from the engine is
    /// reported.
    SetRxCongestionNotification = 0x1a4, version 1 {
        /// Which priority, where each has a group of its own.
        priority: u8 @ 0,
        /// When, and where to write it.
        notification: CongestionNotification as CongestionNotificationOfDma @ 0,
    } -> ();

    /// The same for the queues to the engine.
    SetTxCongestionNotification = 0x1a5, version 1 {
        /// Which priority, where each has a group of its own.
        priority: u8 @ 0,
        /// When, and where to write it.
        notification: CongestionNotification as CongestionNotificationOfDma @ 0,
    } -> ();

    /// Asks for what [`SetRxCongestionNotification`] set.
    GetRxCongestionNotification = 0x1a6, version 1 {
        /// Which priority.
        priority: u8 @ 0,
    } -> CongestionNotificationReply {
        /// Which priority.
        priority: u8 @ 0,
        /// When, and where to write it.
        notification: CongestionNotification as CongestionNotificationOfDma @ 0,
    };

    /// Asks for what [`SetTxCongestionNotification`] set.
    GetTxCongestionNotification = 0x1a7, version 1 {
        /// Which priority.
        priority: u8 @ 0,
    } -> CongestionNotificationReply;
}
