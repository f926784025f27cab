// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory as one bus master sees it.

use super::{DmaError, Smmu};

/// Memory as the bus master with one stream id sees it. Made for each use: it
/// costs nothing and holds nothing.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    pub(super) smmu: &'a Smmu,
    pub(super) id: u16,
}

impl Stream<'_> {
    /// Its stream id, which is the isolation id of a container.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Reads `buf.len()` bytes at I/O virtual address `iova`.
    ///
    /// # Errors
    /// [`DmaError`] with the address of the part that failed; `buf` holds what
    /// came before it.
    pub fn read(&self, iova: u64, buf: &mut [u8]) -> Result<(), DmaError> {
        self.smmu.dma_read(self.id, iova, buf)
    }

    /// Writes `data` at I/O virtual address `iova`.
    ///
    /// # Errors
    /// [`DmaError`] with the address of the part that failed; what came before
    /// it is written.
    pub fn write(&self, iova: u64, data: &[u8]) -> Result<(), DmaError> {
        self.smmu.dma_write(self.id, iova, data)
    }

    /// Copies `length` bytes at `iova` to `to_iova` of another stream, or of the
    /// same, without a buffer in between. Ranges that overlap in memory leave the
    /// destination unspecified. Both streams are of the same SMMU.
    ///
    /// # Errors
    /// [`DmaError`] of the side that failed, which its stream id and address
    /// tell; what came before the part that failed is written.
    pub fn copy(
        &self,
        iova: u64,
        to: Stream<'_>,
        to_iova: u64,
        length: usize,
    ) -> Result<(), DmaError> {
        self.smmu.dma_copy((self.id, iova), (to.id, to_iova), length)
    }
}
