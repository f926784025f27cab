// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Signals that end the guest: the containers go back to the host all the same.

use crate::error::Error;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicU8, Ordering};
use vmm_sys_util::signal::register_signal_handler;

const CAUGHT: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The last signal that came; 0 where none has.
static CAME: AtomicU8 = AtomicU8::new(0);

/// From now on, a signal only is noted.
///
/// # Errors
/// The system refuses.
pub fn catch() -> Result<(), Error> {
    for signal in CAUGHT {
        register_signal_handler(signal, note)
            .map_err(|error| Error::System { what: "sigaction", reason: error.into() })?;
    }
    Ok(())
}

/// The signal that has come.
pub fn came() -> Option<u8> {
    Some(CAME.load(Ordering::Acquire)).filter(|signal| *signal != 0)
}

/// What SIGTERM does, asked for by the console's user.
pub fn end() {
    CAME.store(libc::SIGTERM as u8, Ordering::Release);
}

extern "C" fn note(signal: c_int, _: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {
    // Numbers of signals are small.
    CAME.store(u8::try_from(signal).unwrap_or(u8::MAX), Ordering::Release);
}
