// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What an emulated board's Ethernet ports are connected to.
//!
//! | kind | what is at the other end |
//! |---|---|
//! | `loop` | the port itself |
//! | `dpmac.N` | another port of the board |
//! | `pcap:in=FILE,out=FILE` | files of frames, pcap or pcapng: one to receive, one for what is sent |
//! | `unix:PATH`, `tcp:HOST:PORT` | a program that speaks the framing of QEMU's `-netdev stream`: another board, any VM |
//! | `tap:NAME` | a network interface of the machine |
//! | `user` | a network behind address translation, which needs no rights |
//!
//! A wire can have faults: frames that get lost, arrive twice, damaged, late or in
//! another order ([`Faults`]).
//!
//! [`WireSpec`] is a wire as it is written, [`Network`] all wires of a board. [`Captures`]
//! writes the frames that pass interfaces and ports to files.
#![forbid(unsafe_code)]

mod capture;
mod captures;
mod direction;
mod error;
mod faults;
mod line;
mod link;
mod network;
mod replay;
mod socket;
mod spec;
mod stop;
mod tap;
mod user;

pub use capture::recorded_frames;
pub use captures::{CaptureError, CaptureSpec, CaptureSpecError, Captures};
pub use error::{Problem, WireError};
pub use faults::Faults;
pub use network::{Network, WireState};
pub use spec::{Kind, SpecError, WireSpec};
pub use user::MakeQemu;

use board::Board;

/// What wires need of a board.
pub trait Receiver: Send + Sync {
    /// A frame has come over the wire of a port.
    fn receive(&self, dpmac: u32, frame: &[u8]);

    /// The wire of a port is there, or is not any more.
    fn set_wire(&self, dpmac: u32, up: bool);
}

impl Receiver for Board {
    fn receive(&self, dpmac: u32, frame: &[u8]) {
        Board::receive(self, dpmac, frame);
    }

    fn set_wire(&self, dpmac: u32, up: bool) {
        Board::set_wire(self, dpmac, up);
    }
}

#[cfg(test)]
mod tests;
