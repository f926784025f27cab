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
use parking_lot::Mutex;
use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use timer::{Timed, Timer};

pub use dma::Dma;
pub use pass::{Engine, Message, Pass};

/// Turns of engines that whoever starts a pass waits for. What a guest has ready at once fits,
/// unless it has piled it up.
const TURNS: u64 = 64;
/// Bytes that the DMA engine copies for a turn.
const TURN_BYTES: u64 = 1 << 20;

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
    /// Engines that passes have left to the timer's thread, and whether there are any.
    rest: Mutex<Vec<Engine>>,
    has_rest: AtomicBool,
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
        let (rest, has_rest) = Default::default();
        Arc::new(Self { qbman, wriop, qdma, memory, smmu, clock, timer, rest, has_rest })
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
    /// this returns, unless it is more than a pass has room for ([`Fabric::run`]).
    pub fn write(self: &Arc<Self>, offset: u64, data: &[u8]) {
        self.pass(|pass| self.qbman.write(offset, data, pass));
    }

    /// A frame has come over the wire of a port. What it sets off is done when
    /// this returns, as for [`Fabric::write`].
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
    #[cfg(test)]
    pub(crate) fn run_engines(&self, pass: &mut Pass) {
        while let Some(engine) = pass.next_engine() {
            self.turn(engine, pass);
        }
    }

    /// Runs an engine up to its budget; how many turns that counts for.
    fn turn(&self, engine: Engine, pass: &mut Pass) -> u64 {
        match engine {
            Engine::Interface(id) => {
                self.wriop.transmit(id, &self.qbman, &self.memory, pass);
            }
            Engine::Switch(id) => {
                self.wriop.transmit_switch(id, &self.qbman, &self.memory, pass);
            }
            Engine::Dma(id) => {
                let bytes = self.qdma.run(id, &self.qbman, &self.memory, pass);
                return 1 + bytes / TURN_BYTES;
            }
            // Nothing wakes it: its family gives it no queues.
            Engine::Crypto(_) => {}
        }
        1
    }

    /// Runs the engines that a pass has woken, and sends its interrupts: through the SMMU
    /// with their container's isolation id, as everything that the board writes. To be
    /// called with no lock held.
    ///
    /// What is more than 64 turns is left to the timer's thread: the caller's has a guest's
    /// doorbells to serve.
    pub fn run(self: &Arc<Self>, pass: &mut Pass) {
        self.run_turns(pass);
        self.timer.arm(self);
    }

    fn run_turns(&self, pass: &mut Pass) {
        let mut left = TURNS;
        while left > 0
            && let Some(engine) = pass.next_engine()
        {
            left = left.saturating_sub(self.turn(engine, pass));
            self.send_messages(pass);
        }
        self.send_messages(pass);
        if let Some(engine) = pass.next_engine() {
            self.leave_rest(engine, pass);
        }
    }

    #[cold]
    fn leave_rest(&self, first: Engine, pass: &mut Pass) {
        let mut rest = self.rest.lock();
        let mut next = Some(first);
        while let Some(engine) = next {
            if !rest.contains(&engine) {
                rest.push(engine);
            }
            next = pass.next_engine();
        }
        self.has_rest.store(true, Ordering::Release);
    }

    /// Goes on with what passes have left.
    fn take_rest(&self, pass: &mut Pass) {
        if self.has_rest.load(Ordering::Acquire) {
            let mut rest = self.rest.lock();
            rest.drain(..).for_each(|engine| pass.wake(engine));
            self.has_rest.store(false, Ordering::Release);
        }
    }

    fn send_messages(&self, pass: &mut Pass) {
        for Message { icid, address, value } in pass.take_messages() {
            if let Err(fault) = self.smmu.message(icid, address, value) {
                tracing::warn!(icid, address, value, %fault, "interrupt message lost");
            }
        }
    }
}

impl Timed for Fabric {
    fn deadline(&self) -> Option<u64> {
        if self.has_rest.load(Ordering::Acquire) {
            return Some(0);
        }
        [self.qbman.deadline(), self.wriop.deadline()].into_iter().flatten().min()
    }

    fn expire(self: &Arc<Self>) {
        self.pass(|pass| {
            // First, since what becomes due in each pass could fill it for ever.
            self.take_rest(pass);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::{ManualClock, NoCapture, NoLines, NoPortalMemory, NoWires, testing::TestMemory},
        qbman::{Consumer, QueueConfig},
        qdma::{DmaConfig, DmaPair},
        soc::Soc,
    };
    use qbman_abi::{Fd, Format};

    const ICID: u16 = 5;
    /// Bytes of each request.
    const LENGTH: u32 = 0x1_0000;
    const REQUESTS: u32 = 1024;

    /// Requests that an interface of the DMA engine has waiting while it is off are not all
    /// work of the thread that switches it on.
    #[test]
    fn a_pass_ends_though_there_is_more_to_do() {
        let memory = Arc::new(TestMemory::new(0x20_0000));
        let smmu = Arc::new(Smmu::new(memory, Arc::new(NoLines)));
        let wriop = Wriop::new(Arc::new(NoWires), Arc::new(NoCapture));
        let soc = Soc::LX2160A;
        let clock = Arc::new(ManualClock::new());
        let fabric = Fabric::new((&soc).into(), smmu, Arc::new(NoPortalMemory), clock, wriop);
        let mut pass = Pass::default();
        let engines = [0, 1].map(Engine::Dma);
        for (id, engine) in (0..).zip(engines) {
            let (requests, answers) = (10 + id, 20 + id);
            let qbman = fabric.qbman();
            for (fqid, consumer) in
                [(requests, Consumer::Engine(engine)), (answers, Consumer::Parked)]
            {
                qbman.configure_queue(fqid, Some(QueueConfig::new(ICID, consumer)), &mut pass);
            }
            let pairs = vec![DmaPair { requests, answers }];
            fabric.qdma().configure(id, Some(DmaConfig { icid: ICID, enabled: true, pairs }));
        }
        let single = |address| Fd { address, length_word: LENGTH, ..Fd::default() };
        let descriptors = Fd { address: 0x200, length_word: 0x20, ..Fd::default() };
        let list = [descriptors, single(0x2_0000), single(0x4_0000)].map(|entry| entry.to_bytes());
        fabric.memory().write(ICID, 0x100, &list.concat()).expect("memory");
        let request = Fd { address: 0x100, ..Fd::default() }.with_layout(0, Format::List);
        for fqid in [10, 11] {
            for _ in 0..REQUESTS {
                fabric.qbman().enqueue(fqid, &request, &mut pass).expect("room");
            }
        }
        fabric.run_turns(&mut pass);
        let answers = || [20, 21].map(|fqid| fabric.qbman().queue_state(fqid).0);
        let [one, other] = answers();
        assert!(one > 0 && other > 0, "one engine keeps the other waiting: {one}, {other}");
        assert!(one + other < REQUESTS, "the pass has no end: {one}, {other}");
        assert!(pass.is_empty());
        // The timer's thread goes on, as here.
        while fabric.deadline().is_some() {
            fabric.take_rest(&mut pass);
            fabric.run_turns(&mut pass);
        }
        assert_eq!(answers(), [REQUESTS; 2]);
    }
}
