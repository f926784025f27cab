// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The dequeue ring: what channels push into the portal, notifications among it.

use super::portal::Portal;
use super::{DequeueEntry, Notice};
use crate::error::{Error, Result};
use fsl_mc_linux::dma_fence;
use qbman_abi::{Rings, VALID, interrupts, registers};

/// Comes with each entry that is pushed.
const TOKEN: u32 = 0xbb;
/// Kind of static dequeue: by priority, with precedence for none.
const BY_PRIORITY: u32 = 1;

/// An entry of the dequeue ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// A frame of a queue of a channel that pushes.
    Frame(DequeueEntry),
    /// A notification, such as that frames wait in a channel.
    Notice(Notice),
}

impl Portal {
    /// Lets channels push what they hold into the dequeue ring: bit 0 stands for the
    /// portal's own channel, where notifications come, the others for what
    /// `dpio::AddStaticDequeueChannel` answers. No bit: none pushes.
    ///
    /// # Errors
    /// [`Error::PortalLost`], or when the regions are not as large as a portal's are.
    pub fn push_from(&mut self, channels: u16) -> Result<()> {
        self.check()?;
        let command = match channels {
            0 => 0,
            channels => {
                BY_PRIORITY << registers::SDQCR_KIND_SHIFT
                    | registers::SDQCR_UP_TO_THREE
                    | TOKEN << registers::SDQCR_TOKEN_SHIFT
                    | u32::from(channels)
            }
        };
        self.areas.set_register(registers::SDQCR, command)
    }

    /// Takes the next entry out of the dequeue ring, if there is one.
    ///
    /// # Errors
    /// [`Error::PortalLost`], and [`Error::PortalState`] for an entry that is neither a frame nor
    /// a notification.
    pub fn take(&mut self) -> Result<Option<Pushed>> {
        self.check()?;
        let at = Rings::entry(self.areas.rings().dqrr, self.next);
        let verb = self.areas.first_word(at)?.to_le_bytes()[0];
        if verb & VALID != self.next_valid {
            return Ok(None);
        }
        dma_fence();
        let entry = self.areas.entry(at)?;
        // All of it is read before the portal may write there again.
        dma_fence();
        self.areas.set_register(registers::DCAP, self.next)?;
        self.next = (self.next + 1) % Rings::DQRR_ENTRIES;
        if self.next == 0 {
            self.next_valid ^= VALID;
        }
        if let Some(frame) = DequeueEntry::from_bytes(&entry) {
            return Ok(Some(Pushed::Frame(frame)));
        }
        match Notice::from_bytes(&entry) {
            Some(notice) => Ok(Some(Pushed::Notice(notice))),
            None => Err(Error::PortalState {
                portal: self.name.clone(),
                what: format!("its dequeue ring has an entry with the verb {:#04x}", entry[0]),
            }),
        }
    }

    /// Arms the portal's interrupt: it comes when there is something in the dequeue ring,
    /// and no other comes until this is called again. Call it before the ring is looked
    /// at for the last time before waiting.
    ///
    /// The interrupt itself is index 0 of the dpio: see
    /// [`Backend::enable_interrupt`](crate::Backend::enable_interrupt).
    ///
    /// # Errors
    /// [`Error::PortalLost`], or when the regions are not as large as a portal's are.
    pub fn arm_interrupt(&mut self) -> Result<()> {
        self.check()?;
        self.areas.set_register(registers::ISR, u32::MAX)?;
        self.areas.set_register(registers::IER, interrupts::DQRI)?;
        self.areas.set_register(registers::IIR, 0)
    }
}
