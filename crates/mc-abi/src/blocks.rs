// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Blocks of fields that several commands have, of one family or more.

use crate::{Label, ObjectType};

/// Bits of a link's options, the same in all families (`DP*_LINK_OPT_*`).
pub mod link_options {
    /// Autonegotiation.
    pub const AUTONEG: u64 = 1;
    /// Half duplex.
    pub const HALF_DUPLEX: u64 = 2;
    /// Pause frames.
    pub const PAUSE: u64 = 4;
    /// Asymmetric pause frames.
    pub const ASYM_PAUSE: u64 = 8;
    /// Priority flow control; `dpni` only.
    pub const PFC_PAUSE: u64 = 16;

    names!(AUTONEG, HALF_DUPLEX, PAUSE, ASYM_PAUSE, PFC_PAUSE);
}

layout! {
    /// The link that software wants.
    pub struct LinkConfig [24] {
        /// Mbit/s.
        rate: u32 @ 0,
        /// Bits of [`link_options`].
        options: u64 @ 8 named link_options::NAMES,
        /// What the partner shall be notified of.
        advertising: u64 @ 16 since 2,
    }
}

layout_of! {
    /// What a `dpmac` is asked for. The reference header is packed: the last
    /// field is not aligned.
    LinkConfig as LinkConfigOfMac [20] {
        options: u64 @ 0,
        rate: u32 @ 8,
        advertising: u64 @ 12 since 2,
    }
}

layout! {
    /// A link as it is. All zeros while it is down.
    pub struct LinkState [36] {
        /// Frames can pass.
        up: bool @ 0 bits 0..1,
        /// Whether `supported` and `advertising` come from a PHY.
        state_valid: bool @ 0 bits 1..2 since 2,
        /// Mbit/s.
        rate: u32 @ 4,
        /// Bits of [`link_options`].
        options: u64 @ 12 named link_options::NAMES,
        /// What the physical side can do.
        supported: u64 @ 20 since 2,
        /// What it tells its partner that it can do.
        advertising: u64 @ 28 since 2,
    }
}

layout_of! {
    /// What a `dpmac` is notified of.
    LinkState as LinkStateOfMac [40] {
        options: u64 @ 0,
        rate: u32 @ 8,
        up: bool @ 16 bits 0..1,
        state_valid: bool @ 16 bits 1..2 since 2,
        supported: u64 @ 24 since 2,
        advertising: u64 @ 32 since 2,
    }
}

layout! {
    /// Where a queue's frames, or reports of congestion, go.
    pub struct Destination [7] {
        /// Number of the object.
        id: u32 @ 0,
        /// Priority in its channel.
        priority: u8 @ 4,
        /// 0: none, 1: `dpio`, 2: `dpcon`.
        kind: u8 @ 6 bits 0..4,
    }
}

layout_of! {
    /// In reports of congestion, and of the queues of a `dpni`.
    Destination as DestinationAtEnd [8] {
        id: u32 @ 0,
        priority: u8 @ 6,
        kind: u8 @ 7 bits 0..4,
    }
}

layout! {
    /// When and where congestion is reported.
    pub struct CongestionNotification [32] {
        /// Whom to tell.
        destination: Destination as DestinationAtEnd @ 0,
        /// Bit 0: write to memory on entry, 1: on exit, 2: coherently, 3: tell
        /// the destination on entry, 4: on exit, 5: without interrupt
        /// coalescing.
        mode: u16 @ 4,
        /// Unit of the thresholds: 0 bytes, 1 frames.
        units: u8 @ 7 bits 4..6,
        /// I/O virtual address that a report is written to, 16 byte aligned.
        message_iova: u64 @ 8,
        /// Written with each report.
        message_context: u64 @ 16,
        /// Above this, congestion starts; 0: never.
        threshold_entry: u32 @ 24,
        /// Below this, it ends.
        threshold_exit: u32 @ 28,
    }
}

layout_of! {
    /// Of a `dpdmai`, which tells no other object.
    CongestionNotification as CongestionNotificationOfDma [32] {
        units: u8 @ 1 bits 0..4,
        mode: u16 @ 2,
        threshold_entry: u32 @ 8,
        threshold_exit: u32 @ 12,
        message_context: u64 @ 16,
        message_iova: u64 @ 24,
    }
}

layout! {
    /// How full a queue, or a group of queues, may get.
    pub struct TailDrop [8] {
        /// Whether there is a limit.
        enable: bool @ 0 bits 0..1,
        /// Bytes added to each frame's length; `dpni` only.
        overhead: u16 @ 0 bits 1..13 since 2,
        /// 0 bytes, 1 frames, 2 buffers.
        units: u8 @ 2,
        /// The limit.
        threshold: u32 @ 4,
    }
}

layout! {
    /// How a queue's frames are put back into order.
    pub struct OrderSettings [5] {
        /// Loose ordering: 0 off, 1 on.
        oloe: u8 @ 0,
        /// Advance of the expected number when the list is exhausted: 0 off,
        /// 1 on.
        oeane: u8 @ 1,
        /// Window of late arrivals: 0 none, 1 of 32 frames, 2 as the
        /// restoration window, 3 of 8192 frames.
        olws: u8 @ 2,
        /// Automatic advance of the expected number: 0 off, 1 on.
        oa: u8 @ 3,
        /// Restoration window: 32 frames shifted left by this, 0 to 5.
        oprrws: u8 @ 4,
    }
}

layout! {
    /// How a traffic class gets its turn (`dpsw`, and version 1 of `dpni`).
    pub struct TrafficClassSchedule [4] {
        /// Weight, 100 to 10000, where `mode` is not 0.
        delta_bandwidth: u16 @ 0,
        /// 0: strict priority, 1: weighted.
        mode: u8 @ 2 bits 0..4,
    }
}

layout! {
    /// How a switch meters what it floods, or what comes in for a traffic class.
    pub struct Meter [20] {
        /// 0 none, 1 RFC 2698, 2 RFC 4115.
        mode: u8 @ 3 bits 0..4,
        /// 0: bytes, 1: frames.
        units: u8 @ 3 bits 4..8,
        /// Committed rate, kbit/s.
        cir: u32 @ 4,
        /// Peak or excess rate, kbit/s.
        eir: u32 @ 8,
        /// Committed burst, bytes.
        cbs: u32 @ 12,
        /// Peak or excess burst, bytes.
        ebs: u32 @ 16,
    }
}

layout! {
    /// How an interface polices a traffic class. Its codes are others than those of a
    /// switch's [`Meter`].
    pub struct Policer [24] {
        /// 0 none, 1 pass through, 2 RFC 2698, 3 RFC 4115.
        mode: u8 @ 0 bits 0..4,
        /// 0 green, 1 yellow, 2 red.
        default_color: u8 @ 0 bits 4..8,
        /// 0 bytes from L3 on, 1 frames, 2 bytes from L2 on.
        units: u8 @ 1 bits 0..4,
        /// Bit 0 colours count, 1 drop red frames, 2 keep counters.
        options: u32 @ 4,
        /// Committed rate, kbit/s or frames/s.
        committed_rate: u32 @ 8,
        /// Committed burst, bytes or frames.
        committed_burst: u32 @ 12,
        /// Peak or excess rate, kbit/s or frames/s.
        excess_rate: u32 @ 16,
        /// Peak or excess burst, bytes or frames.
        excess_burst: u32 @ 20,
    }
}

layout! {
    /// How frames lie in buffers.
    pub struct BufferLayout [16] {
        /// A time stamp is passed.
        timestamp: bool @ 6 bits 0..1,
        /// The parser's result is passed.
        parser_result: bool @ 6 bits 1..2,
        /// The frame status is passed.
        frame_status: bool @ 6 bits 2..3,
        /// A value of software is passed.
        software_opaque: bool @ 6 bits 3..4 since 2,
        /// Bytes kept for software.
        private_data_size: u16 @ 8,
        /// Alignment of the data, bytes.
        data_align: u16 @ 10,
        /// Room before the data, bytes.
        head_room: u16 @ 12,
        /// Room behind the data, bytes.
        tail_room: u16 @ 14,
    }
}

layout! {
    /// An object as its container describes it.
    pub struct ObjectDescription [56] {
        /// Number in its family.
        id: u32 @ 4,
        /// 0x1957 for all objects.
        vendor: u16 @ 8,
        /// How many interrupts it has.
        irqs: u8 @ 10,
        /// How many regions it has.
        regions: u8 @ 11,
        /// See [`dprc::state`](crate::dprc::state).
        state: u32 @ 12 named crate::dprc::state::NAMES,
        /// Version of its family.
        version_major: u16 @ 16,
        /// Version of its family.
        version_minor: u16 @ 18,
        /// Bit 0: its transactions are not shareable.
        flags: u16 @ 20,
        /// Its family.
        kind: ObjectType @ 24,
        /// Its name.
        label: Label @ 40,
    }
}
