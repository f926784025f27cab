// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! The 64 bytes of a command portal of the Management Complex, mapped into the kernel.

use super::bindings as ext;
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

/// Bytes of a portal that matter.
const PORTAL_SIZE: usize = 64;

/// A mapped portal.
///
/// # Invariants
///
/// `base` maps at least [`PORTAL_SIZE`] bytes of device memory.
pub(crate) struct McPortal {
    base: NonNull<c_void>,
}

// SAFETY: The mapping belongs to no thread.
unsafe impl Send for McPortal {}
// SAFETY: Every access is a load or a store of a device register; which of them make sense at
// the same time is for the user to say, none does harm to memory.
unsafe impl Sync for McPortal {}

impl McPortal {
    /// Maps the portal at a physical address, of which the caller knows that it is one.
    pub(crate) fn map(physical: u64) -> Result<Self> {
        // SAFETY: Mapping device memory has no requirement of its own.
        let base = unsafe { bindings::ioremap(physical, PORTAL_SIZE) };
        // INVARIANT: Mapped with that size.
        NonNull::new(base).map(|base| Self { base }).ok_or(ENOMEM)
    }

    /// Stores the words, the first one last: that store submits the command. The first word as
    /// it is then, with the answer's status if there is one already.
    #[inline]
    pub(crate) fn submit(&self, words: &[u64; 8]) -> u64 {
        // SAFETY: Mapped by the type invariant; the array has the eight words that are read.
        unsafe { ext::vfm_portal_submit(self.base.as_ptr(), words.as_ptr()) }
    }

    /// The first word: its status says whether the command was answered.
    #[inline]
    pub(crate) fn header(&self) -> u64 {
        // SAFETY: Mapped by the type invariant.
        unsafe { ext::vfm_portal_header(self.base.as_ptr()) }
    }

    /// Reads all words but the first one, which becomes `header`.
    #[inline]
    pub(crate) fn read_with_header(&self, header: u64, words: &mut [u64; 8]) {
        // SAFETY: Mapped by the type invariant; the array has room for eight words.
        unsafe { ext::vfm_portal_parameters(self.base.as_ptr(), words.as_mut_ptr()) };
        words[0] = header;
    }
}

impl Drop for McPortal {
    fn drop(&mut self) {
        // SAFETY: Mapped by the type invariant, and nobody uses it any more.
        unsafe { bindings::iounmap(self.base.as_ptr()) }
    }
}
