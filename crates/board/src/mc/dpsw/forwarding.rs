// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Forwarding tables: where a destination address leads.
//!
//! What a real MC says of entries that are there, or not, follows from what
//! Linux expects: it ignores `ENXIO` (a configuration error) for a unicast
//! entry removed twice and for a multicast entry added twice, and `ENAVAIL`
//! (no resource) for a multicast entry removed twice.

use super::{Answer, Call, State, Switch, addressed, all, set, words};
use crate::mc::interfaces::at_most;
use mc_abi::{
    MacAddr, Status,
    dpsw::{self, forwarding::Command, options},
};
use std::collections::BTreeMap;

/// The table that a switch starts with.
const DEFAULT: u16 = 0;
/// `DPSW_LEARNING_MODE_*`: by hardware; the last one.
const LEARN_BY_HARDWARE: u8 = 1;
const LAST_LEARNING_MODE: u8 = 3;

/// The forwarding tables of a switch.
#[derive(Debug)]
pub(super) struct Tables(BTreeMap<u16, Table>);

/// A forwarding table.
#[derive(Debug)]
pub(super) struct Table {
    max_entries: u16,
    aging_time: u16,
    learning: u8,
    unicast: BTreeMap<MacAddr, (u16, u8)>,
    /// Interfaces, a bitmap, and the kind of entry.
    multicast: BTreeMap<MacAddr, (u64, u8)>,
    egress: Egress,
}

/// Where broadcast frames and those with unknown destination go: bitmaps, with
/// the control interface.
#[derive(Debug)]
struct Egress {
    broadcast: u64,
    unknown: u64,
}

impl Table {
    fn new(max_entries: u16, aging_time: u16, interfaces: u64) -> Self {
        Self {
            max_entries,
            aging_time,
            learning: LEARN_BY_HARDWARE,
            unicast: BTreeMap::new(),
            multicast: BTreeMap::new(),
            egress: Egress { broadcast: interfaces, unknown: interfaces },
        }
    }

    /// Whether there is room for one more entry.
    fn check_room(&self) -> Result<(), Status> {
        let entries = self.unicast.len() + self.multicast.len();
        if entries < usize::from(self.max_entries) { Ok(()) } else { Err(Status::NoResource) }
    }
}

impl Tables {
    /// The default table.
    pub fn new(limits: &dpsw::Create) -> Self {
        let table = Table::new(limits.max_fdb_entries, limits.fdb_aging_time, all(limits.num_ifs));
        Self(BTreeMap::from([(DEFAULT, table)]))
    }

    /// How many there are.
    pub fn count(&self) -> u8 {
        self.0.len() as u8
    }

    /// A table.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where there is no such one.
    pub fn get(&self, number: u16) -> Result<&Table, Status> {
        self.0.get(&number).ok_or(Status::ConfigurationError)
    }

    fn get_mut(&mut self, number: u16) -> Result<&mut Table, Status> {
        self.0.get_mut(&number).ok_or(Status::ConfigurationError)
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Status> {
    let switch = addressed(state, call)?;
    match command {
        Command::FdbAdd(add) => {
            let fdb_id = add_table(switch, add)?;
            return call.reply(add, dpsw::FdbAddReply { fdb_id });
        }
        Command::FdbRemove(remove) => {
            switch.settings.tables.get(remove.fdb_id)?;
            if switch.settings.vlans.use_table(remove.fdb_id) {
                return Err(Status::InvalidState);
            }
            switch.settings.tables.0.remove(&remove.fdb_id);
        }
        Command::FdbAddUnicast(add) => {
            at_most(add.kind, 1)?;
            switch.port(add.if_egress)?;
            check_cast(add.address, false)?;
            let table = switch.settings.tables.get_mut(add.fdb_id)?;
            // An address that moves to another interface takes no more room.
            if !table.unicast.contains_key(&add.address) {
                table.check_room()?;
            }
            table.unicast.insert(add.address, (add.if_egress, add.kind));
        }
        Command::FdbRemoveUnicast(remove) => {
            let table = switch.settings.tables.get_mut(remove.fdb_id)?;
            let entry = table.unicast.get(&remove.address);
            if entry.is_none_or(|(interface, _)| *interface != remove.if_egress) {
                return Err(Status::ConfigurationError);
            }
            table.unicast.remove(&remove.address);
        }
        Command::FdbGetUnicast(get) => {
            let entry = switch.settings.tables.get(get.fdb_id)?.unicast.get(&get.address);
            let (if_egress, kind) = *entry.ok_or(Status::ConfigurationError)?;
            return call.reply(get, dpsw::FdbGetUnicastReply { if_egress, kind });
        }
        Command::FdbAddMulticast(add) => add_multicast(switch, add)?,
        Command::FdbRemoveMulticast(remove) => remove_multicast(switch, remove)?,
        Command::FdbGetMulticast(get) => {
            let entry = switch.settings.tables.get(get.fdb_id)?.multicast.get(&get.address);
            let (set, kind) = *entry.ok_or(Status::NoResource)?;
            let (num_ifs, interfaces) = words(set);
            return call.reply(get, dpsw::FdbGetMulticastReply { num_ifs, kind, interfaces });
        }
        Command::FdbSetLearningMode(set) => {
            at_most(set.mode, LAST_LEARNING_MODE)?;
            switch.settings.tables.get_mut(set.fdb_id)?.learning = set.mode;
        }
        Command::FdbGetAttributes(get) => {
            let table = switch.settings.tables.get(get.fdb_id)?;
            let reply = dpsw::FdbGetAttributesReply {
                max_fdb_entries: table.max_entries,
                fdb_aging_time: table.aging_time,
                num_fdb_mc_groups: table.multicast.len() as u16,
                max_fdb_mc_groups: switch.limits.max_fdb_mc_groups,
                learning_mode: table.learning,
            };
            return call.reply(get, reply);
        }
        Command::SetEgressFlood(set) => set_egress_flood(switch, set)?,
        // The MC would have to write guest memory.
        Command::FdbDump(_) => return Err(Status::UnsupportedOperation),
    }
    Ok(Answer::DONE)
}

/// Adds a table under the lowest free number. 0 asks for the switch's default
/// (Linux gives no aging time).
fn add_table(switch: &mut Switch, add: &dpsw::FdbAdd) -> Result<u16, Status> {
    let limits = &switch.limits;
    let or = |value: u16, default: u16| if value == 0 { default } else { value };
    let table = Table::new(
        or(add.num_fdb_entries, limits.max_fdb_entries),
        or(add.fdb_aging_time, limits.fdb_aging_time),
        all(limits.num_ifs),
    );
    let tables = &mut switch.settings.tables.0;
    let free = (0..u16::from(limits.max_fdbs)).find(|number| !tables.contains_key(number));
    let free = free.ok_or(Status::NoResource)?;
    tables.insert(free, table);
    Ok(free)
}

fn add_multicast(switch: &mut Switch, add: &dpsw::FdbAddMulticast) -> Result<(), Status> {
    at_most(add.kind, 1)?;
    check_cast(add.address, true)?;
    if switch.has(options::MULTICAST_DIS) {
        return Err(Status::ConfigurationError);
    }
    let interfaces = set(&switch.limits, &add.interfaces)?;
    let groups = usize::from(switch.limits.max_fdb_mc_groups);
    let table = switch.settings.tables.get_mut(add.fdb_id)?;
    match table.multicast.get_mut(&add.address) {
        Some((known, _)) if *known & interfaces != 0 => return Err(Status::ConfigurationError),
        Some((known, _)) => *known |= interfaces,
        None => {
            table.check_room()?;
            if table.multicast.len() >= groups {
                return Err(Status::NoResource);
            }
            table.multicast.insert(add.address, (interfaces, add.kind));
        }
    }
    Ok(())
}

fn remove_multicast(switch: &mut Switch, remove: &dpsw::FdbRemoveMulticast) -> Result<(), Status> {
    let interfaces = set(&switch.limits, &remove.interfaces)?;
    let table = switch.settings.tables.get_mut(remove.fdb_id)?;
    let (known, _) = table.multicast.get_mut(&remove.address).ok_or(Status::NoResource)?;
    if interfaces & !*known != 0 {
        return Err(Status::NoResource);
    }
    *known &= !interfaces;
    if *known == 0 {
        table.multicast.remove(&remove.address);
    }
    Ok(())
}

fn set_egress_flood(switch: &mut Switch, flood: &dpsw::SetEgressFlood) -> Result<(), Status> {
    const UNKNOWN: u8 = 1;
    at_most(flood.flood_type, UNKNOWN)?;
    // Per VLAN, or for the whole switch, it is set up elsewhere.
    let limits = &switch.limits;
    let by_table =
        if flood.flood_type == UNKNOWN { limits.flooding_cfg } else { limits.broadcast_cfg };
    // The control interface comes after the last one.
    let allowed = if switch.control.is_some() { limits.num_ifs + 1 } else { limits.num_ifs };
    if by_table == 0 || flood.interfaces & !all(allowed) != 0 {
        return Err(Status::ConfigurationError);
    }
    let egress = &mut switch.settings.tables.get_mut(flood.fdb_id)?.egress;
    if flood.flood_type == UNKNOWN {
        egress.unknown = flood.interfaces;
    } else {
        egress.broadcast = flood.interfaces;
    }
    Ok(())
}

/// Checks that an address is of a group, or is not.
fn check_cast(address: MacAddr, group: bool) -> Result<(), Status> {
    let [first, ..] = address.0;
    if (first & 1 == 1) == group { Ok(()) } else { Err(Status::ConfigurationError) }
}
