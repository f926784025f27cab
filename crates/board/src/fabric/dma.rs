// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Guest memory as the data plane reaches it: through the SMMU, with the
//! isolation id of whose frames are moved.

use crate::smmu::{DmaError, Smmu};
use std::sync::Arc;

/// Access to guest memory for any isolation id.
#[derive(Debug, Clone)]
pub struct Dma(Arc<Smmu>);

impl Dma {
    /// Access through an SMMU.
    pub fn new(smmu: Arc<Smmu>) -> Self {
        Self(smmu)
    }

    /// Reads `buf.len()` bytes at I/O virtual address `iova`.
    ///
    /// # Errors
    /// [`DmaError`]; `buf` holds what came before the part that failed.
    pub fn read(&self, icid: u16, iova: u64, buf: &mut [u8]) -> Result<(), DmaError> {
        self.0.dma_read(icid, iova, buf)
    }

    /// Writes `data` at I/O virtual address `iova`.
    ///
    /// # Errors
    /// [`DmaError`]; what came before the part that failed is written.
    pub fn write(&self, icid: u16, iova: u64, data: &[u8]) -> Result<(), DmaError> {
        self.0.dma_write(icid, iova, data)
    }
}
