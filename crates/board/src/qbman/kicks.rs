// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Portals whose dequeue ring is to be filled.

use std::ops::BitOrAssign;

/// A set of portals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kicks(u128);

impl Kicks {
    /// No portal.
    pub const NONE: Self = Self(0);

    /// The same with a portal.
    #[must_use]
    pub fn with(self, portal: u32) -> Self {
        Self(self.0 | Self::bit(portal))
    }

    /// The same without a portal.
    #[must_use]
    pub fn without(self, portal: u32) -> Self {
        Self(self.0 & !Self::bit(portal))
    }

    /// Takes the lowest portal out.
    pub fn take(&mut self) -> Option<u32> {
        let portal = (self.0 != 0).then(|| self.0.trailing_zeros())?;
        self.0 &= self.0 - 1;
        Some(portal)
    }

    fn bit(portal: u32) -> u128 {
        1u128.checked_shl(portal).unwrap_or(0)
    }
}

impl BitOrAssign for Kicks {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
