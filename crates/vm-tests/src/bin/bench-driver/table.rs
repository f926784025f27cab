// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The table: medians, ratios, what is wanted of them.

use crate::runs::{Boot, Seat};
use driver_bench::{LOOP_INSTRUCTIONS, Outcome, Spread, Unit};

/// Wanted: at most this share of the other driver's instructions.
const INSTRUCTIONS_WANTED: f64 = 0.8;
/// Wanted: at most this share of its latency above the floor ...
const LATENCY_WANTED: f64 = 0.1;
/// ... when the MC takes this long.
const LATENCY_AT: &str = "delay 20 us";
/// The same, by the guest's clock.
const DELAY_AT: &str = "MC takes 20 us";

/// What the guest's program calls a measurement that the driver has little part in.
const FLOOR: &str = "(floor)";
/// The command that the driver has a part in, and the one that it has none in.
const COMMAND: &str = "command by the dprc, ";
const MAPPED: &str = "command by a mapped dpmcp (floor), ";
/// The same by the guest's clock.
const DRIVER: &str = "the driver, ";
const LOOKING: &str = "mapped portal (floor), ";

/// Prints all boots.
pub fn print(boots: &[Boot]) {
    for boot in boots {
        head(boot);
        let table = Table { boot };
        for name in table.names() {
            if boot.unit == Unit::Commands && table.is_zero(name) {
                continue;
            }
            println!("{}", table.line(name));
        }
        if boot.unit == Unit::GuestNanoseconds {
            table.added_by_guest_clock();
        }
        if boot.unit == Unit::Nanoseconds {
            table.above_floor();
        }
    }
    println!(
        "\nleast   a driver that does what is asked for and no more: no lock, no memory, no count\n\
         spread  how far the passes of one driver are apart, at most\n\
         miss    above the target of {INSTRUCTIONS_WANTED} (instructions) or {LATENCY_WANTED} \
         (latency above the floor at 20 us)\n\
         floor   the same, but so is the least that a driver can do"
    );
}

fn head(boot: &Boot) {
    match boot.unit {
        Unit::Instructions => {
            let exact = |pass: &crate::runs::Pass| {
                // What comes before and after the loop counts, too.
                pass.check.counted_loop.abs_diff(LOOP_INSTRUCTIONS) <= 8
            };
            println!(
                "\nInstructions of the kernel, one processor (-icount shift=0, INST_RETIRED). \
                 MMIO costs none but its own.\nDelays run by the host's clock: while a driver \
                 waits for the MC, its count depends on the host."
            );
            for pass in boot.passes.iter().filter(|pass| !exact(pass)) {
                println!("the counter is not exact with {:?}: {:?}", pass.seat, pass.check);
            }
        }
        Unit::Commands => println!(
            "\nCommands to the MC, whoever sends them, up to 60 ms after the call. On a board \
             each takes tens of microseconds or more."
        ),
        Unit::GuestNanoseconds => println!(
            "\nFrom the answer's being there to its being read, microseconds of a guest whose clocks \
             count its instructions\n(-icount shift=0,sleep=off), the middle of many."
        ),
        Unit::Nanoseconds => println!(
            "\nTimes in microseconds, the least of many, two processors, by the host's clock. \
             Emulated MMIO takes most of them: see the floor. With several threads the emulator \
             is the bottleneck, and wrong answers cost nothing: compare those rows with care."
        ),
    }
    let least = if boot.unit == Unit::Instructions { "least" } else { "" };
    println!("{:<58}{:>11}{:>11}{:>8}{:>8}{least:>11}", "", "old", "new", "ratio", "spread");
}

struct Table<'a> {
    boot: &'a Boot,
}

impl Table<'_> {
    /// Names of the rows, each once.
    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for row in self.boot.passes.iter().flat_map(|pass| &pass.rows) {
            if !names.contains(&row.name.as_str()) {
                names.push(&row.name);
            }
        }
        names
    }

    /// Whether all that was measured is 0: a failure is not, nor is what has no median.
    fn is_zero(&self, name: &str) -> bool {
        let mut outcomes = Seat::ALL.iter().flat_map(|seat| self.outcomes(*seat, name));
        let mut medians = Seat::ALL.iter().flat_map(|seat| self.medians(*seat, name)).peekable();
        medians.peek().is_some()
            && medians.all(|median| median == 0.0)
            && !outcomes.any(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    fn outcomes(&self, seat: Seat, name: &str) -> impl Iterator<Item = &Outcome> {
        let passes = self.boot.passes.iter().filter(move |pass| pass.seat == seat);
        let rows = passes.flat_map(|pass| &pass.rows);
        rows.filter(move |row| row.name == name).map(|row| &row.outcome)
    }

    /// One number of each of a driver's passes: the median of counts. Of times, the
    /// smallest: a busy host makes all others longer, the one more than the other.
    fn medians(&self, seat: Seat, name: &str) -> Vec<f64> {
        let number = |spread: &Spread| match self.boot.unit {
            Unit::Nanoseconds if spread.samples > 5 => spread.least as f64,
            _ => spread.median as f64,
        };
        let spread = |outcome: &Outcome| match outcome {
            Outcome::Spread(spread) => Some(number(spread)),
            _ => None,
        };
        let mut medians: Vec<f64> = self.outcomes(seat, name).filter_map(spread).collect();
        medians.sort_by(f64::total_cmp);
        medians
    }

    /// The lowest of them: what disturbs a measurement makes it longer.
    fn best(&self, seat: Seat, name: &str) -> Option<f64> {
        self.medians(seat, name).first().copied()
    }

    /// How far the passes are apart, as a share.
    fn spread(&self, name: &str) -> f64 {
        let of = |seat| {
            let medians = self.medians(seat, name);
            match (medians.first(), medians.last()) {
                (Some(least), Some(most)) if *least > 0.0 => most / least - 1.0,
                _ => 0.0,
            }
        };
        of(Seat::Old).max(of(Seat::New))
    }

    fn line(&self, name: &str) -> String {
        let (old, new) = (self.best(Seat::Old, name), self.best(Seat::New, name));
        let ratio = old.zip(new).filter(|(old, _)| *old > 0.0).map(|(old, new)| new / old);
        let mut line = format!("{name:<58}");
        for seat in [Seat::Old, Seat::New] {
            line += &format!("{:>11}", self.cell(seat, name));
        }
        if let Some(ratio) = ratio {
            line += &format!("{ratio:>8.2}{:>7.1}%", 100.0 * self.spread(name));
            if self.boot.unit == Unit::Instructions && !name.contains(FLOOR) {
                line += &self.judge(name, ratio);
            }
        }
        for (seat, who) in [(Seat::Old, "old"), (Seat::New, "new"), (Seat::Least, "least")] {
            for outcome in self.outcomes(seat, name).take(1) {
                if let Outcome::Failed(words) = outcome {
                    line += &format!("\n    {who}: {words}");
                }
            }
        }
        line
    }

    /// What it takes at least, and the mark.
    fn judge(&self, name: &str, ratio: f64) -> String {
        let least = self.best(Seat::Least, name);
        let is_out_of_reach =
            |least| self.best(Seat::Old, name).is_some_and(|old| least > INSTRUCTIONS_WANTED * old);
        let mark = match mark(ratio, INSTRUCTIONS_WANTED) {
            "  miss" if least.is_some_and(is_out_of_reach) => "  floor",
            mark => mark,
        };
        format!("{:>11}{mark}", self.cell(Seat::Least, name))
    }

    fn cell(&self, seat: Seat, name: &str) -> String {
        match self.outcomes(seat, name).next() {
            None => "-".to_owned(),
            Some(Outcome::Failed(_)) => "fails".to_owned(),
            Some(Outcome::Number(number)) => number.to_string(),
            Some(Outcome::Spread(_)) => {
                let best = self.best(seat, name).unwrap_or_default();
                match self.boot.unit {
                    Unit::Instructions | Unit::Commands => format!("{best:.0}"),
                    Unit::Nanoseconds | Unit::GuestNanoseconds => {
                        format!("{:.1}", best / 1000.0)
                    }
                }
            }
        }
    }

    /// What the driver adds to the MC's delay, above who does nothing but look.
    fn added_by_guest_clock(&self) {
        println!("\nWhat the driver adds to the MC's delay, microseconds");
        for name in self.names() {
            let Some(label) = name.strip_prefix(DRIVER) else { continue };
            let floor = format!("{LOOKING}{label}");
            if let Some(line) = self.added(name, &floor, label, label == DELAY_AT) {
                println!("{line}");
            }
        }
    }

    /// What the way through the driver adds to a command.
    fn above_floor(&self) {
        println!("\nWhat the driver adds to a command by a mapped portal, microseconds");
        for name in self.names() {
            let Some(label) = name.strip_prefix(COMMAND) else { continue };
            let floor = format!("{MAPPED}{label}");
            if let Some(line) = self.added(name, &floor, label, label == LATENCY_AT) {
                println!("{line}");
            }
        }
    }

    /// A line about what a row has above its floor; with a mark where a target `is_wanted`.
    fn added(&self, name: &str, floor: &str, label: &str, is_wanted: bool) -> Option<String> {
        // Each driver's own floor: measured side by side with its command.
        let added = |seat| Some(self.best(seat, name)? - self.best(seat, floor)?);
        let (old, new) = (added(Seat::Old)?, added(Seat::New)?);
        let mut line = format!("{label:<58}{:>11.1}{:>11.1}", old / 1000.0, new / 1000.0);
        if old > 0.0 {
            // Less than the floor is possible within the noise.
            let ratio = new.max(0.0) / old;
            line += &format!("{ratio:>8.2}{:>8}", "");
            if is_wanted {
                line += mark(ratio, LATENCY_WANTED);
            }
        }
        Some(line)
    }
}

fn mark(ratio: f64, wanted: f64) -> &'static str {
    if ratio <= wanted { "  ok" } else { "  miss" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::Pass;
    use driver_bench::{Check, Row};

    fn boot(unit: Unit, rows: &[(&str, [u64; 3])]) -> Boot {
        let pass = |at: usize| Pass {
            seat: Seat::ALL[at],
            check: Check::default(),
            rows: rows
                .iter()
                .map(|(name, numbers)| Row {
                    name: (*name).to_owned(),
                    outcome: Spread::of(vec![numbers[at]])
                        .map_or(Outcome::Number(0), Outcome::Spread),
                })
                .collect(),
        };
        Boot { unit, passes: (0..3).map(pass).collect() }
    }

    fn line(boot: &Boot, name: &str) -> Vec<String> {
        Table { boot }.line(name).split_whitespace().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn targets_are_met_missed_or_out_of_reach() {
        let rows = [
            ("unknown ioctl (floor)", [900, 890, 880]),
            ("GET_INFO", [1000, 980, 801]),
            ("GET_IRQ_INFO", [1000, 1001, 800]),
            ("RESET", [2000, 1600, 900]),
        ];
        let boot = boot(Unit::Instructions, &rows);
        assert_eq!(
            line(&boot, "GET_INFO"),
            ["GET_INFO", "1000", "980", "0.98", "0.0%", "801", "floor"]
        );
        assert_eq!(line(&boot, "GET_IRQ_INFO")[3..], ["1.00", "0.0%", "800", "miss"]);
        assert_eq!(line(&boot, "RESET")[3..], ["0.80", "0.0%", "900", "ok"]);
        assert_eq!(line(&boot, "unknown ioctl (floor)").last().unwrap(), "0.0%");
    }

    #[test]
    fn what_a_driver_adds_is_above_its_own_floor() {
        let rows = [
            ("mapped portal (floor), MC takes 20 us", [5000, 6000, 0]),
            ("the driver, MC takes 20 us", [25_000, 8000, 0]),
        ];
        let boot = boot(Unit::GuestNanoseconds, &rows);
        let table = Table { boot: &boot };
        let added = |floor| table.added(rows[1].0, floor, "20 us", true);
        let line = added(rows[0].0).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["20", "us", "20.0", "2.0", "0.10", "ok"]);
        assert_eq!(added("no such row"), None);
    }

    #[test]
    fn without_the_least_what_is_missed_could_be_reached() {
        let mut boot = boot(Unit::Instructions, &[("bind", [100, 81, 100])]);
        boot.passes.pop();
        assert_eq!(line(&boot, "bind")[3..], ["0.81", "0.0%", "-", "miss"]);
    }

    #[test]
    fn only_what_was_measured_is_left_out_as_zero() {
        let mut boot = boot(Unit::Commands, &[("GET_INFO", [0; 3]), ("bind", [0, 1, 0])]);
        let is_zero = |boot: &Boot, name| Table { boot }.is_zero(name);
        assert!(is_zero(&boot, "GET_INFO") && !is_zero(&boot, "bind"));
        boot.passes[1].rows[0].outcome = Outcome::Failed("EINVAL".to_owned());
        assert!(!is_zero(&boot, "GET_INFO"));
        boot.passes.iter_mut().for_each(|pass| pass.rows[0].outcome = Outcome::Number(3));
        assert!(!is_zero(&boot, "GET_INFO"));
    }

    #[test]
    fn failures_are_told_in_the_drivers_own_words() {
        let mut boot = boot(Unit::Nanoseconds, &[("cycles", [1, 1, 1])]);
        boot.passes[0].rows[0].outcome = Outcome::Failed("fails at cycle 2".to_owned());
        boot.passes[1].rows[0].outcome = Outcome::Number(0);
        let line = Table { boot: &boot }.line("cycles");
        assert!(line.contains("fails          0"), "{line}");
        assert!(line.ends_with("\n    old: fails at cycle 2"), "{line}");
    }
}
