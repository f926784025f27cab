// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Guest memory as the data plane reaches it: through the SMMU, with the
//! isolation id of whose frames are moved.

use crate::smmu::{DmaError, Hold, Smmu, Stream};
use std::sync::Arc;

/// Access to guest memory for any isolation id.
#[derive(Debug, Clone)]
pub struct Dma(Arc<Smmu>);

impl Dma {
    /// Access through an SMMU.
    pub fn new(smmu: Arc<Smmu>) -> Self {
        Self(smmu)
    }

    /// The memory that an isolation id sees: for several accesses, and to copy
    /// from one to another ([`Stream::copy`]).
    pub fn stream(&self, icid: u16) -> Stream<'_> {
        self.0.stream(icid)
    }

    /// Makes one transaction of the accesses until the answer is dropped, of all
    /// isolation ids: what a frame needs costs less so. No lock may be taken
    /// meanwhile ([`Smmu::hold`]).
    pub fn hold(&self) -> Hold<'_> {
        self.0.hold()
    }

    /// Reads `buf.len()` bytes at I/O virtual address `iova`.
    ///
    /// # Errors
    /// [`DmaError`]; `buf` holds what came before the part that failed.
    pub fn read(&self, icid: u16, iova: u64, buf: &mut [u8]) -> Result<(), DmaError> {
        self.stream(icid).read(iova, buf)
    }

    /// Writes `data` at I/O virtual address `iova`.
    ///
    /// # Errors
    /// [`DmaError`]; what came before the part that failed is written.
    pub fn write(&self, icid: u16, iova: u64, data: &[u8]) -> Result<(), DmaError> {
        self.stream(icid).write(iova, data)
    }
}
