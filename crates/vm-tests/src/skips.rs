// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What was not tested. It is listed at the end of a run, by number; what could not be
//! tested counts as failed in continuous integration (`CI=true`).

use anyhow::{Result, ensure};
use std::sync::{Mutex, PoisonError};
use test_support::MARK;

static SKIPPED: Mutex<Vec<(usize, String)>> = Mutex::new(Vec::new());

/// Notes `count` checks of something that cannot be made here, with the reason.
///
/// # Errors
/// With `CI=true`, the same as an error.
pub fn skip(what: &str, count: usize, reason: &str) -> Result<()> {
    not_applicable(what, count, reason);
    let all = test_support::everything_must_run();
    ensure!(!all, "{what} cannot be tested, which CI=true does not allow: {reason}");
    Ok(())
}

/// Notes `count` checks of something that mean nothing for this kernel or board.
pub fn not_applicable(what: &str, count: usize, reason: &str) {
    let line = format!("{what}: {reason}");
    SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).push((count, line));
}

/// What was skipped in this run, in lines for its end; nothing where nothing was.
pub fn summary() -> Vec<String> {
    let skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = skipped.iter().map(|(count, line)| format!("{MARK}{line} ({count})"));
    let mut lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        let count: usize = skipped.iter().map(|(count, _)| count).sum();
        lines.push(format!("{count} skipped"));
    }
    lines
}
