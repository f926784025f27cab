// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Queues: where their frames go, and what happens when they fill up.

use crate::{
    blocks::{CongestionNotification, Destination, DestinationAtEnd, OrderSettings, TailDrop},
    common::OrderRestorationReply,
};

commands! {
    /// Asks for the queuing destination of what is sent on channel 0.
    GetQdid = 0x210, version 1 {
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 0,
    } -> GetQdidReply {
        /// Number of the destination.
        qdid: u16 @ 0,
    };

    /// Asks for the queuing destinations of all channels.
    GetQdidEx = 0x27f, version 1 {
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 0,
    } -> GetQdidExReply {
        /// By channel.
        qdids: [u16; 16] @ 0,
    };

    /// Asks for the storage profiles.
    GetSpInfo = 0x211, version 1 {} -> GetSpInfoReply {
        /// Their numbers; they matter to accelerators only.
        profiles: [u16; 2] @ 0,
    };

    /// Asks for a queue.
    GetQueue = 0x25f, version 3 {
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 0,
        /// Traffic class.
        tc: u8 @ 1,
        /// Number in its class.
        index: u8 @ 2,
        /// Egress channel, for `TX` and `TX_CONFIRM`.
        channel: u8 @ 3 since 3,
    } -> GetQueueReply {
        /// Where its frames go.
        destination: Destination as DestinationAtEnd @ 8,
        /// `congestion_group` counts.
        congestion_group_valid: bool @ 15 bits 5..6 since 2,
        /// The flow context's lowest bits say what is stashed.
        stash_control: bool @ 15 bits 6..7,
        /// The destination holds the queue while it has frames.
        hold_active: bool @ 15 bits 7..8,
        /// Flow context of frames.
        flow_context: u64 @ 16,
        /// A value that comes with each frame.
        user_context: u64 @ 24,
        /// Number of the hardware queue.
        fqid: u32 @ 32,
        /// Queuing bin, for `TX`.
        qdbin: u16 @ 36,
        /// Congestion group, counted from the interface's first.
        congestion_group: u8 @ 40 since 2,
    };

    /// Sets up a queue.
    SetQueue = 0x260, version 3 {
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 0,
        /// Traffic class; 255: all.
        tc: u8 @ 1,
        /// Number in its class; 255: all.
        index: u8 @ 2,
        /// Bits of [`queue_options`](super::queue_options): what is set.
        options: u8 @ 3 named super::queue_options::NAMES,
        /// Where its frames go.
        destination: Destination as DestinationAtEnd @ 8,
        /// The flow context's lowest bits say what is stashed.
        stash_control: bool @ 15 bits 6..7,
        /// The destination holds the queue while it has frames.
        hold_active: bool @ 15 bits 7..8,
        /// Flow context of frames.
        flow_context: u64 @ 16,
        /// A value that comes with each frame.
        user_context: u64 @ 24,
        /// Congestion group, counted from the interface's first.
        congestion_group: u8 @ 32 since 2,
        /// Egress channel, for `TX` and `TX_CONFIRM`.
        channel: u8 @ 33 since 3,
    } -> ();

    /// Asks for a limit of [`SetTaildrop`].
    GetTaildrop = 0x261, version 2 {
        /// 0 a queue, 1 a group, 2 a numbered congestion group.
        congestion_point: u8 @ 0,
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 1,
        /// Traffic class.
        tc: u8 @ 2,
        /// Number of the queue or congestion group.
        index: u8 @ 3,
    } -> GetTaildropReply {
        /// The limit.
        drop: TailDrop @ 8,
    };

    /// Sets the fill level at which frames are dropped.
    SetTaildrop = 0x262, version 3 {
        /// 0 a queue, 1 a group, 2 a numbered congestion group.
        congestion_point: u8 @ 0,
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 1,
        /// Traffic class.
        tc: u8 @ 2,
        /// Number of the queue or congestion group.
        index: u8 @ 3,
        /// Egress channel, for `TX`.
        channel: u8 @ 4 since 3,
        /// The limit.
        drop: TailDrop @ 8,
    } -> ();

    /// Sets who is notified when queues fill up.
    SetCongestionNotification = 0x267, version 3 {
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 0,
        /// Traffic class.
        tc: u8 @ 1,
        /// Egress channel, for `TX`.
        channel: u8 @ 2 since 3,
        /// 0 a queue, 1 a group, 2 a numbered congestion group.
        congestion_point: u8 @ 3 since 2,
        /// Congestion group, counted from the interface's first.
        congestion_group: u8 @ 4 since 2,
        /// When and where.
        notification: CongestionNotification @ 8,
    } -> ();

    /// Asks for what [`SetCongestionNotification`] set.
    GetCongestionNotification = 0x268, version 3 {
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 0,
        /// Traffic class.
        tc: u8 @ 1,
        /// Egress channel, for `TX`.
        channel: u8 @ 2 since 3,
        /// 0 a queue, 1 a group, 2 a numbered congestion group.
        congestion_point: u8 @ 3 since 2,
        /// Congestion group, counted from the interface's first.
        congestion_group: u8 @ 4 since 2,
    } -> GetCongestionNotificationReply {
        /// When and where.
        notification: CongestionNotification @ 8,
    };

    /// Sets how frames are dropped before queues are full; the curves lie in
    /// memory.
    SetEarlyDrop = 0x269, version 3 {
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 0,
        /// Traffic class.
        tc: u8 @ 1,
        /// Egress channel, for `TX`.
        channel: u8 @ 2 since 3,
        /// I/O virtual address of the curves, 256 bytes.
        iova: u64 @ 8,
    } -> ();

    /// Has the MC write to memory what [`SetEarlyDrop`] set.
    GetEarlyDrop = 0x26a, version 3 {
        /// One of [`queue_type`](super::queue_type).
        queue_type: u8 @ 0,
        /// Traffic class.
        tc: u8 @ 1,
        /// Egress channel, for `TX`.
        channel: u8 @ 2 since 3,
        /// I/O virtual address for the curves, 256 bytes.
        iova: u64 @ 8,
    } -> ();

    /// Sets up order restoration.
    SetOpr = 0x26e, version 2 {
        /// Order point record, counted from the interface's first; 0 before MC
        /// 10.19, which gave it no version of its own.
        record: u8 @ 0,
        /// Traffic class.
        tc: u8 @ 1,
        /// Number of the queue in its class.
        index: u8 @ 2,
        /// Bit 0: make a record, 1: retire it, 2: assign an existing one.
        options: u8 @ 3,
        /// The settings.
        settings: OrderSettings @ 11,
    } -> ();

    /// Asks for an order point record.
    GetOpr = 0x26f, version 2 {
        /// Bit 0: `record` counts, not the queue.
        flags: u8 @ 0 since 2,
        /// Traffic class.
        tc: u8 @ 1,
        /// Number of the queue in its class.
        index: u8 @ 2,
        /// Order point record, counted from the interface's first.
        record: u8 @ 3 since 2,
    } -> OrderRestorationReply;
}
