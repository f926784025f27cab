// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Why the MC does not do what a command asks for.

use mc_abi::Status;
use std::{borrow::Cow, fmt};

/// Reason of commands that the board has no code for.
pub(crate) const NOT_IMPLEMENTED: &str = "the board does not implement this command";

/// Reason of create commands that are sent to an object.
pub(crate) const CREATED_BY_CONTAINER: &str = "objects are created through their container's token";

/// A refused command: the status that its sender gets, and the reason in words
/// for whoever reads the trace. Who decides knows the reason, and says it there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// What the answer says.
    pub status: Status,
    /// Why: half a sentence, as it stands behind the status.
    pub reason: Cow<'static, str>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

/// Makes a refusal out of its status.
pub(crate) trait Because {
    /// The refusal with this status and a reason.
    fn because(self, reason: impl Into<Cow<'static, str>>) -> Refusal;
}

impl Because for Status {
    fn because(self, reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status: self, reason: reason.into() }
    }
}
