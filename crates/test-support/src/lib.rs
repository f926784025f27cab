// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tests that cannot run where they are.
//!
//! A test that returns early looks like one that passed. One that calls [`skip`] is
//! counted: `cargo xtask test` ends with their number and reasons.
//! Where `CI=true` says that everything is to run, a test that could have been made to
//! run fails instead.
#![forbid(unsafe_code)]

pub mod documented;
pub mod flakes;

use std::io::Write;

/// Starts the line about a test that did not run, on standard error.
pub const MARK: &str = "skipped: ";

/// A test does not run for want of something that can be installed or set up. The name is
/// the test's, the reason says what is missing and how to get it.
///
/// # Panics
/// With the reason, where the environment has `CI=true`: the test fails.
pub fn skip(test: &str, reason: &str) {
    assert!(!everything_must_run(), "{test} cannot run, and with CI=true it must: {reason}");
    // The test runner captures what tests print by the macros, not what is written so.
    // Without standard error there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("{MARK}{test}: {reason}\n").as_bytes());
}

/// Whether the environment has `CI=true`.
pub fn everything_must_run() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}
