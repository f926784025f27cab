// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container in the hands of a guest inside the guest: the VMM assigns it, an
//! unmodified Linux finds a Management Complex of its own and moves frames.

use crate::trial;
use anyhow::{Context, Result, ensure};
use fslmc::{artifacts::Driver, nested};
use libtest_mimic::Trial;
use std::{path::Path, thread, time::Duration};
use vm_tests::{TestVm, TestVmBuilder};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("assign::a_guest_reaches_the_host", a_guest_reaches_the_host),
        trial("assign::guests_end_and_start_again", guests_end_and_start_again),
    ]
}

/// A machine with KVM and two containers for guests, the first of which is connected
/// with the host's interface.
fn machine(cpu: &str, driver: Driver, folder: &Path) -> Result<TestVmBuilder> {
    let artifacts = vm_tests::artifacts_with(driver)?;
    nested::prepare(artifacts, vm_tests::guest_programs()?, &[], folder)?;
    let layout = crate::frames::layout("assign.dts");
    Ok(TestVm::with_layout(vm_tests::layout_of(&layout)?)
        .driver(driver)
        .limit(Duration::from_secs(900))
        .share(folder)
        .options(|options| {
            options.machine.cpu = cpu.into();
            options.machine.virtualization = true;
            options.machine.memory = 1536 << 20;
            options.modules.push("fsl-dpaa2-eth".into());
        }))
}

/// The usual machine, with the host's side ready.
fn run(test: impl FnOnce(&mut TestVm) -> Result<()>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    machine("neoverse-n2", Driver::Rust, folder.path())?.run(|vm| {
        prepare_host(vm)?;
        test(vm)
    })
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

/// What handles guests, with an action of its.
fn l2(action: &str) -> String {
    let script = Path::new(fslmc::machine::SHARED_PATH).join(nested::SCRIPT);
    format!("sh {} {action}", script.display())
}

fn start(vm: &mut TestVm, guest: &str, options: &str) -> Result<()> {
    vm.sh(&l2(&format!("start {guest} {options}"))).map(drop)
}

fn say(vm: &mut TestVm, guest: &str, line: &str) -> Result<String> {
    let script = Path::new(fslmc::machine::SHARED_PATH).join(nested::SCRIPT);
    let output = vm.command(&["sh", &script.display().to_string(), "say", guest, line], b"")?;
    ensure!(output.code == 0, "{guest}: `{line}`: {}{}", output.stdout, output.stderr);
    Ok(output.stdout)
}

/// Lets a guest run a line that it does not survive; gives the VMM's exit code.
fn last_words(vm: &mut TestVm, guest: &str, line: &str) -> Result<i32> {
    if let Ok(printed) = say(vm, guest, line) {
        anyhow::bail!("{guest} survives `{line}`: {printed}");
    }
    let code = vm.sh(&l2(&format!("wait {guest}")))?;
    code.trim().parse().with_context(|| format!("exit code {code:?}"))
}

/// Brings an interface of a guest's up and waits for its carrier.
fn bring_up(vm: &mut TestVm, guest: &str, object: &str, address: &str) -> Result<()> {
    let line = format!(
        "a=$(ls /sys/bus/fsl-mc/devices/{object}/net); ip addr add {address}/24 dev $a; \
         ip link set $a up; for try in $(seq 100); do \
         [ \"$(cat /sys/class/net/$a/carrier)\" = 1 ] && break; sleep 0.1; done; \
         cat /sys/class/net/$a/carrier"
    );
    let carrier = say(vm, guest, &line)?;
    ensure!(carrier.trim() == "1", "{object} of {guest}: no carrier: {carrier}");
    Ok(())
}

fn ping(address: &str, count: u32) -> String {
    format!("ping -q -c {count} -i 0.01 -W 5 {address}")
}

fn expect_no_loss(vm: &mut TestVm, guest: &str, address: &str, count: u32) -> Result<()> {
    let printed = say(vm, guest, &ping(address, count))?;
    ensure!(printed.contains(" 0% packet loss"), "{printed}");
    Ok(())
}

/// Nothing of a guest's is left in the host's kernel.
fn expect_nothing_left(vm: &mut TestVm) -> Result<()> {
    let lines = vm.sh("grep vfio-irq /proc/interrupts || true")?;
    ensure!(lines.is_empty(), "interrupts are left: {lines}");
    Ok(())
}

fn a_guest_reaches_the_host() -> Result<()> {
    run(|vm| {
        start(vm, "one", "--assign dprc.2")?;
        let bus = say(vm, "one", "ls /sys/bus/fsl-mc/devices")?;
        for object in ["dprc.2", "dpni.1", "dpio.2", "dpmcp.9", "dpbp.2", "dpcon.4"] {
            ensure!(bus.split_whitespace().any(|name| name == object), "no {object}: {bus}");
        }
        ensure!(!bus.contains("dprc.1") && !bus.contains("dpni.0"), "the host's objects: {bus}");
        bring_up(vm, "one", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "one", "10.0.0.1", 1000)?;
        let printed = vm.sh(&ping("10.0.0.2", 1000))?;
        ensure!(printed.contains(" 0% packet loss"), "{printed}");
        ensure!(last_words(vm, "one", "poweroff -f")? == 0, "the VMM fails");
        expect_nothing_left(vm)?;
        // Nobody has it any more. Linux's own drivers do not get it: its objects are not
        // those of the portals that they have.
        vm.sh("echo dprc.2 >/sys/bus/fsl-mc/drivers/vfio-fsl-mc/unbind").map(drop)
    })
}

/// However a guest ends, the next one starts at once, in the same container, and the
/// host's side goes on as before.
fn guests_end_and_start_again() -> Result<()> {
    run(|vm| {
        let before = vm.board()?.mc().inventory();
        start(vm, "one", "--assign dprc.2")?;
        bring_up(vm, "one", "dpni.1", "10.0.0.2")?;
        say(vm, "one", "ping -i 0.01 10.0.0.1 >/dev/null &")?;
        thread::sleep(Duration::from_secs(1));
        vm.sh(&l2("kill one"))?;
        expect_nothing_left(vm)?;

        start(vm, "two", "--assign dprc.2 --restart")?;
        bring_up(vm, "two", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "two", "10.0.0.1", 100)?;
        vm.sh(&l2("reboot two"))?;
        bring_up(vm, "two", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "two", "10.0.0.1", 100)?;
        ensure!(last_words(vm, "two", "poweroff -f")? == 0, "the VMM fails");

        start(vm, "three", "--assign dprc.2")?;
        bring_up(vm, "three", "dpni.1", "10.0.0.2")?;
        let code = last_words(vm, "three", "echo c >/proc/sysrq-trigger")?;
        ensure!(code == 3, "a panic ends the VMM with {code}");
        expect_nothing_left(vm)?;
        let after = vm.board()?.mc().inventory();
        ensure!(after == before, "{before:?}\n{after:?}");
        Ok(())
    })
}
