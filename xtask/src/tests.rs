// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The tests: on the host, and those that boot a guest.

use crate::{check::check, driver, host_tools, skips::Skips, step};
use anyhow::Result;
use std::{path::Path, process::Command, time::Instant};
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
    for word in words {
        let mut command = Command::new("cargo");
        command.args(targets).arg("--include-ignored").args(list.then_some("--list"));
        skipped.watch(command.args(word).current_dir(root))?;
    }
    if !list {
        eprintln!("xtask: tests that boot a guest: {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}
