// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Interrupt lines with a Linux number that the `kernel` crate's `irq` cannot be given.
//!
//! C header: `include/linux/interrupt.h`

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    str::CString, //
};

/// What to do when an interrupt comes.
pub(crate) trait Handler: Send + Sync {
    /// Called in interrupt context: no sleeping, no sleeping locks.
    fn handle(&self);
}

/// A requested line. Dropping it waits for a handler that runs, and frees the line.
///
/// # Invariants
///
/// `virq` is requested with `inner` as its cookie.
pub(crate) struct Line<H: Handler>(KBox<Inner<H>>);

struct Inner<H: Handler> {
    handler: H,
    virq: u32,
    /// The name in `/proc/interrupts`, which keeps the pointer.
    name: CString,
}

impl<H: Handler> Line<H> {
    /// Requests `virq`, to appear as `name` in `/proc/interrupts`.
    pub(crate) fn request(virq: u32, name: CString, handler: H) -> Result<Self> {
        let inner = KBox::new(
            Inner {
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

    pub(crate) fn handler(&self) -> &H {
        &self.0.handler
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
    unsafe { &*cookie.cast::<Inner<H>>() }.handler.handle();
    bindings::irqreturn::IRQ_HANDLED
}
