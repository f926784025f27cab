// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the board needs of the machine that hosts it.

mod capture;
mod clock;
mod nothing;
mod portal_memory;
#[cfg(test)]
pub(crate) mod testing;
mod wires;

pub use capture::{Capture, NoCapture, Passing};
pub use clock::{Clock, ManualClock, SystemClock, Wakeup};
pub use nothing::{NoLines, NoMemory};
pub use portal_memory::{NoPortalMemory, PortalMemory, private_portal_memory};

pub use wires::{NoWires, Wires};

use std::{fmt, sync::Arc};

/// An access that no memory answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no memory at guest physical address {address:#x} ({length} bytes)")]
pub struct BusError {
    /// Guest physical address of the access.
    pub address: u64,
    /// Its length in bytes.
    pub length: usize,
}

/// Guest physical memory as a bus master behind the SMMU sees it.
///
/// Only the SMMU model and the code that has a translated address use it
/// directly: everything else goes through a stream of the SMMU.
pub trait GuestMemory: Send + Sync {
    /// Copies `buf.len()` bytes from `address`.
    ///
    /// # Errors
    /// [`BusError`] where the range is not wholly RAM; `buf` is unspecified then.
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError>;

    /// Copies `data` to `address`.
    ///
    /// # Errors
    /// [`BusError`] where the range is not wholly RAM; nothing past the first
    /// hole is written.
    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError>;

    /// Reads a naturally aligned little-endian word in one access, as a page
    /// table walker does.
    ///
    /// # Errors
    /// [`BusError`] where there is no RAM, or for a misaligned address.
    fn read_u64(&self, address: u64) -> Result<u64, BusError>;

    /// Copies `length` bytes from `from` to `to`. Ranges that overlap leave the
    /// destination unspecified.
    ///
    /// The default goes through a buffer of its own; a host whose memory is mapped
    /// copies in place.
    ///
    /// # Errors
    /// [`BusError`] of the part that is not RAM; nothing past it is written.
    fn copy(&self, from: u64, to: u64, length: usize) -> Result<(), BusError> {
        let mut buffer = [0; 1024];
        let mut done = 0;
        while done < length {
            let piece = buffer.len().min(length - done);
            let buffer = &mut buffer[..piece];
            self.read(from.wrapping_add(done as u64), buffer)?;
            self.write(to.wrapping_add(done as u64), buffer)?;
            done += piece;
        }
        Ok(())
    }
}

/// All that a board gets from its host.
#[derive(Clone)]
pub struct Host {
    /// The guest's RAM.
    pub memory: Arc<dyn GuestMemory>,
    /// Where interrupts go.
    pub lines: Arc<dyn IrqLines>,
    /// The memory of the memory-backed software portals.
    pub portals: Arc<dyn PortalMemory>,
    /// What delays, time stamps and timers go by.
    pub clock: Arc<dyn Clock>,
    /// What the Ethernet ports are connected to.
    pub wires: Arc<dyn Wires>,
    /// Who looks at frames in passing.
    pub capture: Arc<dyn Capture>,
}

impl Host {
    /// A host with these memories and interrupt lines, the [`SystemClock`],
    /// [`NoWires`] and [`NoCapture`].
    pub fn new(
        memory: Arc<dyn GuestMemory>,
        lines: Arc<dyn IrqLines>,
        portals: Arc<dyn PortalMemory>,
    ) -> Self {
        let clock = Arc::new(SystemClock::default());
        let (wires, capture) = (Arc::new(NoWires), Arc::new(NoCapture));
        Self { memory, lines, portals, clock, wires, capture }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// The interrupt lines that leave the board.
pub trait IrqLines: Send + Sync {
    /// Performs the write of a message-signalled interrupt: `value` to the
    /// (already translated) physical `address`, sent by the bus master whose
    /// isolation id is `icid`.
    ///
    /// A message that reaches no interrupt controller is lost, as on silicon;
    /// the implementation traces it.
    fn message(&self, icid: u16, address: u64, value: u32);

    /// Drives the wired interrupt line of the SMMU (level, active high). Global
    /// and context faults share it.
    fn smmu(&self, asserted: bool);
}
