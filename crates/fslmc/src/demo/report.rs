// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Numbered steps, as the guest's demonstration has them.

use miette::{Result, miette};
use std::fmt::{Debug, Display};

/// The steps so far.
#[derive(Debug, Default)]
pub struct Report {
    steps: u32,
}

impl Report {
    /// How many steps there were.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// A detail of the present step.
    pub fn detail(&self, line: impl Display) {
        println!("      {line}");
    }

    /// Runs a step and reports how it ended.
    ///
    /// # Errors
    /// Those of the step, with its number.
    pub fn step<T>(&mut self, title: &str, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.steps += 1;
        println!("{:>3}.  {title}", self.steps);
        work(self).map_err(|error| error.wrap_err(format!("step {} failed: {title}", self.steps)))
    }
}

/// Fails unless what is found is what is expected.
///
/// # Errors
/// What, and both values.
pub fn expect<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(miette!("{what}: {found:?}, expected {expected:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_names_its_step() {
        let mut report = Report::default();
        report.step("one", |_| expect("a number", &1, &1)).unwrap();
        let error = report.step("two", |_| expect("a number", &1, &2)).unwrap_err();
        assert_eq!(error.to_string(), "step 2 failed: two");
        assert_eq!(error.root_cause().to_string(), "a number: 1, expected 2");
    }
}
