// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the emulation needs of the machine that it runs on.

use mc_abi::{Message, ObjectId};
use std::fmt;

/// A message-signalled interrupt of the guest, as its kernel has programmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msi {
    /// Guest physical address that is written: the translater of the guest's ITS.
    pub address: u64,
    /// What is written: the event's number.
    pub data: u32,
}

/// A region of an object, by what the Management Complex says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostRegion {
    /// The object.
    pub object: ObjectId,
    /// Which of its regions.
    pub index: u8,
    /// Bytes.
    pub size: u64,
    /// [`mc_abi::dprc::REGION_CACHEABLE`], [`mc_abi::dprc::REGION_SHAREABLE`].
    pub flags: u32,
}

/// Something that the host does not do. The guest gets it as a status of the
/// Management Complex; the words are for the VMM's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostError(pub String);

impl HostError {
    /// An error with the words of another.
    pub fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HostError {}

/// The machine below: the container's own portal, regions and interrupts.
/// [`VfioHost`](crate::VfioHost) is the one for Linux; tests bring their own.
pub trait Host {
    /// Sends a command through the container's own portal and waits for the answer.
    /// The header's token is one that this host's Management Complex has given.
    ///
    /// # Errors
    /// When no answer comes.
    fn exchange(&mut self, command: &Message) -> Result<Message, HostError>;

    /// Whether the container was taken from this process for good: no command of it will ever
    /// be answered again, and all that was in it is gone.
    fn is_revoked(&self) -> bool {
        false
    }

    /// Lets the guest reach a region at a guest physical address, without exits.
    ///
    /// # Errors
    /// When it cannot be mapped.
    fn map(&mut self, region: &HostRegion, at: u64) -> Result<(), HostError>;

    /// Sets where an object's interrupt goes in the guest; `None` shuts it off.
    ///
    /// # Errors
    /// When the interrupt cannot be had. Where it went before, it still goes then.
    fn route(&mut self, object: ObjectId, index: u8, msi: Option<Msi>) -> Result<(), HostError>;

    /// The object was reset by the guest, or in its name: what it has been told of
    /// interrupts may be lost.
    fn reset(&mut self, object: ObjectId);

    /// The object has left the container, was unplugged, or is another one of the same name by
    /// now: its regions and interrupts are gone.
    fn gone(&mut self, object: ObjectId);

    /// Sends the guest an interrupt of the emulation's own.
    fn signal(&mut self, msi: Msi);

    /// The command portal at a guest physical address shows these bytes from now on. The
    /// first call for an address says that there is a portal. A host where the guest's loads
    /// do not get to [`Emulation::load`](crate::Emulation::load) puts them where they do get
    /// to; others have nothing to do.
    fn show(&mut self, _at: u64, _registers: &[u8; Message::SIZE]) {}

    /// There is no command portal at this address any more.
    fn hide(&mut self, _at: u64) {}
}
