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
        portal::State,
        usage::Usage,
        vectors::ObjectId, //
    },
    members::Members,
    parameters,
    portal::{
        to_error,
        Portal, //
    },
    registry,
    resets::Resets,
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
    workqueue::{
        impl_has_delayed_work,
        new_delayed_work,
        DelayedWork, //
    },
};
use own_irq::TICK_SOON;
use scan::Scanned;

/// The work that looks for objects that came or went.
const SCAN: u64 = 0;
/// The work that sees to the container's interrupt, and has the other one look where there is
/// none.
const TICK: u64 = 1;

/// The index of the container's own interrupt that tells of objects.
pub(crate) const OWN_IRQ: u8 = 0;

/// A bound container.
#[pin_data]
pub(crate) struct Container {
    device: ARef<fsl_mc::Device>,
    /// The container around it is asked for until the last file is closed, which may be after the
    /// device was removed, where the machine goes down.
    _around: Option<ARef<fsl_mc::Device>>,
    /// The driver's token: it stands for the container in commands. Written with the portal's
    /// lock held, and read without it where a user's command is looked at, which is not to wait
    /// for one that is under way.
    token: Atomic<u32>,
    #[pin]
    portal: Portal,
    /// The container on the bus, and what the last scan came to. Held while devices are added.
    #[pin]
    bus: Mutex<Scanned>,
    #[pin]
    members: Members,
    /// The container has left the one around it.
    is_going: Atomic<bool>,
    #[pin]
    vectors: Mutex<Vectors>,
    /// Who has what open. Held for a look or a change only.
    #[pin]
    usage: Mutex<Usage>,
    resets: Resets,
    /// It was reset because the machine goes down.
    was_stopped: Atomic<bool>,
    /// Of the container itself.
    counters: Arc<Counters>,
    /// Of all objects.
    table: Arc<Table>,
    _file: Option<counters::File>,
    #[pin]
    scan: DelayedWork<Self, SCAN>,
    #[pin]
    tick: DelayedWork<Self, TICK>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 0> for Container { self.scan }
    impl HasDelayedWork<Self, 1> for Container { self.tick }
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
        let counters = table.add(name)?;
        Arc::pin_init(
            try_pin_init!(Self {
                resets: Resets::new(device, counters.clone()),
                counters,
                table,
                _file: file,
                device: device.into(),
                _around: device.container().map(ARef::from),
                token: Atomic::new(bus.token().into()),
                portal <- Portal::new(bus.portal_address(), State::Idle),
                bus <- new_mutex!(Scanned::new(bus), "Container::bus"),
                members <- Members::new(),
                is_going: Atomic::new(false),
                vectors <- new_mutex!(Vectors::new(), "Container::vectors"),
                usage <- new_mutex!(Usage::default(), "Container::usage"),
                was_stopped: Atomic::new(false),
                scan <- new_delayed_work!("Container::scan"),
                tick <- new_delayed_work!("Container::tick"),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Lets the objects go, waits for who has them open, and closes the container.
    ///
    /// Where the machine goes down, it waits for nobody: all that is open is taken from its
    /// holders, and stays with this, which nothing drops then: their files refer to it.
    pub(crate) fn unbind(self: &Arc<Self>) {
        // No device is added from now on, whoever still asks for it.
        work::disable_delayed_sync::<_, TICK>(self);
        work::disable_delayed_sync::<_, SCAN>(self);
        let is_left = || power::goes_down() && registry::take_from_holders();
        if !self.members.remove_all(is_left) {
            // No line is left in it.
            self.vectors.lock().end();
            return;
        }
        // Nobody has anything of the container open now, and no interrupt comes any more.
        self.vectors.lock().end();
        if self.resets.is_owed() {
            registry::remember_use(self.id());
        }
        registry::remove(self);
        let mut bus = self.bus.lock().close();
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

    /// The bus is about to remove the container, which is not what it was any more: nothing in it
    /// can be opened from now on. What is open is taken from its holders by the unbinding: the bus
    /// tells of this with a lock held that it also takes while it has the portal.
    pub(crate) fn goes(&self) {
        self.is_going.store(true, Relaxed);
        self.members.admit_no_more();
    }

    /// Takes all from its holders where the container goes, or the machine. In the latter case the
    /// bus removes the container, too, but it is what it was, and is closed if nobody has anything
    /// of any container open.
    pub(crate) fn take_if_going(self: &Arc<Self>) {
        if power::goes_down() {
            self.take_from_holders();
        } else if self.is_going.load(Relaxed) {
            self.revoke();
        }
    }

    /// The container is not what it was: takes all that is in it from who has it open. Whether
    /// somebody has any of it open.
    pub(crate) fn revoke(self: &Arc<Self>) -> bool {
        if !power::goes_down() {
            // First: who closes meanwhile is not to reset what is not ours any more.
            self.portal.revoke();
        }
        let is_held = self.take_from_holders();
        self.portal.revoke();
        if is_held {
            // It may be bound again as it is.
            registry::remember_use(self.id());
        }
        is_held
    }

    /// Takes all that is in it from who has it open, and nobody can open it any more. Whether
    /// somebody has any of it open. The container is still the driver's, whose portal is revoked
    /// only where it was open itself.
    pub(crate) fn take_from_holders(self: &Arc<Self>) -> bool {
        self.members.revoke_all(&self.device);
        let is_used = self.is_used();
        if is_used && power::goes_down() && !self.was_stopped.xchg(true, Relaxed) {
            // Of objects that were not opened, too. Refused where the container was open itself,
            // which has been reset then.
            let _ = self.reset(&self.device);
        }
        is_used
    }

    /// Whether somebody has any of it open.
    pub(crate) fn is_used(&self) -> bool {
        self.usage.lock().is_used()
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
        self.device.object_id()
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

    /// Resets of the container, with what is in it.
    pub(crate) fn resets(&self) -> &Resets {
        &self.resets
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
        self.usage.lock().escapes();
    }

    /// The other driver lets go of it.
    pub(crate) fn object_returned(&self) {
        self.usage.lock().returns();
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
        let mut usage = self.usage.lock();
        let opens = usage.opens(object.kind(), has_address_space);
        let starts_tick = opens.is_ok() && usage.starts_tick();
        drop(usage);
        opens.map_err(to_error).inspect_err(|_| {
            if parameters::may_print() {
                dev_err!(
                    self.dev(),
                    "cannot be opened: one of its objects is with another driver\n"
                );
            }
        })?;
        if starts_tick {
            self.tick_within(TICK_SOON);
        }
        if self.device.is(object) {
            self.hand_over_interrupt();
        }
        Ok(())
    }

    /// Sees to it that who opens something of the container finds nothing of the holder before.
    /// `EIO` where that cannot be.
    pub(crate) fn reset_before_use(self: &Arc<Self>, object: &fsl_mc::Device) -> Result {
        // Else whoever has the rest open has been given it so.
        if self.device.is(object) || !self.is_used() {
            self.resets.before_use(self)?;
        }
        Ok(())
    }

    /// An object was closed, and has freed its vectors.
    pub(crate) fn object_closed(self: &Arc<Self>, object: &fsl_mc::Device) {
        let is_itself = self.device.is(object);
        let is_last = self.usage.lock().closes(object.kind());
        if is_last {
            // Who commands one object commands all, whether or not they were opened.
            if !is_itself {
                self.resets.after_use(self);
            }
            self.give_up_interrupt();
        } else if is_itself {
            self.take_back_interrupt();
        }
        if !is_itself {
            self.members.closed(object);
        }
        if is_last {
            registry::closed(&self.device);
        }
        self.start_tick();
    }

    /// Something was waited for that has come to pass.
    pub(crate) fn changed(self: &Arc<Self>) {
        self.usage.lock().ask();
        self.scan_within(0);
    }

    /// Starts looking for objects that come and go.
    pub(crate) fn listen(self: &Arc<Self>) {
        self.start_tick();
    }

    /// Something happened to the container. Called in interrupt context, too.
    pub(crate) fn interrupted(self: &Arc<Self>) {
        self.scan_within(0);
    }
}
