// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The benches.

use crate::host_tools;
use anyhow::Result;
use clap::Subcommand;
use xshell::{Shell, cmd};

/// Run the benchmarks, alternatives side by side.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Skip the benchmarks that boot a guest.
    #[arg(long)]
    no_vm: bool,
    /// Run each benchmark once, to check that it works; its figures are meaningless.
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    of: Option<Of>,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Benchmark the driver against the kernel's own: instructions, commands, times.
    Driver {
        /// Options; --help lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Benchmark frames that move between interfaces, in process.
    Frames,
    /// Benchmark Linux's traffic over the board against virtio-net, in a guest.
    Traffic {
        /// Options; --help lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<()> {
    // What the tests have built does where nobody looks at figures.
    let profile = ["--profile", if args.quick { "dev" } else { "release" }];
    let benches = ["--profile", if args.quick { "dev" } else { "bench" }];
    if let Some(Of::Driver { arguments }) = &args.of {
        let bench = ["--package", "vm-tests", "--bin", "bench-driver"];
        let quick: &[&str] =
            if args.quick { &["--only", "commands", "--passes", "1"] } else { &[] };
        cmd!(shell, "cargo run {profile...} --locked {bench...} -- {quick...} {arguments...}")
            .run()?;
        return Ok(());
    }
    if let Some(Of::Traffic { arguments }) = &args.of {
        let bench = ["--package", "vm-tests", "--bin", "bench-traffic"];
        let quick: &[&str] = if args.quick { &["--seconds", "1", "--rounds", "1"] } else { &[] };
        cmd!(shell, "cargo run {profile...} --locked {bench...} -- {quick...} {arguments...}")
            .run()?;
        return Ok(());
    }
    if let Some(Of::Frames) = &args.of {
        let quick: &[&str] = if args.quick { &["--", "--quick"] } else { &[] };
        cmd!(shell, "cargo bench {benches...} --locked --package board --bench frames {quick...}")
            .run()?;
        return Ok(());
    }
    let quick: &[&str] =
        if args.quick { &["--", "--sample-count", "1", "--sample-size", "1"] } else { &[] };
    let both = ["--bench", "board", "--bench", "qbman"];
    cmd!(shell, "cargo bench {benches...} --locked --package board {both...} {quick...}")
        .envs(host_tools::variables(shell)?)
        .run()?;
    if !args.no_vm {
        // The bench starts the program that lies beside it.
        cmd!(shell, "cargo build {profile...} --locked --package fslmc").run()?;
        let quick: &[&str] = if args.quick { &["--", "--boots", "1"] } else { &[] };
        cmd!(shell, "cargo run {profile...} --locked --package vm-tests --bin bench {quick...}")
            .run()?;
    }
    Ok(())
}
