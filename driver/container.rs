// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! A container that is bound to the driver.
//!
//! The container is opened in the MC through its own portal, with a token that is the driver's;
//! its objects are devices on the bus, all of which this driver takes. What the host adds or
//! removes later is told by the container's interrupt.

use crate::{
    abstractions::{
        fsl_mc::{
            self,
            OpenContainer, //
        },
        msi::Message,
        work, //
    },
    counters::{
        self,
        Counters,
        Table, //
    },
    logic::{
        command::{
            self,
            event,
            token_of,
            Command, //
        },
        pace::Pace,
        portal::State,
        vectors::ObjectId, //
    },
    members::{
        Members,
        Seen, //
    },
    parameters,
    portal::{
        to_error,
        Exclusive,
        Portal, //
    },
    registry,
    vectors::Vectors, //
};
use core::ops::Deref;
use kernel::{
    device, new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    time::{
        msecs_to_jiffies,
        Instant,
        Monotonic, //
    },
    workqueue::{
        impl_has_delayed_work,
        new_delayed_work,
        DelayedWork,
        WorkItem, //
    },
};

/// The work that looks for objects that came or went.
const SCAN: u64 = 0;
/// The work that sees to the container's interrupt, or looks for events where there is none.
const SETTLE: u64 = 1;

/// How soon after an object was opened the container's interrupt is there: milliseconds. Who
/// opens an object often opens the others, too, and is not to wait for it.
const SETTLE_SOON: u32 = 20;
/// How often to look for events while there is no interrupt: milliseconds.
const POLL: u32 = 1000;

/// The index of the container's own interrupt that tells of objects.
pub(crate) const OWN_IRQ: u8 = 0;

/// A bound container.
#[pin_data]
pub(crate) struct Container {
    device: ARef<fsl_mc::Device>,
    /// The driver's token: it stands for the container in commands. Written with the portal's
    /// lock held.
    token: Atomic<u32>,
    #[pin]
    portal: Portal,
    /// The container on the bus, until it is unbound. Held while devices are added or removed,
    /// which can take as long as a user holds on to one.
    #[pin]
    bus: Mutex<Option<OpenContainer>>,
    #[pin]
    members: Members,
    #[pin]
    vectors: Mutex<Vectors>,
    /// Objects that are open, the container itself included.
    open_objects: Atomic<i32>,
    /// Whether the container itself is open: its interrupt's settings are the holder's then.
    is_open: Atomic<bool>,
    /// Interrupts of the container and its objects.
    irqs: Atomic<i32>,
    /// Whether the IOMMU domain is the holder's until the last object is closed.
    has_address_space: Atomic<bool>,
    /// Objects that another driver has.
    escaped_objects: Atomic<i32>,
    /// How many objects the MC said that there are, last time.
    known_objects: Atomic<i32>,
    /// Set once, when the container is unbound.
    unbinding: Atomic<bool>,
    is_scan_failing: Atomic<bool>,
    bound_at: Instant<Monotonic>,
    /// How soon the next scan may be. Locked by the scan alone.
    #[pin]
    pace: Mutex<Pace>,
    /// The next scan is for objects, whatever the MC says of events.
    must_scan: Atomic<bool>,
    /// Of the container itself.
    counters: Arc<Counters>,
    /// Of all objects.
    table: Arc<Table>,
    _file: Option<counters::File>,
    #[pin]
    scan: DelayedWork<Self, SCAN>,
    #[pin]
    settle: DelayedWork<Self, SETTLE>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 0> for Container { self.scan }
    impl HasDelayedWork<Self, 1> for Container { self.settle }
}

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

impl WorkItem<SETTLE> for Container {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.see_to_interrupt(false);
        this.settle_within(POLL);
    }
}

/// A container that is bound. Dropping it unbinds it.
pub(crate) struct BoundContainer(Arc<Container>);

impl BoundContainer {
    /// Opens a container and binds its objects.
    pub(crate) fn new(device: &fsl_mc::Device<device::Core<'_>>) -> Result<Self> {
        let this = Self(Container::open(device)?);
        registry::insert(this.0.clone())?;
        this.0.bind_objects().inspect_err(|e| {
            dev_err!(this.0.dev(), "its objects cannot be listed: {e:?}\n");
        })?;
        Ok(this)
    }
}

impl Deref for BoundContainer {
    type Target = Arc<Container>;

    fn deref(&self) -> &Arc<Container> {
        &self.0
    }
}

impl Drop for BoundContainer {
    fn drop(&mut self) {
        self.0.unbind();
    }
}

impl Container {
    /// Opens a container.
    fn open(device: &fsl_mc::Device<device::Core<'_>>) -> Result<Arc<Self>> {
        let device: &fsl_mc::Device = device;
        let bus = OpenContainer::new(device).inspect_err(|e| {
            dev_err!(device.as_ref(), "cannot be opened in the MC: {e:?}\n");
        })?;
        let name = device.as_ref().name();
        let table = Arc::pin_init(Table::new(), GFP_KERNEL)?;
        let file = match registry::folder() {
            Some(folder) => Some(counters::show(&folder, name, &table)?),
            None => None,
        };
        Arc::pin_init(
            try_pin_init!(Self {
                counters: table.add(name)?,
                table,
                _file: file,
                device: device.into(),
                token: Atomic::new(bus.token().into()),
                portal <- Portal::new(bus.portal_address(), State::Idle),
                bus <- new_mutex!(Some(bus), "Container::bus"),
                members <- Members::new(),
                vectors <- new_mutex!(Vectors::new(), "Container::vectors"),
                open_objects: Atomic::new(0),
                is_open: Atomic::new(false),
                irqs: Atomic::new(0),
                has_address_space: Atomic::new(false),
                escaped_objects: Atomic::new(0),
                known_objects: Atomic::new(0),
                unbinding: Atomic::new(false),
                is_scan_failing: Atomic::new(false),
                bound_at: Instant::now(),
                pace <- new_mutex!(Pace::default(), "Container::pace"),
                must_scan: Atomic::new(false),
                scan <- new_delayed_work!("Container::scan"),
                settle <- new_delayed_work!("Container::settle"),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Lets the objects go, waits for who has them open, and closes the container.
    pub(crate) fn unbind(self: &Arc<Self>) {
        self.unbinding.store(true, Relaxed);
        // No device is added from now on.
        self.cancel_works();
        self.members.remove_all();
        // Nobody has anything of the container open now, and no interrupt comes any more.
        let _ = self.vectors.lock().free();
        // Who has queued one has looked at `unbinding` before it was set.
        self.cancel_works();
        registry::remove(self);
        let mut bus = self.bus.lock().take();
        if bus.is_none() {
            return;
        }
        // The bus closes the container by a command.
        let _ = self.portal.lent_to_bus(|| {
            drop(bus.take());
            Ok(())
        });
        if let Some(bus) = bus {
            dev_warn!(self.dev(), "is not closed: its portal takes no commands\n");
            bus.abandon();
        }
    }

    fn cancel_works(self: &Arc<Self>) {
        work::cancel_delayed_sync::<_, SETTLE>(self);
        work::cancel_delayed_sync::<_, SCAN>(self);
    }

    /// The container is not what it was: takes all that is in it from who has it open. Whether
    /// somebody has any of it open.
    pub(crate) fn revoke(&self) -> bool {
        self.members.revoke_all();
        self.portal.revoke();
        self.open_objects.load(Relaxed) > 0
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn device(&self) -> &fsl_mc::Device {
        &self.device
    }

    pub(crate) fn dev(&self) -> &device::Device {
        (*self.device).as_ref()
    }

    pub(crate) fn id(&self) -> ObjectId {
        ObjectId {
            kind: self.device.type_name(),
            id: self.device.id(),
        }
    }

    pub(crate) fn token(&self) -> u16 {
        // Tokens have 16 bits.
        self.token.load(Relaxed) as u16
    }

    pub(crate) fn portal(&self) -> &Portal {
        &self.portal
    }

    pub(crate) fn vectors(&self) -> &Mutex<Vectors> {
        &self.vectors
    }

    /// Counters of the container itself.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Counters of all objects.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// An object of the container was bound by another driver.
    pub(crate) fn object_escaped(&self) {
        self.escaped_objects.add(1, Relaxed);
    }

    /// The other driver lets go of it.
    pub(crate) fn object_returned(&self) {
        self.escaped_objects.add(-1, Relaxed);
    }

    /// Counts the interrupts of an object that is bound, or negative of one that is not any more.
    pub(crate) fn add_irqs(&self, count: i32) {
        self.irqs.add(count, Relaxed);
    }

    /// How many interrupts the container and its bound objects have.
    pub(crate) fn irqs(&self) -> u32 {
        u32::try_from(self.irqs.load(Relaxed)).unwrap_or(0)
    }

    /// An object is about to be opened. `EBUSY` while another driver has one of the others: all
    /// of them share the address space that the user is about to fill.
    ///
    /// Openings and closings of a container's objects come one at a time.
    pub(crate) fn object_opens(
        self: &Arc<Self>,
        object: &fsl_mc::Device,
        has_address_space: bool,
    ) -> Result {
        if self.escaped_objects.load(Relaxed) > 0 {
            if parameters::may_print() {
                dev_err!(
                    self.dev(),
                    "cannot be opened: one of its objects is with another driver\n"
                );
            }
            return Err(EBUSY);
        }
        if has_address_space {
            self.has_address_space.store(true, Relaxed);
        }
        self.open_objects.add(1, Relaxed);
        if self.device.is(object) {
            self.see_to_interrupt(true);
        } else {
            self.settle_within(SETTLE_SOON);
        }
        Ok(())
    }

    /// An object was closed, and has freed its vectors.
    pub(crate) fn object_closed(self: &Arc<Self>, object: &fsl_mc::Device) {
        if self.device.is(object) {
            self.is_open.store(false, Relaxed);
            self.vectors.lock().must_enable();
        }
        let is_last = self.open_objects.fetch_sub(1, Relaxed) == 1;
        if is_last {
            self.has_address_space.store(false, Relaxed);
            self.give_up_interrupt();
        }
        if !self.device.is(object) {
            self.members.closed(object);
        }
        if is_last {
            registry::closed(&self.device);
        }
        self.settle_within(SETTLE_SOON);
    }

    /// Something was waited for that has come to pass.
    pub(crate) fn changed(self: &Arc<Self>) {
        self.must_scan.store(true, Relaxed);
        self.scan_within(0);
    }

    /// Starts looking for objects that come and go.
    pub(crate) fn listen(self: &Arc<Self>) {
        self.settle_within(0);
    }

    /// Something happened to the container. Callable in interrupt context.
    ///
    /// With `is_acknowledged`, who acknowledges events is the holder, who may have done it
    /// already: then only a scan tells what has changed.
    pub(crate) fn interrupted(self: &Arc<Self>, is_acknowledged: bool) {
        if is_acknowledged {
            self.must_scan.store(true, Relaxed);
        }
        self.scan_within(0);
    }

    /// Resets an object of the container, or the container.
    pub(crate) fn reset(self: &Arc<Self>, device: &fsl_mc::Device) -> Result {
        if device.is(&self.device) {
            return self.order(|token| {
                let options = command::RESET_NON_RECURSIVE;
                command::reset_container(token, device.id(), options, device.version())
            });
        }
        self.reset_object(device)
    }

    fn reset_object(&self, device: &fsl_mc::Device) -> Result {
        let open = command::open(&device.type_name(), device.id()).map_err(to_error)?;
        self.portal.exclusively(|mut portal| {
            let token = token_of(portal.order(&open)?);
            let reset = portal.order(&command::reset(token));
            let close = portal.order(&command::close(token));
            reset.and(close).map(|_| ())
        })
    }

    /// Tells the MC where an interrupt of the container or of an object of it goes.
    pub(crate) fn program_irq(
        &self,
        device: &fsl_mc::Device,
        index: u8,
        message: Message,
        virq: u32,
    ) -> Result {
        // The MC keeps the number and gives it back, no more.
        let number = i32::try_from(virq).unwrap_or(0);
        let Message { address, data } = message;
        if device.is(&self.device) {
            return self.order(|token| command::dprc_set_irq(token, index, address, data, number));
        }
        let (kind, id) = (device.type_name(), device.id());
        self.order(|token| {
            command::dprc_set_obj_irq(token, &kind, id, index, address, data, number)
        })
    }

    /// Sends a command to the container whose answer has no parameters.
    fn order(&self, command: impl Fn(u16) -> Command) -> Result {
        self.with_token(|portal, token| portal.order(&command(token)).map(|_| ()))
    }

    /// Sends commands to the container. Where the MC does not know the driver's token, user
    /// space has closed it past the policy, through a portal that it has mapped: then the
    /// container is opened anew.
    fn with_token<R>(&self, f: impl Fn(&mut Exclusive<'_>, u16) -> Result<R>) -> Result<R> {
        self.portal.exclusively(|mut portal| {
            let mut token = self.token();
            let mut may_open_again = true;
            loop {
                match f(&mut portal, token) {
                    Err(e) if e == EACCES && may_open_again => {}
                    result => return result,
                }
                may_open_again = false;
                token = self.open_again(&mut portal)?;
            }
        })
    }

    /// Opens the container that its user has closed. The token that stands for it now.
    #[cold]
    fn open_again(&self, portal: &mut Exclusive<'_>) -> Result<u16> {
        self.counters.reopenings.count();
        if parameters::may_print() {
            dev_warn!(self.dev(), "was closed by its user: it is opened again\n");
        }
        let id = self.id();
        let open = command::open(&id.kind, id.id).map_err(to_error)?;
        let token = token_of(portal.order(&open)?);
        self.token.store(token.into(), Relaxed);
        self.device.set_token(token);
        Ok(token)
    }

    /// Binds the objects that the container has when it is bound itself.
    fn bind_objects(self: &Arc<Self>) -> Result {
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
                let its = take(&mut seen, |seen| device.is_of(&seen.object));
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
        let mut seen = self.list()?;
        if self.members.are(&seen) {
            return Ok(());
        }
        // The host may change the container through another portal while its objects are listed
        // one by one; then one that stays can be missing. Two lists that are equal are good.
        if seen[..] != self.list()?[..] {
            return Err(EAGAIN);
        }
        let came = self.members.follow(&seen)?;
        let mut result = Ok(());
        for object in &came {
            match self.portal.lent_to_bus(|| bus.add(object)) {
                Ok(device) => {
                    let its = take(&mut seen, |seen| seen.object == *object);
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
            let seen = self.with_token(|portal, token| Self::see(portal, token, index))?;
            objects.push(seen, GFP_KERNEL)?;
        }
        Ok(objects)
    }

    /// What the MC says of one object. `EAGAIN` where there are less by now.
    fn see(portal: &mut Exclusive<'_>, token: u16, index: u32) -> Result<Seen> {
        let object = match portal.ask(&command::get_object(token, index)) {
            Err(e) if e == ENXIO => return Err(EAGAIN),
            answer => command::object(&answer?),
        };
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

    /// Has the MC raise the container's interrupt for every change of its objects.
    fn enable_own_irq(&self) -> Result {
        self.with_token(|portal, token| {
            portal.order(&command::set_irq_mask(token, OWN_IRQ, event::OBJECTS))?;
            portal.order(&command::clear_irq_status(token, OWN_IRQ, u32::MAX))?;
            portal.order(&command::set_irq_enable(token, OWN_IRQ, true))?;
            Ok(())
        })
    }

    /// Leaves nothing of the driver's settings of the container's interrupt, nor of those of an
    /// earlier holder, which a reset keeps: no event enabled, none pending.
    fn quiet_own_irq(&self) -> Result {
        if self.device.irq_count() == 0 {
            return Ok(());
        }
        self.with_token(|portal, token| {
            portal.order(&command::set_irq_enable(token, OWN_IRQ, false))?;
            portal.order(&command::set_irq_mask(token, OWN_IRQ, 0))?;
            portal.order(&command::clear_irq_status(token, OWN_IRQ, u32::MAX))?;
            Ok(())
        })
    }

    /// Says what went wrong that a user may have brought about, and not too often.
    fn warn(&self, result: Result, what: &str) {
        if let Err(e) = result {
            if parameters::may_print() {
                dev_warn!(self.dev(), "{what}: {e:?}\n");
            }
        }
    }

    fn scan_within(self: &Arc<Self>, ms: u32) {
        if !self.unbinding.load(Relaxed) {
            let delay = msecs_to_jiffies(ms);
            // Queued already is as good: the work looks for everything.
            let _ = work::queue().enqueue_delayed::<_, SCAN>(self.clone(), delay);
        }
    }

    /// Looks after the IOMMU domain within some milliseconds.
    fn settle_within(self: &Arc<Self>, ms: u32) {
        if !self.unbinding.load(Relaxed) {
            let delay = msecs_to_jiffies(ms);
            let _ = work::queue().enqueue_delayed::<_, SETTLE>(self.clone(), delay);
        }
    }

    /// Frees all vectors: the domain that their messages go to is about to go.
    fn give_up_interrupt(&self) {
        let mut vectors = self.vectors.lock();
        if !vectors.free() {
            return;
        }
        // A message that finds no doorbell is a fault of the IOMMU, which complains.
        let disabled = self.order(|token| command::set_irq_enable(token, OWN_IRQ, false));
        self.warn(disabled, "cannot disable its interrupt");
    }

    /// Interrupt messages go through the IOMMU, and reach the interrupt controller in the domain
    /// only that they were made for. While the container is open the domain is the holder's, and
    /// stays. While it is closed, VFIO may take the domain away at any moment, and vectors that
    /// are reserved just then are lost for good: then there is no interrupt.
    ///
    /// The driver looks for events from time to time, too: there may be no interrupt, and a
    /// holder may disable it. Nobody waits for them.
    ///
    /// With `is_opening` the container itself is about to be opened, after which the settings of
    /// its interrupt are the holder's.
    fn see_to_interrupt(self: &Arc<Self>, is_opening: bool) {
        // The last closing waits for this lock before it lets the domain go.
        let mut vectors = self.vectors.lock();
        if self.open_objects.load(Relaxed) > 0 && self.has_address_space.load(Relaxed) {
            let can_enable = !is_opening && !self.is_open.load(Relaxed);
            let must_enable = vectors.own_line(self, self.device.iommu_domain(), can_enable);
            // Before the lock is released: nothing may change the holder's settings.
            let enabled =
                must_enable.and_then(|must| if must { self.enable_own_irq() } else { Ok(()) });
            self.warn(enabled, "its interrupt is not there");
        }
        if is_opening {
            vectors.must_enable();
            self.warn(self.quiet_own_irq(), "cannot disable its interrupt");
            self.portal
                .between_commands(|| self.is_open.store(true, Relaxed));
        }
        drop(vectors);
        // What happened while no interrupt could come.
        self.scan_within(0);
    }
}

fn take<T>(items: &mut KVec<T>, f: impl FnMut(&T) -> bool) -> Option<T> {
    let at = items.iter().position(f)?;
    items.remove(at).ok()
}
