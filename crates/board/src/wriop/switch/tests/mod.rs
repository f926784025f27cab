// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Switches and what passes through them.

mod frames;
mod model;

use super::*;
use std::sync::Arc;

/// Bits of sets of interfaces.
pub fn set(interfaces: &[usize]) -> u64 {
    interfaces.iter().fold(0, |set, at| set | 1 << at)
}

/// A forwarding table that floods to `flood`.
pub fn table(flood: u64) -> SwitchTable {
    SwitchTable {
        fdb: Arc::new(Fdb::new(100, 10, 300)),
        learning: Learning::Hardware,
        broadcast: flood,
        unknown: flood,
    }
}

/// A VLAN whose interfaces share a table.
pub fn vlan(number: u16, members: u64, untagged: u64, table: &SwitchTable) -> SwitchVlan {
    let tables = vec![table.clone(); 64];
    SwitchVlan { number, tables, members, untagged, silent: 0, deaf: 0 }
}

/// An interface that lets everything pass, connected to `peer`.
pub fn port(peer: Endpoint, tag: u16) -> SwitchPortConfig {
    SwitchPortConfig {
        peer: Some(peer),
        tag,
        admit: Admit::All,
        accept_all_vlans: false,
        max_length: 1522,
        accept_long: false,
        learning: Learning::Hardware,
        floods: Floods { unknown: true, broadcast: true, multicast: true },
        mirrors: Mirrors::default(),
        list: None,
        priority: PrioritySource::Tag,
        classes: [0, 1, 2, 3, 4, 5, 6, 7],
        meters: [None; SWITCH_CLASSES],
        flooding_meter: None,
        aggregates: true,
    }
}

/// A switch of so many interfaces, each connected to the port of its number plus
/// one, all in VLAN 1 without tag.
pub fn config(ports: usize) -> SwitchConfig {
    let all = 1u64.checked_shl(ports as u32).map_or(u64::MAX, |end| end - 1);
    SwitchConfig {
        icid: 23,
        ports: (0..ports).map(|at| port(Endpoint::Port(at as u32 + 1), 1)).collect(),
        vlans: vec![vlan(1, all, all, &table(all))],
        tpid: 0x8100,
        ..SwitchConfig::default()
    }
}
