// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random calls on a container that user space has.

use crate::trial;
use anyhow::{Context, Result, bail, ensure};
use fslmc::artifacts;
use libtest_mimic::Trial;
use std::time::Duration;
use vm_tests::{
    TestVm, artifacts_with,
    fuzz::{
        Driver, FuzzFiles, Owner, Report, Slice, fuzz, no_growth, still_works, with_late_answers,
    },
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
            report.did_enough()?;
            reports.push(report);
        }
        if let [first, second] = reports.as_slice() {
            no_growth(first, second)?;
        }
        still_works(vm, "dprc.2", "dpbp.4")
    })
}

/// Objects go and come while they are open, mapped and in the middle of calls, and the MC
/// answers some commands too late.
fn objects_go(driver: &Driver) -> Result<()> {
    let files = FuzzFiles::build(driver)?;
    TestVm::with("default")?.share(files.folder()).limit(Duration::from_secs(240)).run(|vm| {
        files.install(vm, "dprc.2")?;
        let owner = Owner::start(vm)?;
        let slice = Slice { calls: 300_000, seconds: 60, seed: 3, options: Vec::new() };
        let report = with_late_answers(vm, |vm| fuzz(vm, "dprc.2", &slice))?;
        report.clean()?;
        report.did_enough()?;
        owner.end(vm)?;
        still_works(vm, "dprc.2", "dpbp.4")
    })
}
