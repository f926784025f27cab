// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! All that the MC knows: objects, sessions, pools.

use super::{
    Family, Object,
    connections::Connections,
    containers,
    family::Functions,
    pools::{Numbers, Pools},
    portals::Portals,
    session::{Session, Sessions},
};
use crate::mc::refusal::{Because, Refusal};
use crate::{
    dpl::Dpc,
    fabric::{Fabric, Message, Pass},
    host::Clock,
    soc::{self, Soc},
};
use mc_abi::{ObjectId, ObjectType, Status, Token, dprc::event};
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What an MC is made with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chip that it is on.
    pub soc: Soc,
    /// First isolation id that containers get.
    pub first_icid: u16,
    /// How many there are: one a container.
    pub icids: u16,
    /// Whether the MC has the faults that the firmware is known for:
    /// - a command portal that a destroyed `dpmcp` or container had is not listed as
    ///   free before the next boot. It is given out again before the listing falls
    ///   any further (board: DPMCP-I6, V-CEIL-1, V-DPRC-12 of the ledger);
    /// - there are no more than 18 network interfaces, with free numbers left in
    ///   every pool that is listed (board: ADR-0011 of the ledger).
    pub quirks: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { soc: Soc::default(), first_icid: 23, icids: 16, quirks: true }
    }
}

impl Config {
    /// The same as far as a configuration of the board lets it be: isolation ids out
    /// of its (first) pool, and channels as it converts them. Where the ids that this
    /// would take are among those of the pool, it keeps them.
    #[must_use]
    pub fn within(mut self, configuration: Option<&Dpc>) -> Self {
        let Some(configuration) = configuration else { return self };
        if let Some(pool) = configuration.icid_pools.first() {
            let end = pool.base.saturating_add(pool.count);
            if !(pool.base..end).contains(&self.first_icid.into()) {
                self.first_icid = pool.base as u16;
            }
            let left = end.saturating_sub(self.first_icid.into());
            self.icids = self.icids.min(u16::try_from(left).unwrap_or(u16::MAX));
        }
        if let Some(converted) = configuration.wq_ch_conversion {
            self.soc.pools.channel2 = soc::CHANNELS.two_wide(converted);
            self.soc.pools.channel8 = soc::CHANNELS.eight_wide(converted);
        }
        self
    }

    fn pools(&self) -> Pools {
        let icids = Numbers { first: self.first_icid.into(), count: self.icids.into() };
        let mut sizes = self.soc.pools;
        if !self.quirks {
            // No more than there are frame queues.
            sizes.interface = sizes.fq;
        }
        let mut pools = Pools::new(icids, &sizes);
        if self.quirks {
            pools.mcp.keep_returned();
        }
        pools
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub objects: BTreeMap<ObjectId, Object>,
    pub sessions: Sessions,
    pub pools: Pools,
    pub portals: Portals,
    pub connections: Connections,
    /// What the board's configuration says of its Ethernet ports.
    pub ports: Vec<crate::dpl::Port>,
    /// Whether a `dpmac` can be made for a port of this list only: once the MC has
    /// booted with a configuration that has one.
    pub only_these_ports: bool,
    /// Ethernet ports whose wire is not there.
    pub wires_down: BTreeSet<u32>,
    /// What the data plane has to do when the state is unlocked: interrupts to
    /// send, engines to run.
    pub pass: Pass,
    /// The data plane, whose tables the families write.
    pub fabric: Arc<Fabric>,
    /// Objects whose part of the data plane's tables may be out of date.
    touched: Vec<ObjectId>,
}

impl State {
    pub fn new(config: Config, fabric: Arc<Fabric>, clock: Arc<dyn Clock>) -> Self {
        let pools = config.pools();
        Self {
            config,
            clock,
            objects: BTreeMap::new(),
            sessions: Sessions::default(),
            pools,
            portals: Portals::default(),
            connections: Connections::default(),
            ports: Vec::new(),
            only_these_ports: false,
            wires_down: BTreeSet::new(),
            pass: Pass::default(),
            fabric,
            touched: Vec::new(),
        }
    }

    /// Notes that an object is not what it was. What it is then is written to
    /// the data plane's tables at the end of the command.
    pub fn touch(&mut self, id: ObjectId) {
        if self.touched.last() != Some(&id) {
            self.touched.push(id);
        }
    }

    /// Does what leaves the objects as the data plane has them, though it asks for them as if
    /// it would not: nothing is written anew for it.
    pub fn asking<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.touched.len();
        let done = work(self);
        self.touched.truncate(before);
        done
    }

    /// Brings the data plane's tables up to date: the last step of every command,
    /// under the state's lock, so that no later command finds old entries.
    pub fn program(&mut self) {
        // Taken, so that what is programmed may look at other objects.
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut pass = std::mem::take(&mut self.pass);
        pass.set_now(self.clock.now());
        for id in touched.drain(..) {
            // One that is gone has taken its entries back when it was destroyed.
            let Some(object) = self.objects.get(&id) else { continue };
            let Some(icid) = self.icid(object.container) else { continue };
            object.body.program(self, object, icid, &mut pass);
        }
        self.pass = pass;
        self.touched = touched;
    }

    /// What is to be done when the state is unlocked.
    pub fn take_pass(&mut self) -> Pass {
        if self.pass.is_empty() { Pass::default() } else { std::mem::take(&mut self.pass) }
    }

    /// An object that must be there.
    ///
    /// # Errors
    /// [`Status::NoResource`]: the status of an open of what does not exist.
    pub fn object(&self, id: ObjectId) -> Result<&Object, Refusal> {
        self.objects.get(&id).ok_or_else(|| Status::NoResource.because(format!("there is no {id}")))
    }

    /// The same, to be changed.
    pub fn object_mut(&mut self, id: ObjectId) -> Result<&mut Object, Refusal> {
        self.touch(id);
        self.objects
            .get_mut(&id)
            .ok_or_else(|| Status::NoResource.because(format!("there is no {id}")))
    }

    /// What the family `F` keeps of its object number `id`.
    pub fn body<F: Family>(&self, id: u32) -> Result<&F, Refusal> {
        let object = self.object(ObjectId::new(F::TYPE, id))?;
        (&*object.body as &dyn Any).downcast_ref().ok_or_else(|| {
            Status::InvalidState.because(format!("{} is of another family", object.id))
        })
    }

    /// The same, to be changed.
    pub fn body_mut<F: Family>(&mut self, id: u32) -> Result<&mut F, Refusal> {
        let object = self.object_mut(ObjectId::new(F::TYPE, id))?;
        (&mut *object.body as &mut dyn Any).downcast_mut().ok_or_else(|| {
            Status::InvalidState.because(format!("{} is of another family", object.id))
        })
    }

    /// The lowest number that no object of the family has, in any container.
    /// Numbers are given out again (board observation); those of `dprc`,
    /// `dpmcp` and `dpmac` start at 1.
    pub fn free_id(&self, kind: ObjectType) -> u32 {
        let first =
            u32::from(matches!(kind, ObjectType::Dprc | ObjectType::Dpmcp | ObjectType::Dpmac));
        let taken = self.objects.range(ObjectId::new(kind, 0)..=ObjectId::new(kind, u32::MAX));
        let mut free = first;
        for (id, _) in taken {
            if id.id > free {
                break;
            }
            free = free.max(id.id.saturating_add(1));
        }
        free
    }

    /// Makes an object of family `F` in `container` and tells the container's
    /// driver.
    ///
    /// # Errors
    /// What the family's own creation refuses.
    pub fn create<F: Family>(
        &mut self,
        id: Option<u32>,
        container: u32,
        creator: u32,
        request: &F::Create,
    ) -> Result<u32, Refusal> {
        let id = id.unwrap_or_else(|| self.free_id(F::TYPE));
        let name = ObjectId::new(F::TYPE, id);
        if self.objects.contains_key(&name) {
            return Err(Status::NoResource.because(format!("{name} is there already")));
        }
        let path = self.draw_path(container);
        self.pools.draw_for(name, &path);
        let body = match F::create(self, id, container, request) {
            Ok(body) => body,
            Err(status) => {
                self.pools.release(name);
                return Err(status);
            }
        };
        let irqs = vec![super::Irq::default(); usize::from(F::IRQS)];
        self.objects.insert(
            name,
            Object {
                id: name,
                container,
                creator,
                label: Default::default(),
                plugged: false,
                irqs,
                body: Box::new(body),
                functions: Functions::of::<F>(),
            },
        );
        self.touch(name);
        self.enter(name, container);
        self.raise(containers::name(container), 0, event::OBJ_CREATED);
        Ok(id)
    }

    /// Takes an object out of the world: its connections end, its resources go
    /// back to their pools, its sessions end, its container's driver is notified.
    ///
    /// # Errors
    /// [`Status::NoResource`] where there is none.
    pub fn remove(&mut self, id: ObjectId) -> Result<(), Refusal> {
        let container = self.object(id)?.container;
        self.disconnect_all(id);
        self.leave(id, container);
        self.sessions.forget(id);
        let object = self
            .objects
            .remove(&id)
            .ok_or_else(|| Status::NoResource.because(format!("there is no {id}")))?;
        (object.functions.destroy)(object.body, self, id.id);
        for other in self.led_to(id) {
            self.object_mut(other)?.body.forget(id);
        }
        self.pools.release(id);
        self.raise(containers::name(container), 0, event::OBJ_DESTROYED);
        Ok(())
    }

    /// Puts objects that are no containers back to their initial state, together.
    ///
    /// Events from before are forgotten, and what one does to another is none: who resets
    /// them knows it. Linux takes a reported change of an endpoint for one that happened
    /// after it looked, and lets go of the port that it has just found.
    pub fn reset(&mut self, ids: &[ObjectId]) {
        // Taken out meanwhile: no message leaves.
        let mut kept = Vec::with_capacity(ids.len());
        for id in ids {
            let Ok(object) = self.object_mut(*id) else { continue };
            kept.push((*id, object.functions, std::mem::take(&mut object.irqs)));
        }
        for (id, functions, _) in &kept {
            (functions.reset)(self, id.id);
        }
        for (id, _, mut irqs) in kept {
            irqs.iter_mut().for_each(super::Irq::forget);
            if let Some(object) = self.objects.get_mut(&id) {
                object.irqs = irqs;
            }
        }
    }

    /// Ends a session. What leads to the object may come to an end with it.
    pub fn close(&mut self, token: Token) {
        let object = self.sessions.object(token);
        self.sessions.close(token);
        if let Some(object) = object {
            self.led_to(object).into_iter().for_each(|other| self.touch(other));
        }
    }

    /// The same for the sessions that `which` says.
    pub fn close_all(&mut self, which: impl Fn(&Session) -> bool) {
        for object in self.sessions.close_all(which) {
            self.led_to(object).into_iter().for_each(|other| self.touch(other));
        }
    }

    /// The objects that lead to another one.
    fn led_to(&self, target: ObjectId) -> Vec<ObjectId> {
        let leading = self.objects.values().filter(|object| object.body.leads_to(target));
        leading.map(|object| object.id).collect()
    }

    /// Notes events of an interrupt of `id` and sends its message where enable
    /// bit and mask let it leave.
    pub fn raise(&mut self, id: ObjectId, index: u8, events: u32) {
        let sends = self
            .objects
            .get_mut(&id)
            .and_then(|o| o.irqs.get_mut(usize::from(index)))
            .is_some_and(|irq| irq.raise(events));
        if sends {
            self.send(id, index);
        }
    }

    /// The same for interrupt 0 of an object with several interfaces.
    pub fn raise_at(&mut self, end: super::Endpoint, events: u32) {
        let object = self.objects.get_mut(&end.object);
        let irq = object.and_then(|object| object.irqs.first_mut());
        if irq.is_some_and(|irq| irq.raise_at(end.interface, events)) {
            self.send(end.object, 0);
        }
    }

    /// Sends the message of an interrupt.
    pub fn send(&mut self, id: ObjectId, index: u8) {
        let Some(object) = self.objects.get(&id) else { return };
        let Some(irq) = object.irqs.get(usize::from(index)) else { return };
        let (address, value) = (irq.address, irq.value);
        // A container's own interrupt carries its own isolation id, an
        // object's that of the container that holds it.
        let container = if id.kind == ObjectType::Dprc { id.id } else { object.container };
        if let Some(icid) = self.icid(container) {
            self.pass.interrupt(Message { icid, address, value });
        }
    }
}

/// Interrupts as commands see them.
impl State {
    /// An interrupt of an object.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where the object has no such index.
    pub fn irq(&self, id: ObjectId, index: u8) -> Result<&super::Irq, Refusal> {
        self.object(id)?.irqs.get(usize::from(index)).ok_or_else(|| {
            Status::ConfigurationError.because(format!("{id} has no interrupt {index}"))
        })
    }

    /// Sets where an interrupt's message goes.
    pub fn set_irq(
        &mut self,
        id: ObjectId,
        index: u8,
        address: u64,
        value: u32,
        user: u32,
    ) -> Result<(), Refusal> {
        self.configure_irq(id, index, |irq| {
            (irq.address, irq.value, irq.user) = (address, value, user);
        })
    }

    /// The status of an interrupt of an object with several interfaces; forgets
    /// the events of it that `clear` names.
    pub fn take_irq_status(&mut self, id: ObjectId, index: u8, clear: u32) -> Result<u32, Refusal> {
        let irq = self.object_mut(id)?.irqs.get_mut(usize::from(index));
        let irq = irq.ok_or_else(|| {
            Status::ConfigurationError.because(format!("{id} has no interrupt {index}"))
        })?;
        let status = irq.status;
        if irq.clear_at(clear) {
            self.send(id, index);
        }
        Ok(status)
    }

    /// Changes an interrupt, and sends its message where that lets waiting
    /// events leave.
    pub fn configure_irq(
        &mut self,
        id: ObjectId,
        index: u8,
        change: impl FnOnce(&mut super::Irq),
    ) -> Result<(), Refusal> {
        let irq = self.object_mut(id)?.irqs.get_mut(usize::from(index));
        if irq
            .ok_or_else(|| {
                Status::ConfigurationError.because(format!("{id} has no interrupt {index}"))
            })?
            .configure(change)
        {
            self.send(id, index);
        }
        Ok(())
    }
}
