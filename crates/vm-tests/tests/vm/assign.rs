// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container in the hands of a guest inside the guest: the VMM assigns it, an
//! unmodified Linux finds a Management Complex of its own and moves frames.

use crate::trial;
use anyhow::{Context, Result, ensure};
use fslmc::{artifacts::Driver, nested};
use libtest_mimic::Trial;
use std::{path::Path, time::Duration};
use vm_tests::{TestVm, TestVmBuilder};

pub fn trials() -> Vec<Trial> {
    vec![trial("assign::a_guest_reaches_the_host", a_guest_reaches_the_host)]
}

/// A machine with KVM and two containers for guests, the first of which is connected
/// with the host's interface.
fn machine(cpu: &str, driver: Driver, folder: &Path) -> Result<TestVmBuilder> {
    let artifacts = vm_tests::artifacts_with(driver)?;
    let vmm = vm_tests::guest_programs()?.join(nested::VMM);
    nested::prepare_with(artifacts, &vmm, folder)?;
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/assign.dts");
    Ok(TestVm::with_layout(vm_tests::layout_of(&layout)?)
        .driver(driver)
        .limit(Duration::from_secs(400))
        .share(folder)
        .options(|options| {
            options.machine.cpu = cpu.into();
            options.machine.virtualization = true;
            options.machine.memory = 1536 << 20;
            options.modules.push("fsl-dpaa2-eth".into());
        }))
}

/// The host's interface is 10.0.0.1, and the portals of the containers are out of the
/// way before Linux's own driver spreads portals over its processors.
fn prepare_host(vm: &mut TestVm) -> Result<()> {
    vm.bind(&["dprc.2", "dprc.3"])?;
    vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
    vm.sh("set -e
         for try in $(seq 100); do
             [ -d /sys/bus/fsl-mc/devices/dpni.0/net ] && break
             sleep 0.1
         done
         a=$(ls /sys/bus/fsl-mc/devices/dpni.0/net)
         ip addr add 10.0.0.1/24 dev $a; ip link set $a up")?;
    Ok(())
}

/// A guest's interface, by the object that it is.
const INTERFACE: &str = "a=$(ls /sys/bus/fsl-mc/devices/dpni.1/net);";

fn say(vm: &mut TestVm, guest: &str, line: &str) -> Result<String> {
    let script = Path::new(fslmc::machine::SHARED_PATH).join(nested::SCRIPT);
    let output = vm.command(&["sh", &script.display().to_string(), "say", guest, line], b"")?;
    ensure!(output.code == 0, "{guest}: `{line}`: {}{}", output.stdout, output.stderr);
    Ok(output.stdout)
}

fn start(vm: &mut TestVm, guest: &str, options: &str) -> Result<()> {
    let script = Path::new(fslmc::machine::SHARED_PATH).join(nested::SCRIPT);
    vm.sh(&format!("sh {} start {guest} {options}", script.display())).map(drop)
}

fn wait(vm: &mut TestVm, guest: &str) -> Result<i32> {
    let script = Path::new(fslmc::machine::SHARED_PATH).join(nested::SCRIPT);
    let code = vm.sh(&format!("sh {} wait {guest}", script.display()))?;
    code.trim().parse().with_context(|| format!("exit code {code:?}"))
}

/// Brings the guest's interface up as 10.0.0.2 and waits for its carrier.
fn bring_up(vm: &mut TestVm, guest: &str) -> Result<()> {
    let line = format!(
        "{INTERFACE} ip addr add 10.0.0.2/24 dev $a; ip link set $a up; for try in $(seq 100); do \
         [ \"$(cat /sys/class/net/$a/carrier)\" = 1 ] && break; sleep 0.1; done; \
         cat /sys/class/net/$a/carrier"
    );
    let carrier = say(vm, guest, &line)?;
    ensure!(carrier.trim() == "1", "no carrier: {carrier}");
    Ok(())
}

fn expect_no_loss(vm: &mut TestVm, guest: &str, address: &str, count: u32) -> Result<()> {
    let printed = say(vm, guest, &format!("ping -q -c {count} -A -W 5 {address}"))?;
    ensure!(printed.contains(" 0% packet loss"), "{printed}");
    Ok(())
}

fn a_guest_reaches_the_host() -> Result<()> {
    let folder = tempfile::tempdir()?;
    machine("neoverse-n2", Driver::Rust, folder.path())?.run(|vm| {
        prepare_host(vm)?;
        start(vm, "one", "--assign dprc.2")?;
        let bus = say(vm, "one", "ls /sys/bus/fsl-mc/devices")?;
        for object in ["dprc.2", "dpni.1", "dpio.2", "dpmcp.9", "dpbp.2", "dpcon.4"] {
            ensure!(bus.split_whitespace().any(|name| name == object), "no {object}: {bus}");
        }
        ensure!(!bus.contains("dprc.1") && !bus.contains("dpni.0"), "the host's objects: {bus}");
        bring_up(vm, "one")?;
        expect_no_loss(vm, "one", "10.0.0.1", 100)?;
        say(vm, "one", "poweroff -f").ok();
        ensure!(wait(vm, "one")? == 0, "the VMM fails");
        Ok(())
    })
}
