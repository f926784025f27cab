// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tables as a command writes them to guest memory: a header and entries
//! (`struct dump_table_header`, `struct dump_table_entry` of the reference
//! headers).
//!
//! The headers do not say what actions and results mean. Chosen: the action is 0
//! where matching frames are dropped, 1 where they are taken, 2 where they leave
//! for another interface; results are the traffic class and the queue, or 0xffff
//! where the entry names none. The match type is 0 for exact, 1 for ternary.

use super::{Interface, State};
use crate::{
    mc::memory,
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

const HEADER: usize = 32;
const ENTRY: usize = 142;

const DROPPED: u8 = 0;
const TAKEN: u8 = 1;
const REDIRECTED: u8 = 2;
/// No class or queue is named.
const NONE: u16 = u16::MAX;

/// An entry of a table.
struct Entry {
    key: [u8; MAX_KEY_SIZE],
    mask: [u8; MAX_KEY_SIZE],
    action: u8,
    class: u16,
    queue: u16,
}

/// A table.
struct Dump {
    entries: Vec<Entry>,
    most: u16,
    default_action: u8,
    ternary: bool,
}

/// Writes a table to guest memory, as far as it fits; how many entries.
///
/// # Errors
/// [`Status::ConfigurationError`] where there is no such table or not even its
/// header fits, [`Status::DmaError`] where memory cannot be written.
pub(super) fn dump(state: &State, id: ObjectId, command: &dpni::DumpTable) -> Result<u16, Status> {
    let dump = collect(state.body::<Interface>(id.id)?, command.table, command.index)?;
    let room = (command.size as usize).checked_sub(HEADER).ok_or(Status::ConfigurationError)?;
    let count = dump.entries.len().min(room / ENTRY);
    let mut bytes = Vec::with_capacity(HEADER + count * ENTRY);
    for number in [command.table, dump.entries.len() as u16, dump.most] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([dump.default_action, u8::from(dump.ternary)]);
    bytes.resize(HEADER, 0);
    for entry in dump.entries.iter().take(count) {
        let start = bytes.len();
        bytes.extend(entry.key);
        bytes.extend(entry.mask);
        bytes.extend([entry.action, 0]);
        for result in [entry.class, entry.queue, 0] {
            bytes.extend(result.to_le_bytes());
        }
        bytes.resize(start + ENTRY, 0);
    }
    memory::write(state, id, command.iova, &bytes)?;
    // Tables are far smaller than the number.
    Ok(count as u16)
}

fn collect(interface: &Interface, table: u16, index: u16) -> Result<Dump, Status> {
    let (limits, settings) = (&interface.limits, &interface.settings);
    let ternary = limits.has(options::HAS_KEY_MASKING);
    let address = |key: &[u8], queue: Option<super::filters::Queue>| {
        let (mut bytes, mut mask) = ([0; MAX_KEY_SIZE], [0; MAX_KEY_SIZE]);
        bytes.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        mask.iter_mut().zip(key).for_each(|(to, _)| *to = 0xff);
        let (class, queue) =
            queue.map_or((NONE, NONE), |queue| (queue.tc.into(), queue.flow.into()));
        Entry { key: bytes, mask, action: TAKEN, class, queue }
    };
    Ok(match table {
        table::STEERING => {
            let (rules, miss) = settings.tables.steering(index)?;
            let entries = rules.map(|rule| {
                let (action, queue) = steering(&rule.action);
                Entry { key: rule.key, mask: mask(rule.mask), action, class: index, queue }
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
                Entry {
                    key: rule.key,
                    mask: mask(rule.mask),
                    action: TAKEN,
                    class: class.into(),
                    queue,
                }
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
        _ => return Err(Status::ConfigurationError),
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
