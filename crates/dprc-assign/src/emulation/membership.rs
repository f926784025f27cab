// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is in the container, and what comes and goes.

use super::{Emulation, name};
use crate::host::Host;
use crate::policy;
use crate::windows::PORTAL_STRIDE;
use mc_abi::blocks::ObjectDescription;
use mc_abi::{ObjectId, Request, Status, Wire, common, dprc};

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

impl List {
    const NONE: Self = Self { objects: Vec::new(), is_whole: true };
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
    pub(super) fn name(&self, object: ObjectId) -> bool {
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
        let lists = match self.lists() {
            // Nothing is in it, now and later.
            Err(_) if self.host.is_revoked() => Lists { before: List::NONE, last: List::NONE },
            lists => lists?,
        };
        let sure: Vec<ObjectDescription> = lists.sure().copied().collect();
        self.look_for_others(&sure)?;
        self.is_stale = !lists.are_equal();
        let mut events = 0;
        for old in std::mem::take(&mut self.members) {
            let object = name(&old);
            match sure.iter().find(|new| name(new) == object) {
                Some(_) if self.replaced.contains(&object) => {
                    events |= dprc::event::OBJ_REMOVED;
                    self.leave(object, true);
                    self.away.insert(object, false);
                }
                Some(new) if !is_plugged(new) => {
                    events |= dprc::event::OBJ_REMOVED;
                    self.leave(object, false);
                    self.away.insert(object, false);
                }
                Some(new) => self.members.push(*new),
                None if lists.name(object) => self.members.push(old),
                None => {
                    events |= dprc::event::OBJ_REMOVED;
                    self.leave(object, true);
                }
            }
        }
        let members = &self.members;
        self.replaced.retain(|object| members.iter().any(|member| name(member) == *object));
        self.away.retain(|object, _| lists.name(*object));
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

    /// Looks for members under whose names there are other objects by now. One that was made
    /// again just as it was and that the guest has neither open nor mapped serves it as well.
    fn look_for_others(&mut self, now: &[ObjectDescription]) -> Result<(), Status> {
        for old in self.members.clone() {
            let Some(new) = now.iter().find(|new| name(new) == name(&old)) else { continue };
            let object = name(new);
            if !is_like(&old, new) || self.has_moved(object)? || self.was_closed(new)? {
                self.replaced.insert(object);
            }
        }
        Ok(())
    }

    /// Whether a region that is mapped is elsewhere by now.
    fn has_moved(&mut self, object: ObjectId) -> Result<bool, Status> {
        let regions = self.registers.iter().filter(|((owner, _), _)| *owner == object);
        let regions: Vec<_> =
            regions.map(|((_, index), region)| (*index, region.clone())).collect();
        for (index, before) in regions {
            let ask = dprc::GetObjectRegion { id: object.id, index, kind: object.kind };
            match self.call(&ask, dprc::GetObjectRegion::MAX_VERSION) {
                Ok(now) if now == before => {}
                Ok(_) | Err(Status::NoResource | Status::ConfigurationError) => return Ok(true),
                Err(status) => return Err(status),
            }
        }
        Ok(false)
    }

    /// Whether what the guest has open was closed without it. That nobody has the object open
    /// says so; as no firmware is known to have promised that, the token is asked, too, by a
    /// command that changes nothing and that each family has.
    fn was_closed(&mut self, object: &ObjectDescription) -> Result<bool, Status> {
        if object.state & dprc::state::OPEN != 0 {
            return Ok(false);
        }
        let mut tokens = self.portals.values().flat_map(|portal| &portal.tokens);
        let Some((token, _)) = tokens.find(|(_, open)| **open == name(object)) else {
            return Ok(false);
        };
        match self.ask(&common::GetIrqMask { index: 0 }.message(*token)) {
            Err(Status::AuthenticationError) => Ok(true),
            Err(Status::Timeout) => Err(Status::Timeout),
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Enters what has come; says whether anything has.
    ///
    /// What is not plugged is not there: Linux gives it to no driver, and asks for the regions
    /// of an object only when it lists it for the first time (`drivers/bus/fsl-mc/dprc-driver.c`,
    /// `fsl_mc_obj_device_add`). One that is unplugged and plugged again is therefore to be
    /// missed meanwhile, as its regions have new places then.
    pub(super) fn admit(&mut self, lists: &Lists) -> bool {
        let before = self.members.len();
        for new in lists.sure().filter(|object| is_plugged(object)) {
            let object = name(new);
            // A list may name it twice.
            if !self.has(object) && self.away.get(&object) != Some(&false) {
                self.away.remove(&object);
                self.members.push(*new);
            }
        }
        self.members.len() > before
    }

    /// The guest lists its container now, and misses what is away.
    pub(super) fn missed(&mut self) {
        for has_missed in self.away.values_mut() {
            self.is_stale |= !std::mem::replace(has_missed, true);
        }
    }

    /// Lets go of what the guest has of an object.
    fn leave(&mut self, object: ObjectId, is_gone: bool) {
        if is_gone {
            // Its tokens went with it: by now they may stand for something that somebody else
            // has opened, which is not to be closed.
            for portal in self.portals.values_mut() {
                portal.tokens.retain(|_, open| *open != object);
            }
            self.closing.retain(|_, closing| closing.object != object);
        } else {
            self.close_all(|_, _, open| open == object);
        }
        self.replaced.remove(&object);
        self.registers.retain(|(owner, _), _| *owner != object);
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
