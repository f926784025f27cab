// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a program in the guest says when it cannot do its work.

use dprc::PortalError;
use fsl_mc_linux::bus;
use fsl_mc_linux::errno::describe;
use mc_abi::Status;
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
            format!("{}: {}", what.into(), describe(error)),
            path.display().to_string(),
            advice,
        )
    }
}

impl From<bus::Error> for Failure {
    fn from(error: bus::Error) -> Self {
        Self::new(error.what, error.place, error.advice)
    }
}

impl From<PortalError> for Failure {
    fn from(error: PortalError) -> Self {
        let advice = match error.status() {
            Some(Status::AuthenticationError) => {
                "The token is not open, or the object is not below this portal's container"
            }
            Some(Status::NoPrivilege) => "The container's options do not allow it, or it is locked",
            Some(Status::NoResource) => "A pool is empty, or there is no such object",
            Some(Status::Busy) => "Something holds the object; unbind its driver",
            Some(Status::ConfigurationError) => "A parameter has a value that the MC does not take",
            Some(Status::InvalidState) => "The object is in a state that does not allow it",
            Some(Status::UnsupportedOperation) => "This firmware does not have the command",
            _ => "The kernel's log (dmesg) may say more",
        };
        Self::new(error.to_string(), "the Management Complex", advice)
    }
}

impl From<dprc::Error> for Failure {
    fn from(error: dprc::Error) -> Self {
        match error {
            dprc::Error::Portal(error) => error.into(),
            dprc::Error::Kernel { asked, of, errno, advice } => {
                Self::new(format!("{asked}: {}", describe(&errno.into())), of, advice)
            }
            error => Self::new(error.to_string(), "VFIO", ""),
        }
    }
}

impl From<Box<dprc::MapError>> for Failure {
    fn from(error: Box<dprc::MapError>) -> Self {
        error.error.into()
    }
}
