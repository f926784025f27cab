// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The `fslmc` program as a user meets it. Those that boot a guest are ignored
//! unless asked for: `cargo xtask vm [NAME...]`.

mod check;
mod failures;
mod program;
mod replay;
mod run;
mod setup;
mod userland;
mod wires;

use libtest_mimic::{Arguments, Failed, Trial};
use std::{path::Path, sync::LazyLock, time::Instant};
use test_support::flakes::Flakes;

fn main() {
    let arguments = Arguments::from_args();
    let trials = [
        userland::trials(),
        check::trials(),
        run::trials(),
        wires::trials(),
        failures::trials(),
        replay::trials(),
        setup::trials(),
    ];
    let boots = (arguments.include_ignored || arguments.ignored) && !arguments.list;
    if boots && let Err(error) = userland::prepare() {
        // Tests that need them fail and say so again.
        eprintln!("{error:#}");
    }
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    for line in FLAKES.summary() {
        eprintln!("{line}");
    }
    if FLAKES.too_many() {
        std::process::exit(101);
    }
    conclusion.exit();
}

/// Tests that needed a second try in this run, and in the one before.
static FLAKES: LazyLock<Flakes> =
    LazyLock::new(|| Flakes::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("flaky-commands")));

/// A test that needs the artifacts of a machine, or boots one, and tells how long that took.
/// One that fails has a second try.
fn trial(name: &'static str, test: fn() -> anyhow::Result<()>) -> Trial {
    let run = move || {
        let start = Instant::now();
        let outcome = FLAKES.try_twice(name, &test);
        eprintln!("{:6.1} s  {name}", start.elapsed().as_secs_f64());
        outcome.map_err(|error| Failed::from(format!("{error:#}")))
    };
    Trial::test(name, run).with_ignored_flag(true)
}
