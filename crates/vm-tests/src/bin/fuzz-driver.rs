// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random calls on a driver for as long as it takes, in several boots:
//! `cargo xtask fuzz driver`.
#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use clap::Parser;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use vm_tests::{
    TestVm,
    fuzz::{
        Driver, FuzzFiles, Owner, Report, Slice, fuzz, no_growth, still_works, with_late_answers,
    },
};

/// Makes random calls on a vfio-fsl-mc driver.
#[derive(Debug, Parser)]
struct Options {
    /// Approximate number of calls in total
    #[arg(long, default_value_t = 10_000_000)]
    calls: u64,
    /// Calls per boot, in two runs of half as many each
    #[arg(long, default_value_t = 2_000_000)]
    calls_per_boot: u64,
    /// PRNG seed of the first run; each further run takes the next number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Module to test (default: the checkout's)
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Test the kernel's own driver, which is expected to fail
    #[arg(long, conflicts_with = "module")]
    stock: bool,
    /// Rebind the container at this interval, in seconds
    #[arg(long, default_value_t = 20)]
    rebind_every: u64,
    /// Do not enable the allocator's debug checks, which every second boot has otherwise
    #[arg(long)]
    no_memory_checks: bool,
    /// Further options for the fuzzer in the guest
    #[arg(last = true)]
    more: Vec<String>,
}

/// Freed memory is filled and looked at, and some allocations lie beside a page that
/// is not there.
const MEMORY_CHECKS: &str = "slub_debug=FZPU kfence.sample_interval=20";

/// Calls that are worth another boot: each run ends a few short of what it is told.
const LEAST_REST: u64 = 10_000;

/// Longest time of a run in the guest, in seconds.
const LONGEST: u64 = 3000;

fn main() -> Result<()> {
    let options = Options::parse();
    let driver = match &options.module {
        _ if options.stock => Driver::Stock,
        Some(module) => Driver::Module(module.clone()),
        None => Driver::of_checkout()?,
    };
    let files = FuzzFiles::build(&driver)?;
    let start = Instant::now();
    let (mut done, mut seed, mut boot) = (0, options.seed, 0);
    ensure!(options.calls.min(options.calls_per_boot) > 1, "fewer than two calls make no boot");
    while let Some(calls) = next_run(&options, done) {
        let checks = boot % 2 == 1 && !options.no_memory_checks;
        // The stock driver does not see objects that go.
        let troubled = boot % 4 < 2 && driver != Driver::Stock;
        let meanwhile = if troubled { "objects go and answers are late" } else { "rebinds" };
        println!(
            "boot {boot}: seeds {seed} and {}, memory checks: {checks}, {meanwhile}",
            seed + 1
        );
        let reports = one_boot(&options, &files, calls, seed, checks, troubled)?;
        done += reports.iter().map(Report::calls).sum::<u64>();
        (seed, boot) = (seed + 2, boot + 1);
        println!("{done} calls in {boot} boots, {:.0} s", start.elapsed().as_secs_f64());
    }
    println!("nothing found");
    Ok(())
}

/// Calls of each of the two runs of the next boot, after so many of all; `None` where the rest is
/// not worth a boot. The first one may be as short as it is told to be.
fn next_run(options: &Options, done: u64) -> Option<u64> {
    let rest = options.calls.saturating_sub(done);
    (done == 0 || rest >= LEAST_REST).then(|| options.calls_per_boot.min(rest) / 2)
}

fn one_boot(
    options: &Options,
    files: &FuzzFiles,
    calls: u64,
    seed: u64,
    checks: bool,
    troubled: bool,
) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    let vm = TestVm::with("default")?.share(files.folder());
    let vm = vm.limit(Duration::from_secs(2 * LONGEST + 300)).options(|machine| {
        if checks {
            machine.append = MEMORY_CHECKS.into();
        }
    });
    vm.run(|vm| {
        files.install(vm, "dprc.2")?;
        for seed in [seed, seed + 1] {
            let mut more = options.more.clone();
            if !troubled {
                more.extend(["--rebind-every".into(), options.rebind_every.to_string()]);
            }
            let slice = Slice { calls, seconds: LONGEST, seed, options: more };
            let report = if troubled {
                let owner = Owner::start(vm)?;
                let report = with_late_answers(vm, |vm| fuzz(vm, "dprc.2", &slice))?;
                owner.end(vm)?;
                report
            } else {
                fuzz(vm, "dprc.2", &slice)?
            };
            println!("{}", report.text);
            report.clean()?;
            reports.push(report);
        }
        if let ([first, second], false) = (reports.as_slice(), troubled) {
            no_growth(first, second)?;
        }
        still_works(vm, "dprc.2", "dpbp.4")
    })?;
    Ok(reports)
}
