// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a wire does to frames besides carrying them.

use std::time::Duration;

/// The faults of a wire. Each direction has them for itself.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// How many frames get lost, 0 to 1.
    pub drop: f64,
    /// How many arrive twice.
    pub duplicate: f64,
    /// How many arrive with one bit flipped: as if the check sequence, which
    /// frames here do not have, had not caught it.
    pub corrupt: f64,
    /// How many are overtaken by the one behind.
    pub reorder: f64,
    /// How long every frame takes.
    pub delay: Duration,
    /// Bits that the wire takes in a second; as many as come where there is none.
    pub rate: Option<u64>,
    /// Where the random numbers start: the same seed has the same frames lost.
    pub seed: u64,
}

/// Names of all faults, as they are set.
pub const NAMES: &str = "drop=, duplicate=, corrupt=, reorder= (percent), delay= (time), \
                         rate= (bits per second), seed=";

impl Faults {
    /// Sets one of them by its name. False where there is none of that name.
    ///
    /// # Errors
    /// What the value has to look like.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "drop" => self.drop = share(value)?,
            "duplicate" => self.duplicate = share(value)?,
            "corrupt" => self.corrupt = share(value)?,
            "reorder" => self.reorder = share(value)?,
            "delay" => {
                let wrong = |error| format!("{value:?} is not a duration such as 2ms: {error}");
                self.delay = humantime::parse_duration(value).map_err(wrong)?;
                if self.delay > LONGEST_DELAY {
                    return Err(format!("a frame takes {LONGEST_DELAY:?} at most, not {value}"));
                }
            }
            "rate" => self.rate = Some(rate(value)?),
            "seed" => {
                let wrong = |error| format!("{value:?} is not a seed (a whole number): {error}");
                self.seed = value.parse().map_err(wrong)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// More than any wire on this planet takes.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|digits| digits.parse::<f64>().ok());
    let percent = number.filter(|percent| (0.0..=100.0).contains(percent));
    percent
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("{text:?} is not a percentage: use 0% to 100%, such as 0.1%"))
}

fn rate(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let factor: Option<u64> = match unit.to_ascii_lowercase().as_str() {
        "bit" => Some(1),
        "kbit" => Some(1000),
        "mbit" => Some(1_000_000),
        "gbit" => Some(1_000_000_000),
        _ => None,
    };
    let bits = digits.parse::<u64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
    bits.filter(|bits| *bits > 0).ok_or_else(|| {
        format!("{text:?} is not a rate: use bit, kbit, Mbit or Gbit, such as 100Mbit")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<Faults, String> {
        let mut faults = Faults::default();
        faults.set(name, value).map(|known| {
            assert!(known, "{name}");
            faults
        })
    }

    #[test]
    fn values_have_units() {
        assert_eq!(set("drop", "0.1%").unwrap().drop, 0.001);
        assert_eq!(set("reorder", "100%").unwrap().reorder, 1.0);
        assert_eq!(set("delay", "2ms").unwrap().delay, Duration::from_millis(2));
        assert_eq!(set("rate", "10Mbit").unwrap().rate, Some(10_000_000));
        assert_eq!(set("rate", "8bit").unwrap().rate, Some(8));
        assert_eq!(set("seed", "7").unwrap().seed, 7);
        assert_eq!(Faults::default().set("size", "1"), Ok(false));
    }

    #[test]
    fn mistakes_are_named() {
        let mistakes = [
            ("drop", "0.1"),
            ("drop", "101%"),
            ("corrupt", "-1%"),
            ("duplicate", "NaN%"),
            ("delay", "2"),
            ("delay", "1h"),
            ("rate", "10M"),
            ("rate", "0Mbit"),
            ("rate", "99999999999Gbit"),
            ("seed", "x"),
        ];
        for (name, value) in mistakes {
            let error = set(name, value).unwrap_err();
            assert!(error.contains(value), "{error}");
        }
    }
}
