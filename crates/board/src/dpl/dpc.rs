// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Data path configurations (DPC): the facts of a board that the Management
//! Complex is told beside the layout.
//!
//! The grammar is that of the configurations published for real boards, plus
//! `port_mac_address`, which boot loaders write into them.

use std::collections::HashSet;

use super::config::parse_id;
use super::fdt::Node;
use super::fields::{Fields, Symbol, join, symbol};
use super::problem::{At, Collector};
use crate::soc::{CHANNELS, Soc};
use mc_abi::ObjectType;

/// A data path configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dpc {
    /// Ranges of isolation context ids that containers get theirs from.
    pub icid_pools: Vec<IcidPool>,
    /// The log in memory.
    pub log: Option<Log>,
    /// The log on a serial port.
    pub console: Option<Console>,
    /// Channels of 8 work queues that are turned into four of 2 each.
    pub wq_ch_conversion: Option<u32>,
    /// Buffers that the buffer manager gets memory for.
    pub total_bman_buffers: Option<u32>,
    /// Ethernet ports.
    pub ports: Vec<Port>,
}

/// A range of isolation context ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcidPool {
    /// First id.
    pub base: u32,
    /// How many.
    pub count: u32,
}

/// The log in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Whether there is one.
    pub on: bool,
    /// Least level that is logged, such as `LOG_LEVEL_WARNING`.
    pub level: Option<String>,
}

/// The log on a serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Whether there is one.
    pub on: bool,
    /// Which port.
    pub uart_id: Option<u32>,
    /// Least level that is logged.
    pub level: Option<String>,
}

/// An Ethernet port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The hardware MAC: 17 for `mac@17`, and so for `dpmac.17`.
    pub id: u16,
    /// How it is linked; boot loaders fill it in where it is missing.
    pub link_type: Option<LinkType>,
    /// Its electrical interface, where it differs from what the SerDes
    /// protocol says.
    pub interface: Option<EthInterface>,
    /// Forward error correction, where it differs from the default.
    pub fec_mode: Option<FecMode>,
    /// Burned-in address.
    pub mac_address: Option<[u8; 6]>,
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $table:ident, $($text:literal $variant:ident = $value:literal,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`, ", $value, " in commands.")] $variant = $value,)*
        }

        const $table: &[Symbol] = &[$(symbol($text, $value),)*];

        impl $name {
            fn from_value(value: u64) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

named!(
    /// `enum dpmac_link_type` (`fsl_dpmac.h`).
    LinkType, LINK_TYPES,
    "MAC_LINK_TYPE_NONE" None = 0,
    "MAC_LINK_TYPE_FIXED" Fixed = 1,
    "MAC_LINK_TYPE_PHY" Phy = 2,
    "MAC_LINK_TYPE_BACKPLANE" Backplane = 3,
);

named!(
    /// `enum dpmac_eth_if` (`fsl_dpmac.h`).
    EthInterface, ETH_INTERFACES,
    "MII" Mii = 0,
    "RMII" Rmii = 1,
    "SMII" Smii = 2,
    "GMII" Gmii = 3,
    "RGMII" Rgmii = 4,
    "SGMII" Sgmii = 5,
    "QSGMII" Qsgmii = 6,
    "XAUI" Xaui = 7,
    "XFI" Xfi = 8,
    "CAUI" Caui = 9,
    "1000BASEX" Base1000X = 10,
    "USXGMII" Usxgmii = 11,
);

named!(
    /// `enum dpmac_fec_mode` (`fsl_dpmac.h`).
    FecMode, FEC_MODES,
    "none" None = 0,
    "rs" Rs = 1,
    "fc" Fc = 2,
);

const LOG_MODES: &[Symbol] = &[symbol("LOG_MODE_OFF", 0), symbol("LOG_MODE_ON", 1)];
const CONSOLE_MODES: &[Symbol] = &[symbol("CONSOLE_MODE_OFF", 0), symbol("CONSOLE_MODE_ON", 1)];

/// Reads the tree of a configuration.
pub(super) fn read(root: &Node, soc: Option<&Soc>, problems: &Collector) -> Dpc {
    let mut dpc = Dpc::default();
    let fields = Fields::new(root, "", problems);
    for node in &root.children {
        match node.name.as_str() {
            "resources" => resources(node, problems, &mut dpc),
            "mc_general" => general(node, problems, &mut dpc),
            "controllers" => controllers(node, problems, &mut dpc),
            "board_info" => board_info(node, soc, problems, &mut dpc),
            // The log of the I/O processor, which nothing here runs.
            "aiop" | "__symbols__" | "__fixups__" | "__local_fixups__" => {}
            _ => unknown(node, "/", problems),
        }
    }
    fields.finish();
    dpc
}

fn unknown(node: &Node, parent: &str, problems: &Collector) {
    let path = join(parent, &node.name);
    problems.warn(At::node(&path), "this node is not known here", "it is ignored");
}

fn resources(node: &Node, problems: &Collector, dpc: &mut Dpc) {
    let fields = Fields::new(node, "/", problems);
    for child in &node.children {
        if child.name != "icid_pools" {
            unknown(child, &fields.path, problems);
            continue;
        }
        let pools = Fields::new(child, &fields.path, problems);
        for pool in &child.children {
            if pool.base_name() != "icid_pool" {
                unknown(pool, &pools.path, problems);
                continue;
            }
            let fields = Fields::new(pool, &pools.path, problems);
            let base = fields.number("base_icid", 0..=0xffff).unwrap_or(0);
            match fields.number("num", 1..=0x1_0000) {
                Some(count) => dpc.icid_pools.push(IcidPool { base, count }),
                None if fields.bytes("num").is_none() => {
                    fields.error_in("num", "the property is needed", "give the number of ids");
                }
                None => {}
            }
            fields.finish_leaf();
        }
        if dpc.icid_pools.len() > 1 {
            let reason = "ids are taken out of the first pool only";
            problems.warn(At::node(&pools.path), reason, "put the pool to use first");
        }
        pools.finish();
    }
    fields.finish();
}

fn general(node: &Node, problems: &Collector, dpc: &mut Dpc) {
    let fields = Fields::new(node, "/", problems);
    for child in &node.children {
        let entry = Fields::new(child, &fields.path, problems);
        match child.name.as_str() {
            "log" => {
                let on = entry.choice("mode", LOG_MODES) == Some(1);
                let level = entry.string("level").map(str::to_owned);
                dpc.log = Some(Log { on, level });
            }
            "console" => {
                let on = entry.choice("mode", CONSOLE_MODES) == Some(1);
                let uart_id = entry.number("uart_id", 0..=u32::MAX);
                let level = entry.string("level").map(str::to_owned);
                dpc.console = Some(Console { on, uart_id, level });
            }
            _ => {
                unknown(child, &fields.path, problems);
                continue;
            }
        }
        entry.finish_leaf();
    }
    fields.finish();
}

fn controllers(node: &Node, problems: &Collector, dpc: &mut Dpc) {
    let fields = Fields::new(node, "/", problems);
    for child in &node.children {
        if child.name != "qbman" {
            unknown(child, &fields.path, problems);
            continue;
        }
        let qbman = Fields::new(child, &fields.path, problems);
        dpc.wq_ch_conversion = qbman.number("wq_ch_conversion", 0..=CHANNELS.count);
        dpc.total_bman_buffers = qbman.number("total_bman_buffers", 0..=u32::MAX);
        qbman.finish_leaf();
    }
    fields.finish();
}

fn board_info(node: &Node, soc: Option<&Soc>, problems: &Collector, dpc: &mut Dpc) {
    let fields = Fields::new(node, "/", problems);
    for child in &node.children {
        if child.name != "ports" {
            unknown(child, &fields.path, problems);
            continue;
        }
        let ports = Fields::new(child, &fields.path, problems);
        let mut known = HashSet::new();
        for port in &child.children {
            read_port(port, &ports.path, soc, problems, &mut known, dpc);
        }
        ports.finish();
    }
    fields.finish();
}

fn read_port(
    node: &Node,
    parent: &str,
    soc: Option<&Soc>,
    problems: &Collector,
    known: &mut HashSet<u16>,
    dpc: &mut Dpc,
) {
    let fields = Fields::new(node, parent, problems);
    let id = (node.base_name() == "mac").then(|| node.unit_address().and_then(parse_id)).flatten();
    let Some(id) = id.and_then(|id| u16::try_from(id).ok()).filter(|id| *id > 0) else {
        fields.error("this is not the name of a port", "name it after the MAC, such as mac@1");
        return;
    };
    if !known.insert(id) {
        fields.error(format!("port {id} is described twice"), "remove one of them");
    }
    if let Some(lack) = soc.and_then(|soc| soc.lack(ObjectType::Dpmac, id.into())) {
        fields.error(lack.reason, lack.remedy);
    }
    dpc.ports.push(Port {
        id,
        link_type: fields.choice("link_type", LINK_TYPES).and_then(LinkType::from_value),
        interface: fields.choice("enet_if", ETH_INTERFACES).and_then(EthInterface::from_value),
        fec_mode: fields.choice("fec_mode", FEC_MODES).and_then(FecMode::from_value),
        mac_address: fields.mac_address("port_mac_address"),
    });
    fields.finish_leaf();
}
