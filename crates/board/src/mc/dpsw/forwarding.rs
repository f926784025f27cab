// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Forwarding tables: where a destination address leads.
//!
//! What a real MC says of entries that are there, or not, follows from what
//! Linux expects: it ignores `ENXIO` (a configuration error) for a unicast
//! entry removed twice and for a multicast entry added twice, and `ENAVAIL`
//! (no resource) for a multicast entry removed twice.

use super::{Answer, Call, State, Switch, addressed, all, set, words};
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use crate::{
    mc::{interfaces::at_most, memory},
    wriop::{Fdb, FdbEntry, FdbError, FdbTarget, Learning, SwitchTable},
};
use mc_abi::{
    MacAddr, Status,
    dpsw::{self, forwarding::Command, options},
};
use std::{collections::BTreeMap, sync::Arc};

/// The table that a switch starts with.
const DEFAULT: u16 = 0;
/// `DPSW_LEARNING_MODE_*`: by hardware; the last one.
const LEARN_BY_HARDWARE: u8 = 1;
const LAST_LEARNING_MODE: u8 = 3;
/// Most entries of all tables of a switch together. What the chip has is not known; this is
/// what one table can ask for, and four times what the default number of default tables has.
const MOST_ENTRIES: u32 = 1 << 16;
/// Bytes of an entry that is dumped (`struct fdb_dump_entry`).
const DUMPED: usize = 16;
const NANOSECONDS: u64 = 1_000_000_000;

/// The forwarding tables of a switch.
#[derive(Debug)]
pub(super) struct Tables(BTreeMap<u16, Table>);

/// A forwarding table. Its entries are those of the data plane, which adds what it
/// learns.
#[derive(Debug)]
pub(super) struct Table {
    max_entries: u16,
    aging_time: u16,
    learning: u8,
    pub entries: Arc<Fdb>,
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
    fn new(max_entries: u16, max_groups: u16, aging_time: u16, interfaces: u64) -> Self {
        let aging = u64::from(aging_time) * NANOSECONDS;
        Self {
            max_entries,
            aging_time,
            learning: LEARN_BY_HARDWARE,
            entries: Arc::new(Fdb::new(max_entries, max_groups, aging)),
            egress: Egress { broadcast: interfaces, unknown: interfaces },
        }
    }

    /// The table as the data plane needs it for a VLAN.
    pub fn program(&self, limits: &dpsw::Create, flooding: u64) -> SwitchTable {
        let unknown = if limits.options & options::FLOODING_DIS != 0 {
            0
        } else if limits.flooding_cfg != 0 {
            self.egress.unknown
        } else {
            flooding
        };
        let broadcast =
            if limits.broadcast_cfg != 0 { self.egress.broadcast } else { all(limits.num_ifs) };
        SwitchTable {
            fdb: self.entries.clone(),
            learning: learning(self.learning),
            broadcast,
            unknown,
        }
    }
}

/// A mode of `enum dpsw_learning_mode`.
pub(super) fn learning(mode: u8) -> Learning {
    match mode {
        0 => Learning::Off,
        LEARN_BY_HARDWARE => Learning::Hardware,
        2 => Learning::Software,
        _ => Learning::SoftwareSecure,
    }
}

/// What the MC says where a table does not take an entry.
fn status(error: FdbError) -> Refusal {
    let status = match error {
        FdbError::Full | FdbError::Absent => Status::NoResource,
        FdbError::Present => Status::ConfigurationError,
    };
    status.because(error.to_string())
}

impl Tables {
    /// The default table.
    pub fn new(limits: &dpsw::Create) -> Self {
        let (entries, groups) = (limits.max_fdb_entries, limits.max_fdb_mc_groups);
        let table = Table::new(entries, groups, limits.fdb_aging_time, all(limits.num_ifs));
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
    pub fn get(&self, number: u16) -> Result<&Table, Refusal> {
        self.0.get(&number).ok_or_else(|| {
            Status::ConfigurationError.because(format!("there is no table {number}"))
        })
    }

    fn get_mut(&mut self, number: u16) -> Result<&mut Table, Refusal> {
        self.0.get_mut(&number).ok_or_else(|| {
            Status::ConfigurationError.because(format!("there is no table {number}"))
        })
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let now = state.clock.now();
    if let Command::FdbDump(dump) = command {
        let num_entries = write_entries(state, call, dump, now)?;
        return call.reply(dump, dpsw::FdbDumpReply { num_entries });
    }
    let switch = addressed(state, call)?;
    match command {
        Command::FdbAdd(add) => {
            let fdb_id = add_table(switch, add)?;
            return call.reply(add, dpsw::FdbAddReply { fdb_id });
        }
        Command::FdbRemove(remove) => {
            switch.settings.tables.get(remove.fdb_id)?;
            if switch.settings.vlans.use_table(remove.fdb_id) {
                return Err(Status::InvalidState.because("a VLAN uses the table"));
            }
            switch.settings.tables.0.remove(&remove.fdb_id);
        }
        Command::FdbAddUnicast(add) => {
            at_most(add.kind, 1)?;
            switch.port(add.if_egress)?;
            check_cast(add.address, false)?;
            let entries = &switch.settings.tables.get(add.fdb_id)?.entries;
            let added = entries.add_station(add.address, add.if_egress, add.kind != 0, now);
            added.map_err(status)?;
        }
        Command::FdbRemoveUnicast(remove) => {
            let entries = &switch.settings.tables.get(remove.fdb_id)?.entries;
            let removed = entries.remove_station(remove.address, remove.if_egress);
            removed.map_err(|_| {
                Status::ConfigurationError.because(format!(
                    "{} does not lead to interface {}",
                    remove.address, remove.if_egress
                ))
            })?;
        }
        Command::FdbGetUnicast(get) => {
            let entry = switch.settings.tables.get(get.fdb_id)?.entries.entry(get.address, now);
            let Some(FdbEntry { target: FdbTarget::Interface(if_egress), dynamic, .. }) = entry
            else {
                return Err(
                    Status::ConfigurationError.because(format!("there is no {}", get.address))
                );
            };
            let kind = dynamic.into();
            return call.reply(get, dpsw::FdbGetUnicastReply { if_egress, kind });
        }
        Command::FdbAddMulticast(add) => add_multicast(switch, add, now)?,
        Command::FdbRemoveMulticast(remove) => remove_multicast(switch, remove, now)?,
        Command::FdbGetMulticast(get) => {
            let entry = switch.settings.tables.get(get.fdb_id)?.entries.entry(get.address, now);
            let Some(FdbEntry { target: FdbTarget::Interfaces(set), dynamic, .. }) = entry else {
                return Err(Status::NoResource.because(format!("there is no {}", get.address)));
            };
            let kind = dynamic.into();
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
                num_fdb_mc_groups: table.entries.groups(now) as u16,
                max_fdb_mc_groups: switch.limits.max_fdb_mc_groups,
                learning_mode: table.learning,
            };
            return call.reply(get, reply);
        }
        Command::SetEgressFlood(set) => set_egress_flood(switch, set)?,
        // Handled before.
        Command::FdbDump(_) => return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED)),
    }
    Ok(Answer::DONE)
}

/// Adds a table under the lowest free number. 0 asks for the switch's default
/// (Linux gives no aging time).
fn add_table(switch: &mut Switch, add: &dpsw::FdbAdd) -> Result<u16, Refusal> {
    let limits = &switch.limits;
    let or = |value: u16, default: u16| if value == 0 { default } else { value };
    let entries = or(add.num_fdb_entries, limits.max_fdb_entries);
    let tables = switch.settings.tables.0.values();
    let taken: u32 = tables.map(|table| u32::from(table.max_entries)).sum();
    if taken + u32::from(entries) > MOST_ENTRIES {
        return Err(Status::NoResource.because(format!(
            "the tables of a switch have {MOST_ENTRIES} entries together, {taken} of them are taken"
        )));
    }
    let table = Table::new(
        entries,
        limits.max_fdb_mc_groups,
        or(add.fdb_aging_time, limits.fdb_aging_time),
        all(limits.num_ifs),
    );
    let tables = &mut switch.settings.tables.0;
    let free = (0..u16::from(limits.max_fdbs)).find(|number| !tables.contains_key(number));
    let free = free.ok_or_else(|| {
        Status::NoResource.because(format!("the switch has {} tables", limits.max_fdbs))
    })?;
    tables.insert(free, table);
    Ok(free)
}

fn add_multicast(
    switch: &mut Switch,
    add: &dpsw::FdbAddMulticast,
    now: u64,
) -> Result<(), Refusal> {
    at_most(add.kind, 1)?;
    check_cast(add.address, true)?;
    if switch.has(options::MULTICAST_DIS) {
        return Err(Status::ConfigurationError.because("the switch was made with MULTICAST_DIS"));
    }
    let interfaces = set(&switch.limits, &add.interfaces)?;
    let entries = &switch.settings.tables.get(add.fdb_id)?.entries;
    entries.add_group(add.address, interfaces, add.kind != 0, now).map_err(status)
}

fn remove_multicast(
    switch: &mut Switch,
    remove: &dpsw::FdbRemoveMulticast,
    now: u64,
) -> Result<(), Refusal> {
    let interfaces = set(&switch.limits, &remove.interfaces)?;
    let entries = &switch.settings.tables.get(remove.fdb_id)?.entries;
    entries.remove_group(remove.address, interfaces, now).map_err(status)
}

/// Writes a table's entries to guest memory, as far as they fit; how many. The
/// addresses lie there as they are written: Linux's driver hands them on so.
fn write_entries(
    state: &State,
    call: &Call,
    dump: &dpsw::FdbDump,
    now: u64,
) -> Result<u16, Refusal> {
    const DYNAMIC: u8 = 1;
    const UNICAST: u8 = 2;
    let switch = state.body::<Switch>(call.object.id)?;
    let entries = switch.settings.tables.get(dump.fdb_id)?.entries.dump(now);
    let room = dump.iova_size as usize / DUMPED;
    let mut bytes = Vec::with_capacity(entries.len().min(room) * DUMPED);
    for entry in entries.iter().take(room) {
        let dynamic = if entry.dynamic { DYNAMIC } else { 0 };
        // There are fewer interfaces than a byte has numbers.
        let (kind, info, mask) = match entry.target {
            FdbTarget::Interface(interface) => (dynamic | UNICAST, interface as u8, 0),
            FdbTarget::Interfaces(set) => (dynamic, set.count_ones() as u8, set),
        };
        bytes.extend(entry.address.0);
        bytes.extend([kind, info]);
        bytes.extend(mask.to_le_bytes());
    }
    if !bytes.is_empty() {
        memory::write(state, call.object, dump.iova_addr, &bytes)?;
    }
    // The number of entries has as many bits.
    Ok((bytes.len() / DUMPED) as u16)
}

fn set_egress_flood(switch: &mut Switch, flood: &dpsw::SetEgressFlood) -> Result<(), Refusal> {
    const UNKNOWN: u8 = 1;
    at_most(flood.flood_type, UNKNOWN)?;
    // Per VLAN, or for the whole switch, it is set up elsewhere.
    let limits = &switch.limits;
    let by_table =
        if flood.flood_type == UNKNOWN { limits.flooding_cfg } else { limits.broadcast_cfg };
    // The control interface comes after the last one.
    let allowed = if switch.control.is_some() { limits.num_ifs + 1 } else { limits.num_ifs };
    if by_table == 0 || flood.interfaces & !all(allowed) != 0 {
        return Err(Status::ConfigurationError
            .because("no such interface, or flooding is not set up in tables here"));
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
fn check_cast(address: MacAddr, group: bool) -> Result<(), Refusal> {
    let [first, ..] = address.0;
    if (first & 1 == 1) == group {
        Ok(())
    } else {
        Err(Status::ConfigurationError
            .because(format!("{address} is of the other kind of addresses")))
    }
}
