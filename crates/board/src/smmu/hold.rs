// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Several accesses as one transaction.

use super::Smmu;
use super::gate::{Pass, Place};
use std::fmt;

/// A transaction under way: see [`Smmu::hold`].
#[must_use = "the transaction ends when this is dropped"]
pub struct Hold<'a> {
    smmu: &'a Smmu,
    /// There until the drop.
    pass: Option<Pass<'a>>,
}

impl<'a> Hold<'a> {
    #[inline]
    pub(super) fn new(smmu: &'a Smmu) -> Self {
        Self { smmu, pass: Some(smmu.gate.pass()) }
    }

    /// The place of the thread, if it has one.
    #[inline]
    pub(super) fn place(&self) -> Option<&Place> {
        self.pass.as_ref().and_then(Pass::place)
    }
}

impl Drop for Hold<'_> {
    #[inline]
    fn drop(&mut self) {
        let inner = self.pass.take().is_some_and(|pass| pass.is_inner());
        if !inner {
            self.smmu.settle();
        }
    }
}

impl fmt::Debug for Hold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}
