// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Who looks at frames in passing.

use mc_abi::ObjectId;
use qbman_abi::Fd;

/// A frame at an interface (`dpni`) or a port (`dpmac`).
#[derive(Debug, Clone, Copy)]
pub struct Passing<'a> {
    /// The interface or port.
    pub object: ObjectId,
    /// Whether it receives the frame, or sends it.
    pub received: bool,
    /// From the destination's address on, without check sequence: as it is in the
    /// receiver's buffer, or as it leaves.
    pub frame: &'a [u8],
    /// The descriptor that goes to software, or that came from it; ports have none.
    pub fd: Option<&'a Fd>,
    /// The hardware's annotation in the frame's buffer, as far as the descriptor says
    /// that there is one.
    pub annotation: &'a [u8],
}

/// Sees frames that pass.
pub trait Capture: Send + Sync {
    /// Whether the frames of an object are wanted. Asked when the object is set up for
    /// the first time.
    fn wants(&self, object: ObjectId) -> bool;

    /// A frame passes an object that was wanted: it has got into a receive queue, or
    /// out of a transmit queue. Called by the thread that moves it: must not block, and
    /// must not call the board.
    fn passes(&self, passing: &Passing<'_>);
}

/// Wants no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoCapture;

impl Capture for NoCapture {
    fn wants(&self, _object: ObjectId) -> bool {
        false
    }

    fn passes(&self, _passing: &Passing<'_>) {}
}
