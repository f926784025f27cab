// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Transmission: rates, priorities, confirmation.

use crate::blocks::TrafficClassSchedule;

commands! {
    /// Limits the rate of what is sent.
    SetTxShaping = 0x21b, version 3 {
        /// Burst at the committed rate, bytes.
        committed_burst: u16 @ 0,
        /// Burst at the excess rate, bytes.
        excess_burst: u16 @ 2 since 2,
        /// Committed rate, Mbit/s; 0: no limit.
        committed_rate: u32 @ 8,
        /// Excess rate, Mbit/s; 0: none.
        excess_rate: u32 @ 12 since 2,
        /// What the committed rate leaves adds to the excess rate.
        coupled: bool @ 16 bits 0..1 since 2,
        /// The whole interface is meant, not one channel.
        whole_interface: bool @ 16 bits 1..2 since 3,
        /// Egress channel.
        channel: u8 @ 17 since 3,
        /// Bytes added to each frame's length, 11 bits; 0: 24.
        overhead: u16 @ 18 since 3,
    } -> ();

    /// Sets the order in which traffic classes are served. Version 1 (MC 10.2)
    /// has only `classes`; no client of later releases sends it.
    SetTxPriorities = 0x250, version 3 {
        /// Each class: the modes as in `modes`.
        classes: [TrafficClassSchedule; 8] @ 0 until 1,
        /// Groups A and B are separate.
        separate_groups: bool @ 0 bits 0..1 since 2,
        /// Priority of group A.
        priority_a: u8 @ 2 since 2,
        /// Priority of group B.
        priority_b: u8 @ 3 since 2,
        /// Egress channel.
        channel: u8 @ 4 since 3,
        /// 0 strict priority, 1 weighted in group A, 2 weighted in group B:
        /// four bits a class, two classes a byte, the lower first.
        modes: [u8; 4] @ 8 since 2,
        /// Weights by class, 100 to 10000.
        weights: [u16; 8] @ 24 since 2,
    } -> ();

    /// Sets how sent frames are confirmed, for all queues of a channel.
    SetTxConfirmationMode = 0x266, version 2 {
        /// Egress channel.
        channel: u8 @ 0 since 2,
        /// 0 each queue has its confirmation queue, 1 all share one, 2 none.
        mode: u8 @ 4,
    } -> ();

    /// Asks for what [`SetTxConfirmationMode`] set.
    GetTxConfirmationMode = 0x26d, version 2 {
        /// Egress channel.
        channel: u8 @ 0 since 2,
    } -> GetTxConfirmationModeReply {
        /// As in [`SetTxConfirmationMode::mode`].
        mode: u8 @ 4,
    };

    /// Sets how sent frames are confirmed, for one queue.
    SetQueueTxConfirmationMode = 0x281, version 1 {
        /// Egress channel.
        channel: u8 @ 0,
        /// Number of the queue.
        index: u8 @ 1,
        /// As in [`SetTxConfirmationMode::mode`].
        mode: u8 @ 4,
    } -> ();

    /// Asks for what [`SetQueueTxConfirmationMode`] set.
    GetQueueTxConfirmationMode = 0x282, version 1 {
        /// Egress channel.
        channel: u8 @ 0,
        /// Number of the queue.
        index: u8 @ 1,
    } -> GetQueueTxConfirmationModeReply {
        /// Egress channel.
        channel: u8 @ 0,
        /// Number of the queue.
        index: u8 @ 1,
        /// As in [`SetTxConfirmationMode::mode`].
        mode: u8 @ 4,
    };
}
