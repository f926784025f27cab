// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What owners of boards did with their containers, by set-up scripts for DPDK, VPP and
//! guests, and what is right there. `docs/cases.md` has where each comes from, and those
//! that other tests have or that cannot be shown here.

use crate::{
    guest::{SESSION, driver},
    interrupts, trial,
};
use anyhow::{Context, Result, ensure};
use board::Board;
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use vm_tests::{Driver, LineSession, TestVm};

/// A name, what is done in the guest, and the drivers that can do it.
type Case = (&'static str, fn(&mut TestVm) -> Result<()>, &'static [Driver]);

const BOTH: &[Driver] = &[Driver::Rust, Driver::Stock];

/// Those that share a boot: each leaves the guest as it found it.
const CASES: [Case; 10] = [
    ("a container for DPDK in one go", dpdk_container, BOTH),
    ("the group's node comes and goes", group_node, BOTH),
    ("who holds what, and where its interrupts go", holders_and_lines, BOTH),
    // The stock driver sees no object that comes (defect 17).
    ("interfaces come and go under a process", hot_plugged_interface, &[Driver::Rust]),
    ("the clock moves to user space", clock, BOTH),
    ("a container in a container, and both in one of VFIO's", nested, BOTH),
    ("a connected demultiplexer moves to user space", demultiplexer, BOTH),
    ("drivers and rescans are off for a while", autoprobe_off, BOTH),
    ("interfaces are made one after the other", others_stay, BOTH),
    ("the root container's driver goes and comes", root_unbound, BOTH),
];

pub fn trials() -> Vec<Trial> {
    let on = |driver: Driver, name: &str| {
        trial(format!("cases::{name}::in_one_boot"), move || in_one_boot(driver))
    };
    vec![
        on(Driver::Rust, "rust"),
        on(Driver::Stock, "stock"),
        trial("cases::command_lines", command_lines),
    ]
}

/// What the scripts share: `give` and `take` bind a container to user space and back, `m`
/// asks the MC, `drv` tells a device's driver, the others wait.
const WORDS: &str = "
    set -eu
    B=/sys/bus/fsl-mc
    give() { fslmc-guest bind $1 >/dev/null; }
    take() { fslmc-guest release $1 >/dev/null; }
    m() { fslmc-guest mgmt \"$@\"; }
    drv() { readlink $B/devices/$1/driver 2>/dev/null | sed 's,.*/,,'; }
    until_so() { for i in $(seq 150); do eval \"$1\" && return 0; sleep 0.1; done
                 echo \"never so: $1\" >&2; return 1; }
    has() { until_so \"[ \\\"\\$(drv $1)\\\" = $2 ]\"; }
    gone() { until_so \"[ ! -e $B/devices/$1 ]\"; }
";

fn sh(vm: &mut TestVm, script: &str) -> Result<String> {
    vm.sh(&format!("{WORDS}{script}"))
}

fn in_one_boot(driver: Driver) -> Result<()> {
    TestVm::with("default")?.driver(driver).run(|vm| {
        for (name, case, _) in CASES.iter().filter(|(.., drivers)| drivers.contains(&driver)) {
            case(vm).with_context(|| format!("case: {name}"))?;
        }
        Ok(())
    })
}

/// As NXP's script makes it: two interfaces, and of everything as much as a worker on each
/// core asks for.
fn dpdk_container(vm: &mut TestVm) -> Result<()> {
    const OBJECTS: &str = "dpni:2 dpmcp:3 dpbp:16 dpcon:8 dpseci:16 dpio:34 dpci:8 dpdmai:64";
    let printed = sh(
        vm,
        &format!(
            "c=$(m create dprc)
             for made in {OBJECTS}; do
                 m create ${{made%:*}} --in $c --count ${{made#*:}} --plugged >/dev/null
             done
             give $c
             until_so '[ $(ls $B/drivers/vfio-fsl-mc | grep -c ^dp) = 152 ]'
             for device in $B/drivers/vfio-fsl-mc/dp*; do readlink -f $device/iommu_group; done |
                 sort -u | wc -l
             echo $c >$B/drivers/vfio-fsl-mc/unbind; m destroy $c; gone $c"
        ),
    )?;
    ensure!(printed.lines().last() == Some("1"), "groups: {printed}");
    Ok(())
}

/// Three times bound, each time the same group and node, which is gone in between.
fn group_node(vm: &mut TestVm) -> Result<()> {
    let printed = sh(
        vm,
        "for i in 1 2 3; do
             give dprc.2
             g=$(readlink $B/devices/dprc.2/iommu_group | sed 's,.*/,,')
             echo $g $(ls -l /dev/vfio/$g | awk '{ print $5, $6 }')
             take dprc.2
             until_so \"[ ! -e /dev/vfio/$g ]\"
         done",
    )?;
    let nodes: BTreeSet<&str> = printed.lines().collect();
    ensure!(printed.lines().count() == 3 && nodes.len() == 1, "{printed}");
    Ok(())
}

/// `/proc/PID/fdinfo` names the object; the interrupt's line has its name, and goes to the
/// processor that it is told. A rescan of the bus meanwhile does no harm.
fn holders_and_lines(vm: &mut TestVm) -> Result<()> {
    let printed = sh(
        vm,
        "give dprc.2; has dpio.2 vfio-fsl-mc
         { echo open dprc.2; echo irq dpio.2; sleep 4; } | fslmc-guest vfio session >/tmp/said &
         pid=$!
         until_so \"grep -q 'dpio\\.2[^0-9]*$' /proc/interrupts\"
         echo 1 >$B/rescan
         sed -n 's/^vfio-device-syspath:[[:space:]]*/holds /p' /proc/$pid/fdinfo/*
         line=$(grep 'dpio\\.2[^0-9]*$' /proc/interrupts | head -n 1 | cut -d: -f1 | tr -d ' ')
         for mask in 1 2; do
             echo $mask >/proc/irq/$line/smp_affinity
             echo goes to $(cat /proc/irq/$line/smp_affinity)
         done
         wait
         take dprc.2",
    )?;
    for part in ["/dprc.2\n", "/dpio.2\n", "goes to 1\n", "goes to 2\n"] {
        ensure!(printed.contains(part), "no {part:?} in {printed}");
    }
    Ok(())
}

/// An interface is made in the bound container, opened, reset, closed and destroyed, three
/// times with the same number.
fn hot_plugged_interface(vm: &mut TestVm) -> Result<()> {
    vm.bind(&["dprc.2"])?;
    let mut names = BTreeSet::new();
    for _ in 0..3 {
        let name = sh(vm, "m create dpni --in dprc.2 --plugged")?.trim().to_owned();
        vm.wait_for_device(&name, driver(Some("vfio-fsl-mc")))?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            session.request(&format!("reset {name}")).map(drop)
        })?;
        sh(vm, &format!("m destroy {name} --in dprc.2; gone {name}"))?;
        names.insert(name);
    }
    ensure!(names.len() == 1, "its names: {names:?}");
    sh(vm, "take dprc.2; has dprc.2 fsl_mc_dprc").map(drop)
}

/// Unplugged from the kernel, moved, plugged, and then bound with its container. Linux does
/// not look into the container meanwhile: its bus complains of an object that is in a new
/// container before it has seen it go from the old one.
fn clock(vm: &mut TestVm) -> Result<()> {
    sh(
        vm,
        "c=$(m create dprtc --plugged); until_so \"[ -e $B/devices/$c ]\"
         echo dprc.2 >$B/drivers/fsl_mc_dprc/unbind
         m unplug $c; m assign $c dprc.2 --plugged; gone $c
         give dprc.2; has $c vfio-fsl-mc
         echo dprc.2 >$B/drivers/vfio-fsl-mc/unbind
         m unplug $c --in dprc.2; m unassign $c dprc.2; until_so \"[ -e $B/devices/$c ]\"
         m destroy $c; gone $c
         take dprc.2; has dprc.2 fsl_mc_dprc",
    )
    .map(drop)
}

/// What is made in a container that is bound follows it, interrupts of objects inside
/// arrive; the groups of both go into one VFIO container, and one leaves it while the other
/// works.
fn nested(vm: &mut TestVm) -> Result<()> {
    let made = sh(
        vm,
        "inner=$(m create dprc --in dprc.2 --plugged)
         pool=$(m create dpbp --in $inner --plugged); m create dpmcp --in $inner --plugged >&2
         give dprc.2
         has $inner vfio-fsl-mc; has $pool vfio-fsl-mc
         echo $inner $pool",
    )?;
    let (inner, pool) = made.trim().split_once(' ').with_context(|| format!("names: {made}"))?;
    let board = vm.board()?;
    vm.session(&SESSION, |session| {
        session.request(&format!("open {inner}"))?;
        raises(session, &board, pool)
    })?;
    let printed = sh(vm, &format!("fslmc-guest vfio together dprc.2 {inner}"))?;
    let says = |name: &str| printed.matches(&format!("of {name} says {name}")).count();
    ensure!((says("dprc.2"), says(inner)) == (2, 1), "{printed}");
    sh(
        vm,
        &format!(
            "take dprc.2; has dprc.2 fsl_mc_dprc
             m destroy {inner} --in dprc.2; gone {inner}"
        ),
    )
    .map(drop)
}

/// An interrupt of an object that is open arrives.
fn raises(session: &mut LineSession, board: &Board, object: &str) -> Result<()> {
    session.request(&format!("irq {object}"))?;
    session.request(&format!("irq-mask {object} ffffffff enabled"))?;
    interrupts::raise(board, object)?;
    interrupts::expect_count(session, object, 1)
}

/// A demultiplexer below a port, shared by an interface of Linux and one of user space, is
/// given to user space while it is connected. It follows its container, and keeps its ends.
/// Rescans are off meanwhile, for the reason of [`clock`].
fn demultiplexer(vm: &mut TestVm) -> Result<()> {
    let printed = sh(
        vm,
        "theirs=$(m create dpni --in dprc.2 --plugged)
         give dprc.2; has $theirs vfio-fsl-mc
         take dprc.2; has dprc.2 fsl_mc_dprc
         echo 0 >$B/autorescan
         own=$(m create dpni); demux=$(m create dpdmux)
         m connect $demux:0 dpmac.3; m connect $demux:1 $own; m connect $demux:2 $theirs
         m assign $demux dprc.2 --plugged
         give dprc.2; has $demux vfio-fsl-mc; has $theirs vfio-fsl-mc
         for end in 0 1 2; do echo \"$end: $(m connection $demux:$end)\"; done
         echo \"wanted 1: $own\"; echo \"wanted 2: $theirs\"
         take dprc.2; has dprc.2 fsl_mc_dprc
         m unplug $demux --in dprc.2; m unassign $demux dprc.2; m destroy $demux; gone $demux
         m destroy $own; m unplug $theirs --in dprc.2; m destroy $theirs --in dprc.2; gone $theirs
         echo 1 >$B/autorescan",
    )?;
    ensure!(printed.contains("0: dpmac.3"), "{printed}");
    for line in printed.lines().filter_map(|line| line.strip_prefix("wanted ")) {
        ensure!(printed.lines().any(|found| found.starts_with(line)), "no {line:?} in {printed}");
    }
    Ok(())
}

/// What is made meanwhile in the root container, which alone these switches are about, is
/// there after one rescan; what is in a container that is bound meanwhile is usable at once
/// with this driver.
fn autoprobe_off(vm: &mut TestVm) -> Result<()> {
    sh(
        vm,
        "echo 0 >$B/drivers_autoprobe; echo 0 >$B/autorescan
         own=$(m create dpbp --plugged); theirs=$(m create dpbp --in dprc.2 --plugged)
         sleep 0.5; [ ! -e $B/devices/$own ]
         if [ -d /sys/module/vfio_fsl_mc/parameters ]; then
             give dprc.2; has $theirs vfio-fsl-mc
             take dprc.2
         fi
         echo 1 >$B/drivers_autoprobe; echo 1 >$B/autorescan; echo 1 >$B/rescan
         has $own fsl_mc_allocator
         give dprc.2; has $theirs vfio-fsl-mc
         take dprc.2; has $theirs fsl_mc_allocator
         m destroy $theirs --in dprc.2; gone $theirs
         m destroy $own; gone $own",
    )
    .map(drop)
}

/// Nothing that was there goes for a moment, where rescans are off meanwhile: a device that
/// came back would have another folder. With them on, Linux takes objects at the end of the
/// list for gone when others come in front of them, on a LX2160A (netdev, 19 December 2019)
/// as here.
fn others_stay(vm: &mut TestVm) -> Result<()> {
    sh(
        vm,
        "folders() { ls -dLi $B/devices/* | awk '{ print $1, $2 }' | sort; }
         folders >/tmp/before
         echo 0 >$B/autorescan
         for i in 1 2 3 4; do
             one=$(m create dpni); other=$(m create dpni)
             m connect $one $other; m plug $one; m plug $other
             all=\"${all:-} $one $other\"
         done
         echo 1 >$B/autorescan; echo 1 >$B/rescan
         for name in $all; do until_so \"[ -e $B/devices/$name ]\"; done
         folders >/tmp/after
         if grep -vxFf /tmp/after /tmp/before >&2; then exit 1; fi
         for name in $all; do m unplug $name; m destroy $name; gone $name; done",
    )
    .map(drop)
}

/// A container that is bound goes down with the root's driver; after that comes again, all
/// is there again.
fn root_unbound(vm: &mut TestVm) -> Result<()> {
    sh(
        vm,
        "ls $B/devices | sort >/tmp/before
         give dprc.2; has dprc.2 vfio-fsl-mc
         echo dprc.1 >$B/drivers/fsl_mc_dprc/unbind
         gone dprc.2
         echo dprc.1 >$B/drivers/fsl_mc_dprc/bind
         until_so 'ls $B/devices | sort | cmp -s - /tmp/before'
         give dprc.2; has dpio.2 vfio-fsl-mc
         take dprc.2",
    )
    .map(drop)
}

/// The kernel's options that such set-ups come with.
fn command_lines() -> Result<()> {
    const LINES: [&str; 2] = [
        "iommu.passthrough=1 arm-smmu.disable_bypass=0 isolcpus=1",
        "iommu.passthrough=0 default_hugepagesz=1G hugepagesz=1G hugepages=1",
    ];
    for line in LINES {
        TestVm::with("default")?
            .driver(Driver::Rust)
            .options(|options| {
                options.append = line.into();
                options.machine.memory = 3 << 30;
            })
            .run(|vm| {
                vm.bind(&["dprc.2"])?;
                let board = vm.board()?;
                vm.session(&SESSION, |session| {
                    session.request("open dprc.2")?;
                    session.request("map dprc.2 100000000 10000 both 5a")?;
                    raises(session, &board, "dpbp.4")
                })
            })
            .with_context(|| line.to_owned())?;
    }
    Ok(())
}
