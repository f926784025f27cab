// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! When a portal takes a command, and how long to wait for its answer.
//!
//! Software writes the header last, with the status "ready"; the MC executes the
//! command and overwrites the status. A command that is written over one in
//! flight is lost, or worse: its parameters are taken for those of the other. So
//! a portal remembers how its last command ended.

use super::command::in_flight;
use super::Errno;

/// How a portal's last command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum State {
    /// With an answer, or there was none.
    #[default]
    Idle,
    /// Nobody waited for the answer to the end.
    Abandoned,
    /// Without an answer in time.
    Hung,
    /// The portal is somebody else's: there is no next command.
    Revoked,
}

/// What to do with the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Write it.
    Go,
    /// Wait as for an answer, then ask again.
    Wait,
    /// Refuse it.
    Refuse(Errno),
}

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The MC answered.
    Answered,
    /// The task that waits is to die.
    Killed,
    /// The limit is over.
    TimedOut,
}

impl State {
    /// What to do with a command, where the portal's status byte is
    /// `status_now`. While a command is in flight, one that was abandoned is
    /// waited for and one that hung is not waited for again; once it is
    /// answered, late or not, the portal is idle.
    ///
    /// An idle portal takes a command whatever its status says: it may be one
    /// that was never used.
    pub fn before_command(&mut self, status_now: u8) -> Next {
        match *self {
            Self::Abandoned if in_flight(status_now) => Next::Wait,
            Self::Hung if in_flight(status_now) => Next::Refuse(Errno::Busy),
            Self::Revoked => Next::Refuse(Errno::NoDev),
            _ => {
                *self = Self::Idle;
                Next::Go
            }
        }
    }

    /// Notes how waiting ended, for an answer to a command that was written or
    /// one that was abandoned before.
    pub fn after(&mut self, outcome: Outcome) {
        *self = match outcome {
            Outcome::Answered => Self::Idle,
            Outcome::Killed => Self::Abandoned,
            Outcome::TimedOut => Self::Hung,
        };
    }
}

/// The longest that the stock driver waits, microseconds.
pub const LIMIT_US: u64 = 5_000_000;

/// What to do before the next look at a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Stay on the processor, microseconds.
    Spin(u32),
    /// Leave it, microseconds.
    Sleep {
        /// At least.
        min: u32,
        /// At most.
        max: u32,
    },
    /// Wait no longer.
    GiveUp,
}

/// How to wait for an answer: look, then do what [`Backoff::next`] says, and
/// again until there is an answer or it says [`Step::GiveUp`].
///
/// Most commands are answered within microseconds, for which a few short waits
/// are cheaper than a sleep; the others may take milliseconds, and who waits for
/// those sleeps a quarter of the time that it has waited already, to ten
/// milliseconds: so an answer is noticed late by a quarter at most, or ten
/// microseconds, and a look at the portal, which is slow, is rare where the
/// answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    limit_us: u64,
    spins: u32,
}

impl Backoff {
    const SPINS: u32 = 10;
    const SHORT_SPINS: u32 = 2;
    const SHORTEST_SLEEP_US: u64 = 10;
    const LONGEST_SLEEP_US: u64 = 10_000;

    /// Waits at most `limit_us` microseconds.
    pub const fn new(limit_us: u64) -> Self {
        Self { limit_us, spins: 0 }
    }

    /// What to do, `elapsed_us` microseconds after the command was written. A
    /// wait ends at the limit, so that there is a last look then.
    pub fn next(&mut self, elapsed_us: u64) -> Step {
        let left = self.limit_us.saturating_sub(elapsed_us);
        if left == 0 {
            return Step::GiveUp;
        }
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        if self.spins < Self::SPINS {
            let us = if self.spins < Self::SHORT_SPINS { 1 } else { 2 };
            self.spins = self.spins.saturating_add(1);
            return Step::Spin(us.min(left));
        }
        let part = (elapsed_us / 4).clamp(Self::SHORTEST_SLEEP_US, Self::LONGEST_SLEEP_US);
        let max = u32::try_from(part).unwrap_or(u32::MAX).min(left);
        Step::Sleep {
            min: max.div_ceil(2),
            max,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(LIMIT_US)
    }
}
