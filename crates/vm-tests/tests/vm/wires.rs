// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Ethernet ports and what is at the other ends of their wires, as Linux's own driver
//! sees them.

use crate::trial;
use anyhow::{Result, ensure};
use fslmc::machine::Options;
use libtest_mimic::Trial;
use std::{path::Path, time::Duration};
use vm_tests::{TestVm, TestVmBuilder};

pub fn trials() -> Vec<Trial> {
    vec![trial("wires::a_cable", a_cable), trial("wires::two_boards", two_boards)]
}

/// Interfaces by the numbers of their objects, and namespaces: `host N COMMAND` runs
/// beside dpni.N.
const HOSTS: &str = "
    set -eu
    host() { ns=h$1; shift; ip netns exec $ns \"$@\"; }
    if=/tmp/if
    make_host() {
        mkdir -p $if
        ls /sys/bus/fsl-mc/devices/dpni.$1/net >$if/$1
        ip netns add h$1
        ip link set $(cat $if/$1) netns h$1
        host $1 ip addr add $2/24 dev $(cat $if/$1)
        host $1 ip link set $(cat $if/$1) up
    }
    carrier() { host $1 cat /sys/class/net/$(cat $if/$1)/carrier; }
    wait_carrier() {
        for try in $(seq 100); do
            [ \"$(carrier $1)\" = $2 ] && return
            sleep 0.1
        done
        echo dpni.$1: no carrier $2 >&2; return 1
    }
";

fn hosts(vm: &mut TestVm, script: &str) -> Result<String> {
    vm.sh(&format!("{HOSTS}{script}"))
}

fn machine(wires: &[String], folder: &Path) -> Result<TestVmBuilder> {
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/wires.dts");
    Ok(TestVm::with_layout(vm_tests::layout_of(&layout)?)
        .with_packages()?
        .share(folder)
        .limit(Duration::from_secs(240))
        .options(|options| plug(options, wires)))
}

fn plug(options: &mut Options, wires: &[String]) {
    options.wires = wires.iter().map(|wire| wire.parse().unwrap()).collect();
    options.modules.push("fsl-dpaa2-eth".into());
}

/// A cable between two ports of a board.
fn a_cable() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let wires = ["dpmac.1=dpmac.2"];
    let captured = folder.path().join("captured.pcapng");
    let capture = |object: &str| format!("{object}={}", captured.display()).parse();
    let captures = vec![capture("dpni.0")?, capture("dpmac.2")?];
    let machine = machine(&wires.map(Into::into), folder.path())?;
    machine.options(|options| options.captures = captures).run(|vm| {
        vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
        hosts(
            vm,
            "make_host 0 10.0.0.1; make_host 1 10.0.0.2
             wait_carrier 0 1; wait_carrier 1 1",
        )?;
        over_a_cable(vm)?;
        what_was_captured(vm)?;
        pulling_the_plug(vm)
    })
}

fn over_a_cable(vm: &mut TestVm) -> Result<()> {
    for size in [36, 1472] {
        let printed = hosts(vm, &format!("host 0 ping -q -c 200 -i 0.01 -W 5 -s {size} 10.0.0.2"))?;
        ensure!(printed.contains(" 0% packet loss"), "{size} bytes: {printed}");
    }
    // The ports have counted what the interfaces have, and the wire has lost nothing.
    let lost: u64 = vm.machine()?.network().wires()[0].ports.iter().map(|(_, lost)| lost).sum();
    ensure!(lost == 0, "{lost} frames lost on a good cable");
    Ok(())
}

/// The frames of the pings, in a file that a program of the guest's reads.
fn what_was_captured(vm: &mut TestVm) -> Result<()> {
    let read = hosts(
        vm,
        "for try in $(seq 50); do
             tcpdump -n -r /host/captured.pcapng icmp >/tmp/read 2>/dev/null || true
             [ $(wc -l </tmp/read) = 1600 ] && break
             sleep 0.2
         done
         for what in request reply; do
             echo $what $(grep -c \"ICMP echo $what\" /tmp/read)
         done",
    )?;
    // Twice 200, each way, at the interface and at the port.
    ensure!(read.contains("request 800\nreply 800\n"), "{read}");
    Ok(())
}

fn pulling_the_plug(vm: &mut TestVm) -> Result<()> {
    for (up, carrier, said) in [(false, 0, "NO-CARRIER"), (true, 1, "LOWER_UP")] {
        let network = vm.machine()?.network().clone();
        ensure!(network.set_link(1, up), "dpmac.1 has no wire");
        let shown = hosts(
            vm,
            &format!(
                "for n in 0 1; do
                     wait_carrier $n {carrier}; host $n ip link show $(cat $if/$n)
                 done"
            ),
        )?;
        ensure!(shown.matches(said).count() == 2, "{said}: {shown}");
    }
    let printed = hosts(vm, "host 0 ping -q -c 50 -i 0.01 -W 5 10.0.0.2")?;
    ensure!(printed.contains(" 0% packet loss"), "{printed}");
    Ok(())
}

/// Two machines, each with a board of its own, and a socket between their ports.
fn two_boards() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("wire");
    let wire = |listen| format!("dpmac.1=unix:{}{listen}", socket.display());
    let board = |wire: String| -> Result<TestVmBuilder> {
        Ok(TestVm::with("minimal")?.options(|options| plug(options, &[wire])))
    };
    let up = |vm: &mut TestVm, number: u8| {
        vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
        vm.sh(&format!(
            "set -eu
             name=$(ls /sys/bus/fsl-mc/devices/dpni.0/net)
             ip link set $name address 02:00:00:00:01:0{number}
             ip addr add 10.0.0.{number}/24 dev $name; ip link set $name up
             echo $name >/tmp/name"
        ))
    };
    let carrier = |vm: &mut TestVm, wanted: &str| {
        vm.sh(&format!(
            "for try in $(seq 100); do
                 [ \"$(cat /sys/class/net/$(cat /tmp/name)/carrier)\" = {wanted} ] && exit
                 sleep 0.1
             done
             ip link; exit 1"
        ))
    };
    board(wire(",listen"))?.run(|first| {
        up(first, 1)?;
        carrier(first, "0")?;
        board(wire(""))?.run(|second| {
            up(second, 2)?;
            carrier(first, "1")?;
            carrier(second, "1")?;
            for (vm, peer) in [(&mut *first, 2), (second, 1)] {
                let printed = vm.sh(&format!("ping -q -c 100 -i 0.01 -s 1400 10.0.0.{peer}"))?;
                ensure!(printed.contains(" 0% packet loss"), "{printed}");
            }
            Ok(())
        })?;
        // The other board is gone, and so is the link.
        carrier(first, "0").map(drop)
    })
}
