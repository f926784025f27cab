// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tests that boot a guest. They are ignored unless asked for:
//! `cargo xtask vm [NAME...]`.

mod assign;
mod assign_disks;
mod beside;
mod cases;
mod conformance;
mod defects;
mod dpdk;
mod faults;
mod frames;
mod fuzzing;
mod guest;
mod hotplug;
mod interrupts;
mod kernels;
mod kvm;
mod layouts;
mod linux;
mod management;
mod recovery;
mod rings;
mod run;
mod switches;
mod vfio;
mod watching;
mod wires;

use libtest_mimic::{Arguments, Failed, Trial};
use std::time::Instant;
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
        assign_disks::trials(),
        recovery::trials(),
        frames::trials(),
        dpdk::trials(),
        rings::trials(),
        linux::trials(),
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
    for line in skips::summary().iter().chain(&conformance::FLAKES.summary()) {
        eprintln!("{line}");
    }
    if conformance::FLAKES.too_many() {
        std::process::exit(101);
    }
    conclusion.exit();
}

/// A test that boots a guest, and reports how long it took. One that fails has a second try,
/// which counts among the few flakes that a run may have.
fn trial(name: impl Into<String>, test: impl Fn() -> anyhow::Result<()> + Send + 'static) -> Trial {
    let name = name.into();
    let title = name.clone();
    let run = move || {
        let start = Instant::now();
        let outcome = conformance::FLAKES.try_twice(&title, &test);
        eprintln!("{:6.1} s  {title}", start.elapsed().as_secs_f64());
        outcome.map_err(|error| Failed::from(format!("{error:#}")))
    };
    Trial::test(name, run).with_ignored_flag(true)
}
