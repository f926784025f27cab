// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The memory and the interrupt lines of a board that runs without a guest.

use super::{BusError, GuestMemory, IrqLines};

/// A guest without RAM: each access is a [`BusError`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemory;

impl GuestMemory for NoMemory {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        Err(BusError { address, length: buf.len() })
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        Err(BusError { address, length: data.len() })
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        Err(BusError { address, length: 8 })
    }
}

/// Interrupt lines that lead to no interrupt controller.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLines;

impl IrqLines for NoLines {
    fn message(&self, _icid: u16, _address: u64, _value: u32) {}

    fn smmu(&self, _asserted: bool) {}
}
