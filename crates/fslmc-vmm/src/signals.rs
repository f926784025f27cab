// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Signals that end the guest: the containers go back to the host all the same.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
#![allow(unsafe_code)]

use crate::error::Error;
use fsl_mc_linux::program::ignored_signals;
use std::io;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicU8, Ordering};
use vmm_sys_util::signal::register_signal_handler;

const CAUGHT: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The last signal that came; 0 where none has.
static CAME: AtomicU8 = AtomicU8::new(0);

/// From now on, a signal only is noted. One that this process was started to ignore, as by
/// nohup or by a shell in the background, is ignored further. Those that would stop this process
/// in the background of a terminal, with the containers taken, are ignored: reads fail there.
///
/// # Errors
/// The system refuses.
pub fn catch() -> Result<(), Error> {
    let ignored = ignored_signals()
        .map_err(|reason| Error::System { what: "reading /proc/self/status", reason })?;
    for signal in CAUGHT {
        if !ignored.has(signal) {
            register_signal_handler(signal, note).map_err(|error| failed(error.into()))?;
        }
    }
    for signal in [libc::SIGTTIN, libc::SIGTTOU] {
        // SAFETY: no handler is set, nor anything else that the process has to keep.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(failed(io::Error::last_os_error()));
        }
    }
    Ok(())
}

fn failed(reason: io::Error) -> Error {
    Error::System { what: "sigaction", reason }
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    #[test]
    fn signals_that_are_ignored_at_the_start_stay_so() {
        // SAFETY: ignores a signal that nothing else in this process knows of.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        catch().unwrap();
        let ignored = ignored_signals().unwrap();
        assert!(ignored.has(libc::SIGHUP) && !ignored.has(libc::SIGTERM));
        // A signal comes before the call that sends it to its own process ends, but for one
        // that another thread takes.
        kill_process(getpid(), Signal::HUP).unwrap();
        assert_eq!(came(), None);
        kill_process(getpid(), Signal::TERM).unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while came().is_none() && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        assert_eq!(came(), Some(libc::SIGTERM as u8));
    }
}
