// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interfaces to the compression engine (DCE). Layouts: `fsl_dpdcei_cmd.h` of
//! MC 10.40.

use crate::blocks::Destination;
pub use crate::common::Created;

commands! {
    /// Makes an interface.
    Create = 0x90d, version 1 {
        /// 0: compression, 1: decompression.
        engine: u8 @ 1,
        /// Priority in the engine, 1 to 8.
        priority: u8 @ 2,
    } -> Created;

    /// Asks for the interface's identity.
    GetAttributes = 0x004, version 2 {} -> GetAttributesReply {
        /// Number of the object.
        id: u32 @ 0,
        /// 0: compression, 1: decompression.
        engine: u8 @ 4,
        /// Version of the engine.
        dce_version: u64 @ 8 since 2,
    };

    /// Sets where processed frames go.
    SetRxQueue = 0x1b0, version 1 {
        /// Where its frames go.
        destination: Destination @ 0,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// What of this counts: bit 0 context, 1 destination.
        options: u32 @ 16,
    } -> ();

    /// Asks for what [`SetRxQueue`] set, and for the queue's number.
    GetRxQueue = 0x1b1, version 1 {} -> GetRxQueueReply {
        /// Where its frames go.
        destination: Destination @ 0,
        /// Comes with each frame.
        user_ctx: u64 @ 8,
        /// Number to dequeue with.
        fqid: u32 @ 16,
    };

    /// Asks for the number of the queue to the engine.
    GetTxQueue = 0x1b2, version 1 {} -> GetTxQueueReply {
        /// Number to enqueue with.
        fqid: u32 @ 4,
    };
}
