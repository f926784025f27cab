// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames to queues and queuing destinations.

use super::portal::Portal;
use super::{Fd, Target};
use crate::error::Result;
use fsl_mc_linux::dma_fence;
use qbman_abi::{EnqueueCommand, Rings, registers};

impl Portal {
    /// Hands frames over to a queue or a queuing destination, in their order; how many.
    /// Fewer than given, maybe none, where the ring is full: try the rest again. Their
    /// buffers belong to the hardware from then on.
    ///
    /// A frame that the target rejects (full queue, congestion) goes to the queue that is
    /// set for that, or is lost with its buffer: the number says what the portal took.
    ///
    /// # Errors
    /// [`Error::PortalLost`](crate::Error::PortalLost), or when the regions are not as large as a
    /// portal's are.
    pub fn enqueue(&mut self, target: Target, frames: &[Fd]) -> Result<usize> {
        self.check()?;
        let count = self.look_for_room(frames.len())?;
        let (rings, mask) = (self.areas.rings(), self.areas.full_mask());
        let entries = rings.eqcr_entries;
        let place = |n: usize| Rings::entry(rings.eqcr, (self.produced + n as u32) % entries);
        let commands = || frames.iter().take(count).map(|fd| EnqueueCommand::plain(target, *fd));
        for (n, command) in commands().enumerate() {
            self.areas.fill(place(n), &command.to_bytes())?;
        }
        // Entries, and the frames in memory, before the words that make them valid.
        dma_fence();
        let mut valid = self.produced_valid;
        for (n, command) in commands().enumerate() {
            let mut entry = command.to_bytes();
            entry[0] |= valid;
            self.areas.hand_over(place(n), &entry)?;
            if (self.produced + n as u32 + 1) % entries == 0 {
                valid ^= qbman_abi::VALID;
            }
        }
        if count > 0 {
            self.produced_valid = valid;
            self.produced = (self.produced + count as u32) & mask;
            self.room -= count as u32;
            self.areas.ring(registers::EQCR_PI, self.produced | u32::from(valid))?;
        }
        Ok(count)
    }

    /// How many of `wanted` entries are free. The portal's index is looked up only where
    /// those that are known to be free do not suffice.
    fn look_for_room(&mut self, wanted: usize) -> Result<usize> {
        if (self.room as usize) < wanted {
            self.consumed = self.areas.consumed()?;
            let in_use = self.produced.wrapping_sub(self.consumed) & self.areas.full_mask();
            self.room = self.areas.rings().eqcr_entries.saturating_sub(in_use);
        }
        Ok(wanted.min(self.room as usize))
    }
}
