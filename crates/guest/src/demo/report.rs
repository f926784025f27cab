// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The report: numbered steps for people, or one JSON value a step.

use guest_agent::Failure;
use serde_json::json;

/// The steps so far.
#[derive(Debug)]
pub struct Report {
    json: bool,
    steps: u32,
    details: Vec<String>,
}

impl Report {
    /// An empty report.
    pub fn new(json: bool) -> Self {
        Self { json, steps: 0, details: Vec::new() }
    }

    /// How many steps there were.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// A detail of the present step.
    pub fn detail(&mut self, line: impl Into<String>) {
        let line = line.into();
        if !self.json {
            println!("      {line}");
        }
        self.details.push(line);
    }

    /// Runs a step and reports how it ended.
    pub fn step<T>(
        &mut self,
        title: &str,
        work: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.steps += 1;
        self.details.clear();
        if !self.json {
            println!("{:>3}.  {title}", self.steps);
        }
        let outcome = work(self);
        self.conclude(title, outcome.as_ref().err());
        outcome
    }

    fn conclude(&self, title: &str, failure: Option<&Failure>) {
        if self.json {
            let failure = failure.map(|failure| {
                json!({ "what": failure.what, "place": failure.place, "advice": failure.advice })
            });
            println!(
                "{}",
                json!({
                    "step": self.steps,
                    "title": title,
                    "ok": failure.is_none(),
                    "details": self.details,
                    "failure": failure,
                })
            );
        } else if let Some(failure) = failure {
            println!("      FAILED: {}", failure.what);
            println!("      where:  {}", failure.place);
            if !failure.advice.is_empty() {
                println!("      advice: {}", failure.advice);
            }
        }
    }
}

/// Fails unless what is found is what is expected.
pub fn expect<T: PartialEq + std::fmt::Display>(
    what: &str,
    place: &str,
    found: &T,
    expected: &T,
) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::new(format!("{what} is {found}, expected {expected}"), place, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_names_both_sides() {
        assert!(expect("the group", "dprc.2", &1, &1).is_ok());
        let failure = expect("the group", "dprc.2", &1, &2).unwrap_err();
        assert_eq!(failure.what, "the group is 1, expected 2");
    }
}
