// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A data plane without a host.

use super::Fabric;
use crate::{
    host::{NoCapture, NoLines, NoMemory, NoPortalMemory, NoWires, SystemClock},
    smmu::Smmu,
    soc::Soc,
    wriop::Wriop,
};
use std::sync::Arc;

impl Fabric {
    /// One that nothing can be reached from: for an MC that only tells what it
    /// would make of a layout.
    pub fn detached(soc: &Soc) -> Arc<Self> {
        let smmu = Arc::new(Smmu::new(Arc::new(NoMemory), Arc::new(NoLines)));
        let portals = Arc::new(NoPortalMemory);
        let wriop = Wriop::new(Arc::new(NoWires), Arc::new(NoCapture));
        Self::new(soc.into(), smmu, portals, Arc::new(SystemClock::default()), wriop)
    }
}
