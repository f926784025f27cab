// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Buffers into pools.

use super::portal::Portal;
use crate::error::Result;
use fsl_mc_linux::dma_fence;
use qbman_abi::{ReleaseCommand, Rings, VALID, registers};

/// Bits of the allocation register that number the entry.
const INDEX: u32 = 0x7;

impl Portal {
    /// Puts buffers into a pool (by its number in hardware); how many. Fewer than given,
    /// maybe none, where the release ring is full: try the rest again. They belong to the
    /// hardware from then on.
    ///
    /// A pool that does not belong to the container takes nothing, and does not say so.
    ///
    /// # Errors
    /// [`Error::PortalLost`](crate::Error::PortalLost), or when the regions are not as large as a
    /// portal's are.
    pub fn release(&mut self, pool: u16, buffers: &[u64]) -> Result<usize> {
        self.check()?;
        let mut released = 0;
        for some in buffers.chunks(ReleaseCommand::MOST) {
            let allocated = self.areas.register(registers::RAR)?;
            if allocated & registers::ALLOCATED == 0 {
                break;
            }
            let index = allocated & INDEX;
            let mut places = [0; ReleaseCommand::MOST];
            places[..some.len()].copy_from_slice(some);
            let count = some.len() as u8;
            let command = ReleaseCommand { pool, buffers: places, count, interrupt: false };
            let entry = command.to_bytes(allocated as u8 & VALID);
            let at = Rings::entry(self.areas.rings().rcr, index);
            self.areas.fill(at, &entry)?;
            dma_fence();
            self.areas.hand_over(at, &entry)?;
            self.areas.ring(registers::RCR_AM_RT + u64::from(index) * 4, 0)?;
            released += some.len();
        }
        Ok(released)
    }
}
