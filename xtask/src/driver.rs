// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Building the Linux driver.

use anyhow::{Context, Result};
use setup::{BuiltDriver, Cache, PackageSet, Packages, Terminal};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Build the driver for the board's kernel and print its path.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check the sources by the kernel's rules instead: clippy and gcc without warnings,
    /// and the kernel's format.
    #[arg(long, conflicts_with = "install")]
    lint: bool,
    /// Copy the module into this folder, which is created if missing.
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,
}

/// Entries of `.modinfo` that a person wants to see.
const SHOWN: [&str; 6] = ["description", "license", "alias", "depends", "parm", "vermagic"];

pub(crate) fn run(checkout: &Path, args: &Args) -> Result<()> {
    if args.lint {
        return lint(checkout);
    }
    let built = build(checkout)?;
    println!("{}", built.module.path.display());
    println!("  {} bytes, for Linux {}", built.module.bytes.len(), built.release);
    println!("  with debugging information: {}", built.with_symbols.display());
    for (key, value) in built.module.information()? {
        if SHOWN.contains(&key.as_str()) {
            println!("  {key}: {value}");
        }
    }
    let Some(folder) = &args.install else { return Ok(()) };
    let name = built.module.path.file_name().context("the module has no name")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let copy = folder.join(name);
    fs::write(&copy, &built.module.bytes).with_context(|| format!("writing {}", copy.display()))?;
    println!("Copied to {}.", copy.display());
    Ok(())
}

/// Brings in what it takes, and builds.
pub(crate) fn build(checkout: &Path) -> Result<BuiltDriver> {
    Ok(setup::build_driver(checkout, &packages()?, &Terminal::new())?)
}

/// Brings in what it takes, and builds what runs in every guest.
pub(crate) fn build_agent(checkout: &Path) -> Result<()> {
    let packages = Cache::from_env()?.ensure(&[PackageSet::Cross], &Terminal::new())?;
    setup::build_guest_programs(checkout, &packages, &["fslmc-guest"])?;
    Ok(())
}

/// Says nothing where all is well.
pub(crate) fn lint(checkout: &Path) -> Result<()> {
    Ok(setup::lint_driver(checkout, &packages()?, &Terminal::new())?)
}

fn packages() -> setup::Result<Packages> {
    Cache::from_env()?.ensure(&[PackageSet::Board, PackageSet::KernelBuild], &Terminal::new())
}
