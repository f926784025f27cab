// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Concentrators: channels that collect the frames of several queues.
//! Layouts: `fsl_dpcon_cmd.h` of MC 10.40.

pub use crate::common::Created;

/// In place of a portal's number: nobody is notified.
pub const NO_DPIO: u32 = u32::MAX;

commands! {
    /// Makes a concentrator.
    Create = 0x908, version 1 {
        /// Priorities of the channel, 1 to 8.
        num_priorities: u8 @ 0,
    } -> Created;

    /// Asks for the channel's identity.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Number of the object.
        id: u32 @ 0,
        /// Number of the channel, as dequeue commands name it.
        qbman_ch_id: u16 @ 4,
        /// Priorities of the channel, 1 to 8.
        num_priorities: u8 @ 6,
    };

    /// Sets which software portal is notified that frames wait.
    SetNotification = 0x100, version 1 {
        /// Number of the portal, which must have a notification channel, or
        /// [`NO_DPIO`].
        dpio_id: u32 @ 0,
        /// Priority in the portal's channel, 0 to 7.
        priority: u8 @ 4,
        /// Comes with each notification.
        user_ctx: u64 @ 8,
    } -> ();
}
