// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is in the container, and what comes and goes.

use super::{Emulation, name};
use crate::host::Host;
use crate::policy;
use crate::windows::PORTAL_STRIDE;
use mc_abi::blocks::ObjectDescription;
use mc_abi::{ObjectId, Request, Status, Wire, dprc};

/// How often a container is listed at most in one look: a guest's command waits for it, and
/// who changes the container all the time is not to keep it waiting.
const MOST_LISTS: u32 = 4;

/// What the Management Complex says that is in the container.
#[derive(Default)]
struct List {
    objects: Vec<ObjectDescription>,
    /// It has all that was counted.
    is_whole: bool,
}

/// Two lists, one after the other.
///
/// The Management Complex lists by index. Where an object goes meanwhile, those behind it move
/// up, and one that stays is missed; where one comes, another is listed twice. Of lists that
/// differ, what both say counts.
pub(super) struct Lists {
    before: List,
    last: List,
}

impl Lists {
    pub(super) fn are_equal(&self) -> bool {
        let (before, last) = (&self.before, &self.last);
        let mut pairs = before.objects.iter().zip(&last.objects);
        before.is_whole
            && last.is_whole
            && before.objects.len() == last.objects.len()
            && pairs.all(|(a, b)| is_same(a, b))
    }

    /// What is there: both lists say the same of it.
    fn sure(&self) -> impl Iterator<Item = &ObjectDescription> {
        let before = &self.before.objects;
        let is_sure = |object: &&ObjectDescription| before.iter().any(|old| is_same(old, object));
        self.last.objects.iter().filter(is_sure)
    }

    /// Whether one of them names an object; one that neither names has gone.
    fn name(&self, object: ObjectId) -> bool {
        let mut all = self.before.objects.iter().chain(&self.last.objects);
        all.any(|listed| name(listed) == object)
    }
}

impl<H: Host> Emulation<H> {
    /// Whether an object is in the container, as far as the guest sees.
    pub(super) fn has(&self, object: ObjectId) -> bool {
        self.member(object).is_some()
    }

    pub(super) fn member(&self, object: ObjectId) -> Option<&ObjectDescription> {
        self.members.iter().find(|member| name(member) == object)
    }

    /// Lists the container until two lists in a row are equal.
    pub(super) fn lists(&mut self) -> Result<Lists, Status> {
        let mut lists = Lists { before: List::default(), last: self.list()? };
        for _ in 1..MOST_LISTS {
            lists = Lists { before: lists.last, last: self.list()? };
            if lists.are_equal() {
                break;
            }
        }
        Ok(lists)
    }

    fn list(&mut self) -> Result<List, Status> {
        let count = self.call(&dprc::GetObjectCount {}, 1)?.count;
        let mut list = List { objects: Vec::new(), is_whole: true };
        for index in 0..count {
            let command = dprc::GetObject { index }.message_version(self.token, 1);
            match self.ask(&command).map(|answer| dprc::GetObjectReply::decode(&answer.params, 1)) {
                Ok(Ok(reply)) if !policy::hidden(reply.object.kind) => {
                    list.objects.push(reply.object);
                }
                // Of a family that guests do not see, or that nobody knows.
                Ok(_) => {}
                // There are fewer by now.
                Err(Status::ConfigurationError) => list.is_whole = false,
                Err(status) => return Err(status),
            }
        }
        Ok(list)
    }

    /// Looks at the container again, lets go of what has left, and notes events.
    pub(super) fn look(&mut self) -> Result<(), Status> {
        self.is_stale = true;
        let lists = self.lists()?;
        self.is_stale = !lists.are_equal();
        let mut events = 0;
        for old in std::mem::take(&mut self.members) {
            match lists.sure().find(|new| name(new) == name(&old)) {
                Some(new) => {
                    if is_plugged(new) != is_plugged(&old) {
                        events |= dprc::event::OBJ_ADDED;
                    }
                    self.members.push(*new);
                }
                None if lists.name(name(&old)) => self.members.push(old),
                None => {
                    events |= dprc::event::OBJ_REMOVED;
                    self.leave(name(&old));
                }
            }
        }
        if self.admit(&lists) {
            events |= dprc::event::OBJ_ADDED;
        }
        if events != 0 {
            let container = self.container();
            if let Some(msi) = self.own.entry(container).or_default().raise(events) {
                self.host.signal(msi);
            }
        }
        Ok(())
    }

    /// Enters what has come; says whether anything has.
    pub(super) fn admit(&mut self, lists: &Lists) -> bool {
        let before = self.members.len();
        for new in lists.sure() {
            // A list may name it twice.
            if !self.has(name(new)) {
                self.members.push(*new);
            }
        }
        self.members.len() > before
    }

    fn leave(&mut self, object: ObjectId) {
        self.close_all(|_, _, open| open == object);
        self.own.remove(&object);
        self.interrupts.forget(object);
        self.host.gone(object);
        if let Some(slot) = self.windows.forget(object) {
            self.close_all(|through, _, _| through == slot);
            self.portals.remove(&slot);
            self.host.hide(self.windows.portals() + slot * PORTAL_STRIDE);
        }
    }
}

fn is_plugged(object: &ObjectDescription) -> bool {
    object.state & dprc::state::PLUGGED != 0
}

/// Whether two descriptions are of one object that stays as it is: all but its label, and
/// whether it is open, which change while it is in use.
fn is_same(one: &ObjectDescription, other: &ObjectDescription) -> bool {
    is_like(one, other) && is_plugged(one) == is_plugged(other)
}

/// Whether two descriptions may be of the same object: all but its label and state.
fn is_like(one: &ObjectDescription, other: &ObjectDescription) -> bool {
    *one == ObjectDescription { label: one.label, state: one.state, ..*other }
}
