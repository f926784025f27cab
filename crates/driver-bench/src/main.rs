// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Measures the driver `vfio-fsl-mc` that is loaded, in the guest, and prints a
//! [`Report`] as JSON. `cargo xtask bench driver` runs it once for each driver.
#![deny(unsafe_code)]

mod bind;
mod bound;
mod calls;
mod commands;
mod latency;
mod memory;
mod meter;
mod spin;

use bound::{Bound, Error};
use clap::{Parser, Subcommand, ValueEnum};
use driver_bench::{Outcome, Report, Row, Unit};
use meter::Kind;
use std::{path::PathBuf, process::ExitCode};

/// Benchmarks the vfio-fsl-mc driver that is loaded; prints JSON.
#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true)]
struct Cli {
    /// Unit to measure in
    #[arg(long, global = true, default_value = "nanoseconds")]
    unit: CliUnit,
    /// Repetitions of each operation
    #[arg(long, global = true, default_value_t = 100)]
    rounds: u32,
    /// Container to use; bound for the run and unbound afterwards
    #[arg(long, global = true, default_value = "dprc.2")]
    container: String,
    /// File in which the host counts commands
    #[arg(long, global = true)]
    commands: Option<PathBuf>,
    /// Repeat only this row of `calls`; run the others once
    #[arg(long, global = true, value_name = "ROW")]
    only: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CliUnit {
    Instructions,
    Nanoseconds,
    GuestNanoseconds,
    Commands,
}

#[derive(Debug, Subcommand)]
enum What {
    /// System calls on a device
    Calls,
    /// MC commands, single- and multi-threaded
    Commands {
        /// Label of the MC's configuration, used in row names
        #[arg(long)]
        label: String,
    },
    /// What the driver adds to delays of an MC that holds dpmng.GetSocVersion until the next
    /// command
    Latency {
        /// Delays in microseconds
        #[arg(long, value_delimiter = ',', required = true)]
        delays: Vec<u64>,
    },
    /// Binding and unbinding
    Bind,
    /// Kernel memory after many open/close cycles
    Memory {
        /// Number of cycles
        #[arg(long, default_value_t = 10_000)]
        cycles: u32,
        /// Keep an interrupt of the container armed throughout
        #[arg(long)]
        another: bool,
    },
}

fn main() -> ExitCode {
    fsl_mc_linux::program::run(|| match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vfio-fsl-mc-bench: {error}");
            ExitCode::FAILURE
        }
    })
}

fn run(cli: &Cli) -> Result<(), Error> {
    let unit = match cli.unit {
        CliUnit::Instructions => Unit::Instructions,
        CliUnit::Nanoseconds => Unit::Nanoseconds,
        CliUnit::GuestNanoseconds => Unit::GuestNanoseconds,
        CliUnit::Commands => Unit::Commands,
    };
    let kind = Kind { unit, commands: cli.commands.clone(), only: cli.only.clone() };
    let check = meter::check(&kind)?;
    let (container, rounds) = (&cli.container, cli.rounds);
    let rows = if let What::Bind = cli.what {
        bind::run(container, &kind, rounds)?
    } else {
        let bound = Bound::bind(container)?;
        let rows = match &cli.what {
            What::Calls => calls::run(container, &kind, rounds),
            What::Commands { label } => commands::run(container, &kind, rounds, label),
            What::Latency { delays } => latency::run(container, rounds, delays),
            What::Memory { cycles, another } => memory::run(container, *cycles, *another),
            What::Bind => Ok(Vec::new()),
        };
        bound.unbind()?;
        rows?
    };
    println!("{}", serde_json::to_string(&Report { unit, check, rows })?);
    Ok(())
}
