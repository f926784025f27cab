// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The conformance suite against the drivers there are.

use crate::trial;
use anyhow::{Context, Result, ensure};
use fsl_mc_linux::kmsg::WITHOUT_MEMORY;
use fslmc::artifacts;
use libtest_mimic::Trial;
use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock, time::Duration};
use test_support::flakes::Flakes;
use vm_tests::{
    KernelChoice, Output, TestVm, TestVmBuilder, guest_programs, layout_of, patience, skips,
};

/// The program.
const PROGRAM: &str = "vfio-fsl-mc-conformance";

/// The program in the guest, with the containers of the layout.
const COMMAND: &str =
    "/host/vfio-fsl-mc-conformance --kernel-log --container dprc.2 --second-container dprc.3";

/// How long a machine may take from boot to power-off.
const LIMIT: Duration = Duration::from_secs(900);

/// A driver to be judged.
#[derive(Clone, Copy)]
struct Driver {
    /// In the tests' names.
    name: &'static str,
    /// More of the command line.
    arguments: &'static str,
    /// Whether it is to pass every check.
    passes_all: bool,
    /// What is different about the machine.
    prepare: fn(TestVmBuilder) -> TestVmBuilder,
}

/// What the bus driver of the container around complains of, when an object goes to a
/// container below or comes from there while it lists its own: both have it for a moment. In
/// the suite, checks that look at the kernel's log see to it that nobody else does that.
const BOTH_HAVE_IT: &str = "sysfs: cannot create duplicate filename '/";

fn expect(vm: TestVmBuilder, complaint: &&'static str) -> TestVmBuilder {
    vm.expect_complaint(complaint)
}

/// Linux's own driver. Checks that can crash it run in machines of their own.
const STOCK: Driver = Driver {
    name: "stock",
    arguments: "--expect-defects",
    passes_all: false,
    // Interrupts of a container work once per bind, and the kernel says so.
    prepare: |vm| vm.expect_complaint("msi_").expect_complaint(BOTH_HAVE_IT),
};

/// The project's driver: it passes every check.
const RUST: Driver = Driver {
    name: "rust",
    arguments: "--dangerous",
    passes_all: true,
    prepare: |vm| vm.driver(artifacts::Driver::Rust).expect_complaint(BOTH_HAVE_IT),
};

/// The groups of the suite, in parts that run in machines of their own; the longest first.
const PARTS: [(&str, &[&str]); 3] = [
    ("life", &["close", "lending", "hotplug", "revocation", "escape", "unbind", "cdev"]),
    ("interrupts", &["interrupts", "reset", "dma", "containers"]),
    ("calls", &["info", "irqset", "mmap", "portal", "concurrency", "policy", "memory"]),
];

/// The drivers.
const DRIVERS: [Driver; 2] = [STOCK, RUST];

/// What can crash or wedge a kernel with Linux's own driver, and what the kernel
/// complains of then.
const DANGEROUS: [(&str, &[&str]); 2] = [
    (
        "irqset/disarm-never-armed",
        &["NULL pointer dereference", "Internal error: Oops", "Call trace", "vfio_set_trigger"],
    ),
    // The driver spins in the kernel, for so long that watchdogs may notice.
    ("portal/write-of-no-portal-is-quick", &["soft lockup", "rcu: INFO:", "blocked for more than"]),
];

pub fn trials() -> Vec<Trial> {
    // A kernel that is slow has no time for several.
    let is_slow = patience() > 1;
    let judge_all = |driver: Driver| {
        let each = move |(_, groups): (&'static str, &'static [&'static str])| {
            groups.chunks(1).map(|group| (group[0], group))
        };
        let parts: Vec<_> =
            if is_slow { PARTS.into_iter().flat_map(each).collect() } else { PARTS.into() };
        parts.into_iter().map(move |(part, groups)| {
            trial(format!("conformance::{}::{part}", driver.name), move || {
                judge(driver, groups, None)
            })
        })
    };
    let judge_one = |(check, complaints): (&'static str, &'static [&'static str])| {
        let name = check.replace(['/', '-'], "_");
        trial(format!("conformance::dangerous::{name}"), move || dangerous(check, complaints))
    };
    DRIVERS.into_iter().flat_map(judge_all).chain(DANGEROUS.map(judge_one)).collect()
}

/// Runs the checks of some groups on the project's driver, on another kernel.
pub fn judge_on(kernel: KernelChoice, groups: &[&str]) -> Result<()> {
    judge(RUST, groups, Some(kernel))
}

/// Runs the checks of some groups; the program says by its exit code whether the driver
/// is as it should be.
fn judge(driver: Driver, groups: &[&str], kernel: Option<KernelChoice>) -> Result<()> {
    let kernel = kernel.map_or_else(KernelChoice::from_env, Ok)?;
    let prepare = |vm| {
        let vm = (driver.prepare)(vm).kernel(kernel.clone());
        // A machine of its own, in which allocations fail.
        if groups == ["memory"] { WITHOUT_MEMORY.iter().fold(vm, expect) } else { vm }
    };
    with_program(prepare, |vm| {
        let list = vm.sh("/host/vfio-fsl-mc-conformance --list")?;
        // Those that only run with `--dangerous` are not forgotten here.
        let known: Vec<&str> = DANGEROUS.iter().map(|(check, _)| *check).collect();
        let marked = list.lines().filter(|line| line.contains("dangerous "));
        let marked: Vec<&str> = marked.filter_map(|line| line.split_whitespace().next()).collect();
        ensure!(marked == known, "dangerous checks are {marked:?}, tested are {known:?}");
        // Nor is any group.
        let in_parts = |line: &&str| {
            let group = line.split('/').next().unwrap_or_default();
            PARTS.iter().any(|(_, groups)| groups.contains(&group))
        };
        ensure!(list.lines().all(|line| in_parts(&line)), "a group is in no part:\n{list}");

        let chosen: Vec<String> = groups.iter().map(|group| format!("--group {group}")).collect();
        let command = format!("{COMMAND} --patience {} {}", patience(), driver.arguments);
        let output = vm.try_sh(&format!("{command} {}", chosen.join(" ")))?;
        let last = output.stdout.lines().last().unwrap_or_default();
        let flaky = if output.code == 0 { Vec::new() } else { failed(&output.stdout) };
        ensure!(
            (output.code == 0 || !flaky.is_empty()) && list.lines().count() > 100,
            "exit code {}: {last}\n{}\n{}",
            output.code,
            output.stdout,
            output.stderr
        );
        // What is broken fails when it has the machine to itself, too.
        for check in &flaky {
            eprintln!(
                "{check} is not as expected: it runs again, alone\n{}",
                reported(&output, check)
            );
            let alone = vm.try_sh(&format!("{command} --check {check}"))?;
            // A check that is skipped then has not passed.
            let is_as_expected = alone.code == 0 && has_result(&alone.stdout, check);
            ensure!(
                is_as_expected,
                "{check} again, exit code {}:\n{}\nbefore:\n{}",
                alone.code,
                alone.stdout,
                output.stdout
            );
        }
        note_skipped(driver, &kernel, &output.stdout)?;
        let twice = FLAKES.record(driver.name, &ran(&output.stdout), &flaky)?;
        ensure!(
            twice.is_empty() || !driver.passes_all,
            "passed at the second try only, as in the run before: {}",
            twice.join(", ")
        );
        Ok(())
    })
}

/// Tests and checks that needed a second try in this run, and in the one before.
pub static FLAKES: LazyLock<Flakes> =
    LazyLock::new(|| Flakes::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("flaky-checks")));

/// Checks by the start of their names that mean nothing here, and the start of what they
/// say then: Debian's kernel has no iommufd, nor does its allocator fail on request (the
/// kernel of docs/debug-kernel.md has both), and the board has no region that may only be
/// read.
const NOT_APPLICABLE: [(&str, &str); 1] = [("mmap/read-only-stays", "no region is read-only")];
/// The same for Debian's kernels alone.
const NOT_APPLICABLE_TO_DEBIAN: [(&str, &str); 2] =
    [("cdev/", "no /dev/iommu"), ("memory/", "the kernel's allocations do not fail on request")];
/// The same for the stock driver alone: the call is one that the driver in Rust adds.
const NOT_APPLICABLE_TO_STOCK: (&str, &str) =
    ("portal/one-call", "the driver does not have the call");

/// Notes what a report has skipped. Checks that the driver must not be given have a test of
/// their own ([`DANGEROUS`]).
fn note_skipped(driver: Driver, kernel: &KernelChoice, report: &str) -> Result<()> {
    let is_debians = matches!(kernel, KernelChoice::Board | KernelChoice::Debian(_));
    let dangerous = |check: &str| DANGEROUS.iter().any(|(known, _)| *known == check);
    let means_nothing = |check: &str, reason: &str| {
        let known =
            |(checks, why): &(&str, &str)| check.starts_with(checks) && reason.starts_with(why);
        NOT_APPLICABLE.iter().any(known)
            || is_debians && NOT_APPLICABLE_TO_DEBIAN.iter().any(known)
            || driver.name == "stock" && known(&NOT_APPLICABLE_TO_STOCK)
    };
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let results = report.lines().filter_map(|line| line.strip_prefix("ok ")?.split_once(" - "));
    for (_, result) in results {
        let Some((check, reason)) = result.split_once(" # SKIP ") else { continue };
        if !dangerous(check) {
            by_reason.entry(reason).or_default().push(check);
        }
    }
    for (reason, checks) in by_reason {
        let what = format!("conformance::{} {}", driver.name, checks.join(", "));
        if checks.iter().all(|check| means_nothing(check, reason)) {
            skips::not_applicable(&what, checks.len(), reason);
        } else {
            skips::skip(&what, checks.len(), reason)?;
        }
    }
    Ok(())
}

/// The checks that a report has a result of.
fn ran(report: &str) -> Vec<String> {
    let check = |line: &str| {
        let result = line.strip_prefix("not ").unwrap_or(line).strip_prefix("ok ")?;
        let (_, check) = result.split_once(" - ")?;
        let (check, comment) = check.split_once(" # ").unwrap_or((check, ""));
        (!comment.starts_with("SKIP")).then(|| check.to_owned())
    };
    report.lines().filter_map(check).collect()
}

/// Whether a report has a check's result, and not only that it was skipped.
fn has_result(report: &str, check: &str) -> bool {
    ran(report).iter().any(|name| name == check)
}

/// The checks that a report says are not as expected.
fn failed(report: &str) -> Vec<String> {
    let name = |line: &str| line.strip_prefix("# not as expected: ").map(str::to_owned);
    report.lines().filter_map(name).collect()
}

/// What a report says of a check.
fn reported(output: &Output, check: &str) -> String {
    let line = format!("- {check}");
    let mut of_check = output.stdout.lines().skip_while(|said| !said.contains(&line));
    let mut lines: Vec<&str> = of_check.next().into_iter().collect();
    lines.extend(of_check.take_while(|said| said.starts_with("  ")));
    lines.join("\n")
}

/// Runs one check that Linux's own driver fails at the cost of the machine.
fn dangerous(check: &str, complaints: &[&'static str]) -> Result<()> {
    with_program(
        |vm| complaints.iter().fold(vm, expect),
        |vm| {
            let output =
                vm.try_sh(&format!("{COMMAND} --expect-defects --dangerous --check {check}"))?;
            let failed = output.stdout.contains(&format!("not ok 1 - {check} # TODO defect"));
            ensure!(
                output.code == 0 && failed,
                "exit code {}:\n{}\n{}",
                output.code,
                output.stdout,
                output.stderr
            );
            Ok(())
        },
    )
}

/// A machine with the program in it and two containers bound.
fn with_program(
    prepare: impl FnOnce(TestVmBuilder) -> TestVmBuilder,
    test: impl FnOnce(&mut TestVm) -> Result<()>,
) -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = tempfile::tempdir()?;
    fs::copy(guest_programs()?.join(PROGRAM), shared.path().join(PROGRAM))
        .context("copying the program")?;
    let layout = layout_of(&here.join("tests/vm/conformance.dts"))?;
    let vm = TestVm::with_layout(layout).share(shared.path()).limit(LIMIT);
    // For kernels that have an iommufd: it takes no container where interrupts cannot be kept
    // apart, as on the board.
    let vm = vm.options(|options| options.append = "iommufd.allow_unsafe_interrupts=1".into());
    prepare(vm).run(|vm| {
        vm.bind(&["dprc.2", "dprc.3"])?;
        // Allocations are told there to fail, where the kernel can do that.
        vm.sh("mount -t debugfs none /sys/kernel/debug 2> /dev/null || true")?;
        // A driver of the host for objects that a check gives it.
        vm.load(&["fsl-mc-dpio"])?;
        test(vm)
    })
}
