// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The set-up, by `fslmc setup` and by commands that need one. Nothing is fetched, and no
//! guest is booted.

use crate::program::{Running, fslmc};
use anyhow::{Result, ensure};
use libtest_mimic::{Failed, Trial};
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use std::{fs::File, os::unix::process::ExitStatusExt, process::Command};

pub fn trials() -> Vec<Trial> {
    vec![trial("setup::a_signal_ends_a_set_up_that_waits", a_signal_ends_a_set_up)]
}

/// A test that needs nothing but the program.
fn trial(name: &'static str, test: fn() -> Result<()>) -> Trial {
    Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))))
}

/// The program with a cache of its own.
fn with_cache(arguments: &[&str], cache: &std::path::Path) -> Command {
    let mut command = fslmc(arguments);
    command.env("FSLMC_CACHE", cache);
    command
}

fn a_signal_ends_a_set_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lock = File::create(folder.path().join("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    for (words, signal) in [
        (&["run", "--", "true"][..], Signal::TERM),
        (&["run", "--", "true"], Signal::INT),
        (&["demo", "--frames", "/dev/null"], Signal::HUP),
    ] {
        let mut running = Running::start(&mut with_cache(words, folder.path()))?;
        running.wait_for_error("waiting for another process")?;
        running.signal(signal)?;
        let status = running.wait()?.status;
        ensure!(status.signal() == Some(signal.as_raw()), "{words:?} ends with {status}");
    }
    Ok(())
}
