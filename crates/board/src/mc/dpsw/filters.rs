// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Access control lists: rules that frames have to pass.
//!
//! Keys lie in guest memory, which the MC does not read: rules are kept, and
//! told apart, by the addresses of their keys. Clients copy each key to a fresh
//! address, so a rule is also known by its precedence and what it does.

use super::{Answer, Call, State, Switch, addressed, set};
use crate::mc::interfaces::at_most;
use mc_abi::{
    Status,
    dpsw::{self, MAX_INTERFACES, filters::Command},
};
use std::collections::BTreeMap;

/// The lists of a switch. An interface uses one at most.
#[derive(Debug, Default)]
pub(super) struct Filters(BTreeMap<u16, List>);

#[derive(Debug)]
struct List {
    max_entries: u16,
    rules: Vec<dpsw::AclAddEntry>,
    /// The interfaces that use it, a bitmap.
    interfaces: u64,
}

impl Filters {
    fn get_mut(&mut self, number: u16) -> Result<&mut List, Status> {
        self.0.get_mut(&number).ok_or(Status::NoResource)
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Status> {
    let switch = addressed(state, call)?;
    match command {
        Command::AclAdd(add) => {
            let acl_id = add_list(switch, add)?;
            return call.reply(add, dpsw::AclAddReply { acl_id });
        }
        Command::AclRemove(remove) => {
            if switch.settings.filters.get_mut(remove.acl_id)?.interfaces != 0 {
                return Err(Status::InvalidState);
            }
            switch.settings.filters.0.remove(&remove.acl_id);
        }
        Command::AclAddEntry(add) => {
            const TO_INTERFACE: u8 = 1;
            const LAST_ACTION: u8 = 3;
            at_most(add.action, LAST_ACTION)?;
            if add.action == TO_INTERFACE {
                switch.port(add.if_id)?;
            }
            let list = switch.settings.filters.get_mut(add.acl_id)?;
            if list.rules.len() >= usize::from(list.max_entries) {
                return Err(Status::NoResource);
            }
            list.rules.push(add.clone());
        }
        Command::AclRemoveEntry(remove) => {
            let rules = &mut switch.settings.filters.get_mut(remove.acl_id)?.rules;
            let alike = |rule: &dpsw::AclAddEntry| {
                (rule.precedence, rule.action, rule.if_id)
                    == (remove.precedence, remove.action, remove.if_id)
            };
            let same = |rule: &dpsw::AclAddEntry| alike(rule) && rule.key_iova == remove.key_iova;
            let at = rules.iter().rposition(same).or_else(|| rules.iter().rposition(alike));
            rules.remove(at.ok_or(Status::NoResource)?);
        }
        Command::AclAddIf(add) => {
            let interfaces = set(&switch.limits, &add.interfaces)?;
            let filters = &mut switch.settings.filters;
            let taken = filters.0.values().fold(0, |taken, list| taken | list.interfaces);
            let list = filters.get_mut(add.acl_id)?;
            if taken & interfaces != 0 {
                return Err(Status::ConfigurationError);
            }
            list.interfaces |= interfaces;
        }
        Command::AclRemoveIf(remove) => {
            let interfaces = set(&switch.limits, &remove.interfaces)?;
            let list = switch.settings.filters.get_mut(remove.acl_id)?;
            if interfaces & !list.interfaces != 0 {
                return Err(Status::ConfigurationError);
            }
            list.interfaces &= !interfaces;
        }
        Command::AclGetAttributes(get) => {
            let list = switch.settings.filters.get_mut(get.acl_id)?;
            let reply = dpsw::AclGetAttributesReply {
                max_entries: list.max_entries,
                num_entries: list.rules.len() as u16,
                num_ifs: list.interfaces.count_ones() as u16,
            };
            return call.reply(get, reply);
        }
    }
    Ok(Answer::DONE)
}

/// Adds a list under the lowest free number. How many a real MC lets there be
/// is not known: one for each interface that a switch can have.
fn add_list(switch: &mut Switch, add: &dpsw::AclAdd) -> Result<u16, Status> {
    if add.max_entries == 0 {
        return Err(Status::ConfigurationError);
    }
    let lists = &mut switch.settings.filters.0;
    let free = (0..MAX_INTERFACES).find(|number| !lists.contains_key(number));
    let free = free.ok_or(Status::NoResource)?;
    lists.insert(free, List { max_entries: add.max_entries, rules: Vec::new(), interfaces: 0 });
    Ok(free)
}
