// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What counts: instructions of the kernel, time, or commands to the MC.

use crate::{Outcome, Row};
use driver_bench::{Check, LOOP_INSTRUCTIONS, Spread, Unit};
use perf_event::{Builder, Counter, events::Hardware};
use rustix::time::{ClockId, clock_gettime};
use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf, thread, time::Duration};

/// What a driver has put off is done by then: it waits 20 ms for more to come.
const AFTERWARDS: Duration = Duration::from_millis(60);

/// What to count, and how.
#[derive(Debug, Clone)]
pub struct Kind {
    /// What.
    pub unit: Unit,
    /// The file in which the host counts commands: 8 bytes, little-endian.
    pub commands: Option<PathBuf>,
    /// The row that is meant; all others are done once.
    pub only: Option<String>,
}

/// Whose instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The kernel's on behalf of this thread.
    Thread,
    /// The kernel's on behalf of this thread and of those that it starts from now on;
    /// what those did is added when they end.
    Threads,
    /// All of the kernel's on processor 0: meant for a machine with one.
    Machine,
}

/// Counts from one reading to the next.
pub struct Meter {
    source: Source,
    empty: u64,
    only: Option<String>,
}

enum Source {
    Instructions(Counter),
    Clock,
    Commands(File),
}

impl Meter {
    /// A meter, with what a reading itself costs found out.
    pub fn new(kind: &Kind, scope: Scope) -> io::Result<Self> {
        let source = match (kind.unit, &kind.commands) {
            (Unit::Instructions, _) => Source::Instructions(kernel_instructions(scope)?),
            (Unit::Nanoseconds | Unit::GuestNanoseconds, _) => Source::Clock,
            (Unit::Commands, Some(path)) => Source::Commands(File::open(path)?),
            (Unit::Commands, None) => {
                return Err(io::Error::other("commands are counted in a file: --commands FILE"));
            }
        };
        let mut meter = Self { source, empty: 0, only: kind.only.clone() };
        if kind.unit == Unit::Commands {
            return Ok(meter);
        }
        let samples = meter.repeat(101, || Ok::<(), io::Error>(()))?;
        meter.empty = Spread::of(samples).map_or(0, |spread| spread.median);
        Ok(meter)
    }

    /// How often to do what is measured for a row: once, where another row is meant.
    pub fn rounds(&self, rounds: u32, row: &str) -> u32 {
        if self.only.as_ref().is_none_or(|only| only == row) { rounds } else { 1 }
    }

    /// Starts a measurement: the argument of [`Meter::since`].
    pub fn start(&mut self) -> io::Result<u64> {
        self.now()
    }

    /// What has been counted since `start`, without the cost of the reading itself.
    pub fn since(&mut self, start: u64) -> io::Result<u64> {
        if let Source::Commands(_) = self.source {
            thread::sleep(AFTERWARDS);
        }
        Ok(self.now()?.saturating_sub(start).saturating_sub(self.empty))
    }

    fn now(&mut self) -> io::Result<u64> {
        match &mut self.source {
            Source::Instructions(counter) => counter.read(),
            Source::Clock => {
                let now = clock_gettime(ClockId::Monotonic);
                let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
                Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
            }
            Source::Commands(file) => {
                let mut count = [0; 8];
                file.read_exact_at(&mut count, 0)?;
                Ok(u64::from_le_bytes(count))
            }
        }
    }

    /// Does something so many times; what each took.
    pub fn repeat<E: From<io::Error>>(
        &mut self,
        times: u32,
        mut work: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<u64>, E> {
        let mut samples = Vec::with_capacity(times as usize);
        for _ in 0..times {
            let start = self.start()?;
            work()?;
            samples.push(self.since(start)?);
        }
        Ok(samples)
    }
}

fn kernel_instructions(scope: Scope) -> io::Result<Counter> {
    let mut builder = Builder::new(Hardware::INSTRUCTIONS);
    builder.include_kernel().exclude_user(true);
    match scope {
        Scope::Thread => &mut builder,
        Scope::Threads => builder.inherit(true),
        Scope::Machine => builder.any_pid().one_cpu(0),
    };
    let mut counter = builder.build()?;
    counter.enable()?;
    Ok(counter)
}

/// Compares the counter with what is known.
pub fn check(kind: &Kind) -> io::Result<Check> {
    if kind.unit == Unit::Commands {
        return Ok(Check::default());
    }
    let mut meter = Meter::new(kind, Scope::Thread)?;
    let mut calls = meter.repeat(100, || {
        std::hint::black_box(rustix::process::getppid());
        Ok::<(), io::Error>(())
    })?;
    calls.sort_unstable();
    calls.dedup();
    let counted_loop = match kind.unit {
        // The first calls have code translated and pages faulted in.
        Unit::Instructions => count_loop().and_then(|_| count_loop())?,
        _ => 0,
    };
    Ok(Check { empty: meter.empty, counted_loop, different: calls.len() as u64 })
}

/// Counts a loop of [`LOOP_INSTRUCTIONS`] in user space.
fn count_loop() -> io::Result<u64> {
    let mut counter = Builder::new(Hardware::INSTRUCTIONS).exclude_kernel(true).build()?;
    counter.enable()?;
    let start = counter.read()?;
    let empty = counter.read()?.saturating_sub(start);
    let start = counter.read()?;
    crate::spin::iterate(LOOP_INSTRUCTIONS / 2);
    Ok(counter.read()?.saturating_sub(start).saturating_sub(empty))
}

/// A row of samples.
pub fn row(name: impl Into<String>, samples: Vec<u64>) -> Row {
    let outcome = match Spread::of(samples) {
        Some(spread) => Outcome::Spread(spread),
        None => Outcome::Failed("not one sample".to_owned()),
    };
    Row { name: name.into(), outcome }
}
