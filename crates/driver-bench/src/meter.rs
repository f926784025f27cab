// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What counts: instructions of the kernel, or time.

use crate::{Outcome, Row};
use driver_bench::{Check, LOOP_INSTRUCTIONS, Spread, Unit};
use perf_event::{Builder, Counter, events::Hardware};
use rustix::time::{ClockId, clock_gettime};
use std::io;

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
}

enum Source {
    Instructions(Counter),
    Clock,
}

impl Meter {
    /// A meter, with what a reading itself costs found out.
    ///
    /// # Errors
    /// When the kernel has no such counter.
    pub fn new(unit: Unit, scope: Scope) -> io::Result<Self> {
        let source = match unit {
            Unit::Instructions => Source::Instructions(kernel_instructions(scope)?),
            Unit::Nanoseconds => Source::Clock,
        };
        let mut meter = Self { source, empty: 0 };
        let samples = meter.repeat(101, || Ok::<(), io::Error>(()))?;
        meter.empty = Spread::of(samples).map_or(0, |spread| spread.median);
        Ok(meter)
    }

    /// The count up to now.
    ///
    /// # Errors
    /// When the kernel does not give it.
    pub fn now(&mut self) -> io::Result<u64> {
        match &mut self.source {
            Source::Instructions(counter) => counter.read(),
            Source::Clock => {
                let now = clock_gettime(ClockId::Monotonic);
                let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
                Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
            }
        }
    }

    /// What has been counted since `begin`, without the reading itself.
    ///
    /// # Errors
    /// When the kernel does not give it.
    pub fn since(&mut self, begin: u64) -> io::Result<u64> {
        Ok(self.now()?.saturating_sub(begin).saturating_sub(self.empty))
    }

    /// Does something so many times; what each took.
    ///
    /// # Errors
    /// Those of `work`, and when the kernel does not give the count.
    pub fn repeat<E: From<io::Error>>(
        &mut self,
        times: u32,
        mut work: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<u64>, E> {
        let mut samples = Vec::with_capacity(times as usize);
        for _ in 0..times {
            let begin = self.now()?;
            work()?;
            samples.push(self.since(begin)?);
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
///
/// # Errors
/// When the kernel has no such counter.
pub fn check(unit: Unit) -> io::Result<Check> {
    let mut meter = Meter::new(unit, Scope::Thread)?;
    let mut calls = meter.repeat(100, || {
        std::hint::black_box(rustix::process::getppid());
        Ok::<(), io::Error>(())
    })?;
    calls.sort_unstable();
    calls.dedup();
    let counted_loop = match unit {
        // The first calls translate code and fault pages in.
        Unit::Instructions => count_loop().and_then(|_| count_loop())?,
        Unit::Nanoseconds => 0,
    };
    Ok(Check { empty: meter.empty, counted_loop, different: calls.len() as u64 })
}

/// Counts a loop of [`LOOP_INSTRUCTIONS`] in user space.
fn count_loop() -> io::Result<u64> {
    let mut counter = Builder::new(Hardware::INSTRUCTIONS).exclude_kernel(true).build()?;
    counter.enable()?;
    let begin = counter.read()?;
    let empty = counter.read()?.saturating_sub(begin);
    let begin = counter.read()?;
    crate::spin::turns(LOOP_INSTRUCTIONS / 2);
    Ok(counter.read()?.saturating_sub(begin).saturating_sub(empty))
}

/// A row of samples.
pub fn row(name: impl Into<String>, samples: Vec<u64>) -> Row {
    let outcome = match Spread::of(samples) {
        Some(spread) => Outcome::Spread(spread),
        None => Outcome::Failed("not one sample".to_owned()),
    };
    Row { name: name.into(), outcome }
}
