// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames that move over the board: between interfaces of Linux's own driver, and
//! through DPDK, to which a container was handed over. All programs are Debian's.

use crate::trial;
use anyhow::{Context, Result, bail, ensure};
use fslmc::{
    artifacts::{Artifacts, Driver},
    root::Root,
};
use libtest_mimic::Trial;
use setup::{Silent, Userland};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use vm_tests::{TestVm, TestVmBuilder, hosts::hosts};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("frames::linux_reaches_linux", linux_reaches_linux),
        trial("frames::tcp_and_udp", tcp_and_udp),
        trial("frames::links_go_down_and_up", links_go_down_and_up),
        trial("frames::drivers_go_and_come", drivers_go_and_come),
        trial("frames::dpdk_forwards", || dpdk_forwards(Driver::Rust)),
        trial("frames::dpdk_forwards_on_stock", || dpdk_forwards(Driver::Stock)),
        trial("frames::dpdk_after_a_kill", dpdk_after_a_kill),
    ]
}

/// Those that the tests of the command line use, so that there is one image.
const PACKAGES: [&str; 5] = ["dpdk", "ethtool", "iperf3", "iproute2", "tcpdump"];

/// A machine whose interfaces reach each other, with the programs of [`PACKAGES`].
pub fn machine(driver: Driver) -> Result<TestVmBuilder> {
    machine_of("frames.dts", vm_tests::artifacts_with(driver)?, driver)
}

/// A machine of certain artifacts with a layout beside this file, and the programs of
/// [`PACKAGES`].
pub fn machine_of(name: &str, artifacts: &Artifacts, driver: Driver) -> Result<TestVmBuilder> {
    let layout = layout(name);
    let packages = Userland::new(&PACKAGES, "trixie")?;
    let root = Root::of_packages(artifacts, &packages, &Silent)?;
    Ok(TestVm::with_layout(vm_tests::layout_of(&layout)?)
        .driver(driver)
        .limit(Duration::from_secs(300))
        .options(|options| {
            options.root = Some(Arc::new(root));
            options.machine.memory = 2 << 30;
            options.hugepages = 256;
            options.modules.push("fsl-dpaa2-eth".into());
        }))
}

/// The path of a layout beside this file.
pub fn layout(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm").join(name)
}

/// Lets Linux have the interfaces of the root container. The portals of dprc.2
/// are out of the way: Linux would spread them over its processors.
pub fn give_to_linux(vm: &mut TestVm) -> Result<()> {
    vm.bind(&["dprc.2"])?;
    vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])
}

/// Linux's dpni.0 is 10.0.0.1, in a network namespace, and dpni.1 10.0.0.2 in another.
pub fn pair(vm: &mut TestVm) -> Result<()> {
    give_to_linux(vm)?;
    hosts(vm, "make_pair 0 1").map(drop)
}

fn linux_reaches_linux() -> Result<()> {
    machine(Driver::Stock)?.run(|vm| {
        pair(vm)?;
        // The largest payloads that fit: 1500 and 9000 bytes of IP.
        for (size, mtu) in [(36, 1500), (56, 1500), (1472, 1500), (4000, 9000), (8972, 9000)] {
            let printed = hosts(
                vm,
                &format!(
                    "for n in 0 1; do host $n ip link set $(dev $n) mtu {mtu}; done
                     wait_carrier 0 1; wait_carrier 1 1
                     host 0 ping -q -c 200 -i 0.01 -W 5 -s {size} 10.0.0.2"
                ),
            )?;
            ensure!(printed.contains(" 0% packet loss"), "{size} bytes: {printed}");
        }
        // What one has sent, and is confirmed, is what the other has received or refused.
        let counters = hosts(
            vm,
            "for what in tx 'tx confirmed'; do counter 0 \"[hw] $what frames\"; done
             for what in rx 'rx filtered'; do counter 1 \"[hw] $what frames\"; done",
        )?;
        let counters: Vec<u64> =
            counters.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [sent, confirmed, received, refused] = counters[..] else {
            bail!("four counters: {counters:?}")
        };
        let all_arrived = sent == received + refused;
        ensure!(sent >= 1000 && sent == confirmed && all_arrived, "{counters:?}");
        Ok(())
    })
}

fn tcp_and_udp() -> Result<()> {
    machine(Driver::Stock)?.run(|vm| {
        pair(vm)?;
        hosts(vm, "serve 1")?;
        for options in ["-n 4M", "-n 4M -R", "-u -b 5M -n 1M"] {
            let printed = hosts(vm, &format!("host 0 iperf3 -c 10.0.0.2 {options}"))?;
            ensure!(printed.contains("receiver"), "iperf3 {options}: {printed}");
        }
        // Checksums are the hardware's: what arrives is right without it, too.
        hosts(vm, "for n in 0 1; do host $n ethtool -K $(dev $n) rx off; done")?;
        hosts(vm, "host 0 iperf3 -c 10.0.0.2 -n 1M")?;
        let wrong = hosts(
            vm,
            "for n in 0 1; do
                 host $n awk '/^Tcp:/ && $2 != \"RtoAlgorithm\" { print \"tcp\", $16 }
                              /^Udp:/ && $2 != \"InDatagrams\" { print \"udp\", $8 }' /proc/net/snmp
             done",
        )?;
        let counts: Vec<&str> = wrong.split_whitespace().skip(1).step_by(2).collect();
        ensure!(counts.len() == 4, "counters of wrong checksums: {wrong}");
        ensure!(counts.iter().all(|count| *count == "0"), "wrong checksums: {wrong}");
        Ok(())
    })
}

fn links_go_down_and_up() -> Result<()> {
    machine(Driver::Stock)?.run(|vm| {
        pair(vm)?;
        let buffers = "host 0 ethtool -S $(dev 0) | sed -n 's/.*buffer count: //p'";
        let before = hosts(vm, buffers)?;
        hosts(
            vm,
            "ip netns exec h0 ping -q -i 0.01 10.0.0.2 >/dev/null 2>&1 & ping=$!
             for round in $(seq 20); do
                 for n in 0 1; do
                     host $n ip link set $(dev $n) down; host $n ip link set $(dev $n) up
                 done
             done
             kill $ping
             wait_carrier 0 1; wait_carrier 1 1",
        )?;
        let printed = hosts(vm, "host 0 ping -q -c 100 -i 0.01 -W 5 10.0.0.2")?;
        ensure!(printed.contains(" 0% packet loss"), "{printed}");
        let after = hosts(vm, buffers)?;
        let pending = hosts(vm, "host 0 ethtool -S $(dev 0) | grep pending")?;
        ensure!(pending.lines().all(|line| line.ends_with(": 0")), "{pending}");
        // Refilled by up to seven at a time when a few are in use.
        let (before, after): (i64, i64) = (before.trim().parse()?, after.trim().parse()?);
        ensure!((before - after).abs() <= 14, "{before} buffers before, {after} after");
        Ok(())
    })
}

/// An interface, and then a portal's driver, are taken away under traffic, and given
/// back.
fn drivers_go_and_come() -> Result<()> {
    machine(Driver::Stock)?.run(|vm| {
        pair(vm)?;
        for _ in 0..3 {
            // A new interface begins outside all namespaces.
            hosts(
                vm,
                "ip netns exec h0 ping -q -i 0.01 10.0.0.2 >/dev/null 2>&1 & ping=$!
                 sleep 0.5
                 cd /sys/bus/fsl-mc/drivers/fsl_dpaa2_eth
                 echo dpni.0 >unbind
                 kill $ping 2>/dev/null || true
                 ip netns del h0
                 echo dpni.0 >bind
                 make_host 0 $(ls /sys/bus/fsl-mc/devices/dpni.0/net) 10.0.0.1/24
                 wait_carrier 0 1; wait_carrier 1 1",
            )?;
            let printed = hosts(vm, "host 0 ping -q -c 100 -i 0.01 -W 5 10.0.0.2")?;
            ensure!(printed.contains(" 0% packet loss"), "{printed}");
        }
        Ok(())
    })
}

/// testpmd on the two interfaces of dprc.2, for so many seconds from when it forwards:
/// its start takes longer on a busy host. A physical address of the chip that DPDK looks
/// at through /dev/mem is none of the machine's.
const TESTPMD: &str = "
    rm -f /dev/mem
    export DPRC=dprc.2
    forwards() {
        for try in $(seq 300); do
            grep -q 'Press enter to exit' /tmp/testpmd 2>/dev/null && return
            sleep 0.2
        done
        return 1
    }
    testpmd() {
        rm -f /tmp/testpmd
        { forwards; sleep $1; echo; } | stdbuf -oL dpdk-testpmd -l 0-1 -n 1 \
            --log-level=lib.eal:warning -- --total-num-mbufs=4096 --nb-cores=1 \
            --auto-start \"${@:2}\" >/tmp/testpmd 2>&1
    }
";

/// Runs testpmd and gives what it prints.
fn testpmd(vm: &mut TestVm, arguments: &str) -> Result<String> {
    let script = format!("{TESTPMD} testpmd {arguments}; code=$?; cat /tmp/testpmd; exit $code");
    let output = vm.command(&["bash", "-c", &script], b"")?;
    let printed = format!("{}{}", output.stdout, output.stderr);
    ensure!(output.code == 0, "testpmd {arguments} exits with {}: {printed}", output.code);
    Ok(printed)
}

/// Frames that testpmd has sent and received over all ports.
fn accumulated(printed: &str) -> Result<(u64, u64)> {
    let (_, all) = printed.split_once("Accumulated").with_context(|| printed.to_owned())?;
    let number = |name: &str| {
        let rest = all.split_once(name).map(|(_, rest)| rest.trim_start());
        let digits = rest.and_then(|rest| rest.split_whitespace().next());
        digits.and_then(|digits| digits.parse().ok()).with_context(|| printed.to_owned())
    };
    Ok((number("TX-packets:")?, number("RX-packets:")?))
}

fn dpdk_forwards(driver: Driver) -> Result<()> {
    machine(driver)?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        // Twice without binding again; the second time with other frames. The stock
        // driver has interrupts only once for each time that it is bound.
        let runs =
            ["4 --forward-mode=io --tx-first", "4 --forward-mode=mac --tx-first --txpkts=1500"];
        let count = if driver == Driver::Stock { 1 } else { runs.len() };
        for arguments in &runs[..count] {
            let printed = testpmd(vm, arguments)?;
            let (sent, received) = accumulated(&printed)?;
            ensure!(received >= 1000, "{arguments}: {received} frames: {printed}");
            // What the first burst brought is still under way at the end.
            ensure!(sent.abs_diff(received) <= 128, "{sent} sent, {received} received: {printed}");
        }
        Ok(())
    })
}

/// A process that is killed while frames move leaves the container as it found it.
fn dpdk_after_a_kill() -> Result<()> {
    machine(Driver::Rust)?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        for _ in 0..2 {
            let script = format!(
                "{TESTPMD}
                 testpmd 60 --forward-mode=io --tx-first &
                 sleep 1; forwards || {{ cat /tmp/testpmd; exit 1; }}
                 sleep 1
                 pid=$(pidof dpdk-testpmd)
                 kill -9 $pid
                 while [ -e /proc/$pid ]; do sleep 0.1; done"
            );
            let output = vm.command(&["bash", "-c", &script], b"")?;
            ensure!(output.code == 0, "{output:?}");
            let printed = testpmd(vm, "4 --forward-mode=io --tx-first")?;
            let (_, received) = accumulated(&printed)?;
            ensure!(received >= 1000, "{received} frames: {printed}");
        }
        Ok(())
    })
}
