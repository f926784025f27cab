// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Settings that tests and fuzz targets share.

use super::{
    Admit, Endpoint, Fdb, Floods, Learning, MacFilter, Mirrors, PrioritySource, SWITCH_CLASSES,
    SwitchConfig, SwitchPortConfig, SwitchTable, SwitchVlan,
};
use mc_abi::MacAddr;
use std::sync::Arc;

/// A switch whose interface n is connected to network interface n: 1 and 2 in VLAN 1, 3 and 4
/// in VLAN 2. Frames have no tags; nothing is at its interface 0.
pub fn switch_of_two_vlans(icid: u16) -> SwitchConfig {
    let table = |flood| SwitchTable {
        fdb: Arc::new(Fdb::new(16, 4, 1_000_000)),
        learning: Learning::Hardware,
        broadcast: flood,
        unknown: flood,
    };
    let vlan = |number, members| SwitchVlan {
        number,
        tables: vec![table(members); 5],
        members,
        untagged: members,
        silent: 0,
        deaf: 0,
    };
    let port = |at: u32| SwitchPortConfig {
        peer: (at > 0).then_some(Endpoint::Interface(at)),
        tag: if at < 3 { 1 } else { 2 },
        admit: Admit::All,
        accept_all_vlans: false,
        max_length: 10_240,
        accept_long: false,
        learning: Learning::Hardware,
        floods: Floods { unknown: true, broadcast: true, multicast: true },
        mirrors: Mirrors::default(),
        list: None,
        priority: PrioritySource::CodePoint,
        classes: [0; SWITCH_CLASSES],
        meters: [None; SWITCH_CLASSES],
        flooding_meter: None,
        aggregates: true,
    };
    SwitchConfig {
        icid,
        ports: (0..5).map(port).collect(),
        vlans: vec![vlan(1, 0b00110), vlan(2, 0b11000)],
        tpid: 0x8100,
        ..SwitchConfig::default()
    }
}

/// A filter that lets all frames in.
pub fn promiscuous(primary: [u8; 6]) -> MacFilter {
    MacFilter {
        primary: MacAddr(primary),
        all_unicast: true,
        all_multicast: true,
        ..MacFilter::default()
    }
}
