// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands that the emulation answers, with or without asking the Management Complex.

use super::{Call, Emulation, OPTIONS, Outcome, Reply};
use crate::host::{Host, HostRegion, Msi};
use crate::policy::{Verdict, verdict};
use crate::portal::Portal;
use crate::windows::PORTAL_STRIDE;
use mc_abi::{
    Message, ObjectId, ObjectType, Params, Request, Status, Token, Wire, common, dpio, dprc,
};
use std::collections::btree_map::Entry;

impl<H: Host> Emulation<H> {
    pub(super) fn of_container(&mut self, call: &Call<'_>) -> Outcome {
        let version = call.version();
        match call.message.header.number() {
            dprc::GetAttributes::NUMBER => {
                let reply = dprc::GetAttributesReply {
                    id: self.identity.container,
                    icid: self.identity.icid.into(),
                    options: OPTIONS,
                    portal: 0,
                };
                Ok(Reply::of(&reply, version))
            }
            dprc::Reset::NUMBER => self.reset_container(call.decode()?),
            dprc::GetObjectCount::NUMBER => {
                self.look()?;
                self.missed();
                let count = self.members.len() as u32;
                Ok(Reply::of(&dprc::GetObjectCountReply { count }, version))
            }
            dprc::GetObject::NUMBER => {
                let index = call.decode::<dprc::GetObject>()?.index as usize;
                let object = self.members.get(index).ok_or(Status::ConfigurationError)?;
                Ok(Reply::of(&dprc::GetObjectReply { object: *object }, version))
            }
            dprc::GetObjectDescription::NUMBER => {
                let ask: dprc::GetObjectDescription = call.decode()?;
                self.expect_below(ObjectId::new(ask.kind, ask.id))?;
                self.forward(call, self.token)
            }
            // Of the guest's own: the Management Complex would answer of what is in containers
            // below as well. What is at the other end is told, wherever that is, as it is to
            // any container.
            dprc::GetConnection::NUMBER => {
                let ask: dprc::GetConnection = call.decode()?;
                self.expect_below(ObjectId::new(ask.kind, ask.id))?;
                self.forward(call, self.token)
            }
            dprc::GetObjectRegion::NUMBER => {
                let reply = self.region(&call.decode()?, version)?;
                Ok(Reply::of(&reply, version))
            }
            dprc::SetObjectIrq::NUMBER => {
                let set: dprc::SetObjectIrq = call.decode()?;
                let object = ObjectId::new(set.kind, set.id);
                self.expect_below(object)?;
                self.set_interrupt(object, set.index, set.address, set.value, set.user)
            }
            dprc::GetObjectIrq::NUMBER => {
                let get: dprc::GetObjectIrq = call.decode()?;
                let object = ObjectId::new(get.kind, get.id);
                self.expect_below(object)?;
                let (value, address, user) = self.interrupt(object, get.index)?;
                let reply = dprc::GetObjectIrqReply { value, address, user, irq_kind: 0 };
                Ok(Reply::of(&reply, version))
            }
            _ => self.of_interrupt(call, self.container()),
        }
    }

    /// Commands that are the same for all objects but answered here.
    pub(super) fn of_object(&mut self, call: &Call<'_>, object: ObjectId) -> Outcome {
        match call.message.header.number() {
            common::Reset::NUMBER => {
                let reply = self.forward(call, call.message.header.token())?;
                self.was_reset(object, Some((call.slot, call.message.header.token())));
                Ok(reply)
            }
            dpio::GetAttributes::NUMBER if object.kind == ObjectType::Dpio => {
                let mut reply = self.forward(call, call.message.header.token())?;
                let version = call.version();
                let mut attributes = dpio::GetAttributesReply::decode(&reply.params, version)
                    .map_err(|_| Status::ConfigurationError)?;
                // Where the host has them is not the guest's business.
                let place = |index| self.windows.region_of(object, index).unwrap_or(0);
                attributes.qbman_portal_ce_offset = place(0);
                attributes.qbman_portal_ci_offset = place(1);
                attributes.encode(&mut reply.params, version);
                Ok(reply)
            }
            _ => self.of_interrupt(call, object),
        }
    }

    fn of_interrupt(&mut self, call: &Call<'_>, object: ObjectId) -> Outcome {
        let header = call.message.header;
        let command =
            common::Command::decode(header.number(), header.version(), &call.message.params)
                .map_err(|_| Status::ConfigurationError)?;
        match &command {
            common::Command::SetIrq(set) => {
                self.set_interrupt(object, set.index, set.address, set.value, set.user)
            }
            common::Command::GetIrq(get) => {
                let (value, address, user) = self.interrupt(object, get.index)?;
                let reply = common::GetIrqReply { value, address, user, kind: 0 };
                Ok(Reply::of(&reply, header.version()))
            }
            other => {
                let own = self.own.entry(object).or_default();
                let outcome = own.run(other, header.version());
                let (answer, msi) = outcome.ok_or(Status::UnsupportedOperation)?;
                if let Some(msi) = msi {
                    self.host.signal(msi);
                }
                answer.map(|params| Reply { params, token: None })
            }
        }
    }

    /// An object that a command of the container's names must be in it, or be it.
    fn expect_below(&self, object: ObjectId) -> Result<(), Status> {
        if object == self.container() || self.has(object) {
            Ok(())
        } else {
            Err(Status::NoResource)
        }
    }

    fn is_own(&self, object: ObjectId) -> bool {
        object == self.container() || object.kind == ObjectType::Dpmcp
    }

    fn expect_interrupt(&self, object: ObjectId, index: u8) -> Result<(), Status> {
        // A container has one.
        let count = self.member(object).map_or(1, |member| member.irqs);
        if index < count { Ok(()) } else { Err(Status::ConfigurationError) }
    }

    fn set_interrupt(
        &mut self,
        object: ObjectId,
        index: u8,
        address: u64,
        value: u32,
        user: u32,
    ) -> Outcome {
        self.expect_interrupt(object, index)?;
        let msi = (address != 0).then_some(Msi { address, data: value });
        if self.is_own(object) {
            self.own.entry(object).or_default().msi = msi;
        } else {
            self.host.route(object, index, msi).map_err(|_| Status::NoResource)?;
        }
        self.interrupts.set(object, index, Msi { address, data: value }, user);
        Ok(Reply::DONE)
    }

    fn interrupt(&self, object: ObjectId, index: u8) -> Result<(u32, u64, u32), Status> {
        self.expect_interrupt(object, index)?;
        Ok(self.interrupts.get(object, index))
    }

    fn region(
        &mut self,
        ask: &dprc::GetObjectRegion,
        version: u8,
    ) -> Result<dprc::GetObjectRegionReply, Status> {
        let object = ObjectId::new(ask.kind, ask.id);
        self.expect_below(object)?;
        // What there is, and how large in this version of the command.
        let region = self.call(ask, version)?;
        let (offset, base_address) = if object == self.container() {
            (0, self.windows.portals())
        } else if object.kind == ObjectType::Dpmcp {
            let offset = self.windows.portal_of(object).ok_or(Status::NoResource)?;
            self.add_portal(offset / PORTAL_STRIDE, object);
            (offset, self.windows.portals())
        } else {
            (self.mapped(ask)?, self.windows.queues())
        };
        Ok(dprc::GetObjectRegionReply { offset, base_address, ..region })
    }

    /// A `dpmcp`'s portal is there from its first mention on.
    fn add_portal(&mut self, slot: u64, dpmcp: ObjectId) {
        if let Entry::Vacant(place) = self.portals.entry(slot) {
            place.insert(Portal::new(Some(dpmcp)));
            self.show(slot);
        }
    }

    /// The place of a region in the window of software portals; maps it when it is asked
    /// for the first time.
    fn mapped(&mut self, ask: &dprc::GetObjectRegion) -> Result<u64, Status> {
        let object = ObjectId::new(ask.kind, ask.id);
        if let Some(offset) = self.windows.region_of(object, ask.index) {
            return Ok(offset);
        }
        // The newest version has the whole size.
        let whole = self.call(ask, dprc::GetObjectRegion::MAX_VERSION)?;
        let size = u64::from(whole.size);
        let offset = self.windows.place(object, ask.index, size).ok_or(Status::NoResource)?;
        let region = HostRegion { object, index: ask.index, size, flags: whole.flags };
        let at = self.windows.queues() + offset;
        if self.host.map(&region, at).is_err() {
            self.windows.displace(object, ask.index);
            return Err(Status::NoResource);
        }
        self.registers.insert((object, ask.index), whole);
        Ok(offset)
    }

    /// A container resets itself: all that is in it. The host's own token, interrupts
    /// and isolation id are not touched, which a reset of the container might.
    fn reset_container(&mut self, reset: dprc::Reset) -> Outcome {
        if reset.child != self.identity.container {
            return Err(Status::NoPrivilege);
        }
        let number = common::Reset::NUMBER;
        // What has a reset that reaches beyond the container stays as it is.
        let is_reset = |object: &ObjectId| verdict(object.kind, number) == Verdict::Emulate;
        for object in self.objects().into_iter().filter(is_reset) {
            match self.reset_object(object) {
                // Some families have no reset.
                Ok(()) | Err(Status::UnsupportedOperation) => self.was_reset(object, None),
                Err(status) => self.expect_gone(object, status)?,
            }
        }
        // Containers stay open: who resets its own goes on using it.
        self.close_all(|_, _, object| object.kind != ObjectType::Dprc);
        Ok(Reply::DONE)
    }

    fn reset_object(&mut self, object: ObjectId) -> Result<(), Status> {
        let token = self.open_real(object)?;
        let outcome = self.ask(&Message::command(common::Reset::NUMBER, 1, token, Params::ZERO));
        if let Err(Status::Timeout) = self.ask(&Message::close(token)) {
            self.is_closing(0, token, object);
        }
        outcome.map(drop)
    }

    /// What is refused for an object that is not in the container any more, since the last look,
    /// is no failure of what is done to all.
    fn expect_gone(&mut self, object: ObjectId, status: Status) -> Result<(), Status> {
        self.is_stale = true;
        if status == Status::Timeout || self.lists()?.name(object) {
            return Err(status);
        }
        Ok(())
    }

    /// `by` is the portal and token of the command that did it, which stays open.
    fn was_reset(&mut self, object: ObjectId, by: Option<(u64, Token)>) {
        if object.kind != ObjectType::Dpmcp {
            self.host.reset(object);
            return;
        }
        // What was opened through a portal is closed when the portal is reset.
        if let Some(own) = self.own.get_mut(&object) {
            own.reset();
        }
        let slot = self.portals.iter().find(|(_, portal)| portal.owner == Some(object));
        let Some(slot) = slot.map(|(slot, _)| *slot) else { return };
        let kept = by.filter(|(through, _)| *through == slot).map(|(_, token)| token);
        self.close_all(|through, token, _| through == slot && Some(token) != kept);
    }
}
