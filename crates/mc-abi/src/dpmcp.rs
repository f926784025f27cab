// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Command portals. Layouts: `fsl_dpmcp_cmd.h` of MC 10.40; the options came
//! with 10.32.

pub use crate::common::Created;

/// Portal number that asks for any free portal.
pub const PORTAL_FROM_POOL: u32 = u32::MAX;

/// Option: the portal has no high priority queue.
pub const OPT_HIGH_PRIORITY_DISABLED: u32 = 0x1;

/// Event: a command that was handed over is done.
pub const EVENT_COMMAND_DONE: u32 = 0x1;

commands! {
    /// Makes a command portal.
    Create = 0x90b, version 2 {
        /// Number of the portal, or [`PORTAL_FROM_POOL`].
        portal: u32 @ 0,
        /// [`OPT_HIGH_PRIORITY_DISABLED`] or nothing.
        options: u32 @ 4 since 2,
    } -> Created;

    /// Asks for the portal's identity.
    GetAttributes = 0x004, version 2 {} -> GetAttributesReply {
        /// As given when it was made.
        options: u32 @ 0 since 2,
        /// Number of the object.
        id: u32 @ 4,
    };
}
