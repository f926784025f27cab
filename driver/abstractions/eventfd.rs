// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Event file descriptors.
//!
//! C header: `include/linux/eventfd.h`

use super::bindings as ext;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*, //
};

/// A reference to an eventfd.
///
/// # Invariants
///
/// Owns one reference to a valid `struct eventfd_ctx`.
pub(crate) struct EventFd(NonNull<bindings::eventfd_ctx>);

// SAFETY: The context is reference counted and has a lock of its own.
unsafe impl Send for EventFd {}
// SAFETY: As above.
unsafe impl Sync for EventFd {}

impl EventFd {
    /// The eventfd behind a file descriptor of the current process.
    ///
    /// `EBADF` if there is none of that number, `EINVAL` if it is no eventfd.
    pub(crate) fn from_fd(fd: i32) -> Result<Self> {
        // SAFETY: Any number may be asked for.
        let ctx = from_err_ptr(unsafe { bindings::eventfd_ctx_fdget(fd) })?;
        // INVARIANT: The call gave us a reference.
        NonNull::new(ctx).map(Self).ok_or(EBADF)
    }

    /// Adds one to the counter. Callable in any context.
    pub(crate) fn signal(&self) {
        // SAFETY: Valid by the type invariant.
        unsafe { ext::vfm_eventfd_signal(self.0.as_ptr()) }
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: Gives back the reference of the type invariant.
        unsafe { bindings::eventfd_ctx_put(self.0.as_ptr()) }
    }
}
