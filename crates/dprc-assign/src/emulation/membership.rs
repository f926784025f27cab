// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is in the container, and what comes and goes.

use super::{Emulation, name};
use crate::host::Host;
use crate::policy;
use crate::windows::PORTAL_STRIDE;
use mc_abi::blocks::ObjectDescription;
use mc_abi::{ObjectId, Status, dprc};

impl<H: Host> Emulation<H> {
    /// Whether an object is in the container, as far as the guest sees.
    pub(super) fn has(&self, object: ObjectId) -> bool {
        self.member(object).is_some()
    }

    pub(super) fn member(&self, object: ObjectId) -> Option<&ObjectDescription> {
        self.members.iter().find(|member| name(member) == object)
    }

    pub(super) fn list(&mut self) -> Result<Vec<ObjectDescription>, Status> {
        let count = self.call(&dprc::GetObjectCount {}, 1)?.count;
        let mut members = Vec::new();
        for index in 0..count {
            match self.call(&dprc::GetObject { index }, 1) {
                Ok(reply) if policy::hidden(reply.object.kind) => {}
                Ok(reply) => members.push(reply.object),
                // It has become shorter meanwhile, or names a family that nobody knows.
                Err(Status::ConfigurationError) => {}
                Err(status) => return Err(status),
            }
        }
        Ok(members)
    }

    /// Looks at the container again, lets go of what has left, and notes events.
    pub(super) fn look(&mut self) -> Result<(), Status> {
        let now = self.list()?;
        let before = std::mem::replace(&mut self.members, now);
        let plugged = |object: &ObjectDescription| object.state & dprc::state::PLUGGED;
        let mut events = 0;
        for old in &before {
            match self.member(name(old)) {
                Some(new) if plugged(new) == plugged(old) => {}
                Some(_) => events |= dprc::event::OBJ_ADDED,
                None => {
                    events |= dprc::event::OBJ_REMOVED;
                    self.leave(name(old));
                }
            }
        }
        let came = |object: &ObjectDescription| !before.iter().any(|old| name(old) == name(object));
        if self.members.iter().any(came) {
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

    fn leave(&mut self, object: ObjectId) {
        for slot in self.portals.keys().copied().collect::<Vec<_>>() {
            self.close_all(slot, |open| open == object);
        }
        self.own.remove(&object);
        self.interrupts.forget(object);
        self.host.gone(object);
        if let Some(slot) = self.windows.forget(object) {
            self.close_all(slot, |_| true);
            self.portals.remove(&slot);
            self.host.hide(self.windows.portals() + slot * PORTAL_STRIDE);
        }
    }
}
