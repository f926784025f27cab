// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How long to look for the next message before going to sleep.

use std::time::Duration;

/// How long a thread looks at most. Waking one up takes about as long.
const LONGEST: Duration = Duration::from_micros(50);
/// A message that comes within this time was worth looking for.
const WORTHWHILE: Duration = Duration::from_micros(100);
/// Less than this is not worth the system call.
const SHORTEST: Duration = Duration::from_micros(2);

/// Time to look for a message before sleeping, as the last ones have come: all of
/// it while they come close together, none once they do not. An idle connection
/// costs nothing, nor does one with a message now and then.
#[derive(Debug, Default)]
pub struct Patience {
    now: Duration,
}

impl Patience {
    /// How long to look.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// A message came after `wait`.
    pub fn came_after(&mut self, wait: Duration) {
        self.now = if wait <= WORTHWHILE {
            LONGEST
        } else {
            let less = self.now / 4;
            if less < SHORTEST { Duration::ZERO } else { less }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_connection_is_looked_at_and_a_quiet_one_is_not() {
        let mut patience = Patience::default();
        assert_eq!(patience.now(), Duration::ZERO);
        patience.came_after(Duration::from_micros(40));
        assert_eq!(patience.now(), LONGEST);
        // One longer gap does not end it, a few do: a timer that ticks a
        // hundred times a second is not worth a processor.
        patience.came_after(Duration::from_millis(10));
        assert!(patience.now() > Duration::ZERO);
        for _ in 0..3 {
            patience.came_after(Duration::from_millis(10));
        }
        assert_eq!(patience.now(), Duration::ZERO);
    }
}
