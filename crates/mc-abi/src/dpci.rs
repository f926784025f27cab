// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Communication interfaces between two software contexts. Layouts:
//! `fsl_dpci_cmd.h` of MC 10.40.

use crate::blocks::{Destination, OrderSettings};
pub use crate::common::{Created, OrderRestorationReply};

/// In place of a queue's number: all queues.
pub const ALL_QUEUES: u8 = u8::MAX;
/// In place of a frame queue: there is none.
pub const NO_FQID: u32 = u32::MAX;
/// In place of a peer's number: there is none.
pub const NO_PEER: u32 = u32::MAX;

commands! {
    /// Makes a communication interface.
    Create = 0x907, version 2 {
        /// Receive priorities: one queue each.
        num_of_priorities: u8 @ 0,
        /// Bit 6: order restoration, 7: its records are shared by all queues.
        /// The reference library never writes them.
        options: u32 @ 16 since 2,
    } -> Created;

    /// Asks for the interface's identity.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Number of the object.
        id: u32 @ 0,
        /// Receive priorities.
        num_of_priorities: u8 @ 6,
    };

    /// Sets where received frames go.
    SetRxQueue = 0x0e0, version 1 {
        /// Where its frames go.
        destination: Destination @ 0,
        /// Which queue, or [`ALL_QUEUES`].
        priority: u8 @ 5,
        /// Whether the queue keeps the frames' order.
        order_preservation: bool @ 6 bits 4..5,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// What of this counts: bit 0 context, 1 destination, 2 order.
        options: u32 @ 16,
    } -> ();

    /// Asks whether both ends are on.
    GetLinkState = 0x0e1, version 1 {} -> GetLinkStateReply {
        /// Only the lowest bit counts.
        up: bool @ 0 bits 0..1,
    };

    /// Asks for the interface at the other end.
    GetPeerAttributes = 0x0e2, version 1 {} -> GetPeerAttributesReply {
        /// Number of the peer, or [`NO_PEER`].
        id: u32 @ 0,
        /// The peer's receive priorities: this end's transmit priorities.
        num_of_priorities: u8 @ 8,
    };

    /// Asks for what [`SetRxQueue`] set, and for the queue's number.
    GetRxQueue = 0x0e3, version 1 {
        /// Which queue.
        priority: u8 @ 5,
    } -> GetRxQueueReply {
        /// Where its frames go.
        destination: Destination @ 0,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// Number to dequeue with.
        fqid: u32 @ 16,
    };

    /// Asks for the number of a queue to the peer.
    GetTxQueue = 0x0e4, version 1 {
        /// Which of the peer's priorities.
        priority: u8 @ 5,
    } -> GetTxQueueReply {
        /// Number to enqueue with, or [`NO_FQID`].
        fqid: u32 @ 4,
    };

    /// Sets how a queue's frames are put back into order.
    SetOpr = 0x0e5, version 1 {
        /// Which queue.
        index: u8 @ 2,
        /// Bit 0: make a record, 1: retire it, 2: assign an existing one.
        options: u8 @ 3,
        /// The settings.
        settings: OrderSettings @ 11,
    } -> ();

    /// Asks for what [`SetOpr`] set.
    GetOpr = 0x0e6, version 1 {
        /// Which queue.
        index: u8 @ 2,
    } -> OrderRestorationReply;
}
