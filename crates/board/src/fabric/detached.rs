// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A data plane without a host.

use super::Fabric;
use crate::{
    host::{BusError, GuestMemory, IrqLines, NoCapture, NoPortalMemory, NoWires, SystemClock},
    smmu::Smmu,
    soc::Soc,
    wriop::Wriop,
};
use std::sync::Arc;

impl Fabric {
    /// One that nothing can be reached from: for an MC that only tells what it
    /// would make of a layout.
    pub fn detached(soc: &Soc) -> Arc<Self> {
        let smmu = Arc::new(Smmu::new(Arc::new(Nothing), Arc::new(Nothing)));
        let portals = Arc::new(NoPortalMemory);
        let wriop = Wriop::new(Arc::new(NoWires), Arc::new(NoCapture));
        Self::new(soc.into(), smmu, portals, Arc::new(SystemClock::default()), wriop)
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
