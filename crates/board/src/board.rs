// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The board as its host sees it: windows of addresses, guest memory,
//! interrupt lines.

use crate::{
    control::Control,
    dpl::{Dpc, Dpl},
    fabric::{Fabric, Pass},
    faults::Faults,
    host::Host,
    mc::{self, LoadError, Mc},
    qbman::Qbman,
    smmu::Smmu,
    wriop::Wriop,
};
use std::sync::Arc;

/// A window of the board's addresses that is served by a call for each access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// MC command portals: 64 MiB, one portal every 64 KiB.
    McPortals,
    /// MC control registers: 256 KiB.
    McControl,
    /// QBMan software portals: cache-enabled area at 0, cache-inhibited
    /// (registers) at 64 MiB; 128 MiB in all.
    Qbman,
    /// MMU-500 registers: 1 MiB.
    Smmu,
}

/// What a board is made of.
#[derive(Default)]
pub struct BoardConfig {
    /// The chip and its isolation ids.
    pub mc: mc::Config,
    /// Containers and objects at boot.
    pub layout: Dpl,
    /// Ports and other facts of the board, where they are given.
    pub ports: Option<Dpc>,
    /// Delays and faults.
    pub faults: Faults,
    /// Receives a record of each command.
    pub tracer: Option<mc::Tracer>,
}

/// An emulated DPAA2 board. All methods may be called from any thread.
pub struct Board {
    mc: Arc<Mc>,
    control: Control,
    smmu: Arc<Smmu>,
    fabric: Arc<Fabric>,
}

impl Board {
    /// Powers a board on: its MC has booted and applied the layout.
    ///
    /// # Errors
    /// [`LoadError`] where the MC cannot make what the layout asks for.
    pub fn new(config: BoardConfig, host: Host) -> Result<Self, LoadError> {
        let smmu = Arc::new(Smmu::new(host.memory, host.lines));
        let clock = host.clock.clone();
        let mc = config.mc.within(config.ports.as_ref());
        let queues = (&mc.soc).into();
        let wriop = Wriop::new(host.wires, host.capture);
        let fabric = Fabric::new(queues, smmu.clone(), host.portals, clock, wriop);
        let mut state = mc::State::new(mc, fabric.clone(), host.clock);
        state.load(&config.layout, config.ports.as_ref())?;
        let perform = {
            let fabric = fabric.clone();
            Arc::new(move |pass: &mut Pass| fabric.run(pass))
        };
        let mc = Mc::new(state, config.faults, config.tracer, perform);
        Ok(Self { mc, control: Control::default(), smmu, fabric })
    }

    /// Reads from a window.
    pub fn read(&self, window: Window, offset: u64, data: &mut [u8]) {
        match window {
            Window::McPortals => self.mc.read(offset, data),
            Window::McControl => self.control.read(offset, data),
            Window::Qbman => self.fabric.read(offset, data),
            Window::Smmu => self.smmu.read(offset, data),
        }
    }

    /// Writes to a window. A command to the MC or the SMMU is done when this
    /// returns, unless a delay is set for it.
    pub fn write(&self, window: Window, offset: u64, data: &[u8]) {
        match window {
            Window::McPortals => self.mc.write(offset, data),
            Window::McControl => self.control.write(offset, data),
            Window::Qbman => self.fabric.write(offset, data),
            Window::Smmu => self.smmu.write(offset, data),
        }
    }

    /// A frame has come over the wire of the port `dpmac`: from the destination's
    /// address on, without check sequence. May be called from any thread, but not
    /// from within [`Wires::send`](crate::host::Wires::send).
    pub fn receive(&self, dpmac: u32, frame: &[u8]) {
        self.fabric.receive(dpmac, frame);
    }

    /// A wire is there, or is not any more: the physical side of a port's link.
    /// At first all wires are there.
    pub fn set_wire(&self, dpmac: u32, up: bool) {
        self.mc.set_wire(dpmac, up);
    }

    /// The Management Complex.
    pub fn mc(&self) -> &Arc<Mc> {
        &self.mc
    }

    /// The queue and buffer manager: frames that wait, buffers that are free.
    pub fn qbman(&self) -> &Qbman {
        self.fabric.qbman()
    }

    /// The IOMMU: what every bus master of the board goes through.
    pub fn smmu(&self) -> &Arc<Smmu> {
        &self.smmu
    }
}
