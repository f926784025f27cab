// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A kernel that watches the driver: docs/debug-kernel.md.

use anyhow::{Context, Result, ensure};
use setup::{Cache, PackageSet, Terminal};
use std::{path::Path, process::Command};

/// Build a kernel with many checks, the driver for it, and run another xtask command on it.
///
/// The first run downloads 390 MB, compiles for twenty minutes of processor time and takes
/// 3 GB in the cache folder. An interrupted one goes on where it was.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is to run on the kernel, such as `vm kvm`.
    #[arg(last = true)]
    command: Vec<String>,
}

/// How much slower than Debian's the kernel is.
const PATIENCE: &str = "6";

pub(crate) fn run(checkout: &Path, args: &Args) -> Result<()> {
    let progress = Terminal::new();
    let packages = Cache::from_env()?.ensure(&[PackageSet::DebugKernel], &progress)?;
    let kernel = setup::build_debug_kernel(checkout, &packages, &progress)?;
    let variables = [("FSLMC_KERNEL", &kernel.folder), ("FSLMC_DRIVER_MODULE", &kernel.module)];
    if args.command.is_empty() {
        println!("# Linux {}", kernel.release);
        for (name, path) in variables {
            let quoted = path.display().to_string().replace('\'', "'\\''");
            println!("export {name}='{quoted}'");
        }
        return Ok(());
    }
    let patience = std::env::var_os("FSLMC_PATIENCE").is_none();
    let patience = patience.then_some(("FSLMC_PATIENCE", PATIENCE));
    let this = std::env::current_exe().context("finding this program")?;
    let status = Command::new(this)
        .args(&args.command)
        .envs(variables)
        .envs(patience)
        .status()
        .context("starting this program again")?;
    ensure!(status.success(), "`cargo xtask {}` ended with {status}", args.command.join(" "));
    Ok(())
}
