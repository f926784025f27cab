// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The Management Complex's control registers, as far as the bus driver looks
//! at them (Linux `drivers/bus/fsl-mc/fsl-mc-bus.c`, U-Boot `fsl-mc/mc.c`).

use std::sync::atomic::{AtomicU32, Ordering};

/// Global control register 1: bits 31 and 30 stop the two cores.
const GCR1: u64 = 0x00;
/// Global status register: bits 7..0 say how far the firmware has booted, 1 is
/// all the way.
const GSR: u64 = 0x08;
/// Fetch and access protection: bits 16..0 hold the isolation id with which the
/// MC itself reaches memory.
const FAPR: u64 = 0x28;

const BOOTED: u32 = 1;

/// The register block.
#[derive(Debug, Default)]
pub(crate) struct Control {
    gcr1: AtomicU32,
}

impl Control {
    /// Reads. Registers that the model does not have are zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            let value = match at & !3 {
                GCR1 => self.gcr1.load(Ordering::Relaxed),
                GSR => BOOTED,
                FAPR => 0,
                _ => 0,
            };
            *byte = value.to_le_bytes()[(at & 3) as usize];
        }
    }

    /// Writes. A stopped MC is not modelled: its firmware runs whatever the
    /// stop bits say, and the write is only kept.
    pub fn write(&self, offset: u64, data: &[u8]) {
        match (offset, <[u8; 4]>::try_from(data)) {
            (GCR1, Ok(bytes)) => self.gcr1.store(u32::from_le_bytes(bytes), Ordering::Relaxed),
            _ => tracing::debug!(offset, ?data, "write to an unknown MC control register"),
        }
    }
}
