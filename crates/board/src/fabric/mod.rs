// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The data plane: what moves frames, beside the Management Complex, which
//! only writes its tables.

mod detached;
mod dma;
mod pass;
mod timer;

use crate::{
    host::{Clock, PortalMemory},
    qbman::{self, Qbman},
    qdma::Qdma,
    smmu::Smmu,
    wriop::Wriop,
};
use std::{cell::Cell, fmt, sync::Arc};
use timer::{Timed, Timer};

pub use dma::Dma;
pub use pass::{Engine, Message, Pass};

/// The data plane's tables and engines. All methods may be called from any
/// thread.
pub struct Fabric {
    qbman: Qbman,
    wriop: Wriop,
    qdma: Qdma,
    memory: Dma,
    smmu: Arc<Smmu>,
    clock: Arc<dyn Clock>,
    timer: Arc<Timer>,
}

impl Fabric {
    /// A data plane with nothing configured, in its power-on state. `portals` is
    /// the memory of its software portals.
    pub fn new(
        config: qbman::Config,
        smmu: Arc<Smmu>,
        portals: Arc<dyn PortalMemory>,
        clock: Arc<dyn Clock>,
        wriop: Wriop,
    ) -> Arc<Self> {
        let memory = Dma::new(smmu.clone());
        let qbman = Qbman::new(config, portals, memory.clone());
        let timer = Timer::new(clock.clone());
        let qdma = Qdma::default();
        Arc::new(Self { qbman, wriop, qdma, memory, smmu, clock, timer })
    }

    /// The queue and buffer manager.
    pub fn qbman(&self) -> &Qbman {
        &self.qbman
    }

    /// The network interfaces.
    pub fn wriop(&self) -> &Wriop {
        &self.wriop
    }

    /// The DMA engine.
    pub fn qdma(&self) -> &Qdma {
        &self.qdma
    }

    /// Guest memory.
    pub fn memory(&self) -> &Dma {
        &self.memory
    }

    /// A read of the window of software portals.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        self.qbman.read(offset, data);
    }

    /// A write to the window of software portals. What it sets off is done when
    /// this returns.
    pub fn write(self: &Arc<Self>, offset: u64, data: &[u8]) {
        self.pass(|pass| self.qbman.write(offset, data, pass));
    }

    /// A frame has come over the wire of a port. What it sets off is done when
    /// this returns.
    pub fn receive(self: &Arc<Self>, dpmac: u32, frame: &[u8]) {
        self.pass(|pass| self.wriop.receive(dpmac, frame, &self.qbman, &self.memory, pass));
    }

    /// Lets `start` start a pass, and runs it.
    fn pass(self: &Arc<Self>, start: impl FnOnce(&mut Pass)) {
        thread_local! {
            /// The memory of passes of this thread, so that none allocates.
            static PASS: Cell<Pass> = Cell::default();
        }
        let mut pass = PASS.take();
        pass.restart(self.clock.now());
        start(&mut pass);
        self.run(&mut pass);
        PASS.set(pass);
    }

    /// Runs the engines that a pass has woken until none has anything to do.
    pub(crate) fn run_engines(&self, pass: &mut Pass) {
        while let Some(engine) = pass.next_engine() {
            match engine {
                Engine::Interface(id) => {
                    self.wriop.transmit(id, &self.qbman, &self.memory, pass);
                }
                Engine::Switch(id) => {
                    self.wriop.transmit_switch(id, &self.qbman, &self.memory, pass);
                }
                Engine::Dma(id) => self.qdma.run(id, &self.qbman, &self.memory, pass),
                // Nothing wakes it: its family gives it no queues.
                Engine::Crypto(_) => {}
            }
        }
    }

    /// Runs the engines that a pass has woken until none has anything to do, and
    /// sends its interrupts: through the SMMU with their container's isolation
    /// id, as everything that the board writes. To be called with no lock held.
    pub fn run(self: &Arc<Self>, pass: &mut Pass) {
        self.run_engines(pass);
        for Message { icid, address, value } in pass.take_messages() {
            if let Err(fault) = self.smmu.message(icid, address, value) {
                tracing::warn!(icid, address, value, %fault, "interrupt message lost");
            }
        }
        self.timer.arm(self);
    }
}

impl Timed for Fabric {
    fn deadline(&self) -> Option<u64> {
        [self.qbman.deadline(), self.wriop.deadline()].into_iter().flatten().min()
    }

    fn expire(self: &Arc<Self>) {
        self.pass(|pass| {
            self.qbman.tick(pass);
            self.wriop.tick(pass);
        });
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        self.timer.close();
    }
}

impl fmt::Debug for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fabric").field("clock", &self.clock).finish_non_exhaustive()
    }
}
