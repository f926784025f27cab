// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tests that could not run: their lines are picked out of what a test run prints.

use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};
use test_support::MARK;

/// The lines about tests that did not run.
#[derive(Debug, Default)]
pub(crate) struct Skips(Vec<String>);

impl Skips {
    /// Runs a command that runs tests; its standard error passes through.
    ///
    /// # Errors
    /// It does not start, or does not succeed.
    pub fn watch(&mut self, command: &mut Command) -> Result<()> {
        let program = format!("{command:?}");
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            std::io::stderr().write_all(&line)?;
            if let Some(skipped) = String::from_utf8_lossy(&line).trim_end().strip_prefix(MARK) {
                self.note(skipped);
            }
            line.clear();
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("{program}: {status}");
        }
        Ok(())
    }

    /// Adds a check that xtask itself has not made.
    pub fn note(&mut self, what: &str) {
        self.0.push(what.to_owned());
    }

    /// Tells them all, in the end.
    pub fn summarise(&self) {
        match self.0.len() {
            0 => eprintln!("xtask: nothing was skipped"),
            count => {
                eprintln!("xtask: {count} skipped:");
                self.0.iter().for_each(|line| eprintln!("    {line}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_run_are_picked_out() {
        let mut skipped = Skips::default();
        let script = format!("echo running >&2; echo '{MARK}one: no tool' >&2; echo {MARK}out");
        skipped.watch(Command::new("sh").args(["-c", &script])).unwrap();
        assert_eq!(skipped.0, ["one: no tool"]);
        assert!(skipped.watch(&mut Command::new("false")).is_err());
        assert!(skipped.watch(&mut Command::new("/no/such/program")).is_err());
    }
}
