// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Linux's interfaces on a switch and on a demultiplexer. Debian's kernels have no driver for
//! either: they are switched on from beside, as a boot loader would do it. Linux's own
//! driver of switches is built for one of the tests.

use crate::{beside::Object, frames, trial};
use anyhow::{Context, Result, ensure};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use mc_abi::{ObjectType, common, dpdmux, dpsw};
use setup::{Cache, PackageSet, Silent};
use vm_tests::TestVm;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("switches::hosts_reach_each_other", hosts_reach_each_other),
        trial("switches::linuxs_own_driver", linuxs_own_driver),
    ]
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

/// What `ip`, `bridge` and `tc` ask of the driver, the switch does: ports without a bridge,
/// a bridge with VLANs, static stations and groups, rules and mirrors.
fn linuxs_own_driver() -> Result<()> {
    let artifacts = vm_tests::artifacts_with(Driver::Stock)?;
    let packages = Cache::from_env()?.ensure(&[PackageSet::KernelBuild], &Silent)?;
    let module = setup::build_switch_driver(&packages, &Silent)?;
    let folder = module.parent().context("the module is in a folder")?;
    frames::machine_of("switches.dts", artifacts, Driver::Stock)?.share(folder).run(|vm| {
        vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
        steps(vm, "modprobe bridge; insmod /host/fsl-dpaa2-switch.ko")?;
        vm.sh(HOSTS)?;
        steps(vm, PORTS)?;
        ports_alone(vm)?;
        steps(
            vm,
            "ip link add br0 type bridge vlan_filtering 1
               for n in 0 1 2; do ip link set $(cat /tmp/port$n) master br0; done
               ip addr add 10.0.1.200/24 dev br0; ip link set br0 up",
        )?;
        bridged(vm)?;
        stations_and_groups(vm)?;
        vlans(vm)?;
        rules_and_mirrors(vm)?;
        // It gives all back: what it had can be had again.
        steps(vm, "ip link del br0; rmmod fsl_dpaa2_switch; insmod /host/fsl-dpaa2-switch.ko")?;
        steps(vm, PORTS)?;
        ports_alone(vm)
    })
}

/// The interfaces of the switch, whose names it leaves in files, and their links.
const PORTS: &str = "
    for n in 0 1 2; do
        ls -d /sys/bus/fsl-mc/devices/dpsw.0/net/* | sort -V | sed -n \"$((n + 1))s,.*/,,p\" >/tmp/port$n
        ip link set $(cat /tmp/port$n) up
    done
    for n in 0 1 2; do
        for try in $(seq 100); do
            [ \"$(cat /sys/class/net/$(cat /tmp/port$n)/carrier)\" = 1 ] &&
                ip netns exec sw$n ip -o link | grep -q LOWER_UP && continue 2
            sleep 0.1
        done
        echo port $n has no carrier >&2; exit 1
    done
";

/// Without a bridge, each port is an interface of the host's, over the control interface.
fn ports_alone(vm: &mut TestVm) -> Result<()> {
    steps(
        vm,
        "for n in 0 1; do
               port=$(cat /tmp/port$n)
               ip addr add 10.0.1.$((100 + n))/24 dev $port
               ping -q -c 20 -i 0.02 -W 5 -I $port 10.0.1.$((1 + n)) | grep -q ' 0% packet loss'
               ip addr flush dev $port
           done",
    )?;
    let crossed = vm.try_sh("ip netns exec sw0 ping -q -c 3 -i 0.1 -W 1 10.0.1.2")?;
    ensure!(crossed.code != 0, "ports without a bridge exchange frames: {}", crossed.stdout);
    Ok(())
}

fn bridged(vm: &mut TestVm) -> Result<()> {
    ping(vm, "sw0", "10.0.1.2")?;
    ping(vm, "sw2", "10.0.1.1")?;
    let told = steps(vm, "ethtool -S $(cat /tmp/port0)")?;
    ensure!(statistic(&told, "[hw] rx frames")? >= 400, "{told}");
    steps(vm, "ping -q -c 20 -i 0.02 -W 5 10.0.1.3").map(drop)
}

fn statistic(told: &str, name: &str) -> Result<u64> {
    let line = told.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
    Ok(line.with_context(|| format!("{name}: {told}"))?.parse()?)
}

fn stations_and_groups(vm: &mut TestVm) -> Result<()> {
    let told = steps(
        vm,
        "
        port=$(cat /tmp/port1)
        bridge fdb add 02:00:00:00:09:01 dev $port master static
        bridge mdb add dev br0 port $port grp 239.1.1.1 permanent
        bridge fdb show dev $port; bridge fdb show dev $(cat /tmp/port0); bridge mdb show
        bridge fdb del 02:00:00:00:09:01 dev $port master
        bridge mdb del dev br0 port $port grp 239.1.1.1",
    )?;
    for part in [
        // Learned by the switch, which is asked for all that it knows.
        "02:00:00:00:00:01 self",
        "02:00:00:00:00:02 self",
        "02:00:00:00:09:01 self static",
        "grp 239.1.1.1 permanent offload",
    ] {
        ensure!(told.contains(part), "{part}: {told}");
    }
    Ok(())
}

fn vlans(vm: &mut TestVm) -> Result<()> {
    steps(vm, "bridge vlan add vid 100 dev $(cat /tmp/port0) pvid untagged")?;
    let apart = vm.try_sh("ip netns exec sw0 ping -q -c 3 -i 0.1 -W 1 10.0.1.2")?;
    ensure!(apart.code != 0, "from VLAN 100 into VLAN 1: {}", apart.stdout);
    steps(vm, "bridge vlan add vid 100 dev $(cat /tmp/port1) pvid untagged")?;
    ping(vm, "sw0", "10.0.1.2")?;
    steps(
        vm,
        "for n in 0 1; do
               bridge vlan del vid 100 dev $(cat /tmp/port$n)
               bridge vlan add vid 1 dev $(cat /tmp/port$n) pvid untagged
           done",
    )?;
    ping(vm, "sw0", "10.0.1.3")
}

fn rules_and_mirrors(vm: &mut TestVm) -> Result<()> {
    steps(vm, "tc qdisc add dev $(cat /tmp/port1) clsact
           tc filter add dev $(cat /tmp/port1) ingress protocol ip flower skip_sw ip_proto icmp action drop")?;
    let dropped = vm.try_sh("ip netns exec sw0 ping -q -c 3 -i 0.1 -W 1 10.0.1.2")?;
    ensure!(dropped.code != 0, "a rule drops it: {}", dropped.stdout);
    steps(
        vm,
        "tc filter del dev $(cat /tmp/port1) ingress
           tc filter add dev $(cat /tmp/port1) ingress matchall skip_sw \
               action mirred egress mirror dev $(cat /tmp/port2)",
    )?;
    let mirrored = "ethtool -S $(cat /tmp/port2)";
    let before = statistic(&vm.sh(mirrored)?, "[hw] tx frames")?;
    ping(vm, "sw0", "10.0.1.2")?;
    let after = statistic(&vm.sh(mirrored)?, "[hw] tx frames")?;
    ensure!(after >= before + 200, "{before} frames to the mirror before, {after} after");
    steps(vm, "tc qdisc del dev $(cat /tmp/port1) clsact").map(drop)
}

/// Runs commands of which each must succeed, not only the last.
fn steps(vm: &mut TestVm, script: &str) -> Result<String> {
    vm.sh(&format!("set -eu\n{script}"))
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
