// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random calls on a bound container: the guest's fuzzer in a machine, and what is
//! looked at after it.

use crate::{TestVm, artifacts_with, guest_programs};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The fuzzer.
const PROGRAM: &str = "vfio-fsl-mc-fuzz";
/// A driver's module, as the guest sees it.
const MODULE: &str = "vfio-fsl-mc.ko";
/// Exit code of the fuzzer with a finding.
const FOUND: i32 = 3;

/// What memory in use may grow by between two slices that do the same, in kilobytes:
/// what the kernel keeps of processes and files that are gone.
const MEMORY_SLACK: u64 = 1000;

/// Which driver is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// The one that comes with the kernel.
    Stock,
    /// A module in a file.
    Module(PathBuf),
}

impl Driver {
    /// The project's own, as the checkout has it.
    pub fn of_checkout() -> Result<Self> {
        let artifacts = artifacts_with(fslmc::artifacts::Driver::Rust)?;
        let built = artifacts.driver.as_ref().context("the driver was built")?;
        Ok(Self::Module(built.with_symbols.clone()))
    }
}

/// Files that the guest needs: the fuzzer, and the driver if it is not the stock one.
#[derive(Debug)]
pub struct FuzzFiles {
    folder: TempDir,
    has_module: bool,
}

impl FuzzFiles {
    /// Builds the fuzzer and copies it, and the driver, into a fresh folder.
    pub fn build(driver: &Driver) -> Result<Self> {
        let built = guest_programs()?;
        let folder = tempfile::tempdir()?;
        let copy = |from: &Path, name: &str| {
            fs::copy(from, folder.path().join(name))
                .with_context(|| format!("copying {}", from.display()))
        };
        copy(&built.join(PROGRAM), PROGRAM)?;
        let has_module = match driver {
            Driver::Stock => false,
            Driver::Module(file) => copy(file, MODULE).map(|_| true)?,
        };
        Ok(Self { folder, has_module })
    }

    /// The folder, for [`crate::TestVmBuilder::share`].
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Loads the driver and binds a container; puts the fuzzer where it runs.
    pub fn install(&self, vm: &mut TestVm, container: &str) -> Result<()> {
        vm.sh(&format!("cp /host/{PROGRAM} /bin/"))?;
        if self.has_module {
            vm.load(&["vfio_iommu_type1"])?;
            vm.sh(&format!("insmod /host/{MODULE}"))?;
        }
        vm.bind(&[container])
    }
}

/// A run of the fuzzer.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Calls, about.
    pub calls: u64,
    /// Seconds at most.
    pub seconds: u64,
    /// What all choices come from.
    pub seed: u64,
    /// More options of the program.
    pub options: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it printed: progress, a table.
    pub text: String,
    /// What it printed of a finding: the last calls.
    pub details: String,
    /// Its last line.
    pub summary: Value,
}

impl Report {
    /// What it found.
    pub fn findings(&self) -> Vec<&str> {
        let findings = self.summary["findings"].as_array();
        findings.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// How many calls it made.
    pub fn calls(&self) -> u64 {
        self.summary["calls"].as_u64().unwrap_or(0)
    }

    /// A number of the kernel's memory at its end.
    pub fn memory(&self, what: &str) -> u64 {
        self.summary["memory"][what].as_u64().unwrap_or(0)
    }

    /// Makes sure that nothing was found.
    pub fn clean(&self) -> Result<()> {
        let findings = self.findings();
        ensure!(
            findings.is_empty(),
            "found with seed {}: {}\n{}\n{}",
            self.summary["seed"],
            findings.join("; "),
            self.details,
            self.text
        );
        Ok(())
    }
}

/// Runs the fuzzer on a container; findings are in the report.
pub fn fuzz(vm: &mut TestVm, container: &str, slice: &Slice) -> Result<Report> {
    let words = [
        ("--container", container.to_owned()),
        ("--calls", slice.calls.to_string()),
        ("--seconds", slice.seconds.to_string()),
        ("--seed", slice.seed.to_string()),
    ];
    let mut argv = vec![PROGRAM];
    argv.extend(words.iter().flat_map(|(name, value)| [*name, value.as_str()]));
    argv.extend(slice.options.iter().map(String::as_str));
    let output = vm.command(&argv, &[])?;
    let of_line = |line: &str| serde_json::from_str(line.strip_prefix("summary: ")?).ok();
    let summary = output.stdout.lines().rev().find_map(of_line);
    let summary: Value = summary.with_context(|| {
        format!("no summary; exit code {}\n{}\n{}", output.code, output.stdout, output.stderr)
    })?;
    let lines = output.stdout.lines().filter(|line| !line.starts_with("summary: "));
    let text = lines.map(|line| format!("{line}\n")).collect();
    let report = Report { text, details: output.stderr, summary };
    let expected = if report.findings().is_empty() { 0 } else { FOUND };
    ensure!(output.code == expected, "exit code {}: {report:?}", output.code);
    Ok(report)
}

/// Makes sure that a container does what it did before: it opens, takes a command,
/// gives an interrupt, closes; it can be given back, and its driver can go.
pub fn still_works(vm: &mut TestVm, container: &str, object: &str) -> Result<()> {
    vm.sh(&format!("fslmc-guest vfio command {container} --count 3"))?;
    vm.sh(&format!("fslmc-guest vfio irq {container} {object} --simulate 1"))?;
    let kmemleak = "/sys/kernel/debug/kmemleak";
    let leaks = vm.sh(&format!(
        "if [ -e {kmemleak} ]; then echo scan > {kmemleak}; sleep 6; \
         echo scan > {kmemleak}; cat {kmemleak}; fi"
    ))?;
    ensure!(leaks.is_empty(), "the kernel has lost memory:\n{leaks}");
    let left = vm.sh("grep vfio /proc/interrupts || true")?;
    ensure!(!left.contains("vfio-irq"), "interrupts are left:\n{left}");
    vm.sh(&format!("fslmc-guest release {container}"))?;
    vm.sh("rmmod vfio_fsl_mc")?;
    Ok(())
}

/// Makes sure that the kernel has no more in use after the second of two slices that
/// did as many calls.
pub fn no_growth(first: &Report, second: &Report) -> Result<()> {
    for (what, slack) in
        [("slab_kb", MEMORY_SLACK), ("percpu_kb", 512), ("io_maps", 2), ("vmalloc_areas", 4)]
    {
        let (before, after) = (first.memory(what), second.memory(what));
        ensure!(
            after <= before + slack,
            "{what} has grown from {before} to {after} in {} calls (seed {})",
            second.calls(),
            second.summary["seed"]
        );
    }
    let left = second.memory("vfio_interrupts");
    // The driver's own.
    ensure!(left <= 1, "{left} interrupts of VFIO are left");
    Ok(())
}
