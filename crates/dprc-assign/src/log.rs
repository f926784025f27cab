// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Lines for the VMM's log. Most are about what a guest has asked for: their rate is the
//! guest's choice, and limited here.

use std::time::{Duration, Instant};

/// How many lines there may be at once, after a time without.
const BURST: u32 = 10;

/// The time between lines in the long run: ten in five seconds, to which Linux limits messages
/// of its own (`include/linux/ratelimit_types.h`).
const INTERVAL: Duration = Duration::from_millis(500);

/// A token bucket, by the time at which it is full again.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    full_at: Option<Instant>,
    left_out: u64,
}

impl LogLimit {
    /// Writes a line, after one that says how many were left out; or leaves it out.
    pub fn write(&mut self, now: Instant, words: &str, mut write: impl FnMut(&str)) {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        if full_at.saturating_duration_since(now) > INTERVAL * (BURST - 1) {
            self.left_out += 1;
            return;
        }
        self.full_at = Some(full_at + INTERVAL);
        self.end(&mut write);
        write(words);
    }

    /// Says how many lines were left out since the last one.
    pub fn end(&mut self, mut write: impl FnMut(&str)) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            write(&format!("{left_out} lines were left out here: there were too many"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_and_two_a_second_and_what_is_left_out_is_counted() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        let mut lines = Vec::new();
        // A line each millisecond for ten seconds.
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            limit.write(now, "refused", |line| lines.push(line.to_owned()));
        }
        let refused = lines.iter().filter(|line| *line == "refused").count() as u64;
        assert_eq!(refused, 10 + 19);
        limit.end(|line| lines.push(line.to_owned()));
        let told = lines.iter().filter_map(|line| line.split_once(" lines were left out"));
        let left_out: u64 = told.map(|(count, _)| count.parse::<u64>().unwrap()).sum();
        assert_eq!(refused + left_out, 10_000);
        assert!(lines.len() as u64 <= 2 * refused + 1);
    }

    #[test]
    fn what_is_rare_is_written_as_it_is() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        let mut lines = Vec::new();
        for second in [0, 100, 200] {
            for _ in 0..BURST {
                let now = start + Duration::from_secs(second);
                limit.write(now, "refused", |line| lines.push(line.to_owned()));
            }
        }
        limit.end(|line| lines.push(line.to_owned()));
        assert_eq!(lines, vec!["refused"; 30]);
    }
}
