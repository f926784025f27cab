// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tests that boot a guest, and checks of the conformance suite, that fail among the others
//! and pass when they run again.
//!
//! On a host with more to do than it can, an event may come later than a check waits. But
//! a flake may also be a race that is worth looking into: each is listed by name at the end
//! of the run with what it said, there may not be many, and one that needed a second try in
//! the run before, too, fails.

use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// How many there may be in one run of the tests.
const MOST: usize = 3;

/// The flakes of a run of the tests, and those of the run before, which are kept in a file.
#[derive(Debug)]
pub struct Flakes {
    history: PathBuf,
    found: Mutex<Vec<String>>,
    reasons: Mutex<Vec<String>>,
}

/// Characters of a failure in the summary.
const FEW: usize = 400;

impl Flakes {
    /// No flakes so far. `history` is the file that has those of the run before: one check
    /// a line.
    pub fn new(history: impl Into<PathBuf>) -> Self {
        Self { history: history.into(), found: Mutex::default(), reasons: Mutex::default() }
    }

    /// Runs a test, and once more if it fails. What it says is kept for the run's end.
    ///
    /// # Errors
    /// The second failure; or that it passed only then in the run before, too.
    pub fn try_twice(&self, title: &str, test: &dyn Fn() -> Result<()>) -> Result<()> {
        let outcome = self.tried(title, test);
        if let Err(error) = &outcome {
            self.keep_reason(format!("{title} fails: {}", beginning(&format!("{error:#}"))));
        }
        outcome
    }

    fn tried(&self, title: &str, test: &dyn Fn() -> Result<()>) -> Result<()> {
        let flaky: &[String] = match test() {
            Ok(()) => &[],
            Err(error) => {
                let error = format!("{error:#}");
                eprintln!("{title} fails, and runs again:\n{error}");
                test().with_context(|| format!("before, it failed so: {}", beginning(&error)))?;
                self.keep_reason(format!("{title} failed once: {}", beginning(&error)));
                &[title.to_owned()]
            }
        };
        let again = self.record("test", &[title.to_owned()], flaky)?;
        ensure!(again.is_empty(), "passed at the second try only, as in the run before");
        Ok(())
    }

    fn keep_reason(&self, reason: String) {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).push(reason);
    }

    /// Takes the checks of a suite that `ran`, and those among them that needed a second
    /// try. Gives those that needed one in the run before, too.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn record(&self, suite: &str, ran: &[String], flaky: &[String]) -> Result<Vec<String>> {
        // Held over the file's change: tests run side by side.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |check: &String| format!("{suite} {check}");
        found.extend(flaky.iter().map(named));
        let mut history = read(&self.history)?;
        let twice = flaky.iter().filter(|check| history.contains(&named(check)));
        let twice = twice.cloned().collect();
        history.retain(|entry| !ran.iter().any(|check| named(check) == *entry));
        history.extend(flaky.iter().map(named));
        let text: String = history.iter().map(|entry| format!("{entry}\n")).collect();
        fs::write(&self.history, text)
            .with_context(|| format!("writing {}", self.history.display()))?;
        Ok(twice)
    }

    /// The flakes of this run, in lines for its end, and why tests have failed; nothing where
    /// all was well.
    pub fn summary(&self) -> Vec<String> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<String> = found.iter().map(|flake| format!("flaky: {flake}")).collect();
        if !found.is_empty() {
            lines.push(format!("{} flaky, of at most {MOST}", found.len()));
        }
        lines.extend(self.reasons.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        lines
    }

    /// Whether there were more than there may be.
    pub fn too_many(&self) -> bool {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).len() > MOST
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(FEW).collect()
}

fn read(history: &Path) -> Result<BTreeSet<String>> {
    match fs::read_to_string(history) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", history.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_second_try_twice_in_a_row_is_noticed_across_runs() {
        let folder = tempfile::tempdir().unwrap();
        let history = folder.path().join("flakes");
        let run = |ran: &str, flaky: &str| {
            Flakes::new(&history).record("rust", &names(ran), &names(flaky)).unwrap()
        };
        assert!(run("a/1 a/2 a/3", "a/1 a/2").is_empty());
        // A run of other checks, and of the same ones of another driver, changes nothing.
        assert!(run("b/1", "b/1").is_empty());
        let stock = Flakes::new(&history).record("stock", &names("a/1 a/2"), &[]).unwrap();
        assert!(stock.is_empty());
        assert_eq!(run("a/1 a/2 a/3", "a/2 a/3"), ["a/2"]);
        // What passed at once in between is forgotten.
        assert_eq!(run("a/1", "a/1"), [""; 0]);
        assert_eq!(run("a/1 a/2 a/3", "a/2"), ["a/2"]);
    }

    #[test]
    fn a_test_that_passes_the_second_time_is_a_flake_and_one_that_does_not_fails() {
        let folder = tempfile::tempdir().unwrap();
        let new = || Flakes::new(folder.path().join("flakes"));
        let tries = std::cell::Cell::new(0);
        let fails_until = |last: u32| {
            tries.set(0);
            let tries = &tries;
            move || {
                tries.set(tries.get() + 1);
                ensure!(tries.get() > last, "try {}", tries.get());
                Ok(())
            }
        };
        let flakes = new();
        flakes.try_twice("well", &fails_until(0)).unwrap();
        assert!(flakes.summary().is_empty());
        flakes.try_twice("flaky", &fails_until(1)).unwrap();
        let error = flakes.try_twice("broken", &fails_until(2)).unwrap_err();
        assert_eq!(format!("{error:#}"), "before, it failed so: try 1: try 2");
        let summary = flakes.summary().join("\n");
        assert!(summary.contains("flaky failed once: try 1"), "{summary}");
        assert!(summary.contains("broken fails: before, it failed so: try 1"), "{summary}");
        // In the run after, a second try is no excuse.
        let error = new().try_twice("flaky", &fails_until(1)).unwrap_err();
        assert!(format!("{error}").contains("as in the run before"), "{error}");
    }

    #[test]
    fn more_than_a_few_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let flakes = Flakes::new(folder.path().join("flakes"));
        assert!(flakes.summary().is_empty());
        flakes.record("rust", &names("a b c d"), &names("a b")).unwrap();
        flakes.record("stock", &names("a"), &names("a")).unwrap();
        assert!(!flakes.too_many());
        let expected =
            ["flaky: rust a", "flaky: rust b", "flaky: stock a", "3 flaky, of at most 3"];
        assert_eq!(flakes.summary(), expected);
        flakes.record("stock", &names("d"), &names("d")).unwrap();
        assert!(flakes.too_many());
        assert!(flakes.summary().last().unwrap().starts_with("4 flaky, of at most 3"));
    }
}
