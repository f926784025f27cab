// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The real-time clock (IEEE 1588). Layouts: `fsl_dprtc_cmd.h` and `dprtc.c`
//! of MC 10.40. Of the periodic pulse and external trigger commands those
//! sources have only the numbers: they stand here without fields.

pub use crate::common::Created;

commands! {
    /// Makes the clock.
    Create = 0x910, version 1 {} -> Created;

    /// Asks for the clock's identity and place.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Physical address of the clock's registers.
        paddr: u32 @ 0,
        /// Number of the object.
        id: u32 @ 4,
        /// Whether the registers are little-endian.
        little_endian: bool @ 8 bits 0..1,
    };

    /// Sets what is added to the counter, nanoseconds.
    SetClockOffset = 0x1d0, version 1 {
        /// Nanoseconds.
        offset: i64 @ 0,
    } -> ();

    /// Sets the value that the counter's accumulator adds in each cycle.
    SetFreqCompensation = 0x1d1, version 1 {
        /// Value of the compensation register.
        freq_compensation: u32 @ 0,
    } -> ();

    /// Asks for what [`SetFreqCompensation`] set.
    GetFreqCompensation = 0x1d2, version 1 {} -> GetFreqCompensationReply {
        /// Value of the compensation register.
        freq_compensation: u32 @ 0,
    };

    /// Asks for the time.
    GetTime = 0x1d3, version 1 {} -> GetTimeReply {
        /// Nanoseconds.
        time: u64 @ 0,
    };

    /// Sets the time.
    SetTime = 0x1d4, version 1 {
        /// Nanoseconds.
        time: u64 @ 0,
    } -> ();

    /// Asks for an event at a time.
    SetAlarm = 0x1d5, version 1 {
        /// Nanoseconds.
        time: u64 @ 0,
    } -> ();

    /// Starts a periodic pulse.
    SetPeriodicPulse = 0x1d6, version 1 {} -> ();

    /// Stops a periodic pulse.
    ClearPeriodicPulse = 0x1d7, version 1 {} -> ();

    /// Watches an external trigger.
    SetExtTrigger = 0x1d8, version 1 {} -> ();

    /// Watches it no longer.
    ClearExtTrigger = 0x1d9, version 1 {} -> ();

    /// Asks when an external trigger came.
    GetExtTriggerTimestamp = 0x1da, version 1 {
        /// Which trigger.
        id: u8 @ 4,
    } -> GetExtTriggerTimestampReply {
        /// Not 0: there is one that was not yet read.
        unread_valid_timestamp: u8 @ 0,
        /// Nanoseconds.
        timestamp: u64 @ 8,
    };

    /// Chooses what an external trigger listens to.
    SetFiperLoopback = 0x1db, version 1 {
        /// Which trigger.
        id: u8 @ 0,
        /// 0: its pin, 1: the clock's own periodic pulse.
        fiper_as_input: u8 @ 1,
    } -> ();

    /// Asks for what [`SetClockOffset`] set.
    GetClockOffset = 0x1dc, version 1 {} -> GetClockOffsetReply {
        /// Nanoseconds.
        offset: i64 @ 0,
    };
}
