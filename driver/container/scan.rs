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
    logic::command::{
        self,
        event,
        Command, //
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
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    time::msecs_to_jiffies,
    workqueue::WorkItem, //
};

impl WorkItem<SCAN> for Container {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let start = this.age_ms();
        let left = this.pace.lock().left(start);
        if left > 0 {
            this.counters.delayed_scans.count();
            return this.scan_within(left);
        }
        let result = this.rescan();
        let end = this.age_ms();
        this.pace.lock().looked(start, end, result.is_err());
        this.scanned(result);
    }
}

impl Container {
    /// Binds the objects that the container has when it is bound itself.
    pub(super) fn bind_objects(self: &Arc<Self>) -> Result {
        {
            let guard = self.bus.lock();
            let bus = guard.as_ref().ok_or(ENODEV)?;
            // Before the bus looks: what is made again meanwhile differs then from what is
            // listed later.
            let mut seen = self.list()?;
            let scanned = self.portal.lent_to_bus(|| bus.scan());
            // What was added before a failure goes with this.
            let devices = bus.added()?;
            scanned?;
            let count = i32::try_from(devices.len()).unwrap_or(i32::MAX);
            self.known_objects.store(count, Relaxed);
            for device in devices {
                let at = seen.iter().position(|seen| device.is_of(&seen.object));
                let its = at.and_then(|at| seen.remove(at).ok());
                if its.is_none() {
                    self.must_scan.store(true, Relaxed);
                }
                self.members.add(self, device, its)?;
            }
        }
        // With no lock held: one of them may be a container.
        self.members.bind_pending();
        Ok(())
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.bound_at.elapsed().as_millis()).unwrap_or(0)
    }

    /// Sees to it that what a scan has missed is looked for again.
    fn scanned(self: &Arc<Self>, result: Result) {
        let error = result.err();
        if error.is_some() {
            // What told of a change is told once.
            self.must_scan.store(true, Relaxed);
            self.scan_within(0);
        }
        let failure = error.filter(|e| *e != EAGAIN);
        // A container that does not answer says so once.
        let was_failing = self.is_scan_failing.xchg(failure.is_some(), Relaxed);
        if let (Some(e), false) = (failure, was_failing) {
            dev_err!(
                self.dev(),
                "cannot look for objects that came or went: {e:?}\n"
            );
        }
    }

    /// Binds the objects that came, and lets those go that went. `EAGAIN` where that has to be
    /// looked at again.
    fn rescan(self: &Arc<Self>) -> Result {
        self.members.forget_removed();
        let result = {
            let guard = self.bus.lock();
            let Some(bus) = guard.as_ref() else {
                return Ok(());
            };
            if self.unbinding.load(Relaxed) {
                return Ok(());
            }
            self.counters.scans.count();
            self.follow(bus)
        };
        self.members.bind_pending();
        result
    }

    /// Makes the bus's devices those that the MC says there are. `EAGAIN` while that changes.
    fn follow(self: &Arc<Self>, bus: &OpenContainer) -> Result {
        // Whoever has the container itself open may have acknowledged what told of a change.
        let must_scan = self.must_scan.xchg(false, Relaxed) || self.is_open.load(Relaxed);
        let (events, count) = self.pending_events()?;
        let is_known = count == self.known_objects.xchg(count, Relaxed);
        if !must_scan && is_known && events & event::OBJECTS == 0 {
            return Ok(());
        }
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
                Ok(device) => {
                    let its = look.take(object);
                    self.members.add(self, device, its)?;
                }
                Err(e) if e == EEXIST => result = Err(EAGAIN),
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

    /// The events that the container's interrupt tells, and how many objects there are. The
    /// events are acknowledged, unless somebody has the container itself open: then they are
    /// that holder's.
    fn pending_events(&self) -> Result<(u32, i32)> {
        self.with_token(|portal, token| {
            let answer = portal.ask(&command::get_object_count(token))?;
            let count = i32::try_from(command::object_count(&answer)).unwrap_or(i32::MAX);
            if self.device.irq_count() == 0 {
                return Ok((0, count));
            }
            let answer = portal.ask(&command::get_irq_status(token, OWN_IRQ, 0))?;
            let events = command::irq_status(&answer);
            // Set with the portal held: who opens the container finds all its events.
            if events != 0 && !self.is_open.load(Relaxed) {
                portal.order(&command::clear_irq_status(token, OWN_IRQ, events))?;
            }
            Ok((events, count))
        })
    }

    pub(super) fn scan_within(self: &Arc<Self>, ms: u32) {
        if !self.unbinding.load(Relaxed) {
            let delay = msecs_to_jiffies(ms);
            // Queued already is as good: the work looks for everything.
            let _ = work::queue().enqueue_delayed::<_, SCAN>(self.clone(), delay);
        }
    }
}
