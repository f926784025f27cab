// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! A container that is bound to the driver.
//!
//! The container is opened in the MC through its own portal, with a token that is the driver's;
//! its objects are devices on the bus, all of which this driver takes. What the host adds or
//! removes later is told by the container's interrupt.

mod commands;
mod own_irq;
mod scan;

use crate::{
    abstractions::{
        fsl_mc::{
            self,
            OpenContainer, //
        },
        power,
        work, //
    },
    counters::{
        self,
        Counters,
        Table, //
    },
    logic::{
        pace::Pace,
        portal::State,
        vectors::ObjectId, //
    },
    members::Members,
    parameters,
    portal::Portal,
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
        Instant,
        Monotonic, //
    },
    workqueue::{
        impl_has_delayed_work,
        new_delayed_work,
        DelayedWork, //
    },
};
use own_irq::SETTLE_SOON;

/// The work that looks for objects that came or went.
const SCAN: u64 = 0;
/// The work that sees to the container's interrupt, or looks for events where there is none.
const SETTLE: u64 = 1;

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
    ///
    /// Where the machine goes down, it waits for nobody: all that is open is taken from its
    /// holders, and stays with this, which nothing drops then: their files refer to it.
    pub(crate) fn unbind(self: &Arc<Self>) {
        self.unbinding.store(true, Relaxed);
        // No device is added from now on.
        self.cancel_works();
        if power::goes_down() && registry::take_from_holders() {
            // No line is left in it.
            let _ = self.vectors.lock().free();
            return;
        }
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
        let is_held = self.take_from_holders();
        self.portal.revoke();
        is_held
    }

    /// Takes all that is in it from who has it open, and nobody can open it any more. Whether
    /// somebody has any of it open. The container is still the driver's, whose portal is revoked
    /// only where it was open itself.
    pub(crate) fn take_from_holders(&self) -> bool {
        self.members.revoke_all();
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
}
