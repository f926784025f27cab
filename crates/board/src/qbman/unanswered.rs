// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands that get no answer because the queues are not there.

use std::fmt;

/// A kind of command to a software portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Frames put into the enqueue ring.
    Enqueue,
    /// Buffers put into the release ring.
    Release,
    /// A command of the command register: acquire, queries, notifications.
    Management,
    /// A dequeue that software asks for.
    VolatileDequeue,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enqueue => "enqueue",
            Self::Release => "buffer release",
            Self::Management => "management command",
            Self::VolatileDequeue => "volatile dequeue",
        })
    }
}

/// The kinds that a portal was asked for: each is worth one warning, however
/// often software polls.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    seen: u8,
}

impl Unanswered {
    /// Traces a command, the first of its kind as a warning.
    pub fn note(&mut self, portal: u32, kind: Kind) {
        if self.is_first(kind) {
            tracing::warn!(
                portal,
                "{kind} through a software portal is not implemented and gets no answer"
            );
        } else {
            tracing::trace!(portal, "{kind} gets no answer");
        }
    }

    fn is_first(&mut self, kind: Kind) -> bool {
        let bit = 1 << kind as u8;
        let first = self.seen & bit == 0;
        self.seen |= bit;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_first_once() {
        let mut unanswered = Unanswered::default();
        for kind in [Kind::Enqueue, Kind::Release, Kind::Management, Kind::VolatileDequeue] {
            assert!(unanswered.is_first(kind), "{kind}");
            assert!(!unanswered.is_first(kind), "{kind}");
        }
    }
}
