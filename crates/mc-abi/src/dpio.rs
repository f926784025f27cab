// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Software portals of the queue and buffer manager
//! (QBMan). Layouts: `fsl_dpio_cmd.h` of MC 10.40.

pub use crate::common::Created;

commands! {
    /// Makes a software portal.
    Create = 0x903, version 1 {
        /// 0: no notification channel, 1: a channel of its own.
        channel_mode: u8 @ 2 bits 0..2,
        /// Priorities of the notification channel, 1 to 8; means nothing
        /// without a channel.
        num_priorities: u8 @ 4,
    } -> Created;

    /// Asks for the portal's identity and place.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Number of the object.
        id: u32 @ 0,
        /// Number of the software portal.
        qbman_portal_id: u16 @ 4,
        /// Priorities of the notification channel, 1 to 8.
        num_priorities: u8 @ 6,
        /// 0: no notification channel, 1: a channel of its own.
        channel_mode: u8 @ 7 bits 0..4,
        /// Offset of the cache-enabled area in the window of software portals,
        /// bytes.
        qbman_portal_ce_offset: u64 @ 8,
        /// Offset of the cache-inhibited area (registers) in that window,
        /// bytes.
        qbman_portal_ci_offset: u64 @ 16,
        /// Version of the queue manager: major in bits 31 to 24, minor in 23
        /// to 16. Portals are memory-backed from 5.0 on.
        qbman_version: u32 @ 24,
        /// Clock of the queue manager, Hz.
        clk: u32 @ 32,
    };

    /// Chooses the cache that dequeued data is stashed into.
    SetStashingDestination = 0x120, version 1 {
        /// Number of the destination: a cluster of cores.
        sdest: u8 @ 0,
    } -> ();

    /// Asks for what [`SetStashingDestination`] chose.
    GetStashingDestination = 0x121, version 1 {} -> GetStashingDestinationReply {
        /// Number of the destination.
        sdest: u8 @ 0,
    };

    /// Lets a channel push its frames into the portal's dequeue ring.
    AddStaticDequeueChannel = 0x122, version 1 {
        /// Number of the concentrator whose channel it is.
        dpcon_id: u32 @ 0,
    } -> AddStaticDequeueChannelReply {
        /// Bit of the channel in the portal's static dequeue command register.
        channel_index: u8 @ 0,
    };

    /// Undoes [`AddStaticDequeueChannel`].
    RemoveStaticDequeueChannel = 0x123, version 1 {
        /// Number of the concentrator whose channel it is.
        dpcon_id: u32 @ 0,
    } -> ();

    /// Chooses who picks the stashing destination.
    SetStashingDestinationSource = 0x124, version 1 {
        /// 0: the destination set by command, 1: automatic.
        ss: u8 @ 0,
    } -> ();

    /// Asks for what [`SetStashingDestinationSource`] chose.
    GetStashingDestinationSource = 0x125, version 1 {} -> GetStashingDestinationSourceReply {
        /// 0: the destination set by command, 1: automatic.
        ss: u8 @ 0,
    };

    /// Chooses the cache next to a core as stashing destination.
    SetStashingDestinationByCoreId = 0x126, version 1 {
        /// Number of the core.
        core_id: u8 @ 0,
    } -> ();
}
