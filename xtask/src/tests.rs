// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The tests: on the host, and those that boot a guest.

use crate::{check::check, driver, host_tools, skips::Skips, step};
use anyhow::{Result, ensure};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};
use xshell::Shell;

/// All that must pass.
pub(crate) fn all(shell: &Shell, root: &Path, no_vm: bool) -> Result<()> {
    let mut skipped = Skips::default();
    let outcome = in_order(shell, root, no_vm, &mut skipped);
    skipped.summarise();
    outcome
}

fn in_order(shell: &Shell, root: &Path, no_vm: bool, skipped: &mut Skips) -> Result<()> {
    let variables = step("fetching what tests look for", || host_tools::variables(shell))?;
    check(shell, root, skipped)?;
    step("host tests", || {
        let mut command = Command::new("cargo");
        command.args(["test", "--workspace", "--locked"]).envs(variables).current_dir(root);
        skipped.watch(&mut command)
    })?;
    if no_vm { Ok(()) } else { vm(root, &[], false, skipped) }
}

/// The runner takes one word a run, so each word gets a run of its own.
pub(crate) fn vm(root: &Path, names: &[String], list: bool, skipped: &mut Skips) -> Result<()> {
    if !list {
        // A test has a time limit, the set-up has none.
        step("building the driver", || driver::build(root))?;
        step("building the guest's program", || driver::build_agent(root))?;
    }
    // Of the whole workspace, as in `test`: what is chosen has a say in the features that
    // things are built with.
    let targets = ["test", "--locked", "--workspace", "--test", "vm", "--test", "cli", "--"];
    let words: Vec<Option<&String>> =
        if names.is_empty() { vec![None] } else { names.iter().map(Some).collect() };
    let start = Instant::now();
    let command = |word: Option<&String>, list: bool| {
        let mut command = Command::new("cargo");
        command.args(targets).arg("--include-ignored").args(list.then_some("--list"));
        command.args(word).current_dir(root);
        command
    };
    // First, since the runner takes a word that means nothing for a success.
    for word in words.iter().copied().flatten() {
        let listed = command(Some(word), true).stderr(Stdio::inherit()).output()?;
        let means_some = String::from_utf8_lossy(&listed.stdout).contains(": test\n");
        ensure!(
            means_some || !listed.status.success(),
            "no name of a test has `{word}` in it: `cargo xtask vm --list` shows them all"
        );
    }
    // All of them, whatever fails: what a word means says nothing of the next one.
    let outcome = run_all(words.into_iter().map(|word| command(word, list)), skipped);
    if !list {
        eprintln!("xtask: tests that boot a guest: {:.0} s", start.elapsed().as_secs_f64());
    }
    outcome
}

/// Runs commands one after the other, also behind one that fails.
fn run_all(commands: impl Iterator<Item = Command>, skipped: &mut Skips) -> Result<()> {
    let outcomes = commands.map(|mut command| skipped.watch(&mut command));
    let failed: Vec<String> =
        outcomes.filter_map(|outcome| Some(format!("{:#}", outcome.err()?))).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

#[cfg(test)]
mod of_commands {
    use super::*;

    #[test]
    fn what_fails_keeps_nothing_from_running() {
        let exits = |code: u8| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exit {code}")]);
            command
        };
        let mut skipped = Skips::default();
        let error = run_all([3, 0, 4].map(exits).into_iter(), &mut skipped).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("exit status: 3") && said.contains("exit status: 4"), "{said}");
        run_all([0, 0].map(exits).into_iter(), &mut skipped).unwrap();
    }
}
