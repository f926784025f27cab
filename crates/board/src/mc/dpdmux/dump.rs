// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The hardware's tables of a demultiplexer as a command writes them to guest
//! memory.
//!
//! The headers do not say what actions and results mean. Chosen: the action is 0
//! where matching frames are dropped and 1 where they are taken; results are the
//! lower words of the set of interfaces. The table of misses has one entry without
//! key, the default interface; nothing is pruned.

use super::{Demultiplexer, State, UPLINK};
use crate::mc::refusal::{Because, Refusal};
use crate::mc::table_dump::{Dump, Entry, Packing};
use mc_abi::{
    ObjectId, Status,
    dpdmux::{self, method},
};

/// `enum dpdmux_table_type`.
mod table {
    pub const RULES: u16 = 1;
    pub const MISSES: u16 = 2;
    pub const PRUNING: u16 = 3;
}

const DROPPED: u8 = 0;
const TAKEN: u8 = 1;

/// Writes a table to guest memory, as far as it fits; how many entries.
///
/// # Errors
/// As [`Dump::write`]; [`Status::ConfigurationError`] where there is no such
/// table.
pub(super) fn dump(
    state: &State,
    id: ObjectId,
    command: &dpdmux::DumpTable,
) -> Result<u16, Refusal> {
    let dump = collect(state.body::<Demultiplexer>(id.id)?, command.table_type)?;
    let dpdmux::DumpTable { table_type, iova_addr, iova_size, .. } = *command;
    dump.write(state, id, table_type, iova_addr, iova_size, Packing::Bytes)
}

fn collect(demux: &Demultiplexer, table: u16) -> Result<Dump, Refusal> {
    let halves = |set: u64| [set as u16, (set >> 16) as u16, (set >> 32) as u16];
    let entries = match table {
        table::RULES if demux.limits.method == method::CUSTOM => {
            let rules = demux.rules.custom().iter();
            let entry = |rule: &crate::wriop::Rule<u16>| {
                let results = halves(1u64.checked_shl(rule.action.into()).unwrap_or(0));
                let size = usize::from(rule.size);
                let key = rule.key.get(..size).unwrap_or(&rule.key);
                match rule.mask {
                    Some(mask) => Entry::ternary(key, &mask, TAKEN, results),
                    None => Entry::exact(key, TAKEN, results),
                }
            };
            rules.map(entry).collect()
        }
        table::RULES => {
            let by = demux.limits.method;
            let entry = |((address, vlan), set): ((mc_abi::MacAddr, u16), u64)| {
                let vlan: [u8; 2] = vlan.to_be_bytes();
                let key = match by {
                    method::C_VLAN_MAC => [&address.0[..], &vlan].concat(),
                    method::MAC => address.0.to_vec(),
                    _ => vlan.to_vec(),
                };
                Entry::exact(&key, TAKEN, halves(set))
            };
            demux.rules.layer2().map(entry).collect()
        }
        table::MISSES if demux.default_if != UPLINK => {
            let set = 1u64.checked_shl(demux.default_if.into()).unwrap_or(0);
            vec![Entry::exact(&[], TAKEN, halves(set))]
        }
        table::MISSES | table::PRUNING => Vec::new(),
        _ => return Err(Status::ConfigurationError.because(format!("there is no table {table}"))),
    };
    Ok(Dump {
        entries,
        most: demux.limits.max_dmat_entries,
        default_action: if demux.default_if == UPLINK { DROPPED } else { TAKEN },
        ternary: demux.limits.method == method::CUSTOM,
    })
}
