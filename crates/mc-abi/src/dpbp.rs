// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Buffer pools. Layouts: `fsl_dpbp_cmd.h` of MC 10.40.

pub use crate::common::Created;

commands! {
    /// Makes a buffer pool; its parameters are all in the pool that the MC
    /// picks.
    Create = 0x904, version 1 {} -> Created;

    /// Asks for the pool's identity.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Number of the hardware pool, as frame descriptors name it.
        bpid: u16 @ 2,
        /// Number of the object.
        id: u32 @ 4,
    };

    /// Sets what the pool reports when it runs low or full.
    SetNotifications = 0x1b0, version 2 {
        /// Free buffers below which the pool counts as depleted.
        depletion_entry: u32 @ 0,
        /// Free buffers above which it no longer does.
        depletion_exit: u32 @ 4,
        /// Free buffers above which the pool counts as in surplus.
        surplus_entry: u32 @ 8,
        /// Free buffers below which it no longer does.
        surplus_exit: u32 @ 12,
        /// Options of the write (bit 0: coherent).
        options: u32 @ 16 (u16 until 1),
        /// Written with each report.
        message_context: u64 @ 24,
        /// I/O virtual address that a report is written to.
        message_iova: u64 @ 32,
    } -> ();

    /// Asks for what [`SetNotifications`] set.
    GetNotifications = 0x1b1, version 2 {} -> GetNotificationsReply {
        /// Free buffers below which the pool counts as depleted.
        depletion_entry: u32 @ 0,
        /// Free buffers above which it no longer does.
        depletion_exit: u32 @ 4,
        /// Free buffers above which the pool counts as in surplus.
        surplus_entry: u32 @ 8,
        /// Free buffers below which it no longer does.
        surplus_exit: u32 @ 12,
        /// Options of the write (bit 0: coherent).
        options: u32 @ 16 (u16 until 1),
        /// Written with each report.
        message_context: u64 @ 24,
        /// I/O virtual address that a report is written to.
        message_iova: u64 @ 32,
    };

    /// Asks how many buffers the pool holds.
    GetFreeBufferCount = 0x1b2, version 1 {} -> GetFreeBufferCountReply {
        /// Free buffers.
        count: u32 @ 0,
    };
}
