// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! The interrupt vectors of a container.
//!
//! The container and its objects are one device to the interrupt controller. While the
//! container is closed, there are no vectors. When it is opened, there is one, for the
//! container's own interrupt, which tells of objects that come and go. When a user asks for the
//! first interrupt, vectors for all objects replace it; all go when the last object is closed.

use crate::{
    abstractions::{
        eventfd::EventFd,
        irq::{
            Handler,
            Line, //
        },
        msi::{
            Block,
            Message, //
        }, //
    },
    container::{
        Container,
        OWN_IRQ, //
    },
    logic::vectors::{
        self,
        ObjectId,
        Owner, //
    },
    trace, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// The vector of the container's own interrupt, in every set.
const OWN_VECTOR: u32 = 0;

/// The vectors of a container.
pub(crate) struct Vectors {
    set: Option<Set>,
    /// The container's interrupt has to be enabled in the MC, again.
    must_enable: bool,
    /// How many interrupts the container and its bound objects have.
    irqs: u32,
    /// There are none any more.
    is_over: bool,
}

/// Vectors that were made for one IOMMU domain. Lines go before the block that they are in.
struct Set {
    /// The container's own line.
    own: Option<Line<OwnHandler>>,
    /// Who has which vector; longer than one if the set has vectors for all objects.
    owners: KVec<Owner>,
    block: Block,
    domain: Option<usize>,
}

/// The container's own interrupt: the driver looks for objects, whether or not a user is told.
struct OwnHandler(Arc<Container>);

impl Handler for OwnHandler {
    fn handle(&self, virq: u32, signalled: bool) {
        let Self(container) = self;
        trace::irq(container.device(), OWN_IRQ.into(), virq);
        if signalled {
            container.counters().interrupts.count();
        }
        container.interrupted();
    }
}

impl Vectors {
    pub(crate) fn new() -> Self {
        Self {
            set: None,
            must_enable: true,
            irqs: 0,
            is_over: false,
        }
    }

    /// An object was bound that has so many interrupts.
    pub(crate) fn add(&mut self, irqs: u8) {
        self.irqs = self.irqs.saturating_add(irqs.into());
    }

    /// An object is not bound any more that has so many interrupts.
    pub(crate) fn remove(&mut self, irqs: u8) {
        self.irqs = self.irqs.saturating_sub(irqs.into());
    }

    /// Frees everything. Whether there was anything. No line of an object may be left.
    pub(crate) fn free(&mut self) -> bool {
        self.set.take().is_some()
    }

    /// Frees everything for good: the container is being unbound.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
        self.set = None;
    }

    /// The container's own interrupt may have been disabled.
    pub(crate) fn must_enable(&mut self) {
        self.must_enable = true;
    }

    /// Whether the container's own interrupt is there and enabled in the MC.
    pub(crate) fn hears(&self) -> bool {
        self.own().is_some() && !self.must_enable
    }

    /// Sees to it that the container's own line works in `domain`, if it has an interrupt.
    pub(crate) fn own_line(&mut self, container: &Arc<Container>, domain: Option<usize>) -> Result {
        if container.device().irq_count() == 0 {
            return Ok(());
        }
        // A user's lines are made where the user's domain is: they stay.
        let is_good = |set: &Set| set.is_for_all() || set.domain == domain;
        if !self.set.as_ref().is_some_and(is_good) {
            self.make(container, 1, domain)?;
        }
        Ok(())
    }

    /// Has `enable` enable the container's own interrupt in the MC, if there is one and that has
    /// to be done.
    pub(crate) fn enable(&mut self, enable: impl FnOnce() -> Result) -> Result {
        if self.must_enable && self.own().is_some() {
            enable()?;
            self.must_enable = false;
        }
        Ok(())
    }

    /// Gives the container's own interrupt to a user.
    pub(crate) fn arm_own(&mut self, container: &Arc<Container>, user: EventFd) -> Result {
        let (set, is_new) = self.for_all(container)?;
        let line = set.own.as_mut().ok_or(EINVAL)?;
        line.set_eventfd(Some(user));
        if is_new {
            return Ok(());
        }
        // Each time: the container may have been reset since.
        let programmed = set.program_own(container);
        if programmed.is_err() {
            self.disarm_own();
        }
        programmed
    }

    /// Takes the container's own interrupt back from its user.
    pub(crate) fn disarm_own(&mut self) {
        if let Some(line) = self.set.as_mut().and_then(|set| set.own.as_mut()) {
            line.set_eventfd(None);
        }
    }

    /// Tells the user of the container's own interrupt as if it had come.
    pub(crate) fn fire_own(&self) {
        if let Some(line) = self.own() {
            line.signal();
        }
    }

    /// The Linux number of an interrupt of an object. `ENOSPC` if the container has got so many
    /// objects since its vectors were reserved that there is none left.
    pub(crate) fn virq(
        &mut self,
        container: &Arc<Container>,
        object: ObjectId,
        irq_count: u8,
        index: u8,
    ) -> Result<u32> {
        let (set, _) = self.for_all(container)?;
        let range = vectors::reserve(&mut set.owners, object, irq_count.into()).ok_or(ENOSPC)?;
        set.block
            .virq(range.start.checked_add(index.into()).ok_or(EINVAL)?)
    }

    /// Takes the vectors of an object back, whose lines have been freed.
    pub(crate) fn release(&mut self, object: ObjectId) {
        if let Some(set) = &mut self.set {
            let _ = vectors::release(&mut set.owners, object);
        }
    }

    /// The container's own line.
    fn own(&self) -> Option<&Line<OwnHandler>> {
        self.set.as_ref()?.own.as_ref()
    }

    /// The set that has vectors for all objects, and whether it was made now.
    fn for_all(&mut self, container: &Arc<Container>) -> Result<(&mut Set, bool)> {
        let domain = container.device().iommu_domain();
        let is_good =
            |set: &Set| set.is_for_all() && (set.domain == domain || set.is_used(container.id()));
        let is_new = !self.set.as_ref().is_some_and(is_good);
        if is_new {
            let count = vectors::pool_size([self.irqs]);
            // The vector more makes a set for all differ from one for the container alone.
            self.make(container, count.max(2), domain)?;
        }
        Ok((self.set.as_mut().ok_or(EINVAL)?, is_new))
    }

    /// Makes another set in place of the one that is there, of which no object has a line.
    fn make(&mut self, container: &Arc<Container>, count: u32, domain: Option<usize>) -> Result {
        if self.is_over {
            return Err(ENODEV);
        }
        // The device has one block at a time.
        self.set = None;
        self.must_enable = true;
        container.lost_line();
        let set = Set::new(container, count, domain)?;
        if set.own.is_some() {
            set.program_own(container)?;
            // Messages that came while no line was requested are lost.
            container.interrupted();
        }
        self.set = Some(set);
        Ok(())
    }
}

impl Set {
    fn new(container: &Arc<Container>, count: u32, domain: Option<usize>) -> Result<Self> {
        let block = Block::new(container.dev(), count)?;
        let mut owners = KVec::with_capacity(block.count() as usize, GFP_KERNEL)?;
        for _ in 0..block.count() {
            owners.push(None, GFP_KERNEL)?;
        }
        let mut this = Self {
            own: None,
            owners,
            block,
            domain,
        };
        if container.device().irq_count() > 0 {
            let irqs = u32::from(container.device().irq_count()).min(count);
            vectors::reserve(&mut this.owners, container.id(), irqs).ok_or(ENOSPC)?;
            this.own = Some(this.request_own(container)?);
        }
        Ok(this)
    }

    fn is_for_all(&self) -> bool {
        self.owners.len() > 1
    }

    /// Whether a user may have a line of the set.
    fn is_used(&self, own: ObjectId) -> bool {
        let own_line = self.own.as_ref();
        own_line.is_some_and(|own| own.has_eventfd())
            || self.owners.iter().flatten().any(|owner| *owner != own)
    }

    /// Requests the container's own line. It stays while users come and go.
    fn request_own(&self, container: &Arc<Container>) -> Result<Line<OwnHandler>> {
        let virq = self.block.virq(OWN_VECTOR)?;
        let name = line_name(virq, container.dev().name())?;
        Line::request(virq, name, OwnHandler(container.clone()), None)
    }

    /// Tells the MC where the container's own interrupt goes.
    fn program_own(&self, container: &Container) -> Result {
        let virq = self.own.as_ref().ok_or(EINVAL)?.virq();
        container.program_irq(container.device(), OWN_IRQ, Message::of(virq), virq)
    }
}

/// The name of a line. DPDK looks for the object's name in `/proc/interrupts`.
pub(crate) fn line_name(virq: u32, object: &CStr) -> Result<CString> {
    CString::try_from_fmt(fmt!("vfio-irq[{virq}]({object})"))
}
