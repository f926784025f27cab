// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Virtual networks.
//!
//! A switch starts with VLAN 1, all interfaces in it without tag (Linux takes
//! that apart when it begins).

use super::{Answer, Call, State, Switch, addressed, forwarding::Tables, set, words};
use crate::mc::refusal::{Because, Refusal};
use crate::wriop::SwitchVlan;
use mc_abi::{
    Status,
    dpsw::{self, VLAN_ADD_IF_FDB_ID, vlans::Command},
};
use std::collections::BTreeMap;

/// Numbers that a VLAN can have: 0 and 4095 are reserved.
const NUMBERS: std::ops::RangeInclusive<u16> = 1..=4094;
const DEFAULT: u16 = 1;

/// The VLANs of a switch.
#[derive(Debug)]
pub(super) struct Vlans(BTreeMap<u16, Vlan>);

/// A VLAN. Sets of interfaces are bitmaps.
#[derive(Debug, Default)]
pub(super) struct Vlan {
    table: u16,
    /// Forwarding tables of interfaces that have another one.
    tables: BTreeMap<u16, u16>,
    interfaces: u64,
    untagged: u64,
    flooding: u64,
    /// Spanning tree states that were set.
    stp: BTreeMap<u16, u8>,
}

impl Vlans {
    /// The default VLAN with all interfaces.
    pub fn new(all: u64) -> Self {
        let vlan = Vlan { interfaces: all, untagged: all, flooding: all, ..Vlan::default() };
        Self(BTreeMap::from([(DEFAULT, vlan)]))
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        self.0.len() as u16
    }

    /// A VLAN.
    ///
    /// # Errors
    /// [`Status::NoResource`] where there is no such one.
    pub fn get(&self, number: u16) -> Result<&Vlan, Refusal> {
        self.0
            .get(&number)
            .ok_or_else(|| Status::NoResource.because(format!("there is no VLAN {number}")))
    }

    fn get_mut(&mut self, number: u16) -> Result<&mut Vlan, Refusal> {
        self.0
            .get_mut(&number)
            .ok_or_else(|| Status::NoResource.because(format!("there is no VLAN {number}")))
    }

    /// Sets the spanning tree state of an interface that there is.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn set_stp(&mut self, number: u16, interface: u16, state: u8) -> Result<(), Refusal> {
        self.get_mut(number)?.stp.insert(interface, state);
        Ok(())
    }

    /// All VLANs as the data plane needs them. `tables` has each table that one of
    /// them uses.
    pub fn program(&self, limits: &dpsw::Create, tables: &Tables) -> Vec<SwitchVlan> {
        const LEARNING: u8 = 2;
        const FORWARDING: u8 = 3;
        let vlan = |(number, vlan): (&u16, &Vlan)| {
            let below = |state: u8| {
                let states = vlan.stp.iter().filter(|(_, set)| **set < state);
                states.fold(0, |set, (interface, _)| set | 1 << interface)
            };
            let table = |interface| {
                let number = vlan.tables.get(&interface).unwrap_or(&vlan.table);
                let table = tables.get(*number).ok()?;
                Some(table.program(limits, vlan.flooding))
            };
            SwitchVlan {
                number: *number,
                tables: (0..limits.num_ifs).map_while(table).collect(),
                members: vlan.interfaces,
                untagged: vlan.untagged,
                silent: below(FORWARDING),
                deaf: below(LEARNING),
            }
        };
        self.0.iter().map(vlan).collect()
    }

    /// The VLANs with their forwarding tables, interfaces and those without tag.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u16, u64, u64)> + '_ {
        let row =
            |(number, vlan): (&u16, &Vlan)| (*number, vlan.table, vlan.interfaces, vlan.untagged);
        self.0.iter().map(row)
    }

    /// Whether a VLAN's frames are looked up in a forwarding table.
    pub fn use_table(&self, table: u16) -> bool {
        self.0.values().any(|vlan| vlan.table == table || vlan.tables.values().any(|t| *t == table))
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let switch = addressed(state, call)?;
    match command {
        Command::VlanAdd(add) => add_vlan(switch, add)?,
        Command::VlanAddIf(add) => add_interfaces(switch, add)?,
        Command::VlanAddIfUntagged(add) => {
            let (vlan, set) = of(switch, add.vlan_id, &add.interfaces)?;
            vlan.untagged |= members(vlan, set)?;
        }
        Command::VlanAddIfFlooding(add) => {
            // Otherwise it is up to the forwarding table.
            if switch.limits.flooding_cfg != 0 {
                return Err(Status::ConfigurationError
                    .because("flooding is up to the forwarding table here"));
            }
            let (vlan, set) = of(switch, add.vlan_id, &add.interfaces)?;
            vlan.flooding |= members(vlan, set)?;
        }
        Command::VlanRemoveIf(remove) => {
            let (vlan, set) = of(switch, remove.vlan_id, &remove.interfaces)?;
            let keep = !members(vlan, set)?;
            vlan.interfaces &= keep;
            vlan.untagged &= keep;
            vlan.flooding &= keep;
            vlan.tables.retain(|interface, _| keep >> interface & 1 == 1);
            vlan.stp.retain(|interface, _| keep >> interface & 1 == 1);
        }
        Command::VlanRemoveIfUntagged(remove) => {
            let (vlan, set) = of(switch, remove.vlan_id, &remove.interfaces)?;
            vlan.untagged &= !members(vlan, set)?;
        }
        Command::VlanRemoveIfFlooding(remove) => {
            let (vlan, set) = of(switch, remove.vlan_id, &remove.interfaces)?;
            vlan.flooding &= !members(vlan, set)?;
        }
        Command::VlanRemove(remove) => {
            switch.settings.vlans.0.remove(&remove.vlan_id).ok_or_else(|| {
                Status::NoResource.because(format!("there is no VLAN {}", remove.vlan_id))
            })?;
        }
        Command::VlanGetIf(get) => {
            let set = switch.settings.vlans.get(get.vlan_id)?.interfaces;
            let (num_ifs, interfaces) = words(set);
            return call.reply(get, dpsw::VlanGetIfReply { num_ifs, interfaces });
        }
        Command::VlanGetIfFlooding(get) => {
            let set = switch.settings.vlans.get(get.vlan_id)?.flooding;
            let (num_ifs, interfaces) = words(set);
            return call.reply(get, dpsw::VlanGetIfFloodingReply { num_ifs, interfaces });
        }
        Command::VlanGetIfUntagged(get) => {
            let set = switch.settings.vlans.get(get.vlan_id)?.untagged;
            let (num_ifs, interfaces) = words(set);
            return call.reply(get, dpsw::VlanGetIfUntaggedReply { num_ifs, interfaces });
        }
        Command::VlanGetAttributes(get) => {
            let vlan = switch.settings.vlans.get(get.vlan_id)?;
            let reply = dpsw::VlanGetAttributesReply {
                fdb_id: vlan.table,
                num_ifs: words(vlan.interfaces).0,
                num_untagged_ifs: words(vlan.untagged).0,
                num_flooding_ifs: words(vlan.flooding).0,
            };
            return call.reply(get, reply);
        }
    }
    Ok(Answer::DONE)
}

fn add_vlan(switch: &mut Switch, add: &dpsw::VlanAdd) -> Result<(), Refusal> {
    switch.settings.tables.get(add.fdb_id)?;
    let vlans = &mut switch.settings.vlans;
    if !NUMBERS.contains(&add.vlan_id) || vlans.0.contains_key(&add.vlan_id) {
        return Err(Status::ConfigurationError
            .because(format!("{} is no VLAN, or there already", add.vlan_id)));
    }
    if vlans.count() >= switch.limits.max_vlans {
        return Err(Status::NoResource
            .because(format!("the switch has room for {} VLANs", switch.limits.max_vlans)));
    }
    vlans.0.insert(add.vlan_id, Vlan { table: add.fdb_id, ..Vlan::default() });
    Ok(())
}

fn add_interfaces(switch: &mut Switch, add: &dpsw::VlanAddIf) -> Result<(), Refusal> {
    if add.options & !VLAN_ADD_IF_FDB_ID != 0 {
        return Err(Status::ConfigurationError.because("unknown options"));
    }
    let own_table = add.options & VLAN_ADD_IF_FDB_ID != 0;
    if own_table {
        switch.settings.tables.get(add.fdb_id)?;
    }
    let interfaces = switch.limits.num_ifs;
    let (vlan, set) = of(switch, add.vlan_id, &add.interfaces)?;
    if vlan.interfaces & set != 0 {
        return Err(Status::ConfigurationError
            .because(format!("an interface is in VLAN {} already", add.vlan_id)));
    }
    vlan.interfaces |= set;
    if own_table && add.fdb_id != vlan.table {
        let added = (0..interfaces).filter(|interface| set >> interface & 1 == 1);
        vlan.tables.extend(added.map(|interface| (interface, add.fdb_id)));
    }
    Ok(())
}

/// The VLAN and the interfaces that a command names.
fn of<'a>(
    switch: &'a mut Switch,
    number: u16,
    interfaces: &[u64; 4],
) -> Result<(&'a mut Vlan, u64), Refusal> {
    let set = set(&switch.limits, interfaces)?;
    Ok((switch.settings.vlans.get_mut(number)?, set))
}

/// Checks that interfaces are in a VLAN.
fn members(vlan: &Vlan, set: u64) -> Result<u64, Refusal> {
    if set & !vlan.interfaces == 0 {
        Ok(set)
    } else {
        Err(Status::ConfigurationError.because("an interface is not in the VLAN"))
    }
}
