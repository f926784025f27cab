// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The data plane: what moves frames, beside the Management Complex, which
//! only writes its tables.

mod dma;
mod pass;

use crate::{
    host::{NoPortalMemory, PortalMemory},
    qbman::Qbman,
    smmu::Smmu,
};
use std::sync::Arc;

pub use dma::Dma;
pub use pass::{Engine, Message, Pass};

/// The data plane's tables and engines. All methods may be called from any
/// thread.
#[derive(Debug)]
pub struct Fabric {
    qbman: Qbman,
}

impl Fabric {
    /// A data plane with nothing configured, in its power-on state, and the memory
    /// of its software portals.
    pub fn new(portals: u32, memory: Arc<dyn PortalMemory>) -> Self {
        Self { qbman: Qbman::new(portals, memory) }
    }

    /// One that nothing can be reached from: for an MC that only tells what it
    /// would make of a layout.
    pub fn detached() -> Arc<Self> {
        Arc::new(Self::new(crate::mc::SOFTWARE_PORTALS, Arc::new(NoPortalMemory)))
    }

    /// The queue and buffer manager.
    pub fn qbman(&self) -> &Qbman {
        &self.qbman
    }

    /// Runs the engines that a pass has woken, and sends its interrupts when they
    /// are done: through the SMMU with their container's isolation id, as
    /// everything that the board writes.
    pub fn run(&self, smmu: &Smmu, pass: &mut Pass) {
        for Message { icid, address, value } in pass.take_messages() {
            if let Err(fault) = smmu.message(icid, address, value) {
                tracing::warn!(icid, address, value, %fault, "interrupt message lost");
            }
        }
    }
}
