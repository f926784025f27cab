// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a program in the guest says when it cannot do its work.

use std::path::Path;

/// Something that did not work: what, where, and what one can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({place}){}", sentence(.advice))]
pub struct Failure {
    /// What was attempted and what came back.
    pub what: String,
    /// The path, module or device that refused.
    pub place: String,
    /// A sentence of advice; empty when there is none.
    pub advice: String,
}

fn sentence(advice: &str) -> String {
    if advice.is_empty() { String::new() } else { format!(". {advice}") }
}

impl Failure {
    /// A failure in its three parts.
    pub fn new(
        what: impl Into<String>,
        place: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), place: place.into(), advice: advice.into() }
    }

    /// An operating system error on a path.
    pub fn io(
        what: impl Into<String>,
        path: &Path,
        error: &std::io::Error,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(
            format!("{}: {}", what.into(), in_words(error)),
            path.display().to_string(),
            advice,
        )
    }
}

/// An operating system error with its symbol where it has a common one:
/// `ENODEV, No such device`.
pub fn in_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.raw_os_error() {
        Some(number) => match symbol(number) {
            Some(symbol) => format!("{symbol}, {text}"),
            None => format!("errno {number}, {text}"),
        },
        None => text.to_owned(),
    }
}

/// The symbols of the errors that sysfs, modules and VFIO answer with.
fn symbol(number: i32) -> Option<&'static str> {
    use rustix::io::Errno;
    Some(match Errno::from_raw_os_error(number) {
        Errno::PERM => "EPERM",
        Errno::NOENT => "ENOENT",
        Errno::IO => "EIO",
        Errno::NOEXEC => "ENOEXEC",
        Errno::BADF => "EBADF",
        Errno::AGAIN => "EAGAIN",
        Errno::NOMEM => "ENOMEM",
        Errno::ACCESS => "EACCES",
        Errno::FAULT => "EFAULT",
        Errno::BUSY => "EBUSY",
        Errno::EXIST => "EEXIST",
        Errno::NODEV => "ENODEV",
        Errno::NOTDIR => "ENOTDIR",
        Errno::ISDIR => "EISDIR",
        Errno::INVAL => "EINVAL",
        Errno::NOTTY => "ENOTTY",
        Errno::NOSPC => "ENOSPC",
        Errno::ROFS => "EROFS",
        Errno::PIPE => "EPIPE",
        Errno::NOSYS => "ENOSYS",
        Errno::TIMEDOUT => "ETIMEDOUT",
        Errno::NXIO => "ENXIO",
        Errno::PROTO => "EPROTO",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_symbol_and_words() {
        let error = std::io::Error::from_raw_os_error(19);
        assert_eq!(in_words(&error), "ENODEV, No such device");
        let error = std::io::Error::from_raw_os_error(95);
        assert!(in_words(&error).starts_with("EOPNOTSUPP, "));
    }
}
