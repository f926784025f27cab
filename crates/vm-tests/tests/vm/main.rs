// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tests that boot a guest. They are ignored unless asked for:
//! `cargo xtask vm [NAME...]`.

mod conformance;
mod defects;
mod faults;
mod fuzzing;
mod guest;
mod hotplug;
mod interrupts;
mod kvm;
mod layouts;
mod management;
mod recovery;
mod run;
mod vfio;
mod watching;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let trials = [
        layouts::trials(),
        run::trials(),
        management::trials(),
        hotplug::trials(),
        vfio::trials(),
        interrupts::trials(),
        faults::trials(),
        recovery::trials(),
        conformance::trials(),
        defects::trials(),
        kvm::trials(),
        watching::trials(),
        fuzzing::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// A test that boots a guest.
fn trial(
    name: impl Into<String>,
    test: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    let run = move || test().map_err(|error| Failed::from(format!("{error:#}")));
    Trial::test(name, run).with_ignored_flag(true)
}
