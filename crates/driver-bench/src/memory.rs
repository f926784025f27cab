// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the kernel keeps of devices that were opened and closed again.

use crate::{
    Outcome, Row,
    bound::{self, Error},
};
use dprc::{AssignedContainer, EventFd, IrqAction, IrqData};
use fsl_mc_linux::proc;
use rustix::fd::AsFd;
use std::{thread, time::Duration};

/// Cycles before the count starts.
const WARM_UP: u32 = 200;
/// What the kernel frees late is gone by then.
const SETTLE: Duration = Duration::from_secs(2);

/// Cycles of open, enabling of an interrupt, close. With `another` an interrupt of the
/// container is armed all the time, without which not every driver gets far.
pub fn run(container: &str, cycles: u32, another: bool) -> Result<Vec<Row>, Error> {
    let held = AssignedContainer::open(container)?;
    let pool = bound::first(&held, "dpbp")?;
    let itself = held.dprc()?;
    let events = EventFd::new()?;
    let mut name = format!("bytes kept of {cycles} open/irq/close");
    if another {
        let files = [Some(events.as_fd())];
        itself.set_irqs(0, 0, IrqAction::Trigger, &IrqData::EventFds(&files))?;
        name += ", another irq in use";
    }
    Ok(vec![Row { name, outcome: grow(cycles, || cycle(&held, &pool)) }])
}

fn cycle(held: &AssignedContainer, name: &str) -> dprc::Result<()> {
    let interrupt = held.device(name)?.enable_interrupt(0)?;
    interrupt.simulate()
}

/// How much the kernel's memory grows over `cycles` cycles.
fn grow(cycles: u32, mut work: impl FnMut() -> dprc::Result<()>) -> Outcome {
    let mut repeat = |count: u32, before: u32| -> Result<(), String> {
        (0..count).try_for_each(|index| {
            work().map_err(|error| format!("fails at cycle {}: {error}", before + index + 1))
        })
    };
    let mut measure = || -> Result<i64, String> {
        repeat(WARM_UP, 0)?;
        let before = kernel_memory().map_err(|error| error.to_string())?;
        repeat(cycles, WARM_UP)?;
        let after = kernel_memory().map_err(|error| error.to_string())?;
        Ok(after - before)
    };
    match measure() {
        Ok(bytes) => Outcome::Number(bytes),
        Err(error) => Outcome::Failed(error),
    }
}

/// Bytes of the kernel's own memory: what cannot be reclaimed of the slabs, vmalloc and
/// per-CPU memory.
fn kernel_memory() -> Result<i64, Error> {
    thread::sleep(SETTLE);
    let mut bytes = 0;
    for name in ["SUnreclaim", "VmallocUsed", "Percpu"] {
        // A kernel that does not know one has nothing there.
        bytes += i64::try_from(proc::meminfo(name)?.unwrap_or(0))? * 1024;
    }
    Ok(bytes)
}
