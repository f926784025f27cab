// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Who has a container and its objects open, and what follows from it: whether it may be
//! opened, whether it can have an interrupt, and who tells of objects that come and go.
//!
//! The driver hears of them by the container's interrupt, or it looks once in a while: a
//! tick. There is a tick while nothing is open, when there is no interrupt; while the
//! interrupt does not work; and while a user has a command portal, by which the interrupt
//! can be disabled. Otherwise there is none.

use super::{region::ObjectKind, Errno};

/// How a container is used. One lock protects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Usage {
    /// Objects that are open, the container itself included.
    open_objects: u32,
    /// Those of them through which commands can be sent.
    open_portals: u32,
    /// The container itself is open, and the settings of its interrupt are the holder's.
    is_open: bool,
    /// The IOMMU domain is the holder's until the last object is closed.
    has_address_space: bool,
    /// Objects that another driver has.
    escaped_objects: u32,
    /// The container's interrupt tells the driver of objects.
    hears: bool,
    /// A tick is to come.
    is_ticking: bool,
    /// The next look is for objects, whatever the MC says of events.
    must_list: bool,
}

impl Usage {
    /// An object is about to be opened. `has_address_space`: the IOMMU domain is the
    /// holder's. [`Errno::Busy`] while another driver has one of the objects: all of them
    /// share the address space that the user is about to fill.
    pub fn opens(&mut self, kind: ObjectKind, has_address_space: bool) -> Result<(), Errno> {
        if self.escaped_objects > 0 {
            return Err(Errno::Busy);
        }
        self.has_address_space |= has_address_space;
        self.open_objects = self.open_objects.saturating_add(1);
        self.open_portals = self.open_portals.saturating_add(kind.has_portal().into());
        Ok(())
    }

    /// The container itself is being opened, and its interrupt is quiet: from now on the
    /// settings are the holder's.
    pub fn is_handed_over(&mut self) {
        self.is_open = true;
    }

    /// An object was closed. Whether it was the last one, with which the address space goes.
    pub fn closes(&mut self, kind: ObjectKind) -> bool {
        self.open_objects = self.open_objects.saturating_sub(1);
        self.open_portals = self.open_portals.saturating_sub(kind.has_portal().into());
        self.is_open &= kind != ObjectKind::Dprc;
        // Who could send commands may have acknowledged what told of a change, and has closed before
        // the next look.
        self.must_list |= kind.has_portal();
        let is_last = self.open_objects == 0;
        self.has_address_space &= !is_last;
        is_last
    }

    /// Another driver has taken an object.
    pub fn escapes(&mut self) {
        self.escaped_objects = self.escaped_objects.saturating_add(1);
    }

    /// Another driver has let go of an object.
    pub fn returns(&mut self) {
        self.escaped_objects = self.escaped_objects.saturating_sub(1);
    }

    /// Whether anything is open.
    pub fn is_used(&self) -> bool {
        self.open_objects > 0
    }

    /// Whether the settings of the container's interrupt, and the events that it tells, are a
    /// holder's.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether the container can have an interrupt: its messages go through the IOMMU, by a
    /// domain that stays.
    pub fn can_interrupt(&self) -> bool {
        self.is_used() && self.has_address_space
    }

    /// Notes whether the container's interrupt tells the driver of objects.
    pub fn hears(&mut self, hears: bool) {
        self.hears = hears;
    }

    /// Whether the caller has to start the tick.
    pub fn starts_tick(&mut self) -> bool {
        let starts = self.needs_tick() && !self.is_ticking;
        self.is_ticking |= starts;
        starts
    }

    /// The tick has come. Whether the caller has to start the next one.
    pub fn ticked(&mut self) -> bool {
        self.is_ticking = self.needs_tick();
        self.is_ticking
    }

    /// The next look is to be for objects, whatever the MC says of events.
    pub fn ask(&mut self) {
        self.must_list = true;
    }

    /// Whether a look that begins is for objects, whatever the MC says of events: a holder of
    /// the container may have acknowledged what told of a change.
    pub fn takes_question(&mut self) -> bool {
        core::mem::take(&mut self.must_list) || self.is_open
    }

    fn needs_tick(&self) -> bool {
        !self.hears || !self.is_used() || self.open_portals > 0
    }
}
