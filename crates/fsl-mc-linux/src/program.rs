// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How a program ends whose output nobody reads any more.

use std::{
    any::Any,
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
    fn only_a_closed_output_ends_quietly() {
        let text = |text: &str| nobody_reads(&text.to_owned());
        assert!(text("failed printing to stdout: Broken pipe (os error 32)"));
        assert!(!text("failed printing to stdout: No space left on device (os error 28)"));
        assert!(!nobody_reads(&"index out of bounds"));
    }
}
