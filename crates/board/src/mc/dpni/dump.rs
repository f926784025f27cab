// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The hardware's tables of an interface as a command writes them to guest memory.
//!
//! The headers do not say what actions and results mean. Chosen: the action is 0
//! where matching frames are dropped, 1 where they are taken, 2 where they leave
//! for another interface; results are the traffic class and the queue, or 0xffff
//! where the entry names none. The match type is 0 for exact, 1 for ternary.

use super::{Interface, State};
use crate::mc::refusal::{Because, Refusal};
use crate::{
    mc::table_dump::{Dump, Entry, Packing},
    wriop::{MAX_KEY_SIZE, QosAction, QosMiss, SteeringAction, SteeringMiss},
};
use mc_abi::{
    ObjectId, Status,
    dpni::{self, options},
};

/// `enum dpni_table_type`.
mod table {
    pub const STEERING: u16 = 1;
    pub const MAC: u16 = 2;
    pub const QOS: u16 = 3;
    pub const VLAN: u16 = 4;
}

const DROPPED: u8 = 0;
const TAKEN: u8 = 1;
const REDIRECTED: u8 = 2;
/// No class or queue is named.
const NONE: u16 = u16::MAX;

/// Writes a table to guest memory, as far as it fits; how many entries.
///
/// # Errors
/// [`Status::ConfigurationError`] where there is no such table or not even its
/// header fits, [`Status::DmaError`] where memory cannot be written.
pub(super) fn dump(state: &State, id: ObjectId, command: &dpni::DumpTable) -> Result<u16, Refusal> {
    let dump = collect(state.body::<Interface>(id.id)?, command.table, command.index)?;
    let dpni::DumpTable { table, iova, size, .. } = *command;
    dump.write(state, id, table, iova, size, Packing::Words)
}

fn collect(interface: &Interface, table: u16, index: u16) -> Result<Dump, Refusal> {
    let (limits, settings) = (&interface.limits, &interface.settings);
    let ternary = limits.has(options::HAS_KEY_MASKING);
    let address = |key: &[u8], queue: Option<super::filters::Queue>| {
        let (class, queue) =
            queue.map_or((NONE, NONE), |queue| (queue.tc.into(), queue.flow.into()));
        Entry::exact(key, TAKEN, [class, queue, 0])
    };
    Ok(match table {
        table::STEERING => {
            let (rules, miss) = settings.tables.steering(index)?;
            let entries = rules.map(|rule| {
                let (action, queue) = steering(&rule.action);
                Entry::ternary(&rule.key, &mask(rule.mask), action, [index, queue, 0])
            });
            Dump {
                entries: entries.collect(),
                most: limits.fs_entries,
                default_action: match miss {
                    Some(SteeringMiss::Discard) => DROPPED,
                    _ => TAKEN,
                },
                ternary,
            }
        }
        table::QOS => {
            let (rules, miss) = settings.tables.qos();
            let entry = |rule: &crate::wriop::Rule<QosAction>| {
                let QosAction { class, queue } = rule.action;
                let queue = queue.map_or(NONE, u16::from);
                Entry::ternary(&rule.key, &mask(rule.mask), TAKEN, [class.into(), queue, 0])
            };
            Dump {
                entries: rules.iter().map(entry).collect(),
                most: limits.qos_entries.into(),
                default_action: match miss {
                    Some(QosMiss::Discard) => DROPPED,
                    _ => TAKEN,
                },
                ternary,
            }
        }
        table::MAC => {
            let macs = settings.filters.macs.iter();
            Dump {
                entries: macs.map(|(mac, queue)| address(&mac.0, *queue)).collect(),
                most: limits.mac_filters.into(),
                default_action: DROPPED,
                ternary: false,
            }
        }
        table::VLAN => {
            let vlans = settings.filters.vlans.iter();
            Dump {
                entries: vlans.map(|(vlan, queue)| address(&vlan.to_be_bytes(), *queue)).collect(),
                most: limits.vlan_filters.into(),
                default_action: if settings.filters.vlan_filter { DROPPED } else { TAKEN },
                ternary: false,
            }
        }
        _ => return Err(Status::ConfigurationError.because(format!("there is no table {table}"))),
    })
}

fn steering(action: &super::tables::Action) -> (u8, u16) {
    match (&action.redirect, action.otherwise) {
        (Some(_), _) | (None, SteeringAction::Redirect(_)) => (REDIRECTED, NONE),
        (None, SteeringAction::Discard) => (DROPPED, NONE),
        (None, SteeringAction::Queue { queue, .. }) => (TAKEN, queue),
    }
}

/// A rule without a mask compares all bits.
fn mask(mask: Option<[u8; MAX_KEY_SIZE]>) -> [u8; MAX_KEY_SIZE] {
    mask.unwrap_or([0xff; MAX_KEY_SIZE])
}
