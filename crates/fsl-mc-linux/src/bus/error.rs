// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What sysfs refuses.

use rustix::io::Errno;
use std::io;
use std::path::Path;

/// A request that the bus did not fulfil: what, where, and what one can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({place}){}", sentence(.advice))]
pub struct Error {
    /// What was attempted and what came back.
    pub what: String,
    /// The path that refused.
    pub place: String,
    /// A sentence of advice; empty when there is none.
    pub advice: String,
    /// The kernel's error number, where it gave one.
    pub errno: Option<Errno>,
}

impl Error {
    pub(super) fn io(
        what: &str,
        path: &Path,
        error: &io::Error,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            what: format!("{what}: {}", super::errno::describe(error)),
            place: path.display().to_string(),
            advice: advice.into(),
            errno: Errno::from_io_error(error),
        }
    }
}

fn sentence(advice: &str) -> String {
    if advice.is_empty() { String::new() } else { format!(". {advice}") }
}
