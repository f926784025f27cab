// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What developers run: `cargo xtask test`, `check`, `vm`, `bench`, `fuzz`.
#![forbid(unsafe_code)]

mod fuzz;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
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
    /// Formatting, lints, documentation and dependencies.
    Check,
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
    },
    /// Feeds a fuzz target for a while.
    Fuzz(fuzz::Args),
}

fn main() -> Result<()> {
    let args = Args::parse();
    let shell = Shell::new()?;
    shell.change_dir(root()?);
    match args.task {
        Task::Test { no_vm } => test(&shell, no_vm),
        Task::Check => check(&shell),
        Task::Vm { names, list } => vm(&shell, &names, list),
        Task::Bench { no_vm } => bench(&shell, no_vm),
        Task::Fuzz(args) => fuzz::run(&shell, &args),
    }
}

/// The checkout: where cargo says this package lies, one up.
fn root() -> Result<std::path::PathBuf> {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().map(Into::into).context("this package has no parent folder")
}

fn test(shell: &Shell, no_vm: bool) -> Result<()> {
    check(shell)?;
    cmd!(shell, "cargo test --workspace --locked").run()?;
    if no_vm { Ok(()) } else { vm(shell, &[], false) }
}

fn check(shell: &Shell) -> Result<()> {
    cmd!(shell, "cargo fmt --all --check").run()?;
    cmd!(shell, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()?;
    cmd!(shell, "cargo doc --workspace --no-deps --locked --document-private-items")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    deny(shell)
}

/// Licences, advisories and sources of dependencies. The tool is no part of a
/// Rust installation, and fetching it takes longer than all tests: its absence
/// is said and no failure.
fn deny(shell: &Shell) -> Result<()> {
    if cmd!(shell, "cargo deny --version").quiet().ignore_stderr().read().is_err() {
        eprintln!("cargo deny is not installed: dependencies are not checked (cargo install cargo-deny)");
        return Ok(());
    }
    cmd!(shell, "cargo deny --all-features check licenses bans sources").run()?;
    Ok(())
}

fn vm(shell: &Shell, names: &[String], list: bool) -> Result<()> {
    let list = list.then_some("--list");
    cmd!(shell, "cargo test --release --locked --package vm-tests --test vm -- --include-ignored {list...} {names...}")
        .run()?;
    Ok(())
}

fn bench(shell: &Shell, no_vm: bool) -> Result<()> {
    cmd!(shell, "cargo bench --locked --package board").run()?;
    if !no_vm {
        cmd!(shell, "cargo run --release --locked --package vm-tests --bin bench").run()?;
    }
    Ok(())
}
