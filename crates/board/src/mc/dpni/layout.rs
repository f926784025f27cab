// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a layout says of a network interface.

use crate::dpl::{Fields, Properties, Symbol, Writing, symbol};
use mc_abi::{MacAddr, dpni::Create};

/// `DPNI_OPT_*` of firmware 10.40 (`fsl_dpni.h`).
const OPTIONS: &[Symbol] = &[
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

/// The one interface type that any layout names.
const TYPES: &[Symbol] = &[symbol("DPNI_TYPE_NIC", 0)];

impl Properties for Create {
    /// The header's limit of 8 queues is outdated: layouts of the LX2160A ask for
    /// 16, tools allow 32.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
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
        }
    }

    fn write(&self, to: &mut Writing) {
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
    }

    fn mac_address(fields: &Fields<'_>) -> Option<MacAddr> {
        fields.mac_address("mac_addr").map(MacAddr)
    }
}
