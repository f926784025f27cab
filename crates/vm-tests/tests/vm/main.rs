// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tests that boot a guest. They are ignored unless asked for:
//! `cargo xtask vm [NAME...]`.

mod assign;
mod cases;
mod conformance;
mod defects;
mod faults;
mod frames;
mod fuzzing;
mod guest;
mod hotplug;
mod interrupts;
mod kernels;
mod kvm;
mod layouts;
mod management;
mod recovery;
mod run;
mod switches;
mod vfio;
mod watching;
mod wires;

use anyhow::Context;
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};
use vm_tests::skips;

fn main() {
    let mut arguments = Arguments::from_args();
    // More of them at once would be slow, and tests of what takes how long would notice.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(processors);
    // They start in this order: what takes long comes first, so that none is left alone in
    // the end.
    let trials = [
        conformance::trials(),
        fuzzing::trials(),
        assign::trials(),
        recovery::trials(),
        frames::trials(),
        wires::trials(),
        kvm::trials(),
        kernels::trials(),
        hotplug::trials(),
        layouts::trials(),
        run::trials(),
        switches::trials(),
        management::trials(),
        cases::trials(),
        vfio::trials(),
        interrupts::trials(),
        faults::trials(),
        defects::trials(),
        watching::trials(),
    ];
    let boots = (arguments.include_ignored || arguments.ignored) && !arguments.list;
    if boots && let Err(error) = vm_tests::guest_programs() {
        // Tests that need them fail and say so again.
        eprintln!("{error:#}");
    }
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    // Consoles fill the report; who sees only its end is to know as well.
    let reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
    for line in skips::summary().iter().chain(&conformance::FLAKES.summary()).chain(&*reasons) {
        eprintln!("{line}");
    }
    if conformance::FLAKES.too_many() {
        std::process::exit(101);
    }
    conclusion.exit();
}

/// Why tests failed, in a few words each.
static REASONS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Characters of a failure in the final summary.
const FEW: usize = 400;

/// A test that boots a guest, and reports how long it took. One that fails has a second try,
/// which counts among the few flakes that a run may have.
fn trial(name: impl Into<String>, test: impl Fn() -> anyhow::Result<()> + Send + 'static) -> Trial {
    let name = name.into();
    let title = name.clone();
    let run = move || {
        let start = Instant::now();
        let outcome = twice(&title, &test).map_err(|error| format!("{error:#}"));
        eprintln!("{:6.1} s  {title}", start.elapsed().as_secs_f64());
        if let Err(error) = &outcome {
            let reason = format!("{title} fails: {}", beginning(error));
            REASONS.lock().unwrap_or_else(PoisonError::into_inner).push(reason);
        }
        outcome.map_err(Failed::from)
    };
    Trial::test(name, run).with_ignored_flag(true)
}

fn twice(title: &str, test: &dyn Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let first = test();
    let flaky: &[String] = match &first {
        Ok(()) => &[],
        Err(error) => {
            let error = format!("{error:#}");
            eprintln!("{title} fails, and runs again:\n{error}");
            test().with_context(|| format!("before, it failed so: {}", beginning(&error)))?;
            let reason = format!("{title} failed once: {}", beginning(&error));
            REASONS.lock().unwrap_or_else(PoisonError::into_inner).push(reason);
            &[title.to_owned()]
        }
    };
    let again = conformance::FLAKES.record("test", &[title.to_owned()], flaky)?;
    anyhow::ensure!(again.is_empty(), "passed at the second try only, as in the run before");
    Ok(())
}

fn beginning(text: &str) -> String {
    text.chars().take(FEW).collect()
}
