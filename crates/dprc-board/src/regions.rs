// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Regions of objects: windows of the board, and the memory of software portals.

use board::{Board, Window, host::PortalMemory};
use dprc::RegionAccess;
use fsl_mc_linux::{Mapping, dma_fence};
use std::{fmt, sync::Arc};

/// The memory of all memory-backed software portals.
#[derive(Debug)]
pub struct Portals(pub Mapping);

impl PortalMemory for Portals {
    fn read(&self, offset: u64, buf: &mut [u8]) {
        if self.0.read(offset as usize, buf).is_none() {
            buf.fill(0);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        // What is past the end belongs to no portal.
        let _ = self.0.write(offset as usize, data);
    }

    fn publish(&self, offset: u64, byte: u8) {
        dma_fence();
        let _ = self.0.store(offset as usize, byte);
    }
}

/// A region in a window of the board's.
pub struct InWindow {
    pub board: Arc<Board>,
    pub window: Window,
    pub start: u64,
    /// What has to stay while there is the region.
    pub _held: Arc<dyn Send + Sync>,
}

impl fmt::Debug for InWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:#x}", self.window, self.start)
    }
}

impl RegionAccess for InWindow {
    fn load(&self, offset: u64, bytes: &mut [u8]) {
        self.board.read(self.window, self.start + offset, bytes);
    }

    fn store(&self, offset: u64, bytes: &[u8]) {
        self.board.write(self.window, self.start + offset, bytes);
    }
}

/// A region in the memory of software portals.
pub struct InMemory {
    pub portals: Arc<Portals>,
    pub start: u64,
    /// What has to stay while there is the region.
    pub _held: Arc<dyn Send + Sync>,
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "portal memory at {:#x}", self.start)
    }
}

impl RegionAccess for InMemory {
    fn load(&self, offset: u64, bytes: &mut [u8]) {
        self.portals.read(self.start + offset, bytes);
    }

    fn store(&self, offset: u64, bytes: &[u8]) {
        self.portals.write(self.start + offset, bytes);
    }
}
