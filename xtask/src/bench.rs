// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The benches.

use crate::host_tools;
use anyhow::Result;
use clap::Subcommand;
use xshell::{Shell, cmd};

/// Measures, side by side in one run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out what boots a guest.
    #[arg(long)]
    no_vm: bool,
    /// Measure each thing once, to see that the benches work; the figures say nothing.
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    of: Option<Of>,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// The driver against the kernel's own: instructions, commands, times.
    Driver {
        /// `--help` tells them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<()> {
    if let Some(Of::Driver { arguments }) = &args.of {
        let bench = ["--package", "vm-tests", "--bin", "bench-driver"];
        let quick: &[&str] =
            if args.quick { &["--only", "commands", "--passes", "1"] } else { &[] };
        cmd!(shell, "cargo run --release --locked {bench...} -- {quick...} {arguments...}")
            .run()?;
        return Ok(());
    }
    let quick: &[&str] =
        if args.quick { &["--", "--sample-count", "1", "--sample-size", "1"] } else { &[] };
    cmd!(shell, "cargo bench --locked --package board {quick...}")
        .envs(host_tools::variables(shell)?)
        .run()?;
    if !args.no_vm {
        // The bench starts the program that lies beside it.
        cmd!(shell, "cargo build --release --locked --package fslmc").run()?;
        let quick: &[&str] = if args.quick { &["--", "--boots", "1"] } else { &[] };
        cmd!(shell, "cargo run --release --locked --package vm-tests --bin bench {quick...}")
            .run()?;
    }
    Ok(())
}
