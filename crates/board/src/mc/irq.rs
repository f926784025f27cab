// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! An object's interrupts.

use std::collections::BTreeMap;

/// One interrupt of an object: an enable bit, a mask, the events that happened, and
/// where the message goes.
///
/// The MC keeps an event in `status` whether or not it may interrupt. A message
/// leaves when an event that the mask lets through happens while it
/// is enabled, and when enable bit, mask or address change so that events which wait can
/// leave: an event that happens in between is not lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Irq {
    /// I/O virtual address of the message; 0 before software sets one.
    pub address: u64,
    /// Data of the message.
    pub value: u32,
    /// A number software wants back.
    pub user: u32,
    pub enabled: bool,
    pub mask: u32,
    pub status: u32,
    /// Events of interfaces that are not shown in `status` yet.
    waiting: BTreeMap<u16, u32>,
}

impl Irq {
    /// Whether an event waits that may leave.
    pub fn asserted(&self) -> bool {
        self.enabled && self.address != 0 && self.status & self.mask != 0
    }

    /// Notes `events`. True where a message is to be sent.
    pub fn raise(&mut self, events: u32) -> bool {
        self.status |= events;
        self.enabled && self.address != 0 && events & self.mask != 0
    }

    /// Changes the configuration. True where a message is to be sent.
    pub fn configure(&mut self, change: impl FnOnce(&mut Self)) -> bool {
        let before = self.asserted();
        change(self);
        self.show_next();
        !before && self.asserted()
    }
}

/// Events of objects with several interfaces. The upper half of the status is
/// the number of the interface that the lower half belongs to, so one interface
/// at a time has it; the others wait until software has cleared its events.
/// Linux takes the number for an index: those of two interfaces mixed would
/// name a third one.
impl Irq {
    const EVENTS: u32 = 0xffff;

    /// Notes `events` of an interface. True where a message is to be sent.
    pub fn raise_at(&mut self, interface: u16, events: u32) -> bool {
        let events = events & Self::EVENTS;
        *self.waiting.entry(interface).or_default() |= events;
        self.show_next();
        let shown = self.shown() == interface && self.status & Self::EVENTS != 0;
        shown && self.enabled && self.address != 0 && events & self.mask != 0
    }

    /// Forgets events of the interface that `status` names, or of any where the
    /// number is all ones. True where a message is to be sent for the next one.
    pub fn clear_at(&mut self, status: u32) -> bool {
        let of = (status >> 16) as u16;
        if of != self.shown() && of != u16::MAX {
            return false;
        }
        let before = self.shown();
        self.status &= !(status & Self::EVENTS);
        if self.status & Self::EVENTS == 0 {
            self.status = 0;
        }
        self.show_next();
        self.shown() != before && self.asserted()
    }

    /// Forgets all events.
    pub fn forget(&mut self) {
        self.status = 0;
        self.waiting.clear();
    }

    fn shown(&self) -> u16 {
        (self.status >> 16) as u16
    }

    /// Shows the events of another interface where those shown are none, or
    /// none that may interrupt.
    fn show_next(&mut self) {
        let events = self.status & Self::EVENTS;
        if let Some(more) = self.waiting.get(&self.shown()).copied().filter(|_| events != 0) {
            self.waiting.remove(&self.shown());
            self.status |= more;
        }
        let passes = |events: u32| events & self.mask & Self::EVENTS != 0;
        if self.waiting.is_empty() || passes(self.status) {
            return;
        }
        let urgent = self.waiting.iter().find(|(_, events)| passes(**events));
        let next = match (urgent, events) {
            (Some((interface, _)), _) => *interface,
            (None, 0) => self.waiting.keys().next().copied().unwrap_or_default(),
            (None, _) => return,
        };
        if events != 0 {
            self.waiting.insert(self.shown(), events);
        }
        let events = self.waiting.remove(&next).unwrap_or_default();
        self.status = u32::from(next) << 16 | events;
    }
}
