// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What developers run: `cargo xtask test`, `check`, `driver`, `vm`, `bench`, `fuzz`.
#![forbid(unsafe_code)]

mod driver;
mod fuzz;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use setup::{Cache, Need, Terminal};
use std::{path::PathBuf, process::ExitCode, time::Instant};
use xshell::{Shell, cmd};

/// Runs the project's tests, benches and checks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything that must pass: the checks, the host tests, the VM tests.
    Test {
        /// Leave out the tests that boot a guest.
        #[arg(long)]
        no_vm: bool,
    },
    /// Formatting, lints, documentation and dependencies, of the driver too.
    Check,
    /// Builds the driver for the board's kernel.
    Driver(driver::Args),
    /// The tests that boot a guest, or those whose name contains one of the
    /// words.
    Vm {
        /// Words; `--list` shows the names.
        names: Vec<String>,
        /// Show the names and boot nothing.
        #[arg(long)]
        list: bool,
    },
    /// Measures, side by side in one run.
    Bench {
        /// Leave out what boots a guest.
        #[arg(long)]
        no_vm: bool,
        #[command(subcommand)]
        of: Option<BenchOf>,
    },
    /// Feeds a fuzz target for a while.
    Fuzz(fuzz::Args),
}

#[derive(Debug, Subcommand)]
enum BenchOf {
    /// The driver against the kernel's own: instructions, commands, times.
    Driver {
        /// `--help` tells them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args.task) {
        Ok(()) => ExitCode::SUCCESS,
        // What failed has said so itself.
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(root()?);
    match task {
        Task::Test { no_vm } => test(&shell, no_vm),
        Task::Check => check(&shell),
        Task::Driver(args) => driver::run(&root()?, &args),
        Task::Vm { names, list } => vm(&shell, &names, list),
        Task::Bench { no_vm, of: None } => bench(&shell, no_vm),
        Task::Bench { of: Some(BenchOf::Driver { arguments }), .. } => {
            let bench = ["--package", "vm-tests", "--bin", "bench-driver"];
            cmd!(shell, "cargo run --release --locked {bench...} -- {arguments...}").run()?;
            Ok(())
        }
        Task::Fuzz(args) => fuzz::run(&shell, &args),
    }
}

/// The checkout: where cargo says this package lies, one up.
fn root() -> Result<PathBuf> {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().map(Into::into).context("this package has no parent folder")
}

fn test(shell: &Shell, no_vm: bool) -> Result<()> {
    let dtc = step("fetching the board's parts", || device_tree_compiler(shell))?;
    check(shell)?;
    let skipped = shell.current_dir().join("target/xtask/skipped-tests");
    shell.write_file(&skipped, "")?;
    step("host tests", || {
        let tests = cmd!(shell, "cargo test --workspace --locked").env("DTC", dtc);
        Ok(tests.env("SKIPPED_TESTS", &skipped).run()?)
    })?;
    if !no_vm {
        vm(shell, &[], false)?;
    }
    let skipped = shell.read_file(&skipped)?;
    match skipped.lines().count() {
        0 => {}
        1 => eprintln!("xtask: 1 test was skipped:\n{skipped}"),
        count => eprintln!("xtask: {count} tests were skipped:\n{skipped}"),
    }
    Ok(())
}

/// Tells how long something took.
fn step<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    let done = run()?;
    eprintln!("xtask: {name}: {:.0} s", begin.elapsed().as_secs_f64());
    Ok(done)
}

/// A program that runs the set-up's device tree compiler, whether or not the
/// machine has one: without it, the tests of layout sources have nothing to do.
fn device_tree_compiler(shell: &Shell) -> Result<PathBuf> {
    let parts = Cache::from_env()?.ensure(&[Need::Board], &Terminal::new())?;
    let command = parts.command("dtc")?;
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> =
        words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))).collect();
    let path = shell.current_dir().join("target/xtask/dtc");
    shell.write_file(&path, format!("#!/bin/sh\nexec {} \"$@\"\n", quoted.join(" ")))?;
    cmd!(shell, "chmod 755 {path}").quiet().run()?;
    Ok(path)
}

fn check(shell: &Shell) -> Result<()> {
    cmd!(shell, "cargo fmt --all --check").run()?;
    step("lints", || {
        Ok(cmd!(shell, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()?)
    })?;
    step("documentation", || {
        let doc = cmd!(shell, "cargo doc --workspace --no-deps --locked --document-private-items");
        Ok(doc.env("RUSTDOCFLAGS", "-D warnings").run()?)
    })?;
    step("the driver's lints", || driver::lint(&root()?))?;
    deny(shell)
}

/// Licences, advisories and sources of dependencies. The tool is no part of a
/// Rust installation, and fetching it takes longer than all tests: its absence
/// is said and no failure.
fn deny(shell: &Shell) -> Result<()> {
    if cmd!(shell, "cargo deny --version").quiet().ignore_stderr().read().is_err() {
        eprintln!(
            "cargo deny is not installed: dependencies are not checked (cargo install cargo-deny)"
        );
        return Ok(());
    }
    cmd!(shell, "cargo deny --all-features check licenses bans sources").run()?;
    Ok(())
}

/// The runner takes one word a run, so each word gets a run of its own.
fn vm(shell: &Shell, names: &[String], list: bool) -> Result<()> {
    if !list {
        // A test has a time limit, the set-up has none.
        step("building the driver", || driver::build(&root()?))?;
        step("building the guest's program", || driver::build_agent(&root()?))?;
    }
    let list = list.then_some("--list");
    // Of the whole workspace, as in `test`: what is chosen has a say in the features that
    // things are built with.
    let targets = ["--workspace", "--test", "vm", "--test", "cli"];
    let words: Vec<Option<&String>> =
        if names.is_empty() { vec![None] } else { names.iter().map(Some).collect() };
    let begin = Instant::now();
    for word in words {
        cmd!(shell, "cargo test --locked {targets...} -- --include-ignored {list...} {word...}")
            .run()?;
    }
    if list.is_none() {
        eprintln!("xtask: tests that boot a guest: {:.0} s", begin.elapsed().as_secs_f64());
    }
    Ok(())
}

fn bench(shell: &Shell, no_vm: bool) -> Result<()> {
    cmd!(shell, "cargo bench --locked --package board").run()?;
    if !no_vm {
        // The bench starts the program that lies beside it.
        cmd!(shell, "cargo build --release --locked --package fslmc").run()?;
        cmd!(shell, "cargo run --release --locked --package vm-tests --bin bench").run()?;
    }
    Ok(())
}
