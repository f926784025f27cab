// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a guest costs, side by side in one run: `cargo xtask bench`.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use board_qemu::{Initramfs, Machine, Vm, VmConfig};
use fslmc::{artifacts::Artifacts, machine::platform};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use vm_tests::{TestVm, artifacts};

/// Benchmark boots and commands of a guest.
#[derive(Debug, clap::Parser)]
struct Args {
    /// Pairs of boots; the median is reported
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..))]
    boots: u8,
}

fn main() -> Result<()> {
    let args = <Args as clap::Parser>::parse();
    let artifacts = artifacts()?;
    commands()?;
    boots(artifacts, usize::from(args.boots))
}

/// The time of an MC command from user space: through the kernel's management
/// interface, and through a portal that vfio-fsl-mc gives.
fn commands() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        println!("MC command from Linux (GetVersion), microseconds");
        println!("{:<40} {:>10} {:>10}", "", "least", "median");
        let line = vm.sh("fslmc-guest mgmt time --count 500")?;
        print_times("ioctl on /dev/dprc.1", &line)?;
        vm.bind(&["dprc.2"])?;
        print!("{}", vm.sh("fslmc-guest vfio command dprc.2 --count 500")?);
        Ok(())
    })
}

fn print_times(what: &str, line: &str) -> Result<()> {
    let mut words = line.split_whitespace().map(str::parse::<f64>);
    let (least, median) = (words.next(), words.next());
    let micros = |word: Option<Result<f64, _>>| -> Result<f64> {
        Ok(word.context("a time is missing")?.map(|nanos| nanos / 1000.0)?)
    };
    println!("{what:<40} {:>10.1} {:>10.1}", micros(least)?, micros(median)?);
    Ok(())
}

/// `fslmc run -- true` against a bare QEMU that boots the same kernel with the
/// same busybox to the same command, alternating.
fn boots(artifacts: &Artifacts, count: usize) -> Result<()> {
    let fslmc = std::env::current_exe()?.with_file_name("fslmc");
    anyhow::ensure!(fslmc.exists(), "{} is not built", fslmc.display());
    let mut pairs = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        bare(artifacts)?;
        let bare = start.elapsed();
        let start = Instant::now();
        let status = Command::new(&fslmc)
            .args(["run", "--", "true"])
            .stdin(Stdio::null())
            .status()
            .context("starting fslmc")?;
        anyhow::ensure!(status.success(), "fslmc run -- true: {status}");
        pairs.push((bare, start.elapsed()));
    }
    println!("\nstart to exit, seconds ({count} pairs, alternating)");
    println!("{:<40} {:>10} {:>10} {:>10}", "", "bare QEMU", "run -- true", "ratio");
    pairs.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    for (name, pair) in [("best pair", &pairs[0]), ("middle pair", &pairs[count / 2])] {
        let (bare, run) = (pair.0.as_secs_f64(), pair.1.as_secs_f64());
        println!("{name:<40} {bare:>10.2} {run:>10.2} {:>10.2}", ratio(pair));
    }
    Ok(())
}

fn ratio(pair: &(Duration, Duration)) -> f64 {
    pair.1.as_secs_f64() / pair.0.as_secs_f64()
}

/// Boots without a board, up to `true` and power-off.
fn bare(artifacts: &Artifacts) -> Result<()> {
    let mut image = Initramfs::new();
    image.file("/bin/busybox", 0o755, &Artifacts::read(&artifacts.busybox)?)?;
    image.file(
        "/init",
        0o755,
        b"#!/bin/busybox sh\n/bin/busybox true\n/bin/busybox poweroff -f\n",
    )?;
    let config =
        VmConfig { machine: Machine::default(), initramfs: image.finish(), ..Default::default() };
    let vm = Vm::start_bare(config, &platform(artifacts)?)?;
    vm.wait(Some(Duration::from_secs(120)))?;
    Ok(())
}
