// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! When a container is looked at: what has told of a change tells it once.

use mc_abi::Status;
use std::time::{Duration, Instant};

/// The pause after a look, and the shortest one after a look that has to be made again.
const SHORTEST: Duration = Duration::from_millis(10);

/// The longest pause after a look that has to be made again: a guest's commands wait for looks,
/// and an MC that does not answer keeps each of them waiting.
const LONGEST: Duration = Duration::from_secs(1);

/// The times of looks.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    due: Option<Instant>,
    /// When the pause after the last look is over.
    free_at: Option<Instant>,
    pause: Duration,
    is_failing: bool,
}

impl Attention {
    /// There has to be a look at a time, or soon after.
    pub fn want(&mut self, at: Instant) {
        let at = self.free_at.map_or(at, |free_at| free_at.max(at));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// How long there is to wait for the next look; `None` where none is wanted.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(now))
    }

    /// Notes that a look is over, what came of it, and whether there has to be another one for
    /// the same reason. Gives a failure that is not known yet.
    pub fn looked(
        &mut self,
        now: Instant,
        outcome: Result<(), Status>,
        again: bool,
    ) -> Option<Status> {
        self.pause = if again { (self.pause * 2).clamp(SHORTEST, LONGEST) } else { SHORTEST };
        self.free_at = Some(now + self.pause);
        self.due = None;
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        outcome.err().filter(|_| !was_failing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_when_they_are_wanted_and_not_at_any_rate() {
        let start = Instant::now();
        let mut attention = Attention::default();
        assert_eq!(attention.left(start), None);
        attention.want(start + LONGEST);
        attention.want(start);
        attention.want(start + LONGEST);
        assert_eq!(attention.left(start), Some(Duration::ZERO));
        attention.looked(start, Ok(()), false);
        assert_eq!(attention.left(start), None);
        attention.want(start);
        assert_eq!(attention.left(start), Some(SHORTEST));
        assert_eq!(attention.left(start + LONGEST), Some(Duration::ZERO));
    }

    #[test]
    fn what_fails_is_tried_again_ever_more_rarely_and_told_once() {
        let mut now = Instant::now();
        let mut attention = Attention::default();
        let mut try_for = |seconds: u64, outcome: Result<(), Status>| {
            let (end, mut looks, mut told) = (now + Duration::from_secs(seconds), 0, Vec::new());
            while now < end {
                attention.want(now);
                now += attention.left(now).unwrap();
                told.extend(attention.looked(now, outcome, outcome.is_err()));
                looks += 1;
            }
            (looks, told)
        };
        let (looks, told) = try_for(100, Err(Status::Timeout));
        assert!((100..110).contains(&looks), "{looks}");
        assert_eq!(told, [Status::Timeout]);
        // The first one after the longest pause.
        let (looks, told) = try_for(2, Ok(()));
        assert!((95..105).contains(&looks) && told.is_empty(), "{looks}");
        assert_eq!(try_for(1, Err(Status::Busy)).1, [Status::Busy]);
    }
}
