// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Network interface: what a layout says of a `dpni`.

use crate::dpl::fields::{Fields, Symbol, Writing, symbol};

/// `DPNI_OPT_*` of firmware 10.40 (`fsl_dpni.h`).
pub const OPTIONS: &[Symbol] = &[
    symbol("DPNI_OPT_TX_FRM_RELEASE", 0x0001),
    symbol("DPNI_OPT_NO_MAC_FILTER", 0x0002),
    symbol("DPNI_OPT_HAS_POLICING", 0x0004),
    symbol("DPNI_OPT_SHARED_CONGESTION", 0x0008),
    symbol("DPNI_OPT_HAS_KEY_MASKING", 0x0010),
    symbol("DPNI_OPT_NO_FS", 0x0020),
    symbol("DPNI_OPT_HAS_OPR", 0x0040),
    symbol("DPNI_OPT_OPR_PER_TC", 0x0080),
    symbol("DPNI_OPT_SINGLE_SENDER", 0x0100),
    symbol("DPNI_OPT_CUSTOM_CG", 0x0200),
    symbol("DPNI_OPT_CUSTOM_OPR", 0x0400),
    symbol("DPNI_OPT_SHARED_HASH_KEY", 0x0800),
    symbol("DPNI_OPT_SHARED_FS", 0x1000),
    symbol("DPNI_OPT_STASHING_DIS", 0x2000),
    symbol("DPNI_OPT_HAS_REPLICATION", 0x4000),
];

/// Options of firmware 9, which layouts for older boards still carry.
const OBSOLETE_OPTIONS: &[&str] = &[
    "DPNI_OPT_ALLOW_DIST_KEY_PER_TC",
    "DPNI_OPT_TX_CONF_DISABLED",
    "DPNI_OPT_PRIVATE_TX_CONF_ERROR_DISABLED",
    "DPNI_OPT_DIST_HASH",
    "DPNI_OPT_DIST_FS",
    "DPNI_OPT_UNICAST_FILTER",
    "DPNI_OPT_MULTICAST_FILTER",
    "DPNI_OPT_VLAN_FILTER",
    "DPNI_OPT_IPR",
    "DPNI_OPT_IPF",
    "DPNI_OPT_VLAN_MANIPULATION",
    "DPNI_OPT_QOS_MASK_SUPPORT",
    "DPNI_OPT_FS_MASK_SUPPORT",
];

/// Properties of firmware 9 and what took their place.
const OBSOLETE: &[(&str, &str)] = &[
    ("max_senders", "num_queues"),
    ("max_tcs", "num_tcs"),
    ("max_dist_per_tc", "num_queues"),
    ("max_fs_entries", "fs_entries"),
    ("max_unicast_filters", "mac_filter_entries"),
    ("max_multicast_filters", "mac_filter_entries"),
    ("max_vlan_filters", "vlan_filter_entries"),
    ("max_qos_entries", "qos_entries"),
    ("max_qos_key_size", ""),
    ("max_dist_key_size", "dist_key_size"),
    ("max_policers", "the option DPNI_OPT_HAS_POLICING"),
    ("max_congestion_ctrl", ""),
    ("max_reass_frm_size", ""),
    ("min_frag_size_ipv4", ""),
    ("min_frag_size_ipv6", ""),
    ("max_open_frames_ipv4", ""),
    ("max_open_frames_ipv6", ""),
];

/// What the create command of a `dpni` carries. 0 asks for the firmware's
/// default, which an absent property means as well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DpniConfig {
    /// [`OPTIONS`], and bits that have no public name.
    pub options: u32,
    /// Entries of the flow steering table, at most 1024; 0: 64.
    pub fs_entries: u16,
    /// Entries of the VLAN filter, at most 16; 0: no filtering.
    pub vlan_filter_entries: u8,
    /// Entries of the MAC filter besides the primary address, at most 80;
    /// 0: 16, as observed on firmware 10.39 (the header says 80).
    pub mac_filter_entries: u8,
    /// Queues that traffic is spread over; 0: 1. The header's limit of 8 is
    /// outdated: layouts of the LX2160A ask for 16, tools allow 32.
    pub num_queues: u8,
    /// Traffic classes, at most 16 (of which receive uses 8); 0: 1.
    pub num_tcs: u8,
    /// Traffic classes for receive, at most 8; 0: as `num_tcs`.
    pub num_rx_tcs: u8,
    /// Entries of the QoS table, at most 64; 0: 64, or none with one class.
    pub qos_entries: u8,
    /// Congestion groups, with `DPNI_OPT_CUSTOM_CG`; 0: one per class.
    pub num_cgs: u8,
    /// Order point records, with `DPNI_OPT_CUSTOM_OPR`; 0: one per queue.
    pub num_opr: u16,
    /// Bytes of a distribution key, at most 56; 0: 24.
    pub dist_key_size: u8,
    /// Egress channels, at most 32; 0: 1.
    pub num_channels: u8,
    /// Primary address. No part of the create command: boot loaders write it
    /// into the layout, and the firmware sets it after creation.
    pub mac_address: Option<[u8; 6]>,
}

/// The one interface type that any layout names.
const TYPES: &[Symbol] = &[symbol("DPNI_TYPE_NIC", 0)];

impl DpniConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        fields.obsolete(OBSOLETE);
        fields.choice("type", TYPES);
        Self {
            options: fields.options("options", OPTIONS, OBSOLETE_OPTIONS, 32) as u32,
            fs_entries: fields.half("fs_entries", 1024),
            vlan_filter_entries: fields.byte("vlan_filter_entries", 16),
            mac_filter_entries: fields.byte("mac_filter_entries", 80),
            num_queues: fields.byte("num_queues", 32),
            num_tcs: fields.byte("num_tcs", 16),
            num_rx_tcs: fields.byte("num_rx_tcs", 8),
            qos_entries: fields.byte("qos_entries", 64),
            num_cgs: fields.byte("num_cgs", 128),
            num_opr: fields.half("num_opr", 128),
            dist_key_size: fields.byte("dist_key_size", 56),
            num_channels: fields.byte("num_channels", 32),
            mac_address: fields.mac_address("mac_addr"),
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.options("options", self.options.into(), OPTIONS);
        to.nonzero("num_queues", self.num_queues);
        to.nonzero("num_tcs", self.num_tcs);
        to.nonzero("num_rx_tcs", self.num_rx_tcs);
        to.nonzero("mac_filter_entries", self.mac_filter_entries);
        to.nonzero("vlan_filter_entries", self.vlan_filter_entries);
        to.nonzero("fs_entries", self.fs_entries);
        to.nonzero("qos_entries", self.qos_entries);
        to.nonzero("num_cgs", self.num_cgs);
        to.nonzero("num_opr", self.num_opr);
        to.nonzero("dist_key_size", self.dist_key_size);
        to.nonzero("num_channels", self.num_channels);
        if let Some(address) = self.mac_address {
            to.cells("mac_addr", address.map(u32::from));
        }
    }
}
