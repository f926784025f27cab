// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Several accesses as one transaction.

use super::Smmu;
use super::reader_lock::{ReadGuard, Slot};
use std::fmt;

/// A transaction under way: see [`Smmu::hold`].
#[must_use = "the transaction ends when this is dropped"]
pub struct Hold<'a> {
    smmu: &'a Smmu,
    /// There until the drop.
    guard: Option<ReadGuard<'a>>,
}

impl<'a> Hold<'a> {
    #[inline]
    pub(super) fn new(smmu: &'a Smmu) -> Self {
        Self { smmu, guard: Some(smmu.lock.read()) }
    }

    /// The slot of the thread, if it has one.
    #[inline]
    pub(super) fn slot(&self) -> Option<&Slot> {
        self.guard.as_ref().and_then(ReadGuard::slot)
    }
}

impl Drop for Hold<'_> {
    #[inline]
    fn drop(&mut self) {
        let inner = self.guard.take().is_some_and(|guard| guard.is_inner());
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
