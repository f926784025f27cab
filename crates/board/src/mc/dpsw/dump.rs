// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The hardware's tables of a switch as a command writes them to guest memory.
//!
//! The headers do not say what actions and results mean. Chosen: the action is 0
//! where matching frames are dropped, 1 where they go the way of all, 2 where they
//! go to an interface and 3 where they go to the control interface. Results are,
//! of an address its interface or the lower words of the set of them; of a VLAN at
//! ingress its forwarding table; of one at egress the lower word of its
//! interfaces, and of those without tag; of a rule the interface.

use super::{State, Switch};
use crate::mc::refusal::{Because, Refusal};
use crate::{
    mc::table_dump::{Dump, Entry, Packing},
    wriop::{AclAction, FdbTarget},
};
use mc_abi::{ObjectId, Status, dpsw};

/// `enum dpsw_table_type`.
mod table {
    pub const ADDRESSES: u16 = 1;
    pub const VLANS_AT_INGRESS: u16 = 2;
    pub const VLANS_AT_EGRESS: u16 = 3;
    pub const FILTERS: u16 = 4;
}

const DROPPED: u8 = 0;
const TAKEN: u8 = 1;
const REDIRECTED: u8 = 2;
const TO_CONTROL: u8 = 3;

/// Writes a table to guest memory, as far as it fits; how many entries.
///
/// # Errors
/// As [`Dump::write`]; [`Status::ConfigurationError`] where there is no such
/// table.
pub(super) fn dump(state: &State, id: ObjectId, command: &dpsw::DumpTable) -> Result<u16, Refusal> {
    let now = state.clock.now();
    let dump = collect(state.body::<Switch>(id.id)?, command.table_type, command.table_index, now)?;
    let dpsw::DumpTable { table_type, iova_addr, iova_size, .. } = *command;
    dump.write(state, id, table_type, iova_addr, iova_size, Packing::Bytes)
}

fn collect(switch: &Switch, table: u16, index: u16, now: u64) -> Result<Dump, Refusal> {
    let settings = &switch.settings;
    let halves = |set: u64| [set as u16, (set >> 16) as u16, (set >> 32) as u16];
    Ok(match table {
        table::ADDRESSES => {
            let entries = settings.tables.get(index)?.entries.dump(now);
            let entry = |entry: &crate::wriop::FdbEntry| {
                let results = match entry.target {
                    FdbTarget::Interface(interface) => [interface, 0, 0],
                    FdbTarget::Interfaces(set) => halves(set),
                };
                Entry::exact(&entry.address.0, TAKEN, results)
            };
            Dump {
                entries: entries.iter().map(entry).collect(),
                most: switch.limits.max_fdb_entries,
                default_action: TAKEN,
                ternary: false,
            }
        }
        table::VLANS_AT_INGRESS | table::VLANS_AT_EGRESS => {
            let entry = |(number, fdb, members, untagged): (u16, u16, u64, u64)| {
                let results = match table {
                    table::VLANS_AT_INGRESS => [fdb, 0, 0],
                    _ => [members as u16, untagged as u16, 0],
                };
                Entry::exact(&number.to_be_bytes(), TAKEN, results)
            };
            Dump {
                entries: settings.vlans.iter().map(entry).collect(),
                most: switch.limits.max_vlans,
                default_action: DROPPED,
                ternary: false,
            }
        }
        table::FILTERS => {
            let (rules, most) = settings.filters.rules(index)?;
            let entry = |rule: &crate::wriop::AclRule| {
                let (action, interface) = match rule.action {
                    AclAction::Drop => (DROPPED, 0),
                    AclAction::Accept => (TAKEN, 0),
                    AclAction::Redirect(interface) => (REDIRECTED, interface),
                    AclAction::ToControl => (TO_CONTROL, 0),
                };
                Entry::ternary(&rule.key.value(), &rule.key.mask(), action, [interface, 0, 0])
            };
            Dump {
                entries: rules.iter().map(entry).collect(),
                most,
                default_action: TAKEN,
                ternary: true,
            }
        }
        _ => return Err(Status::ConfigurationError.because(format!("there is no table {table}"))),
    })
}
