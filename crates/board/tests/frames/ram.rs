// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Mapped memory and interrupt lines that lead nowhere: the host of benches.

use board::host::{BusError, GuestMemory, IrqLines};
use std::sync::atomic::Ordering;
use vm_memory::{Bytes, MmapRegion, VolatileMemory, VolatileSlice};

/// Guest physical address of the memory.
pub const RAM: u64 = 0x8000_0000;

/// Mapped memory, as a guest's is.
pub struct Ram(MmapRegion);

impl Ram {
    pub fn new(size: usize) -> Self {
        Self(MmapRegion::new(size).expect("there is that much address space"))
    }

    fn slice(&self, address: u64, length: usize) -> Result<VolatileSlice<'_>, BusError> {
        let at = address.checked_sub(RAM).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.0.get_slice(at, length).ok()).ok_or(BusError { address, length })
    }
}

impl GuestMemory for Ram {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        self.slice(address, buf.len())?.copy_to(buf);
        Ok(())
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        self.slice(address, data.len())?.copy_from(data);
        Ok(())
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        let slice = self.slice(address, 8)?;
        slice.load(0, Ordering::Acquire).map_err(|_| BusError { address, length: 8 })
    }

    fn copy(&self, from: u64, to: u64, length: usize) -> Result<(), BusError> {
        self.slice(from, length)?.copy_to_volatile_slice(self.slice(to, length)?);
        Ok(())
    }
}

pub struct Lines;

impl IrqLines for Lines {
    fn message(&self, _: u16, _: u64, _: u32) {}

    fn smmu(&self, _: bool) {}
}
