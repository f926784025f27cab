// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How often the objects of a container are looked at.
//!
//! What user space makes and destroys in its container is work for the kernel, on no
//! account of that user's: each look is followed by a pause, which grows with every look
//! until nobody has had a use for one for a second. Over some seconds that makes no more than
//! four looks a second, whatever the distances between what user space does.

/// The pause after the first look, milliseconds.
pub const SHORTEST_MS: u32 = 10;
/// The longest pause after a look that went well, milliseconds.
pub const LONGEST_MS: u32 = 250;
/// The longest pause after a look that came to nothing, milliseconds: an object stands in the
/// way of another for as long as its holder likes.
pub const LONGEST_RETRY_MS: u32 = 1000;
/// How long nobody has to have a use for a look until the pauses are short again, milliseconds.
const FORGOTTEN_MS: u64 = 1000;

/// The pauses between looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    pause_ms: u32,
    /// When the pause is over.
    free_at_ms: u64,
}

impl Pace {
    /// How many milliseconds are left of the pause, at a time that grows.
    pub fn left(&self, now_ms: u64) -> u32 {
        let left = self.free_at_ms.saturating_sub(now_ms);
        u32::try_from(left).unwrap_or(u32::MAX).min(self.pause_ms)
    }

    /// Notes a look from `start_ms` to `end_ms`, and whether there has to be another one for the
    /// same reason.
    pub fn looked(&mut self, start_ms: u64, end_ms: u64, again: bool) {
        let was_idle = start_ms.saturating_sub(self.free_at_ms) >= FORGOTTEN_MS;
        let longest = if again { LONGEST_RETRY_MS } else { LONGEST_MS };
        self.pause_ms = if was_idle && !again {
            SHORTEST_MS
        } else {
            self.pause_ms.saturating_mul(2).clamp(SHORTEST_MS, longest)
        };
        self.free_at_ms = end_ms.saturating_add(u64::from(self.pause_ms));
    }
}
