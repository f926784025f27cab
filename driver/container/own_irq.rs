// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! The container's own interrupt, as far as it is the driver's, and what takes its place where
//! there is none.

use super::{
    Container,
    OWN_IRQ,
    SETTLE, //
};
use crate::{
    abstractions::work,
    logic::command::{
        self,
        event, //
    }, //
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

/// How soon after an object was opened the container's interrupt is there: milliseconds. Who
/// opens an object often opens the others, too, and is not to wait for it.
pub(super) const SETTLE_SOON: u32 = 20;
/// How often to look for events while there is no interrupt: milliseconds.
const POLL: u32 = 1000;

impl WorkItem<SETTLE> for Container {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.see_to_interrupt(false);
        this.settle_within(POLL);
    }
}

impl Container {
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

    /// Looks after the IOMMU domain within some milliseconds.
    pub(super) fn settle_within(self: &Arc<Self>, ms: u32) {
        if !self.unbinding.load(Relaxed) {
            let delay = msecs_to_jiffies(ms);
            let _ = work::queue().enqueue_delayed::<_, SETTLE>(self.clone(), delay);
        }
    }

    /// Frees all vectors: the domain that their messages go to is about to go.
    pub(super) fn give_up_interrupt(&self) {
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
    pub(super) fn see_to_interrupt(self: &Arc<Self>, is_opening: bool) {
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
