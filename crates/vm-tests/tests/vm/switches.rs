// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Linux's interfaces on a switch and on a demultiplexer. Linux has no driver for
//! either here (Debian's kernels are built without `dpaa2-switch`): they are switched
//! on from beside, as a boot loader would do it.

use crate::{beside::Object, frames, trial};
use anyhow::{Result, ensure};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use mc_abi::{ObjectType, common, dpdmux, dpsw};
use vm_tests::TestVm;

pub fn trials() -> Vec<Trial> {
    vec![trial("switches::hosts_reach_each_other", hosts_reach_each_other)]
}

/// Hosts `sw0` to `sw2` on the switch, `up` above the demultiplexer, `mx1` and `mx2`
/// below it: network namespaces, in the order of their interfaces dpni.0 to dpni.5.
const HOSTS: &str = "
    set -eu
    number=0
    for host in sw0 sw1 sw2 up mx1 mx2; do
        dev=$(ls /sys/bus/fsl-mc/devices/dpni.$number/net)
        ip netns add $host
        ip link set $dev netns $host
        # An address that others know, and no frames of the kernel's own.
        ip netns exec $host sysctl -qw net.ipv6.conf.all.disable_ipv6=1
        case $host in sw*) net=10.0.1;; *) net=10.0.2;; esac
        ip netns exec $host ip addr add $net.$((number + 1))/24 dev $dev
        ip netns exec $host ip link set $dev up
        number=$((number + 1))
    done
";

fn hosts_reach_each_other() -> Result<()> {
    let artifacts = vm_tests::artifacts_with(Driver::Stock)?;
    frames::machine_of("switches.dts", artifacts, Driver::Stock)?
        .options(|options| options.wires = vec!["dpmac.1=dpmac.2".parse().expect("a cable")])
        .run(|vm| {
            vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
            let board = vm.board()?;
            let dpsw = Object::open(&board, ObjectType::Dpsw, 0)?;
            let dpdmux = Object::open(&board, ObjectType::Dpdmux, 0)?;
            dpsw.call(&common::Enable {})?;
            vm.sh(HOSTS)?;
            wait_for_links(vm)?;
            through_the_switch(vm, &dpsw)?;
            through_the_demultiplexer(vm, &dpdmux)
        })
}

fn wait_for_links(vm: &mut TestVm) -> Result<()> {
    // Loopback interfaces stay down.
    vm.sh("for host in sw0 sw1 sw2 up mx1 mx2; do
             for try in $(seq 100); do
                 ip netns exec $host ip -o link | grep -q LOWER_UP && continue 2
                 sleep 0.1
             done
             echo $host has no carrier >&2; exit 1
         done")?;
    Ok(())
}

fn ping(vm: &mut TestVm, from: &str, to: &str) -> Result<()> {
    for size in [56, 1472] {
        let printed =
            vm.sh(&format!("ip netns exec {from} ping -q -c 100 -i 0.01 -W 5 -s {size} {to}"))?;
        ensure!(printed.contains(" 0% packet loss"), "{from} to {to}: {printed}");
    }
    Ok(())
}

/// Numbers of `enum dpsw_counter`.
const RECEIVED: u8 = 0;
const SENT: u8 = 8;

fn through_the_switch(vm: &mut TestVm, dpsw: &Object) -> Result<()> {
    let count = |if_id, kind| -> Result<u64> {
        Ok(dpsw.call(&dpsw::IfGetCounter { if_id, kind })?.counter)
    };
    ping(vm, "sw0", "10.0.1.2")?;
    let (first, second, third) = (count(0, RECEIVED)?, count(1, SENT)?, count(2, SENT)?);
    ensure!(first >= 200 && second >= 200, "{first} came in, {second} went out");
    // Only what asks for an address is flooded.
    ensure!((1..20).contains(&third), "{third} frames went to the third interface");
    ping(vm, "sw2", "10.0.1.1")?;
    ensure!(count(2, RECEIVED)? >= 200, "frames of the third interface");
    let learned = |last| {
        let address = mc_abi::MacAddr([2, 0, 0, 0, 0, last]);
        dpsw.call(&dpsw::FdbGetUnicast { fdb_id: 0, address })
    };
    for (last, interface) in [(1, 0), (2, 1), (3, 2)] {
        let entry = learned(last)?;
        ensure!((entry.if_egress, entry.kind) == (interface, 1), "{last}: {entry:?}");
    }
    ensure!(learned(4).is_err(), "no station of the demultiplexer's");
    Ok(())
}

fn through_the_demultiplexer(vm: &mut TestVm, dpdmux: &Object) -> Result<()> {
    let count = |if_id, kind| -> Result<u64> {
        Ok(dpdmux.call(&dpdmux::IfGetCounter { if_id, kind })?.counter)
    };
    ping(vm, "mx1", "10.0.2.4")?;
    let (one, two) = (count(1, SENT)?, count(2, SENT)?);
    ensure!(one >= 200 && two < 20, "{one} and {two} frames to the downlinks");
    ping(vm, "up", "10.0.2.6")?;
    ensure!(count(2, SENT)? >= 200, "frames to the second downlink");
    // Downlinks do not reach each other.
    let script = "ip netns exec mx1 ping -q -c 2 -i 0.1 -W 1 10.0.2.6";
    let printed = vm.try_sh(script)?;
    ensure!(printed.code != 0, "{}", printed.stdout);
    Ok(())
}
