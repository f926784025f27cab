// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Meters: two token buckets that colour frames (RFC 2698, RFC 4115).

use parking_lot::Mutex;

const NANOSECONDS: u128 = 1_000_000_000;
/// The unit of the buckets, so that slow rates fill them at all: a part of a byte
/// or frame.
const SCALE: u128 = NANOSECONDS * BITS;
/// Rates in bits, buckets in bytes.
const BITS: u128 = 8;

/// Which of two algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterMode {
    /// RFC 2698: a committed rate and a peak rate. What exceeds the peak is red,
    /// what exceeds the committed rate is yellow.
    TwoRate,
    /// RFC 4115: a committed rate and an excess rate beside it.
    Differentiated,
}

/// What a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterUnit {
    /// Bytes: rates in bits per second.
    Bytes,
    /// Frames: rates in frames per second.
    Frames,
}

/// A meter as software sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterConfig {
    /// The algorithm.
    pub mode: MeterMode,
    /// What is counted.
    pub unit: MeterUnit,
    /// Committed rate: bits or frames per second.
    pub committed_rate: u64,
    /// Committed burst: bytes or frames.
    pub committed_burst: u32,
    /// Peak or excess rate: bits or frames per second.
    pub excess_rate: u64,
    /// Peak or excess burst: bytes or frames.
    pub excess_burst: u32,
    /// Colour of frames before they are metered.
    pub initial: Color,
}

/// The colour of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Color {
    /// Within the committed rate.
    Green,
    /// Beyond it, within what is let through.
    Yellow,
    /// Beyond everything: it is dropped.
    Red,
}

impl Color {
    /// All colours, in the order in which counters have them.
    pub const ALL: [Self; 3] = [Self::Green, Self::Yellow, Self::Red];

    /// The drop priority of a frame's descriptor: a congestion group's curves are in the
    /// same order.
    #[inline]
    pub(super) fn drop_priority(self) -> u32 {
        match self {
            Self::Green => 0,
            Self::Yellow => 1,
            Self::Red => 2,
        }
    }
}

/// A meter.
#[derive(Debug)]
pub struct Meter {
    config: MeterConfig,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    committed: u128,
    excess: u128,
    /// When they were filled last, nanoseconds.
    filled: Option<u64>,
}

impl Meter {
    /// A meter with full buckets.
    pub fn new(config: MeterConfig) -> Self {
        let committed = u128::from(config.committed_burst) * SCALE;
        let excess = u128::from(config.excess_burst) * SCALE;
        Self { config, buckets: Mutex::new(Buckets { committed, excess, filled: None }) }
    }

    /// What it was made with.
    pub fn config(&self) -> &MeterConfig {
        &self.config
    }

    /// The colour of a frame of `length` bytes at `now` (nanoseconds).
    pub fn color(&self, length: usize, now: u64) -> Color {
        let config = &self.config;
        let size = match config.unit {
            MeterUnit::Bytes => length as u128,
            MeterUnit::Frames => 1,
        } * SCALE;
        let mut buckets = self.buckets.lock();
        buckets.fill(config, now);
        match config.mode {
            MeterMode::TwoRate => {
                if config.initial == Color::Red || buckets.excess < size {
                    return Color::Red;
                }
                buckets.excess -= size;
                if config.initial == Color::Yellow || buckets.committed < size {
                    return Color::Yellow;
                }
                buckets.committed -= size;
                Color::Green
            }
            MeterMode::Differentiated => {
                if config.initial == Color::Green && buckets.committed >= size {
                    buckets.committed -= size;
                    return Color::Green;
                }
                if config.initial != Color::Red && buckets.excess >= size {
                    buckets.excess -= size;
                    return Color::Yellow;
                }
                Color::Red
            }
        }
    }
}

impl Buckets {
    fn fill(&mut self, config: &MeterConfig, now: u64) {
        let passed = match self.filled {
            Some(filled) => now.saturating_sub(filled),
            None => 0,
        };
        self.filled = Some(self.filled.map_or(now, |filled| filled.max(now)));
        // Bits a second fill an eighth as many bytes.
        let unit = match config.unit {
            MeterUnit::Bytes => 1,
            MeterUnit::Frames => BITS,
        };
        let fill = |level: &mut u128, rate: u64, burst: u32| {
            let more = u128::from(rate) * unit * u128::from(passed);
            *level = (*level + more).min(u128::from(burst) * SCALE);
        };
        fill(&mut self.committed, config.committed_rate, config.committed_burst);
        fill(&mut self.excess, config.excess_rate, config.excess_burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    /// 8 kbit/s: 1000 bytes a second.
    fn config(mode: MeterMode) -> MeterConfig {
        MeterConfig {
            mode,
            unit: MeterUnit::Bytes,
            committed_rate: 8_000,
            committed_burst: 1_000,
            excess_rate: 16_000,
            excess_burst: 2_000,
            initial: Color::Green,
        }
    }

    fn colors(meter: &Meter, now: u64) -> [Color; 4] {
        [(); 4].map(|()| meter.color(1_000, now))
    }

    use Color::{Green, Red, Yellow};

    #[test]
    fn the_peak_rate_holds_the_committed_one() {
        let meter = Meter::new(config(MeterMode::TwoRate));
        assert_eq!(colors(&meter, 5), [Green, Yellow, Red, Red]);
        // Half a second later: 500 and 1000 bytes more.
        assert_eq!(colors(&meter, 5 + SECOND / 2), [Yellow, Red, Red, Red]);
        assert_eq!(colors(&meter, 5 + 10 * SECOND), [Green, Yellow, Red, Red]);
    }

    #[test]
    fn the_excess_rate_stands_beside_the_committed_one() {
        let meter = Meter::new(config(MeterMode::Differentiated));
        assert_eq!(colors(&meter, 0), [Green, Yellow, Yellow, Red]);
        assert_eq!(colors(&meter, SECOND / 2), [Yellow, Red, Red, Red]);
    }

    #[test]
    fn frames_may_count_whatever_their_length() {
        let config = MeterConfig {
            unit: MeterUnit::Frames,
            committed_rate: 2,
            committed_burst: 1,
            excess_rate: 0,
            excess_burst: 0,
            ..config(MeterMode::Differentiated)
        };
        let meter = Meter::new(config);
        assert_eq!(colors(&meter, 0), [Green, Red, Red, Red]);
        assert_eq!(colors(&meter, SECOND / 2), [Green, Red, Red, Red]);
    }

    #[test]
    fn frames_that_are_yellow_already_do_not_get_greener() {
        let config = MeterConfig { initial: Yellow, ..config(MeterMode::TwoRate) };
        assert_eq!(colors(&Meter::new(config), 0), [Yellow, Yellow, Red, Red]);
    }

    proptest! {
        /// Over any time no more is green than rate and burst allow.
        #[test]
        fn what_is_green_stays_within_rate_and_burst(
            frames in prop::collection::vec((1usize..2000, 0u64..SECOND), 1..200),
            differentiated in any::<bool>(),
        ) {
            let mode = match differentiated {
                true => MeterMode::Differentiated,
                false => MeterMode::TwoRate,
            };
            let meter = Meter::new(config(mode));
            let (mut now, mut green, mut passed) = (0, 0u64, 0u64);
            for (length, later) in frames {
                now += later;
                match meter.color(length, now) {
                    Green => {
                        green += length as u64;
                        passed += length as u64;
                    }
                    Yellow => passed += length as u64,
                    Red => {}
                }
                let second = |rate: u64| rate * now / SECOND;
                prop_assert!(green <= 1_000 + second(1_000) + 1);
                let most = match mode {
                    MeterMode::TwoRate => 2_000 + second(2_000),
                    MeterMode::Differentiated => 3_000 + second(3_000),
                };
                prop_assert!(passed <= most + 1);
            }
        }
    }
}
