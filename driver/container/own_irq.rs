// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! The container's own interrupt, as far as it is the driver's, and what takes its place where
//! there is none.

use super::{
    Container,
    OWN_IRQ,
    TICK, //
};
use crate::{
    abstractions::work,
    logic::command::{
        self,
        event, //
    },
    vectors::Vectors, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::msecs_to_jiffies,
    workqueue::WorkItem, //
};

/// How soon after an object was opened the container's interrupt is there, where no tick was to
/// come anyway: milliseconds. Who opens an object often opens the others, too, and is not to
/// wait for it.
pub(super) const TICK_SOON: u32 = 20;
/// How often to look for events while nothing tells of them: milliseconds.
const TICK_AGAIN: u32 = 1000;

impl WorkItem<TICK> for Container {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let mut vectors = this.vectors.lock();
        let can_enable = !this.usage.lock().is_open();
        this.see_to_interrupt(&mut vectors, can_enable);
        drop(vectors);
        // What happened while no interrupt could come.
        this.scan_within(0);
        let again = this.usage.lock().ticked();
        if again {
            this.tick_within(TICK_AGAIN);
        }
    }
}

impl Container {
    /// Has the MC raise the container's interrupt for every change of its objects.
    fn enable_own_irq(&self) -> Result {
        self.with_token(|portal, token| {
            portal.order(&command::set_irq_mask(token, OWN_IRQ, event::OBJECTS))?;
            let events = self.take_events(portal, token);
            // Where the acknowledgement was not answered in time, it may have been carried out.
            if !matches!(events, Ok(events) if events & event::OBJECTS == 0) {
                self.usage.lock().ask();
            }
            events?;
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

    pub(super) fn tick_within(self: &Arc<Self>, ms: u32) {
        // Refused once the container is unbound.
        let _ = work::queue().enqueue_delayed::<_, TICK>(self.clone(), msecs_to_jiffies(ms));
    }

    /// Starts the tick where there has to be one and none is to come.
    pub(super) fn start_tick(self: &Arc<Self>) {
        let starts = self.usage.lock().starts_tick();
        if starts {
            self.tick_within(TICK_SOON);
        }
    }

    /// The container's own line has gone, perhaps to be replaced. The lock of its vectors is held.
    pub(crate) fn lost_line(self: &Arc<Self>) {
        self.usage.lock().hears(false);
        self.start_tick();
    }

    /// Frees all vectors: the domain that their messages go to is about to go.
    pub(super) fn give_up_interrupt(&self) {
        let mut vectors = self.vectors.lock();
        vectors.must_enable();
        self.usage.lock().hears(false);
        if !vectors.free() {
            return;
        }
        // A message that finds no doorbell is a fault of the IOMMU, which complains.
        let disabled = self.order(|token| command::set_irq_enable(token, OWN_IRQ, false));
        self.warn(disabled, "cannot disable its interrupt");
    }

    /// The container itself was closed: its interrupt is the driver's again.
    pub(super) fn take_back_interrupt(&self) {
        let mut vectors = self.vectors.lock();
        vectors.must_enable();
        self.usage.lock().hears(false);
    }

    /// The container itself is about to be opened: its interrupt is there, quiet, and its
    /// settings are the holder's from now on.
    pub(super) fn hand_over_interrupt(self: &Arc<Self>) {
        let mut vectors = self.vectors.lock();
        self.see_to_interrupt(&mut vectors, false);
        vectors.must_enable();
        self.warn(self.quiet_own_irq(), "cannot disable its interrupt");
        // Between commands: whoever acknowledges events has looked whose they are before.
        self.portal.between_commands(|| {
            let mut usage = self.usage.lock();
            usage.is_handed_over();
            usage.hears(false);
        });
        drop(vectors);
        // What happened while no interrupt could come.
        self.scan_within(0);
    }

    /// Interrupt messages go through the IOMMU, and reach the interrupt controller in the domain
    /// only that they were made for. While the container is open the domain is the holder's, and
    /// stays. While it is closed, VFIO may take the domain away at any moment, and vectors that
    /// are reserved just then are lost for good: then there is no interrupt.
    fn see_to_interrupt(self: &Arc<Self>, vectors: &mut Vectors, can_enable: bool) {
        // The last closing waits for the vectors' lock before it lets the domain go.
        let can_interrupt = self.usage.lock().can_interrupt();
        if can_interrupt {
            let mut there = vectors.own_line(self, self.device.iommu_domain());
            if can_enable {
                // With the lock held: nothing may change the holder's settings.
                there = there.and_then(|()| vectors.enable(|| self.enable_own_irq()));
            }
            self.warn(there, "its interrupt is not there");
        }
        self.usage.lock().hears(vectors.hears());
    }
}
