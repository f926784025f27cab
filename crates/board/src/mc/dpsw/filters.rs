// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Access control lists: rules that frames have to pass.
//!
//! Keys lie in guest memory; they are read when the command is executed. A rule
//! is known by its key, its precedence and what it does.

use super::{Answer, Call, State, Switch, addressed, set};
use crate::mc::refusal::{Because, Refusal};
use crate::{
    mc::{interfaces::at_most, memory},
    wriop::{ACL_KEY_SIZE, AclAction, AclKey, AclRule},
};
use mc_abi::{
    ObjectId, Status,
    dpsw::{self, MAX_INTERFACES, filters::Command},
};
use std::collections::BTreeMap;

/// The lists of a switch. An interface uses one at most.
#[derive(Debug, Default)]
pub(super) struct Filters(BTreeMap<u16, List>);

#[derive(Debug)]
struct List {
    max_entries: u16,
    /// In the order in which they are tried: the lowest number of the precedence first, of
    /// equal ones the older. Linux relies on it: its driver gives the filter that `tc`
    /// has to try first the lowest number, and its trap for spanning tree frames 0.
    rules: Vec<AclRule>,
    /// The interfaces that use it, a bitmap.
    interfaces: u64,
}

impl Filters {
    fn get_mut(&mut self, number: u16) -> Result<&mut List, Refusal> {
        self.0.get_mut(&number).ok_or_else(|| no_list(number))
    }

    /// All rules, by list.
    pub fn lists(&self) -> Vec<Vec<AclRule>> {
        self.0.values().map(|list| list.rules.clone()).collect()
    }

    /// The list that an interface uses: its place among [`Self::lists`].
    pub fn of(&self, interface: u16) -> Option<usize> {
        self.0.values().position(|list| list.interfaces >> interface & 1 == 1)
    }

    /// The rules of a list.
    ///
    /// # Errors
    /// [`Status::NoResource`] where there is no such one.
    pub fn rules(&self, number: u16) -> Result<(&[AclRule], u16), Refusal> {
        let list = self.0.get(&number).ok_or_else(|| no_list(number))?;
        Ok((&list.rules, list.max_entries))
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let rule = read_rule(state, call.object, command)?;
    let switch = addressed(state, call)?;
    match command {
        Command::AclAdd(add) => {
            let acl_id = add_list(switch, add)?;
            return call.reply(add, dpsw::AclAddReply { acl_id });
        }
        Command::AclRemove(remove) => {
            if switch.settings.filters.get_mut(remove.acl_id)?.interfaces != 0 {
                return Err(Status::InvalidState.because("interfaces use the list"));
            }
            switch.settings.filters.0.remove(&remove.acl_id);
        }
        Command::AclAddEntry(add) => {
            let rule = rule.ok_or_else(|| Status::ConfigurationError.because("no rule"))?;
            if let AclAction::Redirect(interface) = rule.action {
                switch.port(interface)?;
            }
            let list = switch.settings.filters.get_mut(add.acl_id)?;
            if list.rules.len() >= usize::from(list.max_entries) {
                return Err(Status::NoResource
                    .because(format!("the list has room for {} rules", list.max_entries)));
            }
            let before = list.rules.partition_point(|one| one.precedence <= rule.precedence);
            list.rules.insert(before, rule);
        }
        Command::AclRemoveEntry(remove) => {
            let rules = &mut switch.settings.filters.get_mut(remove.acl_id)?.rules;
            let at = rules.iter().position(|one| Some(*one) == rule);
            rules.remove(at.ok_or_else(|| Status::NoResource.because("there is no such rule"))?);
        }
        Command::AclAddIf(add) => {
            let interfaces = set(&switch.limits, &add.interfaces)?;
            let filters = &mut switch.settings.filters;
            let taken = filters.0.values().fold(0, |taken, list| taken | list.interfaces);
            let list = filters.get_mut(add.acl_id)?;
            if taken & interfaces != 0 {
                return Err(Status::ConfigurationError
                    .because("an interface has one list, and one of these has its own"));
            }
            list.interfaces |= interfaces;
        }
        Command::AclRemoveIf(remove) => {
            let interfaces = set(&switch.limits, &remove.interfaces)?;
            let list = switch.settings.filters.get_mut(remove.acl_id)?;
            if interfaces & !list.interfaces != 0 {
                return Err(
                    Status::ConfigurationError.because("an interface does not use the list")
                );
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

/// The rule that a command names: `None` where it names none.
///
/// # Errors
/// [`Status::ConfigurationError`] for an action that there is not,
/// [`Status::DmaError`] where the key cannot be read.
fn read_rule(
    state: &State,
    owner: ObjectId,
    command: &Command,
) -> Result<Option<AclRule>, Refusal> {
    const LAST_ACTION: u8 = 3;
    let (action, if_id, precedence, iova) = match command {
        Command::AclAddEntry(add) => (add.action, add.if_id, add.precedence, add.key_iova),
        Command::AclRemoveEntry(remove) => {
            (remove.action, remove.if_id, remove.precedence, remove.key_iova)
        }
        _ => return Ok(None),
    };
    at_most(action, LAST_ACTION)?;
    let action = match action {
        0 => AclAction::Drop,
        1 => AclAction::Redirect(if_id),
        2 => AclAction::Accept,
        _ => AclAction::ToControl,
    };
    let mut key = [0; ACL_KEY_SIZE];
    memory::read(state, owner, iova, &mut key)?;
    Ok(Some(AclRule { key: AclKey::parse(&key), precedence, action }))
}

fn no_list(number: u16) -> Refusal {
    Status::NoResource.because(format!("there is no list {number}"))
}

/// Adds a list under the lowest free number. How many a real MC lets there be
/// is not known: one for each interface that a switch can have.
fn add_list(switch: &mut Switch, add: &dpsw::AclAdd) -> Result<u16, Refusal> {
    if add.max_entries == 0 {
        return Err(Status::ConfigurationError.because("a list has at least one rule"));
    }
    let lists = &mut switch.settings.filters.0;
    let free = (0..MAX_INTERFACES).find(|number| !lists.contains_key(number));
    let free = free.ok_or_else(|| {
        Status::NoResource.because(format!("there are {MAX_INTERFACES} lists already"))
    })?;
    lists.insert(free, List { max_entries: add.max_entries, rules: Vec::new(), interfaces: 0 });
    Ok(free)
}
