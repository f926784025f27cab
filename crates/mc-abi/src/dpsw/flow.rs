// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How an interface's frames are metered, scheduled and dropped.

use crate::blocks::{Meter, TailDrop, TrafficClassSchedule};

commands! {
    /// Sets how priorities become traffic classes, and how these are scheduled.
    IfSetTxSelection = 0x036, version 2 {
        /// Interface.
        if_id: u16 @ 0,
        /// Where the priority comes from: 0 PCP, 1 DSCP, 2 stays as it is.
        priority_selector: u8 @ 2 bits 0..3,
        /// Traffic class of each priority.
        tc_id: [u8; 8] @ 8,
        /// Schedule of each traffic class.
        tc_sched: [TrafficClassSchedule; 8] @ 16,
    } -> ();

    /// Limits what is flooded.
    IfSetFloodingMetering = 0x039, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// The meter.
        meter: Meter @ 0,
    } -> ();

    /// Limits what comes in for a traffic class.
    IfSetMetering = 0x03a, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Traffic class.
        tc_id: u8 @ 2,
        /// The meter.
        meter: Meter @ 0,
    } -> ();

    /// Sets a curve by which frames are dropped early.
    IfSetEarlyDrop = 0x03b, version 1 {
        /// Traffic class.
        tc_id: u8 @ 1,
        /// Interface.
        if_id: u16 @ 2,
        /// I/O virtual address of the curve.
        early_drop_iova: u64 @ 8,
    } -> ();

    /// Chooses where the priority of what comes in is taken from.
    IfSetPrioSelector = 0x03c, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// 0 PCP, 1 DSCP, 2 stays as it is.
        priority_selector: u8 @ 2 bits 0..3,
    } -> ();

    /// Limits the rate at which an interface sends.
    IfSetTxShaping = 0x03f, version 2 {
        /// Interface.
        if_id: u16 @ 0,
        /// Mbit/s.
        committed_rate: u32 @ 8,
        /// Mbit/s; in version 1 the greatest rate.
        excess_rate: u32 @ 12,
        /// Burst at the committed rate, bytes.
        cr_burst_size: u32 @ 16 since 2,
        /// Burst at the excess rate, bytes.
        er_burst_size: u32 @ 20 since 2,
    } -> ();

    /// Sets how full the queue of a traffic class may get.
    IfSetTaildrop = 0x0a8, version 1 {
        /// Traffic class.
        tc: u8 @ 2,
        /// Interface.
        if_id: u16 @ 4,
        /// The limit.
        drop: TailDrop @ 8 of version 1,
    } -> ();

    /// Asks for that.
    IfGetTaildrop = 0x0a9, version 1 {
        /// Traffic class.
        tc: u8 @ 2,
        /// Interface.
        if_id: u16 @ 4,
    } -> IfGetTaildropReply {
        /// Interface.
        if_id: u16 @ 4,
        /// The limit.
        drop: TailDrop @ 8 of version 1,
    };
}
