// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a board is to this crate: register windows that are read and written.

/// A register window whose accesses are trapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The MC's command portals.
    McPortals,
    /// The MC's control registers.
    McControl,
    /// The trapped QBMan portals.
    QbmanDoorbell,
    /// The SMMU's registers.
    Smmu,
}

/// Hardware behind register windows. Called from several threads at once.
pub trait Hardware: Send + Sync {
    /// Reads `buf.len()` bytes at `offset` of `window`.
    fn read(&self, window: Window, offset: u64, buf: &mut [u8]);
    /// Writes `data` at `offset` of `window`.
    fn write(&self, window: Window, offset: u64, data: &[u8]);
}
