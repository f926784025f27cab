// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The control interface: how software sends and receives through a switch.

use crate::blocks::Destination;

/// Queues of the control interface (`enum dpsw_queue_type`).
pub mod control_queue {
    /// What is received.
    pub const RX: u8 = 0;
    /// What was sent, and what could not be.
    pub const TX_ERR_CONF: u8 = 1;
    /// What was received with errors.
    pub const RX_ERR: u8 = 2;
}

commands! {
    /// Asks for the queues.
    CtrlIfGetAttributes = 0x0a0, version 1 {} -> CtrlIfGetAttributesReply {
        /// Hardware number of the queue of received frames.
        rx_fqid: u32 @ 8,
        /// Of the queue of frames received with errors.
        rx_err_fqid: u32 @ 12,
        /// Of the queue of what was sent, and what could not be.
        tx_err_conf_fqid: u32 @ 16,
    };

    /// Chooses the buffer pools of received frames.
    CtrlIfSetPools = 0x0a1, version 1 {
        /// How many pools.
        num_dpbp: u8 @ 0,
        /// Which of them are used when the others are empty, a bitmap.
        backup_pool: u8 @ 1,
        /// Numbers of the `dpbp` objects.
        dpbp_id: [u32; 8] @ 4,
        /// Sizes of their buffers, bytes.
        buffer_size: [u16; 8] @ 36,
    } -> ();

    /// Switches the control interface on.
    CtrlIfEnable = 0x0a2, version 1 {} -> ();

    /// Switches the control interface off.
    CtrlIfDisable = 0x0a3, version 1 {} -> ();

    /// Says where a queue's frames go.
    CtrlIfSetQueue = 0x0a6, version 1 {
        /// Where its frames go.
        destination: Destination @ 0,
        /// One of [`control_queue`].
        queue: u8 @ 7,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// Bit 0: `user_ctx` counts, bit 1: the destination counts.
        options: u32 @ 16,
    } -> ();
}
