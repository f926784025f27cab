// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Event file descriptors.
//!
//! C header: `include/linux/eventfd.h`

use super::bindings as ext;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    }, //
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

    /// Adds one to its counter. Callable in any context.
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

/// A place for an eventfd that is signalled without a lock.
///
/// # Invariants
///
/// `ctx` is null, or a reference to a valid `struct eventfd_ctx` which the slot owns.
pub(super) struct Slot {
    ctx: Atomic<*mut bindings::eventfd_ctx>,
}

impl Slot {
    pub(super) fn new(eventfd: Option<EventFd>) -> Self {
        // INVARIANT: The slot takes the reference over.
        Self {
            ctx: Atomic::new(into_raw(eventfd)),
        }
    }

    /// Puts another eventfd, or none, in place of the one that is there.
    pub(super) fn replace(&self, eventfd: Option<EventFd>) -> Option<EventFd> {
        // INVARIANT: One reference for the other.
        let old = self.ctx.xchg(into_raw(eventfd), Full);
        // INVARIANT: The reference was the slot's.
        NonNull::new(old).map(EventFd)
    }

    pub(super) fn is_filled(&self) -> bool {
        !self.ctx.load(Relaxed).is_null()
    }

    /// Adds one to the counter of the eventfd that is there. Whether one is. Callable in any
    /// context.
    ///
    /// # Safety
    ///
    /// What [`Slot::replace`] returns is not dropped before this has returned.
    pub(super) unsafe fn signal(&self) -> bool {
        let ctx = self.ctx.load(Acquire);
        if !ctx.is_null() {
            // SAFETY: Valid by the type invariant, or since by the requirement.
            unsafe { ext::vfm_eventfd_signal(ctx) }
        }
        !ctx.is_null()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.replace(None));
    }
}

fn into_raw(eventfd: Option<EventFd>) -> *mut bindings::eventfd_ctx {
    match eventfd {
        Some(eventfd) => ManuallyDrop::new(eventfd).0.as_ptr(),
        None => core::ptr::null_mut(),
    }
}
