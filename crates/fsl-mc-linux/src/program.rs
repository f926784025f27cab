// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How a program ends whose output nobody reads any more, and what whoever started it wants of it.

use rustix::{process::getpgrp, termios::tcgetpgrp};
use std::{
    any::Any,
    fs, io,
    os::fd::AsFd,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

/// What the shell shows of a program that SIGPIPE has ended.
pub const NOBODY_READS: u8 = 128 + 13;

/// Runs what a program does. Where the reader of its standard output has seen enough, as `head`
/// has, it ends at the next line, with all that it holds given back and without a word:
/// `println!` panics then, since Rust's programs ignore SIGPIPE.
///
/// The exit code is that of `main`, or 141.
pub fn run(main: impl FnOnce() -> ExitCode) -> ExitCode {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !nobody_reads(info.payload()) {
            hook(info);
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(main)) {
        Ok(code) => code,
        Err(reason) if nobody_reads(&*reason) => ExitCode::from(NOBODY_READS),
        Err(reason) => panic::resume_unwind(reason),
    }
}

/// The signals that this process ignores at the moment; asked before it sets handlers, those
/// that it was started to ignore, as by nohup, or by a shell without job control in the
/// background. Who honours that leaves them so.
///
/// # Errors
/// There is no /proc.
pub fn ignored_signals() -> io::Result<Ignored> {
    let status = fs::read_to_string("/proc/self/status")?;
    ignored_of(&status).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status names no ignored signals")
    })
}

/// A set of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ignored(u64);

impl Ignored {
    /// Whether a signal, by its number, is among them.
    pub fn has(self, signal: i32) -> bool {
        // The lowest bit is that of signal 1.
        let bit = u32::try_from(signal).ok().and_then(|signal| signal.checked_sub(1));
        bit.and_then(|bit| self.0.checked_shr(bit)).is_some_and(|bits| bits & 1 == 1)
    }
}

fn ignored_of(status: &str) -> Option<Ignored> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok().map(Ignored)
}

/// Whether this is a terminal that somebody else has: a shell that has started this process in
/// the background. The system would stop it as soon as it read from there or changed the
/// settings.
pub fn is_in_background(terminal: impl AsFd) -> bool {
    // An error: it is no terminal, or none that controls this process.
    tcgetpgrp(terminal).is_ok_and(|foreground| foreground != getpgrp())
}

/// Whether that is why a `println!` or `eprintln!` has panicked.
fn nobody_reads(reason: &(dyn Any + Send)) -> bool {
    let text = reason.downcast_ref::<String>();
    let said = ["stdout", "stderr"].map(|name| format!("failed printing to {name}: Broken pipe"));
    text.is_some_and(|text| said.iter().any(|said| text.starts_with(said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_those_of_the_mask() {
        // As nohup leaves it, with SIGPIPE, which the standard library ignores.
        let ignored = ignored_of("SigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n").unwrap();
        assert!(ignored.has(1) && ignored.has(13));
        assert!([-1, 0, 2, 14, 64, 65].iter().all(|signal| !ignored.has(*signal)));
        assert_eq!(ignored_of("SigBlk:\t0\n"), None);
        assert!(ignored_signals().unwrap().has(13));
    }

    #[test]
    fn only_a_closed_output_ends_quietly() {
        let text = |text: &str| nobody_reads(&text.to_owned());
        assert!(text("failed printing to stdout: Broken pipe (os error 32)"));
        assert!(!text("failed printing to stdout: No space left on device (os error 28)"));
        assert!(!nobody_reads(&"index out of bounds"));
    }
}
