// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random calls on a bound container: the guest's fuzzer in a machine, and what is
//! looked at after it.

use crate::{TestVm, artifacts_with, guest_programs, patience};
use anyhow::{Context, Result, bail, ensure};
use board::faults::{Action, Faults, Rule};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// The fuzzer.
const PROGRAM: &str = "vfio-fsl-mc-fuzz";
/// A driver's module, as the guest sees it.
const MODULE: &str = "vfio-fsl-mc.ko";
/// Exit code of the fuzzer with a finding.
const FOUND: i32 = 3;

/// Calls that a run of half a minute has at least; it has some hundred thousand.
const LEAST_CALLS: u64 = 10_000;

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
    ///
    /// # Errors
    /// The fuzzer has not told it.
    pub fn memory(&self, what: &str) -> Result<u64> {
        let number = self.summary["memory"][what].as_u64();
        number.with_context(|| format!("no number {what} in {}", self.summary))
    }

    /// Makes sure that it was no fuzzer that stood still, on a host that is busy or a kernel
    /// that is slow.
    ///
    /// # Errors
    /// It has made too few calls.
    pub fn did_enough(&self) -> Result<()> {
        let least = LEAST_CALLS / u64::from(patience());
        ensure!(
            self.calls() >= least,
            "{} calls, and not {least} at least:\n{}",
            self.calls(),
            self.text
        );
        Ok(())
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

/// What the owner of the container does meanwhile, in the way that docs/driver.md tells:
/// takes two objects away and gives them back, and makes another one again and again under one
/// number. What the MC refuses, because a user has opened the object by a command, is left
/// alone. Ends with all of them there.
const OWNER: &str = "
cd /sys/bus/fsl-mc/devices
mgmt() { fslmc-guest mgmt \"$@\" 2> /dev/null; }
there() { until [ -e dprc.2/$1 ]; do usleep 5000; done; }
# A command whose answer comes too late has been carried out, or not.
again_until() { until eval \"$1\"; do echo asked again: $1; usleep 100000; done; }
away() {
  again_until \"mgmt unplug $1 --in dprc.2\"
  while [ -e dprc.2/$1 ]; do usleep 5000; done
  if mgmt unassign $1 dprc.2; then
    until [ -e $1 ]; do usleep 5000; done
    again_until \"mgmt assign $1 dprc.2 --plugged || [ -e dprc.2/$1 ]\"
    echo moved
  else
    again_until \"mgmt plug $1 --in dprc.2 || mgmt assign $1 dprc.2 --plugged || [ -e dprc.2/$1 ]\"
    echo refused
  fi
  there $1
}
make() { again_until 'made=$(mgmt create dpmcp --in dprc.2 --plugged)'; }
again() {
  if mgmt destroy $made --in dprc.2; then
    make
    echo made
  else
    echo refused
    objects=$(mgmt list dprc.2) && ! echo \"$objects\" | grep -q \"\\\"$made\\\"\" && make
  fi
  there $made
}
mkdir -p /tmp
make
there $made
(until [ -e /tmp/over ]; do away dpmcp.17; again; away dpio.2; done; echo end) > /tmp/owner 2>&1 &
";

/// Tries of which one at least is granted, for objects of both kinds, and moves of which one at
/// least meets a program that has the object open. In the shortest runs there are four or five,
/// and it is a matter of chance.
const TRIES_THAT_TELL: usize = 20;

/// The owner of a container, at work while a program has it.
#[derive(Debug)]
pub struct Owner(());

impl Owner {
    /// Starts with dpmcp.17 and dpio.2 of dprc.2, and makes a dpmcp there.
    pub fn start(vm: &mut TestVm) -> Result<Self> {
        vm.sh("mount -t debugfs none /sys/kernel/debug 2> /dev/null || true")?;
        vm.sh(OWNER)?;
        Ok(Self(()))
    }

    /// Has it end, with all objects there. It must have done something, and, where it had the
    /// time for more than a few moves, have taken some from who had them open.
    pub fn end(self, vm: &mut TestVm) -> Result<()> {
        let said = vm.sh(
            "touch /tmp/over
            n=0; until grep -q end /tmp/owner || [ $n -gt 300 ]; do n=$((n + 1)); usleep 100000; done
            cat /tmp/owner; rm -f /tmp/over",
        )?;
        let count = |what: &str| said.lines().filter(|line| *line == what).count();
        if !said.trim_end().ends_with("end") {
            // What it waits for: by then either the MC or the bus says otherwise.
            let state = vm.sh(
                "ps | grep -v ' ps'; ls /sys/bus/fsl-mc/devices/dprc.2 /sys/bus/fsl-mc/devices
                for n in 1 2; do fslmc-guest mgmt list dprc.$n; done
                cat /sys/kernel/debug/vfio-fsl-mc/dprc.2",
            );
            bail!("the owner has not ended:\n{said}\n{state:?}");
        }
        for again in said.lines().filter(|line| line.starts_with("asked again")) {
            eprintln!("the owner {again}");
        }
        let (moves, made) = (count("moved"), count("made"));
        let tries = moves + made + count("refused");
        ensure!(tries >= 3, "the owner did little:\n{said}");
        ensure!(
            tries < TRIES_THAT_TELL || moves >= 2 && made >= 1,
            "the owner was refused nearly all:\n{said}"
        );
        let revoked = vm
            .sh("awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == \"revocations\") at = i }
            NR > 1 { sum += $at } END { print sum }' /sys/kernel/debug/vfio-fsl-mc/dprc.2")?;
        ensure!(
            moves < TRIES_THAT_TELL || revoked.trim().parse::<u64>()? > 0,
            "nothing was taken from a holder in {moves} moves: {revoked}"
        );
        Ok(())
    }
}

/// How often the MC answers a command too late.
const LATE_EVERY: Duration = Duration::from_secs(1);

/// The commands by which a container is listed (DPRC_GET_OBJ_COUNT, DPRC_GET_OBJ).
const GET_OBJECT_COUNT: u16 = 0x159;
const GET_OBJECT: u16 = 0x15a;

/// How late, and how long the driver waits meanwhile. The bus waits half a second for the
/// commands of the owner's, who is not to be cut off.
const LATE: Duration = Duration::from_millis(300);
const WAITED_MS: u32 = 60;

/// Runs `meanwhile`, during which the MC answers some commands so late that the driver has
/// given them up: those by which it lists a container, and any other.
pub fn with_late_answers<T>(
    vm: &mut TestVm,
    meanwhile: impl FnOnce(&mut TestVm) -> Result<T>,
) -> Result<T> {
    let limit = "/sys/module/vfio_fsl_mc/parameters/command_timeout_ms";
    let before = vm.sh(&format!("cat {limit}; echo {WAITED_MS} > {limit}"))?;
    let board = vm.board()?;
    let (over, is_over) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            let numbers = [Some(GET_OBJECT_COUNT), None, Some(GET_OBJECT), None];
            let mut numbers = numbers.into_iter().cycle();
            while is_over.recv_timeout(LATE_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                let number = numbers.next().flatten();
                let mut faults = Faults::default();
                let action = Action::Delay(LATE);
                faults.add(Rule { kind: None, number, action, times: Some(1) });
                board.mc().set_faults(faults);
            }
            board.mc().set_faults(Faults::default());
        });
        let result = meanwhile(vm);
        drop(over);
        result
    })?;
    vm.sh(&format!("echo {} > {limit}", before.trim()))?;
    // The last one may be on its way.
    thread::sleep(LATE * 2);
    Ok(result)
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
/// did about as many calls.
pub fn no_growth(first: &Report, second: &Report) -> Result<()> {
    // Both end at a time at the latest: a second one that did next to nothing tells nothing.
    ensure!(
        second.calls().saturating_mul(3) >= first.calls(),
        "only {} calls after {}: whether memory grows is not known",
        second.calls(),
        first.calls()
    );
    for (what, slack) in
        [("slab_kb", MEMORY_SLACK), ("percpu_kb", 512), ("io_maps", 2), ("vmalloc_areas", 4)]
    {
        let (before, after) = (first.memory(what)?, second.memory(what)?);
        ensure!(
            after <= before + slack,
            "{what} has grown from {before} to {after} in {} calls (seed {})",
            second.calls(),
            second.summary["seed"]
        );
    }
    let left = second.memory("vfio_interrupts")?;
    // The driver's own.
    ensure!(left <= 1, "{left} interrupts of VFIO are left");
    Ok(())
}
