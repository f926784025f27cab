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
    /// Benchmark a guest with a container of its own against its host.
    Guest {
        /// Options; --help lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Benchmark Linux's and DPDK's traffic over the board against virtio-net, in a guest.
    Traffic {
        /// Options; --help lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<()> {
    match &args.of {
        Some(Of::Driver { arguments }) => {
            let quick = ["--only", "commands", "--passes", "1"];
            in_a_guest(shell, args.quick, "bench-driver", &quick, arguments)
        }
        Some(Of::Traffic { arguments }) => {
            let quick = ["--seconds", "1", "--rounds", "1"];
            in_a_guest(shell, args.quick, "bench-traffic", &quick, arguments)
        }
        Some(Of::Guest { arguments }) => {
            let quick = ["--commands", "20", "--pings", "20", "--seconds", "1"];
            in_a_guest(shell, args.quick, "bench-guest", &quick, arguments)
        }
        Some(Of::Frames) => frames(shell, args.quick),
        None => board(shell, args),
    }
}

/// What the tests have built does where nobody looks at figures.
fn profile(quick: bool) -> [&'static str; 2] {
    ["--profile", if quick { "dev" } else { "release" }]
}

/// The same for what cargo calls a bench.
fn bench_profile(quick: bool) -> [&'static str; 2] {
    ["--profile", if quick { "dev" } else { "bench" }]
}

/// Runs a program that boots a guest; in its shortest form, with the options for that.
fn in_a_guest(
    shell: &Shell,
    quick: bool,
    program: &str,
    shortest: &[&str],
    arguments: &[String],
) -> Result<()> {
    let profile = profile(quick);
    let shortest = if quick { shortest } else { &[] };
    let bench = ["--package", "vm-tests", "--bin", program];
    cmd!(shell, "cargo run {profile...} --locked {bench...} -- {shortest...} {arguments...}")
        .run()?;
    Ok(())
}

fn frames(shell: &Shell, quick: bool) -> Result<()> {
    let benches = bench_profile(quick);
    let quick: &[&str] = if quick { &["--", "--quick"] } else { &[] };
    cmd!(shell, "cargo bench {benches...} --locked --package board --bench frames {quick...}")
        .run()?;
    Ok(())
}

/// The board in process, and boots.
fn board(shell: &Shell, args: &Args) -> Result<()> {
    let (profile, benches) = (profile(args.quick), bench_profile(args.quick));
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
