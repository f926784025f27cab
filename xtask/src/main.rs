// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What developers run: `cargo xtask test`, `check`, `driver`, `vm`, `bench`, `fuzz`,
//! `soak`.
#![forbid(unsafe_code)]

mod bench;
mod check;
mod debug_kernel;
mod driver;
mod fuzz;
mod host_tools;
mod short_runs;
mod skips;
mod soak;
mod tests;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode, time::Instant};
use xshell::Shell;

/// Run the project's tests, benchmarks and checks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run everything that must pass: checks, host tests and VM tests. Lists the tests that
    /// could not run at the end; with CI=true, those count as failed.
    Test {
        /// Skip the tests that boot a guest.
        #[arg(long)]
        no_vm: bool,
    },
    /// Check formatting, lints, documentation and dependencies, also of the driver.
    Check,
    /// Build the driver for the board's kernel.
    Driver(driver::Args),
    DebugKernel(debug_kernel::Args),
    /// Run the tests that boot a guest, or those whose name contains one of NAMES.
    Vm {
        /// Parts of test names; --list shows them.
        names: Vec<String>,
        /// List the tests and exit.
        #[arg(long)]
        list: bool,
    },
    /// Run the benchmarks, alternatives side by side.
    Bench(bench::Args),
    /// Run a fuzz target.
    Fuzz(fuzz::Args),
    /// Run mixed traffic for a long time.
    Soak(soak::Args),
    /// Run each documented command that no test runs, in its shortest form.
    ShortRuns,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args.task) {
        Ok(()) => ExitCode::SUCCESS,
        // What failed has said so itself.
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let shell = Shell::new()?;
    let root = root()?;
    shell.change_dir(&root);
    match task {
        Task::Test { no_vm } => tests::all(&shell, &root, *no_vm),
        Task::Check => {
            let mut skipped = skips::Skips::default();
            let outcome = check::check(&shell, &root, &mut skipped);
            skipped.summarise();
            outcome
        }
        Task::Driver(args) => driver::run(&root, args),
        Task::DebugKernel(args) => debug_kernel::run(&root, args),
        Task::Vm { names, list } => {
            let mut skipped = skips::Skips::default();
            let outcome = tests::vm(&root, names, *list, &mut skipped);
            skipped.summarise();
            outcome
        }
        Task::Bench(args) => bench::run(&shell, args),
        Task::Fuzz(args) => fuzz::run(&shell, args),
        Task::Soak(args) => soak::run(&shell, args),
        Task::ShortRuns => short_runs::run(&shell, &root),
    }
}

/// The checkout: where cargo says this package lies, one up.
fn root() -> Result<PathBuf> {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().map(Into::into).context("this package has no parent folder")
}

/// Tells how long something took.
fn step<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let done = run()?;
    eprintln!("xtask: {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(done)
}

#[cfg(test)]
mod command_line {
    use super::*;
    use clap::CommandFactory;
    use test_support::documented;

    #[test]
    fn it_is_consistent() {
        Args::command().debug_assert();
    }

    /// Documents go out of date where nobody types what they say.
    #[test]
    fn documented_commands_exist() {
        let commands = documented::commands(&root().unwrap(), &["cargo", "xtask"]);
        assert!(commands.len() > 10, "{commands:?}");
        for (place, words) in commands {
            let words = std::iter::once("cargo xtask").chain(words.iter().map(String::as_str));
            if let Err(error) = Args::try_parse_from(words) {
                panic!("{place}: {error}");
            }
        }
    }

    /// What the documents show and nobody can run on each machine, and why.
    const NOT_RUN: [(&str, &str); 4] = [
        ("debug-kernel debug-kernel", "it compiles a kernel, for twenty minutes of processor time"),
        ("setup --refresh", "what the archive has newer would change what all other tests run on"),
        ("run --kernel-modules", "it goes with a kernel that was built by hand"),
        ("fuzz --input", "it repeats a finding, and there is none"),
    ];

    /// Each subcommand and each option that the documents show is given to its program by
    /// a test or by `short-runs`.
    #[test]
    fn documented_commands_are_run() {
        let root = root().unwrap();
        let tests: String = ["crates/fslmc/tests/cli", "xtask/src", ".ci"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            // This text itself is no test of a command.
            .filter(|path| path.is_file() && !path.ends_with("src/main.rs"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        // A word of its own, or one that a value is put to.
        let runs = |word: &str| {
            [format!("\"{word}\""), format!("\"{word}="), format!("xtask {word}\n")]
                .iter()
                .any(|text| tests.contains(text))
        };
        let mut forgotten = Vec::new();
        for program in [&["cargo", "xtask"][..], &["fslmc"], &["cargo", "run", "--release", "--"]] {
            for (place, words) in documented::commands(&root, program) {
                let subcommand = words.first().expect("a subcommand").clone();
                let own = words.iter().skip(1).take_while(|word| *word != "--");
                let options = own.filter(|word| word.starts_with("--"));
                let options = options.map(|word| word.split('=').next().unwrap_or_default());
                for word in std::iter::once(&*subcommand).chain(options) {
                    let excused =
                        NOT_RUN.iter().any(|(what, _)| *what == format!("{subcommand} {word}"));
                    if !excused && !runs(word) {
                        forgotten.push(format!("{place}: {subcommand} ... {word}"));
                    }
                }
            }
        }
        assert!(forgotten.is_empty(), "no test and no short run of\n{}", forgotten.join("\n"));
    }
}
