// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Ethernet ports. Layouts: `fsl_dpmac_cmd.h` of MC 10.40; what version
//! brought which field, from the same header of the releases since 10.2.

use crate::{
    MacAddr,
    blocks::{LinkConfig, LinkConfigOfMac, LinkState, LinkStateOfMac},
};

pub use crate::common::Created;

commands! {
    /// Makes the object of a hardware MAC.
    Create = 0x90c, version 1 {
        /// Number of the MAC, from 1.
        mac: u32 @ 0,
    } -> Created;

    /// Asks for the port's identity.
    GetAttributes = 0x004, version 3 {} -> GetAttributesReply {
        /// Kind of interface, one of [`eth_if`].
        eth_if: u8 @ 0,
        /// Who knows the state of the link, one of [`link_type`].
        link_type: u8 @ 1,
        /// Number of the object.
        id: u16 @ 2,
        /// Fastest rate, Mbit/s.
        max_rate: u32 @ 4,
        /// Forward error correction: 0 none, 1 RS, 2 FC.
        fec_mode: u8 @ 8 since 2,
        /// Gap between frames: 0 fixed, 1 stretched.
        ipg_mode: u8 @ 9 since 3,
        /// Octets, or the stretch factor.
        ipg_length: u8 @ 10 since 3,
        /// Sign of the first post-cursor.
        serdes_sign_post1q: bool @ 16 bits 0..1 since 2,
        /// Sign of the pre-cursor.
        serdes_sign_preq: bool @ 16 bits 1..2 since 2,
        /// Equalisation: 0 default, 1 SFI, 2 custom.
        serdes_mode: u8 @ 17 since 2,
        /// Amplitude reduction.
        serdes_amplitude: u8 @ 18 since 2,
        /// Strength of the first post-cursor.
        serdes_post1q: u8 @ 19 since 2,
        /// Strength of the pre-cursor.
        serdes_preq: u8 @ 20 since 2,
        /// Levels of equalisation.
        serdes_type: u8 @ 21 since 2,
    };

    /// Reads a register of a PHY over the port's management bus.
    MdioRead = 0x0c0, version 1 {
        /// Clause 45 addressing.
        clause45: u8 @ 0,
        /// Address of the PHY.
        phy: u8 @ 1,
        /// The register.
        register: u16 @ 2,
    } -> MdioReadReply {
        /// Its value.
        data: u16 @ 0,
    };

    /// Writes a register of a PHY.
    MdioWrite = 0x0c1, version 1 {
        /// Clause 45 addressing.
        clause45: u8 @ 0,
        /// Address of the PHY.
        phy: u8 @ 1,
        /// The register.
        register: u16 @ 2,
        /// The value.
        data: u16 @ 4,
    } -> ();

    /// Asks what link the connected interface wants.
    GetLinkCfg = 0x0c2, version 2 {} -> GetLinkCfgReply {
        /// The link.
        link: LinkConfig as LinkConfigOfMac @ 0,
    };

    /// Tells the MC the link's state, by whoever drives the PHY.
    SetLinkState = 0x0c3, version 2 {
        /// The link. Its state counts whether it is valid or not (board
        /// observation: Linux never sets that bit).
        link: LinkState as LinkStateOfMac @ 0,
    } -> ();

    /// Asks for a counter.
    GetCounter = 0x0c4, version 1 {
        /// One of `enum dpmac_counter`.
        counter: u8 @ 0,
    } -> GetCounterReply {
        /// Its value.
        value: u64 @ 8,
    };

    /// Asks for the port's address.
    GetMacAddr = 0x0c5, version 1 {} -> GetMacAddrReply {
        /// The address.
        address: MacAddr @ 2,
    };

    /// Sets the gap between frames.
    SetParams = 0x0c6, version 1 {
        /// Bit 0: the gap is meant.
        flags: u32 @ 0,
        /// 0 fixed, 1 stretched.
        ipg_mode: u8 @ 4,
        /// Octets in steps of 4, or the stretch factor.
        ipg_length: u8 @ 5,
    } -> ();

    /// Changes the kind of interface.
    SetProtocol = 0x0c7, version 1 {
        /// One of [`eth_if`].
        eth_if: u8 @ 0,
    } -> ();

    /// Asks for many counters; the MC reads and writes memory for it.
    GetStatistics = 0x0c8, version 1 {
        /// I/O virtual address of the counters' numbers, 32 bits each.
        numbers_iova: u64 @ 0,
        /// I/O virtual address for their values, 64 bits each.
        values_iova: u64 @ 8,
        /// How many.
        count: u32 @ 16,
    } -> ();

    /// Asks where the MAC's event register is.
    GetIeventRegBase = 0x0c9, version 1 {} -> GetIeventRegBaseReply {
        /// Physical address.
        address: u32 @ 0,
    };

    /// Says what kinds of interface software supports.
    SetSupportedEthIf = 0x0ca, version 1 {
        /// One bit a value of [`eth_if`].
        interfaces: u32 @ 0,
    } -> ();
}

/// Who knows the state of the link (`enum dpmac_link_type`).
pub mod link_type {
    /// There is none.
    pub const NONE: u8 = 0;
    /// It is always up.
    pub const FIXED: u8 = 1;
    /// A PHY, driven by software.
    pub const PHY: u8 = 2;
    /// A backplane PHY.
    pub const BACKPLANE: u8 = 3;
}

/// Kinds of interface (`enum dpmac_eth_if`).
pub mod eth_if {
    /// MII.
    pub const MII: u8 = 0;
    /// RMII.
    pub const RMII: u8 = 1;
    /// SMII.
    pub const SMII: u8 = 2;
    /// GMII.
    pub const GMII: u8 = 3;
    /// RGMII.
    pub const RGMII: u8 = 4;
    /// SGMII.
    pub const SGMII: u8 = 5;
    /// QSGMII.
    pub const QSGMII: u8 = 6;
    /// XAUI.
    pub const XAUI: u8 = 7;
    /// XFI.
    pub const XFI: u8 = 8;
    /// CAUI.
    pub const CAUI: u8 = 9;
    /// 1000BASE-X.
    pub const BASE_X_1000: u8 = 10;
    /// USXGMII.
    pub const USXGMII: u8 = 11;
}

/// `DPMAC_IRQ_EVENT_*`: events of the port's interrupt, index 0.
pub mod events {
    /// The connected interface wants another link.
    pub const LINK_CFG_REQ: u32 = 0x01;
    /// The link's state changed.
    pub const LINK_CHANGED: u32 = 0x02;
    /// The connected interface was enabled.
    pub const LINK_UP_REQ: u32 = 0x04;
    /// The connected interface was disabled.
    pub const LINK_DOWN_REQ: u32 = 0x08;
    /// The port was connected or disconnected.
    pub const ENDPOINT_CHANGED: u32 = 0x10;

    names!(LINK_CFG_REQ, LINK_CHANGED, LINK_UP_REQ, LINK_DOWN_REQ, ENDPOINT_CHANGED);
}

/// How many counters there are (`DPMAC_CNT_MAX`): MC 10.39 has 28, 10.40 has
/// 62.
pub mod counters {
    /// Of firmware 10.39 and older.
    pub const BEFORE_10_40: u8 = 28;
    /// Of firmware 10.40.
    pub const SINCE_10_40: u8 = 62;
}
