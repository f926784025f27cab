// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interfaces to the crypto accelerator (SEC). Layouts: `fsl_dpseci_cmd.h` of
//! MC 10.40.

use crate::blocks::{CongestionNotification, Destination, OrderSettings};
pub use crate::common::{Created, OrderRestorationReply};

/// In place of a queue's number: all queues.
pub const ALL_QUEUES: u8 = u8::MAX;

/// Option of creation: a congestion group.
pub const OPT_HAS_CG: u32 = 0x20;
/// Option of creation: order restoration.
pub const OPT_HAS_OPR: u32 = 0x40;
/// Option of creation: the order point record is shared by all queues.
pub const OPT_OPR_SHARED: u32 = 0x80;

commands! {
    /// Makes an interface.
    Create = 0x909, version 3 {
        /// Priorities of the first eight queues to the accelerator, 1 to 8.
        priorities: [u8; 8] @ 0,
        /// Queues to the accelerator.
        num_tx_queues: u8 @ 8,
        /// Queues back from it.
        num_rx_queues: u8 @ 9,
        /// [`OPT_HAS_CG`], [`OPT_HAS_OPR`], [`OPT_OPR_SHARED`].
        options: u32 @ 16 since 2,
        /// Priorities of the next eight queues.
        priorities2: [u8; 8] @ 24 since 3,
    } -> Created;

    /// Asks for the interface's identity.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Number of the object.
        id: u32 @ 0,
        /// Queues to the accelerator.
        num_tx_queues: u8 @ 8,
        /// Queues back from it.
        num_rx_queues: u8 @ 9,
        /// Options of creation.
        options: u32 @ 16,
    };

    /// Sets where processed frames go.
    SetRxQueue = 0x194, version 1 {
        /// Where its frames go.
        destination: Destination @ 0,
        /// Which queue, or [`ALL_QUEUES`].
        queue: u8 @ 5,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// What of this counts: bit 0 context, 1 destination, 2 order.
        options: u32 @ 16,
        /// Whether the queue keeps the frames' order.
        order_preservation: bool @ 20 bits 0..1,
    } -> ();

    /// Asks for what [`SetRxQueue`] set, and for the queue's number.
    GetRxQueue = 0x196, version 1 {
        /// Which queue.
        queue: u8 @ 5,
    } -> GetRxQueueReply {
        /// Where its frames go.
        destination: Destination @ 0,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// Number to dequeue with.
        fqid: u32 @ 16,
        /// Whether the queue keeps the frames' order.
        order_preservation: bool @ 20 bits 0..1,
    };

    /// Asks for a queue to the accelerator.
    GetTxQueue = 0x197, version 1 {
        /// Which queue.
        queue: u8 @ 5,
    } -> GetTxQueueReply {
        /// Number to enqueue with.
        fqid: u32 @ 4,
        /// Priority in the accelerator, 1 to 8.
        priority: u8 @ 8,
    };

    /// Asks what the accelerator is made of. The numbers count blocks of a
    /// kind.
    GetSecAttributes = 0x198, version 2 {} -> GetSecAttributesReply {
        /// Identity of the block.
        ip_id: u16 @ 0,
        /// Revision, major.
        major_rev: u8 @ 2,
        /// Revision, minor.
        minor_rev: u8 @ 3,
        /// Generation of the programming interface.
        era: u8 @ 4,
        /// Descriptor controllers.
        deco_num: u8 @ 8,
        /// ZUC authentication.
        zuc_auth_acc_num: u8 @ 9,
        /// ZUC encryption.
        zuc_enc_acc_num: u8 @ 10,
        /// SNOW 3G f8.
        snow_f8_acc_num: u8 @ 12,
        /// SNOW 3G f9.
        snow_f9_acc_num: u8 @ 13,
        /// CRC.
        crc_acc_num: u8 @ 14,
        /// Public key.
        pk_acc_num: u8 @ 16,
        /// Kasumi.
        kasumi_acc_num: u8 @ 17,
        /// Random numbers.
        rng_acc_num: u8 @ 18,
        /// Message digests.
        md_acc_num: u8 @ 20,
        /// ARC4.
        arc4_acc_num: u8 @ 21,
        /// DES.
        des_acc_num: u8 @ 22,
        /// AES.
        aes_acc_num: u8 @ 23,
        /// ChaCha20.
        ccha_acc_num: u8 @ 24 since 2,
        /// Poly1305.
        ptha_acc_num: u8 @ 25 since 2,
    };

    /// Asks for the accelerator's counters: those of the block, not of the
    /// interface.
    GetSecCounters = 0x199, version 1 {} -> GetSecCountersReply {
        /// Requests dequeued.
        dequeued_requests: u64 @ 0,
        /// Outbound requests to encrypt.
        ob_enc_requests: u64 @ 8,
        /// Inbound requests to decrypt.
        ib_dec_requests: u64 @ 16,
        /// Outbound bytes encrypted.
        ob_enc_bytes: u64 @ 24,
        /// Outbound bytes protected.
        ob_prot_bytes: u64 @ 32,
        /// Inbound bytes decrypted.
        ib_dec_bytes: u64 @ 40,
        /// Inbound bytes validated.
        ib_valid_bytes: u64 @ 48,
    };

    /// Sets how a queue's frames are put back into order.
    SetOpr = 0x19a, version 1 {
        /// Which queue.
        index: u8 @ 2,
        /// Bit 0: make a record, 1: retire it, 2: assign an existing one.
        options: u8 @ 3,
        /// The settings.
        settings: OrderSettings @ 11,
    } -> ();

    /// Asks for what [`SetOpr`] set.
    GetOpr = 0x19b, version 1 {
        /// Which queue.
        index: u8 @ 2,
    } -> OrderRestorationReply;

    /// Sets when and where congestion of the queues to the accelerator is
    /// reported.
    SetCongestionNotification = 0x170, version 1 {
        /// When and where.
        notification: CongestionNotification @ 0,
    } -> ();

    /// Asks for what [`SetCongestionNotification`] set.
    GetCongestionNotification = 0x171, version 1 {} -> GetCongestionNotificationReply {
        /// When and where.
        notification: CongestionNotification @ 0,
    };

    /// Asks how a queue from the accelerator is doing.
    GetRxQueueStatus = 0x172, version 1 {
        /// Which queue.
        queue_index: u32 @ 0,
    } -> GetRxQueueStatusReply {
        /// Number of the frame queue.
        fqid: u32 @ 0,
        /// 0 out of service, 1 retired, 2 tentatively scheduled, 3 truly
        /// scheduled, 4 parked, 5 held active.
        schedstate: u16 @ 4,
        /// Bit 0: force eligible, 1: switched off, 2: retirement pending, 3:
        /// overflow.
        state_flags: u16 @ 6,
        /// Frames in the queue.
        frame_count: u32 @ 8,
        /// Bytes in the queue.
        byte_count: u32 @ 12,
    };

    /// Asks how a queue to the accelerator is doing.
    GetTxQueueStatus = 0x173, version 1 {
        /// Which queue.
        queue_index: u32 @ 0,
    } -> GetTxQueueStatusReply {
        /// Number of the frame queue.
        fqid: u32 @ 0,
        /// As in [`GetRxQueueStatusReply`].
        schedstate: u16 @ 4,
        /// As in [`GetRxQueueStatusReply`].
        state_flags: u16 @ 6,
        /// Frames in the queue.
        frame_count: u32 @ 8,
        /// Bytes in the queue.
        byte_count: u32 @ 12,
    };
}
