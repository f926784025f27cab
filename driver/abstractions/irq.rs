// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Interrupt lines with a Linux number that the `kernel` crate's `irq` cannot be given, and
//! that signal an eventfd.
//!
//! C header: `include/linux/interrupt.h`

use super::eventfd::{
    EventFd,
    Slot, //
};
use kernel::{
    bindings,
    error::to_result,
    irq::IrqReturn,
    prelude::*,
    str::CString, //
};

/// What to do when an interrupt has come.
pub(crate) trait Handler: Send + Sync {
    /// Called in interrupt context: no sleeping, no sleeping locks. `signalled`: there was an
    /// eventfd to be signalled.
    fn handle(&self, virq: u32, signalled: bool);
}

/// A requested line. Dropping it waits for a handler that runs, and frees the line.
///
/// # Invariants
///
/// `virq` is requested with `inner` as its cookie.
pub(crate) struct Line<H: Handler>(KBox<Inner<H>>);

struct Inner<H: Handler> {
    eventfd: Slot,
    handler: H,
    virq: u32,
    /// The name in `/proc/interrupts`, which keeps the pointer.
    name: CString,
}

impl<H: Handler> Line<H> {
    /// Requests `virq`, to appear as `name` in `/proc/interrupts`.
    pub(crate) fn request(
        virq: u32,
        name: CString,
        handler: H,
        eventfd: Option<EventFd>,
    ) -> Result<Self> {
        let inner = KBox::new(
            Inner {
                eventfd: Slot::new(eventfd),
                handler,
                virq,
                name,
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        let cookie = core::ptr::from_ref(&*inner).cast_mut();
        // SAFETY: `callback` takes the cookie, which stays where it is until `free_irq` in
        // `drop`: the box is never replaced.
        to_result(unsafe {
            bindings::request_threaded_irq(
                virq,
                Some(callback::<H>),
                None,
                0,
                inner.name.as_char_ptr(),
                cookie.cast(),
            )
        })?;
        // INVARIANT: Just requested.
        Ok(Self(inner))
    }

    pub(crate) fn virq(&self) -> u32 {
        self.0.virq
    }

    /// Has the line signal another eventfd, or none. After it, the one of before is not
    /// signalled.
    pub(crate) fn set_eventfd(&mut self, eventfd: Option<EventFd>) {
        let old = self.0.eventfd.replace(eventfd);
        if old.is_some() {
            // SAFETY: The line is requested, by the type invariant. This may sleep, as the
            // caller may who frees a line.
            unsafe { bindings::synchronize_irq(self.0.virq) };
        }
        // Nobody uses it any more: handlers that found it have returned, and others need `self`.
        drop(old);
    }

    /// Whether there is an eventfd to be signalled.
    pub(crate) fn has_eventfd(&self) -> bool {
        self.0.eventfd.is_filled()
    }

    /// Signals the eventfd as if an interrupt had come.
    pub(crate) fn signal(&self) {
        // SAFETY: `set_eventfd` takes the eventfd away, for which it needs `self` alone.
        let _ = unsafe { self.0.eventfd.signal() };
    }
}

impl<H: Handler> Drop for Line<H> {
    fn drop(&mut self) {
        let cookie = core::ptr::from_ref(&*self.0).cast_mut();
        // SAFETY: Requested with that cookie, by the type invariant.
        unsafe { bindings::free_irq(self.0.virq, cookie.cast()) };
    }
}

extern "C" fn callback<H: Handler>(_irq: c_int, cookie: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: `Line::request` gave this cookie, which lives until `free_irq` has returned.
    let inner = unsafe { &*cookie.cast::<Inner<H>>() };
    // SAFETY: Who takes the eventfd away waits with `synchronize_irq` before dropping it; the
    // line's end waits in `free_irq`.
    let signalled = unsafe { inner.eventfd.signal() };
    inner.handler.handle(inner.virq, signalled);
    let handled = IrqReturn::Handled as c_uint;
    // SAFETY: `irqreturn_t` is a number in Linux 7.2, and a transparent wrapper of it since.
    unsafe { core::mem::transmute::<c_uint, bindings::irqreturn_t>(handled) }
}
