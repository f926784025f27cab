// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The link: what software wants, and what there is.

use crate::{
    MacAddr,
    blocks::{LinkConfig, LinkState},
};

commands! {
    /// Asks for the link as it is.
    GetLinkState = 0x215, version 2 {} -> GetLinkStateReply {
        /// The link.
        link: LinkState @ 4,
    };

    /// Says what link software wants.
    SetLinkCfg = 0x21a, version 2 {
        /// The link.
        link: LinkConfig @ 8,
    } -> ();

    /// Asks for what [`SetLinkCfg`] set. The reference client reads the
    /// answer with the layout of that command's version 2.
    GetLinkCfg = 0x278, version 1 {} -> GetLinkCfgReply {
        /// The link.
        link: LinkConfig @ 8 of version 2,
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
