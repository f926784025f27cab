// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Which objects a container has: devices on the bus for those that the Management Complex says
//! are in it.

use super::{
    Container,
    OWN_IRQ,
    SCAN, //
};
use crate::{
    abstractions::{
        fsl_mc::OpenContainer,
        work, //
    },
    logic::{
        command::{
            self,
            event,
            Command, //
        },
        pace::Pace,
        region::ObjectKind, //
    },
    look::{
        Look,
        Seen, //
    },
    parameters,
    portal::Exclusive, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        msecs_to_jiffies,
        Instant,
        Monotonic, //
    },
    workqueue::WorkItem, //
};

/// The container on the bus, and what the last scan came to.
pub(super) struct Scanned {
    /// Until the container is unbound.
    bus: Option<OpenContainer>,
    bound_at: Instant<Monotonic>,
    /// How soon the next scan may be.
    pace: Pace,
    /// How many objects the MC said that there are.
    known_objects: u32,
    /// How many interrupts of the container a holder had been told of.
    told: u64,
    is_failing: bool,
}

impl Scanned {
    pub(super) fn new(bus: OpenContainer) -> Self {
        Self {
            bus: Some(bus),
            bound_at: Instant::now(),
            pace: Pace::default(),
            known_objects: 0,
            told: 0,
            is_failing: false,
        }
    }

    /// Takes the container away: it is not scanned any more.
    pub(super) fn close(&mut self) -> Option<OpenContainer> {
        self.bus.take()
    }

    /// For how long the container has been bound.
    fn age_ms(&self) -> u64 {
        u64::try_from(self.bound_at.elapsed().as_millis()).unwrap_or(0)
    }
}

impl WorkItem<SCAN> for Container {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.members.forget_removed();
        let mut scanned = this.bus.lock();
        let start = scanned.age_ms();
        let left = scanned.pace.left(start);
        if left > 0 {
            this.counters.delayed_scans.count();
            return this.scan_within(left);
        }
        let result = this.rescan(&mut scanned);
        drop(scanned);
        let bound = this.members.bind_pending();
        this.scanned(start, result.and(bound));
    }
}

impl Container {
    /// Binds the objects that the container has when it is bound itself.
    pub(super) fn bind_objects(self: &Arc<Self>) -> Result {
        {
            let mut scanned = self.bus.lock();
            let bus = scanned.bus.as_ref().ok_or(ENODEV)?;
            // Before the bus looks: what is made again meanwhile differs then from what is
            // listed later.
            let mut seen = self.list()?;
            let result = self.portal.lent_to_bus(|| bus.scan());
            // What was added before a failure goes with this.
            let devices = bus.added()?;
            result?;
            scanned.known_objects = u32::try_from(devices.len()).unwrap_or(u32::MAX);
            for device in devices {
                if !device.has_driver_override() {
                    // The first scan adds it again.
                    self.usage.lock().ask();
                    continue;
                }
                let at = seen.iter().position(|seen| device.is_of(&seen.object));
                let its = at.and_then(|at| seen.remove(at).ok());
                if its.is_none() {
                    self.usage.lock().ask();
                }
                self.members.add(self, device, its)?;
            }
        }
        // With no lock held: one of them may be a container.
        if self.members.bind_pending().is_err() {
            // The first scan tries again.
            self.usage.lock().ask();
        }
        Ok(())
    }

    /// Sees to it that what a scan has missed is looked for again.
    fn scanned(self: &Arc<Self>, start: u64, result: Result) {
        let mut scanned = self.bus.lock();
        let end = scanned.age_ms();
        scanned.pace.looked(start, end, result.is_err());
        let error = result.err();
        let failure = error.filter(|e| *e != EAGAIN);
        // A container that does not answer says so once.
        let was_failing = core::mem::replace(&mut scanned.is_failing, failure.is_some());
        drop(scanned);
        if let (Some(e), false) = (failure, was_failing) {
            dev_err!(
                self.dev(),
                "cannot look for objects that came or went: {e:?}\n"
            );
        }
        if error.is_some() {
            // What told of a change is told once.
            self.changed();
        }
    }

    /// Makes the bus's devices those that the MC says there are, and lets those go that went.
    /// What was added is bound later. `EAGAIN` where that has to be looked at again.
    fn rescan(self: &Arc<Self>, scanned: &mut Scanned) -> Result {
        let Some(bus) = &scanned.bus else {
            return Ok(());
        };
        self.counters.scans.count();
        let asked = self.usage.lock().takes_question();
        // A holder who was told may have acknowledged what told of a change.
        let told = self.counters.interrupts.count_so_far();
        let was_told = told != core::mem::replace(&mut scanned.told, told);
        let (events, count) = self.pending_events()?;
        let is_known = count == core::mem::replace(&mut scanned.known_objects, count);
        if !asked && !was_told && is_known && events & event::OBJECTS == 0 {
            return Ok(());
        }
        self.follow(bus)
    }

    /// Makes the bus's devices those that the MC lists. `EAGAIN` while that changes.
    fn follow(self: &Arc<Self>, bus: &OpenContainer) -> Result {
        let first = self.list()?;
        if self.members.are(&first) {
            return Ok(());
        }
        let mut look = Look::new(first, self.list()?);
        let came = self.members.follow(&look)?;
        let mut result = if look.is_stable() {
            Ok(())
        } else {
            Err(EAGAIN)
        };
        for object in &came {
            match self.portal.lent_to_bus(|| bus.add(object)) {
                // There was no memory to keep it for this driver: its device goes, and with it
                // any other driver that has taken it.
                Ok(device) if !device.has_driver_override() => result = Err(EAGAIN),
                Ok(device) => {
                    let its = look.take(object);
                    self.members.add(self, device, its)?;
                }
                Err(e) if e == EEXIST => result = Err(EAGAIN),
                // Of a type that this kernel's bus does not know, as it has said.
                Err(e)
                    if e == ENODEV && ObjectKind::from_name(&object.kind) == ObjectKind::Other =>
                {
                    self.members.refuse(*object)?;
                }
                Err(e) => {
                    result = Err(EAGAIN);
                    if parameters::may_print() {
                        dev_err!(self.dev(), "an object that came cannot be added: {e:?}\n");
                    }
                }
            }
        }
        result
    }

    /// What the MC says of the objects in the container. Users may send commands between one
    /// object and the next.
    fn list(&self) -> Result<KVec<Seen>> {
        let count = self.with_token(|portal, token| {
            let answer = portal.ask(&command::get_object_count(token))?;
            Ok(command::object_count(&answer))
        })?;
        let mut objects = KVec::new();
        for index in 0..count {
            match self.with_token(|portal, token| Self::see(portal, token, index)) {
                // There are less by now.
                Err(e) if e == ENXIO => break,
                seen => objects.push(seen?, GFP_KERNEL)?,
            }
        }
        Ok(objects)
    }

    /// What the MC says of one object. `ENXIO` where there are not so many.
    fn see(portal: &mut Exclusive<'_>, token: u16, index: u32) -> Result<Seen> {
        let object = command::object(&portal.ask(&command::get_object(token, index))?);
        let mut regions = KVec::new();
        for index in 0..object.region_count {
            let ask = command::get_object_region(token, &object.kind, object.id, index);
            let region = match portal.ask(&ask) {
                Ok(Command([_, region @ ..])) => region,
                Err(e) if [EACCES, ETIMEDOUT, EBUSY].contains(&e) => return Err(e),
                // Refused: it has gone, and is not in the next list, or is none that the bus could
                // make a device for.
                Err(_) => [0; 7],
            };
            regions.push(region, GFP_KERNEL)?;
        }
        Ok(Seen { object, regions })
    }

    /// The events that the container's interrupt tells, and how many objects there are.
    fn pending_events(&self) -> Result<(u32, u32)> {
        self.with_token(|portal, token| {
            let answer = portal.ask(&command::get_object_count(token))?;
            let count = command::object_count(&answer);
            let has_irq = self.device.irq_count() > 0;
            let events = has_irq.then(|| self.take_events(portal, token));
            Ok((events.unwrap_or(Ok(0))?, count))
        })
    }

    /// The events that the container's interrupt tells. They are acknowledged, unless somebody
    /// has the container itself open: then they are that holder's.
    pub(super) fn take_events(&self, portal: &mut Exclusive<'_>, token: u16) -> Result<u32> {
        let answer = portal.ask(&command::get_irq_status(token, OWN_IRQ, 0))?;
        let events = command::irq_status(&answer);
        // Set with the portal held: who opens the container finds all its events.
        if events != 0 && !self.usage.lock().is_open() {
            portal.order(&command::clear_irq_status(token, OWN_IRQ, events))?;
        }
        Ok(events)
    }

    pub(super) fn scan_within(self: &Arc<Self>, ms: u32) {
        // Queued already is as good: the work looks for everything. Refused once the container
        // is unbound.
        let _ = work::queue().enqueue_delayed::<_, SCAN>(self.clone(), msecs_to_jiffies(ms));
    }
}
