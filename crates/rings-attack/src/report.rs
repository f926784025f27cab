// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What came of an attack.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

/// Counts of an attack; printed as a line of JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps.
    pub steps: u64,
    /// How long they took.
    pub took: Duration,
    /// How often each was done.
    pub done: BTreeMap<&'static str, u64>,
    /// Answers to management commands, by their result.
    pub answers: BTreeMap<u8, u64>,
    /// Management commands without an answer: nothing that a portal knows, or a portal that is
    /// set up to take no commands.
    pub unanswered: u64,
}

impl Report {
    /// Counts one more.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"steps\":{},\"seconds\":{:.1}", self.steps, self.took.as_secs_f64())?;
        for (what, count) in &self.done {
            write!(f, ",\"{what}\":{count}")?;
        }
        for (result, count) in &self.answers {
            write!(f, ",\"answer {result:#04x}\":{count}")?;
        }
        write!(f, ",\"unanswered\":{}}}", self.unanswered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_json() {
        let mut report =
            Report { steps: 3, took: Duration::from_millis(1500), ..Report::default() };
        report.count("enqueue");
        report.answers.insert(0xf0, 2);
        let expected =
            "{\"steps\":3,\"seconds\":1.5,\"enqueue\":1,\"answer 0xf0\":2,\"unanswered\":0}";
        assert_eq!(report.to_string(), expected);
    }
}
