// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the board's Ethernet ports are connected to.

/// The wires of a board.
pub trait Wires: Send + Sync {
    /// A frame leaves the port `dpmac`: from the destination's address on,
    /// without check sequence, 60 bytes or more.
    ///
    /// Must not block, and must not call the board: what a wire brings back is
    /// handed over by another thread, or later.
    fn send(&self, dpmac: u32, frame: &[u8]);

    /// The port `dpmac` passes frames on from now on, or does not any more: its
    /// own side of the link. Called while locks are held: must not block either.
    fn port_changed(&self, dpmac: u32, up: bool) {
        let _ = (dpmac, up);
    }
}

/// Wires that end in nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoWires;

impl Wires for NoWires {
    fn send(&self, _dpmac: u32, _frame: &[u8]) {}
}
