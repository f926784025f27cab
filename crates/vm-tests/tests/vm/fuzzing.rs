// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random calls on a container that user space has.

use crate::trial;
use anyhow::{Context, Result, bail, ensure};
use fslmc::artifacts;
use libtest_mimic::Trial;
use std::time::Duration;
use vm_tests::{
    TestVm, artifacts_with,
    fuzz::{Driver, FuzzFiles, Report, Slice, fuzz, no_growth, still_works},
};

/// Another module to be tested than the project's.
const MODULE: &str = "FSLMC_DRIVER_MODULE";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("fuzzing::finds_what_is_wrong_with_the_stock_driver", finds_the_stock_defect),
        trial("fuzzing::the_driver_holds_up", || the_driver_holds_up(&tested()?)),
        trial("fuzzing::the_driver_holds_up_while_objects_go", || objects_go(&tested()?)),
    ]
}

fn tested() -> Result<Driver> {
    let module = match std::env::var_os(MODULE) {
        Some(module) => module.into(),
        None => {
            let artifacts = artifacts_with(artifacts::Driver::Rust)?;
            artifacts.driver.as_ref().context("the driver was built")?.with_symbols.clone()
        }
    };
    Ok(Driver::Module(module))
}

/// The fuzzer can fail: the stock driver dereferences a null pointer when interrupts
/// are switched off that were never on, or makes an interrupt domain that is there already.
/// The machine is not switched off but stopped,
/// since a kernel that has oopsed with a lock held may not end by itself.
fn finds_the_stock_defect() -> Result<()> {
    const STOPPED: &str = "the machine is stopped on purpose";
    let files = FuzzFiles::build(&Driver::Stock)?;
    let mut found = None;
    let ended =
        TestVm::with("default")?.share(files.folder()).limit(Duration::from_secs(300)).run(|vm| {
            files.install(vm, "dprc.2")?;
            // It ends with the finding, which takes a few hundred calls.
            let slice = Slice { calls: 50_000, seconds: 120, seed: 1, options: Vec::new() };
            found = Some(fuzz(vm, "dprc.2", &slice)?);
            bail!(STOPPED)
        });
    let report: Report = match (found, ended) {
        (Some(report), _) => report,
        (None, ended) => return ended.and(Err(anyhow::anyhow!("no report"))),
    };
    let findings = report.findings();
    let has = |what: &str| findings.iter().any(|finding| finding.contains(what));
    if has("WARNING") && has("msi_create_device_irq_domain") {
        // Another defect of it, which some interleavings of the threads meet first.
        return Ok(());
    }
    let expected = has("Unable to handle kernel NULL pointer");
    ensure!(expected, "the fuzzer found {findings:?}\n{}", report.text);
    let guilty = report
        .details
        .lines()
        .find(|line| line.contains("has not returned") && line.contains("SET_IRQS"))
        .with_context(|| format!("the call is not reported:\n{}", report.details))?;
    ensure!(guilty.contains("0x3b6e"), "{guilty}");
    Ok(())
}

/// A slice for every day: two equal runs, the second of which must not cost the
/// kernel more memory, then everything that a container is for.
fn the_driver_holds_up(driver: &Driver) -> Result<()> {
    let files = FuzzFiles::build(driver)?;
    TestVm::with("default")?.share(files.folder()).limit(Duration::from_secs(240)).run(|vm| {
        files.install(vm, "dprc.2")?;
        let mut reports = Vec::new();
        for seed in [1, 2] {
            let slice = Slice {
                calls: 150_000,
                seconds: 25,
                seed,
                options: vec!["--rebind-every".into(), "6".into()],
            };
            let report = fuzz(vm, "dprc.2", &slice)?;
            report.clean()?;
            reports.push(report);
        }
        if let [first, second] = reports.as_slice() {
            no_growth(first, second)?;
        }
        still_works(vm, "dprc.2", "dpbp.4")
    })
}

/// What the owner of the container does meanwhile, in the way that docs/driver.md tells:
/// takes two objects away and gives them back, and makes another one again and again under one
/// number. What the MC refuses, because a user has opened the object by a command, is left
/// alone. Ends with all of them there.
const OWNER: &str = "
cd /sys/bus/fsl-mc/devices
mgmt() { fslmc-guest mgmt \"$@\" 2> /dev/null; }
there() { until [ -e dprc.2/$1 ]; do usleep 5000; done; }
away() {
  mgmt unplug $1 --in dprc.2
  while [ -e dprc.2/$1 ]; do usleep 5000; done
  if mgmt unassign $1 dprc.2; then
    until [ -e $1 ]; do usleep 5000; done
    mgmt assign $1 dprc.2 --plugged
    echo moved
  else
    mgmt plug $1 --in dprc.2
  fi
  there $1
}
again() {
  if mgmt destroy $made --in dprc.2; then
    made=$(mgmt create dpmcp --in dprc.2 --plugged)
    echo made
  fi
  there $made
}
mkdir -p /tmp
made=$(mgmt create dpmcp --in dprc.2 --plugged)
there $made
(until [ -e /tmp/over ]; do away dpmcp.17; again; away dpio.2; done; echo end) > /tmp/owner 2>&1 &
";

/// Objects go and come while they are open, mapped and in the middle of calls.
fn objects_go(driver: &Driver) -> Result<()> {
    let files = FuzzFiles::build(driver)?;
    TestVm::with("default")?.share(files.folder()).limit(Duration::from_secs(240)).run(|vm| {
        files.install(vm, "dprc.2")?;
        vm.sh("mount -t debugfs none /sys/kernel/debug 2> /dev/null || true")?;
        vm.sh(OWNER)?;
        let slice = Slice { calls: 300_000, seconds: 60, seed: 3, options: Vec::new() };
        fuzz(vm, "dprc.2", &slice)?.clean()?;
        let said = vm.sh("touch /tmp/over
            n=0; until grep -q end /tmp/owner || [ $n -gt 300 ]; do n=$((n + 1)); usleep 100000; done
            cat /tmp/owner")?;
        let count = |what: &str| said.lines().filter(|line| *line == what).count();
        ensure!(said.trim_end().ends_with("end"), "the owner has not ended:\n{said}");
        ensure!(count("moved") >= 2 && count("made") >= 1, "the owner did little:\n{said}");
        // By the column's name: some were taken from who had them open.
        let revoked = vm.sh("awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == \"revocations\") at = i }
            NR > 1 { sum += $at } END { print sum }' /sys/kernel/debug/vfio-fsl-mc/dprc.2")?;
        ensure!(revoked.trim().parse::<u64>()? > 0, "nothing was taken from a holder: {revoked}");
        still_works(vm, "dprc.2", "dpbp.4")
    })
}
