// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Objects that come and go fast, while Linux looks at the bus all the time, and containers
//! in containers.

use crate::{
    guest::{SESSION, driver, gone, inside, interrupts, mgmt},
    management::same_devices,
    trial,
};
use anyhow::{Result, ensure};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use vm_tests::TestVm;

/// How often an object comes and goes.
const CYCLES: u64 = 100;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hotplug::cycles", cycles),
        trial("hotplug::cycles_under_rescans", cycles_under_rescans),
        trial("hotplug::container_in_a_container", container_in_a_container),
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

/// A container in a container that the driver in Rust has is that driver's, too. They are
/// unbound in both orders, the inner one while somebody holds it as well, and the inner one is
/// destroyed in its holder's hands.
fn container_in_a_container() -> Result<()> {
    const DRIVERS: &str = "/sys/bus/fsl-mc/drivers";
    TestVm::with("default")?.driver(Driver::Rust).run(|vm| {
        let inner = mgmt(vm, "create dprc --in dprc.2 --plugged")?;
        let bound = || driver(Some("vfio-fsl-mc"));
        let fill = |vm: &mut TestVm| -> Result<String> {
            vm.wait_for_device(&inner, bound())?;
            let pool = mgmt(vm, &format!("create dpbp --in {inner} --plugged"))?;
            vm.wait_for_device(&pool, bound())?;
            vm.wait_for_device(&pool, inside(&inner))?;
            Ok(pool)
        };
        let use_it = |vm: &mut TestVm, pool: &str| -> Result<()> {
            vm.session(&SESSION, |session| {
                session.request(&format!("open {inner}"))?;
                let said = session.request(&format!("show {pool}"))?;
                ensure!(said.contains("id:"), "attributes of {pool}: {said}");
                session.request(&format!("irq {pool}")).map(drop)
            })
        };
        vm.bind(&["dprc.2"])?;
        let pool = fill(vm)?;
        use_it(vm, &pool)?;

        // The inner one first. The one around may be opened again when it is back.
        vm.sh(&format!("echo {inner} > {DRIVERS}/vfio-fsl-mc/unbind"))?;
        vm.wait_for_device(&pool, gone)?;
        vm.sh(&format!("echo {inner} > {DRIVERS}/vfio-fsl-mc/bind"))?;
        vm.wait_for_device(&pool, bound())?;
        use_it(vm, &pool)?;

        // The one around first, which waits for who has the inner one open.
        vm.sh(&format!(
            "set -e
             mkdir -p /tmp
             (echo open {inner}; sleep 2; touch /tmp/closes) | fslmc-guest vfio session > /tmp/opened &
             session=$!
             until [ -s /tmp/opened ]; do usleep 10000; done
             cat /tmp/opened >&2; grep -q '^ok' /tmp/opened
             echo dprc.2 > {DRIVERS}/vfio-fsl-mc/unbind
             [ -e /tmp/closes ] || {{ echo 'the unbind has not waited for the session' >&2; exit 1; }}
             wait $session"
        ))?;
        vm.wait_for_device(&inner, gone)?;
        vm.bind(&["dprc.2"])?;
        vm.wait_for_device(&inner, bound())?;
        vm.wait_for_device(&pool, bound())?;
        use_it(vm, &pool)?;

        // It goes, with all that is in it.
        mgmt(vm, &format!("destroy {pool} --in {inner}"))?;
        mgmt(vm, &format!("destroy {inner} --in dprc.2"))?;
        vm.wait_for_device(&inner, gone)?;
        vm.wait_for_device(&pool, gone)?;
        vm.sh("fslmc-guest release dprc.2").map(drop)
    })
}
