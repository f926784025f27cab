// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Blocks of fields that several commands have, of one family or more.

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
}

layout! {
    /// The link that software wants.
    pub struct LinkConfig [24] {
        /// Mbit/s.
        rate: u32 @ 0,
        /// Bits of [`link_options`].
        options: u64 @ 8,
        /// What the partner shall be told.
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
        options: u64 @ 12,
        /// What the physical side can do.
        supported: u64 @ 20 since 2,
        /// What it tells its partner that it can do.
        advertising: u64 @ 28 since 2,
    }
}

layout_of! {
    /// What a `dpmac` is told.
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
        /// Above this, congestion begins; 0: never.
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
