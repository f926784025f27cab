// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The boots: each with all drivers, one after the other.

use crate::{Args, layout};
use anyhow::{Context, Result, ensure};
use board::{
    faults::{Action, Faults, Rule},
    mc::Tracer,
};
use board_qemu::Time;
use driver_bench::{Check, LOOP_INSTRUCTIONS, Outcome, Report, Row, Unit};
use fslmc::artifacts::{Artifacts, Driver};
use mc_abi::{Request, dpmng};
use serde::Serialize;
use setup::{Cache, PackageSet, Terminal};
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use vm_tests::{TestVm, artifacts};

/// Package and name of the guest's program.
const PACKAGE: &str = "driver-bench";
const PROGRAM: &str = "vfio-fsl-mc-bench";
/// Where the guest sees it.
const SHARED: &str = "/host";
/// The file in the shared folder in which commands are counted.
const COMMANDS: &str = "commands";
/// The whole of a boot.
const LIMIT: Duration = Duration::from_secs(3600);
/// How long the MC takes for a command, in microseconds of the host's clock.
const DELAYS: [u64; 4] = [0, 20, 100, 1000];
/// And of the guest's, where that counts instructions. A driver that looks every half a
/// millisecond is in luck at the whole ones.
const GUEST_DELAYS: &str = "20,100,750,1000,1250";

/// Which of the drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seat {
    /// What is measured against.
    Old,
    /// What is measured.
    New,
    /// What no driver can be better than: it does the least that is asked for.
    Least,
}

impl Seat {
    /// In the order of measuring.
    pub const ALL: [Self; 3] = [Self::Old, Self::New, Self::Least];

    /// Whether a boot measures it. Counted, the least is an answer; a time is the host's
    /// affair, and the commands are those of the drivers.
    fn is_measured(self, unit: Unit) -> bool {
        self != Self::Least || unit == Unit::Instructions
    }

    fn file(self) -> &'static str {
        match self {
            Self::Old => "old.ko",
            Self::New => "new.ko",
            Self::Least => "least.ko",
        }
    }
}

/// One driver, once.
#[derive(Debug, Serialize)]
pub struct Pass {
    /// The driver.
    pub seat: Seat,
    /// What the guest says of its counter.
    pub check: Check,
    /// What was measured.
    pub rows: Vec<Row>,
}

/// One boot.
#[derive(Debug, Serialize)]
pub struct Boot {
    /// What was counted.
    pub unit: Unit,
    /// In the order of measuring.
    pub passes: Vec<Pass>,
}

impl Boot {
    /// Whether any row has a number that is not 0: what counts nothing says 0 for all drivers.
    fn has_counted(&self) -> bool {
        let mut rows = self.passes.iter().flat_map(|pass| &pass.rows);
        rows.any(|row| match &row.outcome {
            Outcome::Spread(spread) => spread.ninth > 0,
            Outcome::Number(number) => *number != 0,
            Outcome::Failed(_) => false,
        })
    }
}

/// What all boots have in common.
pub struct Plan {
    shared: TempDir,
    passes: u8,
    cycles: u32,
}

impl Plan {
    /// Builds the guest's program and collects the modules.
    pub fn new(args: &Args) -> Result<Self> {
        let artifacts = artifacts()?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = setup::build_guest_programs(&root, &artifacts.packages, &[PACKAGE])?;
        let shared = tempfile::tempdir().context("making a folder for the guest")?;
        copy(&folder.join(PROGRAM), &shared.path().join(PROGRAM))?;
        let old = match &args.against {
            Some(path) => read(path)?,
            None => {
                let stock = artifacts.kernel.modules(&["vfio-fsl-mc"])?.pop();
                stock.context("the kernel has no module vfio-fsl-mc")?.bytes
            }
        };
        let new = match &args.module {
            Some(path) => read(path)?,
            None => {
                let artifacts = Artifacts::prepare(Driver::Rust, &*fslmc::progress())?;
                artifacts.driver.context("the driver was not built")?.module.bytes
            }
        };
        let packages = Cache::from_env()?
            .ensure(&[PackageSet::Board, PackageSet::KernelBuild], &Terminal::new())?;
        let least = setup::build_least_driver(&root, &packages, &Terminal::new())?.module.bytes;
        for (seat, bytes) in [(Seat::Old, old), (Seat::New, new), (Seat::Least, least)] {
            let path = shared.path().join(seat.file());
            fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(Self { shared, passes: args.passes, cycles: args.cycles })
    }

    /// The boot that counts instructions.
    pub fn instructions(&self) -> Result<Boot> {
        // One processor: the counter counts what any of them executes.
        self.boot(Unit::Instructions, 1, |guest, _| {
            guest.calls(40)?;
            // Threads are started and end: many commands to each.
            guest.commands(0, 1000)?;
            // A driver that spins takes half a second of the host for each command.
            guest.commands(20, 4)?;
            guest.bind(5)
        })
    }

    /// The boot that counts commands to the MC: how long each takes is the MC's
    /// affair, so that on a board these are most of what a call takes.
    pub fn commands(&self) -> Result<Boot> {
        self.boot(Unit::Commands, 1, |guest, _| {
            guest.calls(3)?;
            guest.bind(3)
        })
    }

    /// The boot that takes times.
    pub fn times(&self) -> Result<Boot> {
        self.boot(Unit::Nanoseconds, 2, |guest, pass| {
            guest.calls(100)?;
            for delay in DELAYS {
                guest.commands(delay, 200)?;
            }
            guest.bind(7)?;
            // The same each time, and slow.
            if pass == 0 {
                guest.memory(self.cycles)?;
            }
            Ok(())
        })
    }

    /// The boot that measures what is added to the MC's delays, by a clock of the guest's that
    /// knows nothing of the host.
    pub fn latency(&self) -> Result<Boot> {
        // The second processor is for who says when the answer comes.
        self.boot(Unit::GuestNanoseconds, 2, |guest, _| guest.latency(20))
    }

    /// Counts commands in a file that the guest sees.
    fn counter(&self) -> Result<Tracer> {
        let path = self.shared.path().join(COMMANDS);
        fs::write(&path, 0_u64.to_le_bytes())?;
        let file = fs::OpenOptions::new().write(true).open(&path)?;
        // Held for the write, so that no older count overwrites a newer one.
        let count = Mutex::new(0_u64);
        Ok(Arc::new(move |_| {
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            // Without it, the rows say 0 for both drivers, with which the boot fails.
            let _ = file.write_all_at(&count.to_le_bytes(), 0);
        }))
    }

    fn boot(
        &self,
        unit: Unit,
        cpus: u8,
        work: impl Fn(&mut Guest<'_>, u8) -> Result<()>,
    ) -> Result<Boot> {
        let mut boot = Boot { unit, passes: Vec::new() };
        let tracer = self.counter()?;
        let change = |options: &mut fslmc::machine::Options| {
            options.tracer = (unit == Unit::Commands).then_some(tracer);
            options.machine.cpus = cpus;
            options.machine.time = match unit {
                Unit::Instructions => Time::Instructions,
                Unit::GuestNanoseconds => Time::InstructionsAndTimers,
                Unit::Nanoseconds | Unit::Commands => Time::Host,
            };
        };
        let vm = TestVm::with_layout(layout::layout()?).options(change).limit(LIMIT);
        // The stock driver's interrupts work once per bind, which memory.rs of the
        // guest's program shows.
        let vm = vm.expect_complaint("msi_create_device_irq_domain");
        vm.share(self.shared.path()).run(|vm| {
            vm.load(&["vfio_iommu_type1"])?;
            for pass in 0..self.passes {
                for seat in Seat::ALL.into_iter().filter(|seat| seat.is_measured(unit)) {
                    eprintln!("{unit:?}, pass {} of {}: {seat:?}", pass + 1, self.passes);
                    vm.sh(&format!("insmod {SHARED}/{}", seat.file()))?;
                    let pass_ = Pass { seat, check: Check::default(), rows: Vec::new() };
                    let mut guest = Guest { vm, unit, pass: pass_ };
                    let done = work(&mut guest, pass);
                    boot.passes.push(guest.pass);
                    done.with_context(|| format!("the driver in {}", seat.file()))?;
                    vm.sh("rmmod vfio_fsl_mc")?;
                }
            }
            Ok(())
        })?;
        ensure!(boot.has_counted(), "{unit:?}: all rows are 0 or fail");
        Ok(boot)
    }
}

/// A guest with a driver loaded.
struct Guest<'a> {
    vm: &'a mut TestVm,
    unit: Unit,
    pass: Pass,
}

impl Guest<'_> {
    fn calls(&mut self, rounds: u32) -> Result<()> {
        self.run(&format!("calls --rounds {rounds}"))
    }

    fn commands(&mut self, delay: u64, rounds: u32) -> Result<()> {
        let mut faults = Faults::default();
        if delay > 0 {
            let action = Action::Delay(Duration::from_micros(delay));
            faults.add(Rule { kind: None, number: None, action, times: None });
        }
        let board = self.vm.board()?;
        board.mc().set_faults(faults);
        let done = self.run(&format!("commands --rounds {rounds} --label 'delay {delay} us'"));
        board.mc().set_faults(Faults::default());
        done
    }

    fn latency(&mut self, rounds: u32) -> Result<()> {
        let mut faults = Faults::default();
        let number = Some(dpmng::GetSocVersion::NUMBER);
        faults.add(Rule { kind: None, number, action: Action::Hold, times: None });
        let board = self.vm.board()?;
        board.mc().set_faults(faults);
        let done = self.run(&format!("latency --rounds {rounds} --delays {GUEST_DELAYS}"));
        board.mc().set_faults(Faults::default());
        done
    }

    fn bind(&mut self, rounds: u32) -> Result<()> {
        // Whatever driver has it, the program starts with it unbound.
        let many = format!("dprc.{}", layout::MANY);
        self.run(&format!("bind --rounds {rounds} --container {many}"))
    }

    fn memory(&mut self, cycles: u32) -> Result<()> {
        self.run(&format!("memory --cycles {cycles} --another"))?;
        self.run(&format!("memory --cycles {cycles}"))
    }

    fn run(&mut self, arguments: &str) -> Result<()> {
        let unit = match self.unit {
            Unit::Instructions => "instructions",
            Unit::Nanoseconds => "nanoseconds",
            Unit::GuestNanoseconds => "guest-nanoseconds",
            Unit::Commands => "commands",
        };
        let options = format!("--unit {unit} --commands {SHARED}/{COMMANDS}");
        let start = Instant::now();
        let printed = self.vm.sh(&format!("{SHARED}/{PROGRAM} {options} {arguments}"))?;
        let report: Report = serde_json::from_str(&printed)
            .with_context(|| format!("what it printed: {printed}"))?;
        ensure!(report.unit == self.unit, "{PROGRAM} measured {:?}", report.unit);
        eprintln!("  {arguments}: {:.1} s", start.elapsed().as_secs_f64());
        self.pass.check = worst(self.pass.check, report.check);
        self.pass.rows.extend(report.rows);
        Ok(())
    }
}

/// The one of two checks by which the counter is farther off. The first one of a pass is none.
fn worst(before: Check, now: Check) -> Check {
    let off = |check: &Check| (check.counted_loop.abs_diff(LOOP_INSTRUCTIONS), check.different);
    if before == Check::default() || off(&now) > off(&before) { now } else { before }
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_bench::Spread;

    #[test]
    fn the_check_that_is_farthest_off_is_kept() {
        let check = |counted_loop, different| Check { empty: 0, counted_loop, different };
        let (exact, off) = (check(LOOP_INSTRUCTIONS, 1), check(LOOP_INSTRUCTIONS - 9, 1));
        assert_eq!(worst(Check::default(), exact), exact);
        assert_eq!(worst(exact, off), off);
        assert_eq!(worst(off, exact), off);
        let scattered = check(LOOP_INSTRUCTIONS, 5);
        assert_eq!(worst(worst(exact, scattered), exact), scattered);
    }

    #[test]
    fn a_boot_that_counts_nothing_is_told() {
        let boot = |outcomes: Vec<Outcome>| {
            let rows = outcomes.into_iter().map(|outcome| Row { name: "row".to_owned(), outcome });
            let pass = Pass { seat: Seat::New, check: Check::default(), rows: rows.collect() };
            Boot { unit: Unit::Commands, passes: vec![pass] }
        };
        let spread = |number| Outcome::Spread(Spread::of(vec![number]).unwrap());
        assert!(boot(vec![spread(0), spread(1)]).has_counted());
        assert!(!boot(vec![spread(0), Outcome::Number(0)]).has_counted());
        assert!(!boot(vec![Outcome::Failed("no".to_owned())]).has_counted());
        assert!(!boot(Vec::new()).has_counted());
    }
}
