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
        work, //
    },
    logic::{
        command::{
            self,
            event,
            Command,
            Object, //
        },
        region::ObjectKind, //
    },
    portal::{
        to_error,
        Portal, //
    },
    registry,
    vectors::Vectors, //
};
use kernel::{
    device,
    new_mutex,
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
    time::msecs_to_jiffies,
    workqueue::{
        self,
        impl_has_delayed_work,
        impl_has_work,
        new_delayed_work,
        new_work,
        DelayedWork,
        Work,
        WorkItem, //
    },
};

/// The work that looks for objects that came or went.
const SCAN: u64 = 0;
/// The work that follows the container from one IOMMU domain to another.
const SETTLE: u64 = 1;

/// After the container was opened or closed, its IOMMU domain changes within this time, or
/// much later: milliseconds.
const SETTLE_SOON: u32 = 20;
/// How often to look then, at most.
const SETTLE_LATER: u32 = 1000;

/// The index of the container's own interrupt that tells of objects.
pub(crate) const OWN_IRQ: u8 = 0;

/// A bound container.
#[pin_data]
pub(crate) struct Container {
    device: ARef<fsl_mc::Device>,
    /// The driver's token: it stands for the container in commands.
    token: u16,
    #[pin]
    portal: Portal,
    /// The container on the bus, until it is unbound. Held while devices are added or removed,
    /// which can take as long as a user holds on to one.
    #[pin]
    bus: Mutex<Option<OpenContainer>>,
    #[pin]
    vectors: Mutex<Vectors>,
    /// Objects that are open, the container itself included.
    open_objects: Atomic<i32>,
    /// Objects that another driver has.
    escaped_objects: Atomic<i32>,
    /// The IOMMU domain while nobody has the container open.
    home_domain: Option<usize>,
    /// Set once, when the container is unbound.
    unbinding: Atomic<bool>,
    #[pin]
    scan: Work<Self, SCAN>,
    #[pin]
    settle: DelayedWork<Self, SETTLE>,
}

impl_has_work! {
    impl HasWork<Self, 0> for Container { self.scan }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 1> for Container { self.settle }
}

impl WorkItem<SCAN> for Container {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        if let Err(e) = this.rescan() {
            dev_err!(
                this.dev(),
                "cannot look for objects that came or went: {e:?}\n"
            );
        }
    }
}

impl WorkItem<SETTLE> for Container {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.follow_domain();
    }
}

impl Container {
    /// Opens a container and binds its objects.
    pub(crate) fn bind(device: &fsl_mc::Device<device::Core<'_>>) -> Result<Arc<Self>> {
        let device: &fsl_mc::Device = device;
        let bus = OpenContainer::new(device).inspect_err(|e| {
            dev_err!(device.as_ref(), "cannot be opened in the MC: {e:?}\n");
        })?;
        let this = Arc::pin_init(
            try_pin_init!(Self {
                device: device.into(),
                token: bus.token(),
                portal <- Portal::new(bus.portal_address()),
                bus <- new_mutex!(Some(bus), "Container::bus"),
                vectors <- new_mutex!(Vectors::new(), "Container::vectors"),
                open_objects: Atomic::new(0),
                escaped_objects: Atomic::new(0),
                home_domain: device.iommu_domain(),
                unbinding: Atomic::new(false),
                scan <- new_work!("Container::scan"),
                settle <- new_delayed_work!("Container::settle"),
            }? Error),
            GFP_KERNEL,
        )?;
        registry::insert(this.clone())?;
        this.bind_objects().inspect_err(|e| {
            dev_err!(this.dev(), "its objects cannot be listed: {e:?}\n");
            this.unbind();
        })?;
        Ok(this)
    }

    /// Lets the objects go, waits for who has them open, and closes the container.
    pub(crate) fn unbind(self: &Arc<Self>) {
        self.unbinding.store(true, Relaxed);
        if let Some(bus) = &*self.bus.lock() {
            bus.remove_all();
        }
        // Nobody has anything of the container open now, and no interrupt comes any more.
        self.vectors.lock().free();
        work::cancel_delayed_sync::<_, SETTLE>(self);
        work::cancel_sync::<_, SCAN>(self);
        registry::remove(self);
        let bus = self.bus.lock().take();
        // The bus closes the container by a command.
        let _ = self.portal.exclusively(|_| {
            drop(bus);
            Ok(())
        });
    }

    pub(crate) fn device(&self) -> &fsl_mc::Device {
        &self.device
    }

    pub(crate) fn dev(&self) -> &device::Device {
        (*self.device).as_ref()
    }

    pub(crate) fn token(&self) -> u16 {
        self.token
    }

    pub(crate) fn portal(&self) -> &Portal {
        &self.portal
    }

    pub(crate) fn vectors(&self) -> &Mutex<Vectors> {
        &self.vectors
    }

    /// An object of the container was bound by another driver.
    pub(crate) fn object_escaped(&self) {
        self.escaped_objects.add(1, Relaxed);
    }

    /// The other driver lets go of it.
    pub(crate) fn object_returned(&self) {
        self.escaped_objects.add(-1, Relaxed);
    }

    /// An object is about to be opened. `EBUSY` while another driver has one of the others: all
    /// of them share the address space that the user is about to fill.
    pub(crate) fn object_opens(self: &Arc<Self>) -> Result {
        if self.escaped_objects.load(Relaxed) > 0 {
            dev_err!(
                self.dev(),
                "cannot be opened: one of its objects is with another driver\n"
            );
            return Err(EBUSY);
        }
        // Openings and closings of a container's objects come one at a time.
        if self.open_objects.fetch_add(1, Relaxed) == 0 {
            self.settle_within(SETTLE_SOON);
        }
        Ok(())
    }

    /// An object was closed, and has freed its vectors.
    pub(crate) fn object_closed(self: &Arc<Self>) {
        if self.open_objects.fetch_sub(1, Relaxed) == 1 {
            self.vectors.lock().shrink();
            self.settle_within(SETTLE_SOON);
        }
    }

    /// Has the container's own interrupt requested and enabled soon.
    pub(crate) fn listen(self: &Arc<Self>) {
        self.vectors.lock().listen_again();
        self.settle_within(0);
    }

    /// Called in interrupt context: something happened to the container.
    pub(crate) fn interrupted(self: Arc<Self>) {
        // Queued already is as good: the work looks for everything.
        let _ = workqueue::system_unbound().enqueue::<_, SCAN>(self);
    }

    /// How many interrupts the container and its objects have, one number for each.
    pub(crate) fn irq_counts(&self) -> Result<KVec<u32>> {
        let count = self
            .portal
            .command(&command::get_object_count(self.token))
            .map(|answer| command::object_count(&answer))?;
        let mut irqs = KVec::new();
        irqs.push(self.device.irq_count().into(), GFP_KERNEL)?;
        for index in 0..count {
            let answer = self.portal.command(&command::get_object(self.token, index))?;
            irqs.push(command::object(&answer).irq_count.into(), GFP_KERNEL)?;
        }
        Ok(irqs)
    }

    /// Resets an object of the container, or the container.
    pub(crate) fn reset(self: &Arc<Self>, device: &fsl_mc::Device) -> Result {
        if device.kind() == ObjectKind::Dprc {
            let options = command::RESET_NON_RECURSIVE;
            let reset =
                command::reset_container(self.token, device.id(), options, device.version());
            self.portal.command(&reset)?;
            // The container may have forgotten what its interrupt is for.
            self.listen();
            return Ok(());
        }
        let open = command::open(&device.type_name(), device.id()).map_err(to_error)?;
        self.portal.exclusively(|mut portal| {
            let token = portal.command(&open)?.token();
            let reset = portal.command(&command::reset(token));
            let close = portal.command(&command::close(token));
            reset.and(close).map(|_| ())
        })
    }

    /// Tells the MC where an interrupt of the container or of an object of it goes.
    pub(crate) fn program_irq(
        &self,
        device: &fsl_mc::Device,
        index: u8,
        message: crate::abstractions::msi::Message,
        virq: u32,
    ) -> Result {
        // The MC keeps the number and gives it back, no more.
        let number = i32::try_from(virq).unwrap_or(0);
        let (address, data) = (message.address, message.data);
        let command = if device.is(&self.device) {
            command::dprc_set_irq(self.token, index, address, data, number)
        } else {
            let (kind, id) = (device.type_name(), device.id());
            command::dprc_set_obj_irq(self.token, &kind, id, index, address, data, number)
        };
        self.portal.command(&command).map(|_| ())
    }

    /// Binds the objects that the container has when it is bound itself.
    fn bind_objects(&self) -> Result {
        let guard = self.bus.lock();
        let bus = guard.as_ref().ok_or(ENODEV)?;
        self.portal.exclusively(|_| bus.scan())?;
        let mut objects: KVec<ARef<fsl_mc::Device>> = KVec::new();
        let mut result = Ok(());
        bus.for_each(|device| {
            if let Err(e) = objects.push(device.into(), GFP_KERNEL) {
                result = Err(e);
            }
        });
        for object in &objects {
            registry::bind_pending(object);
        }
        Ok(result?)
    }

    /// Binds the objects that came, and lets those go that went.
    fn rescan(&self) -> Result {
        let guard = self.bus.lock();
        let Some(bus) = guard.as_ref() else {
            return Ok(());
        };
        if self.unbinding.load(Relaxed) {
            return Ok(());
        }
        if !self.vectors.lock().is_own_armed_by_user() {
            self.acknowledge();
        }
        let objects = self.objects()?;
        for object in &objects {
            if bus.find(object).is_some() {
                continue;
            }
            match self.portal.exclusively(|_| bus.add(object)) {
                Ok(device) => registry::bind_pending(&device),
                Err(e) => dev_err!(self.dev(), "an object that came cannot be added: {e:?}\n"),
            }
        }
        bus.remove_all_but(&objects)
    }

    /// The objects that the MC says are in the container, all from one moment.
    fn objects(&self) -> Result<KVec<Object>> {
        self.portal.exclusively(|mut portal| {
            let answer = portal.command(&command::get_object_count(self.token))?;
            let count = command::object_count(&answer);
            let mut objects = KVec::new();
            for index in 0..count {
                let answer = portal.command(&command::get_object(self.token, index))?;
                objects.push(command::object(&answer), GFP_KERNEL)?;
            }
            Ok(objects)
        })
    }

    /// Takes the events back that have been told.
    fn acknowledge(&self) {
        let status = command::get_irq_status(self.token, OWN_IRQ, 0);
        let acknowledged = self.portal.command(&status).and_then(|answer| {
            let status = command::irq_status(&answer);
            self.portal
                .command(&command::clear_irq_status(self.token, OWN_IRQ, status))
        });
        if let Err(e) = acknowledged {
            dev_warn!(self.dev(), "cannot acknowledge an interrupt: {e:?}\n");
        }
    }

    /// Has the MC raise the container's interrupt for every change of its objects.
    fn enable_own_irq(&self) -> Result {
        let commands: [Command; 3] = [
            command::set_irq_mask(self.token, OWN_IRQ, event::OBJECTS),
            command::clear_irq_status(self.token, OWN_IRQ, u32::MAX),
            command::set_irq_enable(self.token, OWN_IRQ, true),
        ];
        self.portal.exclusively(|mut portal| {
            commands.iter().try_for_each(|c| portal.command(c).map(|_| ()))
        })
    }

    /// Looks after the IOMMU domain within some milliseconds.
    fn settle_within(self: &Arc<Self>, ms: u32) {
        if !self.unbinding.load(Relaxed) {
            let delay = msecs_to_jiffies(ms);
            let _ = workqueue::system_unbound().enqueue_delayed::<_, SETTLE>(self.clone(), delay);
        }
    }

    /// Interrupt messages go through the IOMMU, and reach the interrupt controller in the domain
    /// only that they were made for. Nobody tells a driver that its devices' domain changes:
    /// it does after the container was closed, and before it is opened, or later for a device
    /// that is opened by itself. So this looks until the domain is the one that it must be.
    fn follow_domain(self: &Arc<Self>) {
        let domain = self.device.iommu_domain();
        let mut vectors = self.vectors.lock();
        if self.unbinding.load(Relaxed) {
            return;
        }
        match vectors.own_line(self, domain) {
            Ok(true) => {
                drop(vectors);
                if let Err(e) = self.enable_own_irq() {
                    dev_warn!(self.dev(), "objects that come or go are not seen: {e:?}\n");
                }
                // What happened while no interrupt could come.
                self.clone().interrupted();
            }
            Ok(false) => drop(vectors),
            Err(e) => {
                drop(vectors);
                dev_warn!(self.dev(), "objects that come or go are not seen: {e:?}\n");
            }
        }
        let is_open = self.open_objects.load(Relaxed) > 0;
        let is_away = domain != self.home_domain;
        if domain.is_some() && is_open != is_away {
            self.settle_within(SETTLE_LATER);
        }
    }
}
