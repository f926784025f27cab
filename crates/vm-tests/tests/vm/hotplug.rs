// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Objects that come and go fast, while Linux looks at the bus all the time.

use crate::{
    guest::{interrupts, mgmt},
    management::same_devices,
    trial,
};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use vm_tests::TestVm;

/// How often an object comes and goes.
const CYCLES: u64 = 100;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hotplug::cycles", cycles),
        trial("hotplug::cycles_under_rescans", cycles_under_rescans),
    ]
}

/// The client waits for each to appear and to vanish.
fn cycles() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        let before = interrupts(vm, "dprc.1")?;
        let said = mgmt(vm, &format!("cycle dpbp --count {CYCLES}"))?;
        ensure!(said.starts_with(&format!("{CYCLES} times dpbp")), "{said}");
        let seen = interrupts(vm, "dprc.1")? - before;
        // Each appears and vanishes in its own time.
        ensure!(seen >= 2 * CYCLES, "{seen} interrupts for {CYCLES} objects");
        same_devices(vm)
    })
}

/// The same while somebody has Linux rescan the bus again and again.
fn cycles_under_rescans() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        let script = format!(
            "while [ ! -e /tmp/over ]; do echo 1 > /sys/bus/fsl-mc/rescan; done & \
             fslmc-guest mgmt cycle dpcon --count {CYCLES}; code=$?; touch /tmp/over; wait; exit $code"
        );
        let said = vm.sh(&format!("mkdir -p /tmp; {script}"))?;
        ensure!(said.starts_with(&format!("{CYCLES} times dpcon")), "{said}");
        same_devices(vm)
    })
}
