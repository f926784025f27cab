// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! An object's interrupts.

/// One interrupt of an object: a gate, a mask, the events that happened, and
/// where the message goes.
///
/// The MC keeps an event in `status` whether or not it may interrupt. A message
/// leaves when an event that the mask lets through happens while the gate is
/// open, and when gate, mask or address change so that events which wait can
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
        !before && self.asserted()
    }
}
