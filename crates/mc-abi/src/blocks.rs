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
