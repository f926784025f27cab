// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The link: what software wants, and what there is.

use crate::MacAddr;

commands! {
    /// Asks for the link as it is.
    GetLinkState = 0x215, version 2 {} -> GetLinkStateReply {
        /// Whether frames can pass.
        up: bool @ 4 bits 0..1,
        /// Whether the physical side vouches for the state.
        state_valid: bool @ 4 bits 1..2 since 2,
        /// Mbit/s.
        rate: u32 @ 8,
        /// Bits of `DPNI_LINK_OPT_*`: 0 autonegotiation, 1 half duplex, 2
        /// pause, 3 asymmetric pause, 4 priority flow control.
        options: u64 @ 16,
        /// What the physical side can do, bits of `DPNI_ADVERTISED_*`.
        supported: u64 @ 24 since 2,
        /// What it tells its partner that it can do.
        advertising: u64 @ 32 since 2,
    };

    /// Says what link software wants.
    SetLinkCfg = 0x21a, version 2 {
        /// Mbit/s.
        rate: u32 @ 8,
        /// As in [`GetLinkStateReply::options`].
        options: u64 @ 16,
        /// What the partner shall be told.
        advertising: u64 @ 24 since 2,
    } -> ();

    /// Asks for what [`SetLinkCfg`] set. The reference client reads the
    /// answer with the layout of that command.
    GetLinkCfg = 0x278, version 1 {} -> GetLinkCfgReply {
        /// Mbit/s.
        rate: u32 @ 8,
        /// As in [`GetLinkStateReply::options`].
        options: u64 @ 16,
        /// What the partner shall be told.
        advertising: u64 @ 24,
    };

    /// Asks for the address of the port that the interface is connected to.
    GetPortMacAddr = 0x263, version 1 {} -> GetPortMacAddrReply {
        /// All zeros: no port.
        address: MacAddr @ 2,
    };

    /// Asks what speeds the MAC behind the interface can have.
    GetMacSpeedCapability = 0x284, version 1 {} -> GetMacSpeedCapabilityReply {
        /// One bit a value of `enum dpmac_link_speed`.
        speeds: u32 @ 0,
    };
}
