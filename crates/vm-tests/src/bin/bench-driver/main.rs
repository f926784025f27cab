// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The stock driver vfio-fsl-mc and this project's, side by side in the same boot:
//! `cargo xtask bench driver`.
#![forbid(unsafe_code)]

mod layout;
mod runs;
mod table;

use anyhow::{Context, Result};
use clap::Parser;
use std::{fs, path::PathBuf};

/// Benchmarks two builds of vfio-fsl-mc side by side; prints a table of ratios.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench driver")]
struct Args {
    /// Module to measure (default: the checkout's)
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Module to compare with (default: the kernel's own)
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Also write all numbers as JSON to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measurements of each driver per boot
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    passes: u8,
    /// Cycles of open, interrupt and close between two readings of the kernel's memory
    #[arg(long, default_value_t = 10_000)]
    cycles: u32,
    /// Run only one of the four boots
    #[arg(long, value_enum)]
    only: Option<Only>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    Instructions,
    Commands,
    Times,
    Latency,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let plan = runs::Plan::new(&args)?;
    let wanted = |boot| args.only.is_none_or(|only| only == boot);
    let mut results = Vec::new();
    if wanted(Only::Instructions) {
        results.push(plan.instructions()?);
    }
    if wanted(Only::Commands) {
        results.push(plan.commands()?);
    }
    if wanted(Only::Times) {
        results.push(plan.times()?);
    }
    if wanted(Only::Latency) {
        results.push(plan.latency()?);
    }
    table::print(&results);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&results)?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
