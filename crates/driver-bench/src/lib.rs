// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What `vfio-fsl-mc-bench` reports: one JSON value on standard output a run.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Instructions that the kernel executes, of a machine that counts them
    /// (`-icount`).
    Instructions,
    /// Nanoseconds of CLOCK_MONOTONIC.
    Nanoseconds,
    /// The same, of a machine whose clocks count its instructions.
    GuestNanoseconds,
    /// Commands that the MC executes, whoever sends them.
    Commands,
}

/// What a run measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What the numbers count.
    pub unit: Unit,
    /// How far the counter can be trusted.
    pub check: Check,
    /// In the order of measuring.
    pub rows: Vec<Row>,
}

/// The counter against what is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Reading the counter twice in a row; taken off every sample.
    pub empty: u64,
    /// What a loop of [`LOOP_INSTRUCTIONS`] came to, `empty` taken off; 0 where no
    /// instructions are counted.
    pub counted_loop: u64,
    /// How many numbers came of 100 identical system calls: 1 is exact.
    pub different: u64,
}

/// Instructions of the loop that checks the counter.
pub const LOOP_INSTRUCTIONS: u64 = 2_000_000;

/// One thing that was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What; the same in every run.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Numbers.
    Spread(Spread),
    /// A single number, in the unit of its row's name.
    Number(i64),
    /// The driver cannot do it; in its own words.
    Failed(String),
}

/// Samples in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub samples: u64,
    /// The smallest.
    pub least: u64,
    /// The middle one.
    pub median: u64,
    /// Nine of ten are not above it.
    pub ninth: u64,
}

impl Spread {
    /// Of any samples; `None` without one.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let at = |tenths: usize| samples.get((samples.len().saturating_sub(1)) * tenths / 10);
        Some(Self {
            samples: samples.len() as u64,
            least: *samples.first()?,
            median: *at(5)?,
            ninth: *at(9)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_samples() {
        let spread = Spread::of((1..=11).rev().collect()).unwrap();
        assert_eq!((spread.samples, spread.least, spread.median, spread.ninth), (11, 1, 6, 10));
        assert_eq!(Spread::of(vec![7]).unwrap().ninth, 7);
        assert_eq!(Spread::of(vec![]), None);
    }
}
