// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The data plane: what moves frames, beside the Management Complex, which
//! only writes its tables.

mod dma;
mod pass;

use crate::{
    host::{BusError, GuestMemory, IrqLines, NoPortalMemory, PortalMemory},
    mc,
    qbman::{self, Qbman},
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
    pub fn new(portals: Arc<dyn PortalMemory>, dma: Dma) -> Self {
        Self { qbman: Qbman::new(lx2160a(), portals, dma) }
    }

    /// One that nothing can be reached from: for an MC that only tells what it
    /// would make of a layout.
    pub fn detached() -> Arc<Self> {
        let smmu = Arc::new(Smmu::new(Arc::new(Nothing), Arc::new(Nothing)));
        Arc::new(Self::new(Arc::new(NoPortalMemory), Dma::new(smmu)))
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

/// The queue manager of an LX2160A.
fn lx2160a() -> qbman::Config {
    qbman::Config {
        portals: mc::SOFTWARE_PORTALS,
        queues: 2049,
        channels: 1280,
        pools: 65,
        destinations: 257,
        version: qbman::Version::V5,
        clock: 700_000_000,
    }
}

/// A host without memory and interrupt controller.
struct Nothing;

impl GuestMemory for Nothing {
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

impl IrqLines for Nothing {
    fn message(&self, _: u16, _: u64, _: u32) {}

    fn smmu(&self, _: bool) {}
}
