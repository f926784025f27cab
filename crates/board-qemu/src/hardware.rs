// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a board is to this crate: register windows that are read and written.

use board::Board;
pub use board::Window;

/// Hardware behind register windows. Called from several threads at once, and
/// QEMU waits for the answer: an implementation never waits for QEMU itself,
/// nor for a message to be delivered.
pub trait Hardware: Send + Sync {
    /// Reads `buf.len()` bytes at `offset` of `window`.
    fn read(&self, window: Window, offset: u64, buf: &mut [u8]);
    /// Writes `data` at `offset` of `window`.
    fn write(&self, window: Window, offset: u64, data: &[u8]);
}

impl Hardware for Board {
    fn read(&self, window: Window, offset: u64, buf: &mut [u8]) {
        Board::read(self, window, offset, buf);
    }

    fn write(&self, window: Window, offset: u64, data: &[u8]) {
        Board::write(self, window, offset, data);
    }
}
