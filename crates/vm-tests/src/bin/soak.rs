// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Mixed traffic in one boot, for as long as asked, with interfaces that are made and
//! destroyed: `cargo xtask soak`. What is used at the end of each round is held against what
//! was used when all had run for the first times; growth is a failure.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use fslmc::artifacts::Driver;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use vm_tests::{
    TestVm,
    hosts::{hosts, with_testpmd},
    layout_of,
};

/// Moves frames in all ways for a time, and fails where something is used up.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak")]
struct Args {
    /// Minutes of traffic; at least one round is made after the first ones
    #[arg(long, default_value_t = 30)]
    minutes: u64,
}

/// Rounds before the figures that later ones are held against: caches fill, and Linux makes
/// what it keeps.
const WARM_UP: u32 = 2;

/// How much more may be used at the end of a round than after the first ones. Half an hour is
/// some 60 rounds: the kernel may not lose 17 KiB in each, nor the board 35.
mod tolerance {
    /// Buffers of a pool: Linux fills up by seven, for each of two processors.
    pub const BUFFERS: i64 = 14;
    /// KiB of the guest's kernel: lists of free memory of each processor fill and empty.
    pub const KERNEL_KIB: i64 = 1024;
    /// Pages of the IOMMU's tables: Linux keeps tables of addresses that it uses again.
    pub const IOMMU_PAGES: i64 = 16;
    /// KiB of the board's process: it keeps what the console prints.
    pub const BOARD_KIB: i64 = 2048;
}

/// What is in use between two rounds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InUse {
    /// Buffers in each pool.
    buffers: Vec<u32>,
    /// Frames in all queues.
    waiting: u64,
    /// KiB of the guest's kernel: what it cannot give back.
    kernel: i64,
    /// KiB of each of its slabs.
    slabs: BTreeMap<String, i64>,
    /// Pages of the IOMMU's tables.
    iommu: i64,
    /// KiB of this process, the guest's memory apart.
    board: i64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let time = Duration::from_secs(60 * args.minutes);
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/rings.dts");
    TestVm::with_layout(layout_of(&layout)?)
        .driver(Driver::Rust)
        .with_packages()?
        .hugepages(256)
        .limit(time + Duration::from_secs(1800))
        .options(|options| {
            options.machine.memory = 2 << 30;
            options.modules.push("fsl-dpaa2-eth".into());
        })
        .run(|vm| soak(vm, time))
}

fn soak(vm: &mut TestVm, time: Duration) -> Result<()> {
    vm.bind(&["dprc.2", "dprc.3"])?;
    vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
    hosts(
        vm,
        "for n in 0 1; do
             make_host $n $(ls /sys/bus/fsl-mc/devices/dpni.$n/net) 10.0.0.$((n + 1))/24
         done
         serve 1",
    )?;
    println!(
        "{:>5} {:>8} {:>8} {:>8} {:>12} {:>12} {:>12}",
        "round", "minutes", "buffers", "waiting", "kernel, KiB", "IOMMU pages", "board, KiB"
    );
    let (start, mut first) = (Instant::now(), None);
    for round in 1.. {
        run_round(vm).with_context(|| format!("round {round}"))?;
        let now = measure(vm)?;
        let InUse { buffers, waiting, kernel, iommu, board, .. } = &now;
        println!(
            "{round:>5} {:>8.1} {:>8} {waiting:>8} {kernel:>12} {iommu:>12} {board:>12}",
            start.elapsed().as_secs_f64() / 60.0,
            buffers.iter().sum::<u32>(),
        );
        match &first {
            Some(first) => {
                compare(first, &now).with_context(|| format!("after round {round}"))?;
                if start.elapsed() >= time {
                    println!("{round} rounds; nothing has grown beyond its tolerance");
                    return Ok(());
                }
            }
            None if round >= WARM_UP => first = Some(now),
            None => {}
        }
    }
    bail!("rounds do not end")
}

/// DPDK between Linux's two hosts, the library's example in another container, and interfaces
/// of Linux's that come and go; no echo request and no buffer may be lost.
fn run_round(vm: &mut TestVm) -> Result<()> {
    let printed = with_testpmd(
        vm,
        "# The server refuses a client while it is at the end of the one before.
         client() {
             local try
             for try in 1 2 3 4 5; do host 0 iperf3 -c 10.0.0.2 \"$@\" && return; sleep 1; done
             return 1
         }
         start_testpmd --rxq=2 --txq=2 --forward-mode=io
         tell start
         wait_carrier 0 1; wait_carrier 1 1
         fslmc-guest forward dprc.3 --frames 20000 --first 50 --seconds 60 >/tmp/forwarded 2>&1 &
         forward=$!
         for size in 56 1472; do echoed 0 100 10.0.0.2 -s $size; done
         client -t 3
         client -t 2 -R
         client -u -b 5M -t 2
         wait $forward || { cat /tmp/forwarded; exit 1; }
         cat /tmp/forwarded
         quit",
    )?;
    ensure!(printed.matches("receiver").count() == 3, "iperf3 does not end: {printed}");
    ensure!(printed.lines().any(|line| line.starts_with("0 of ")), "buffers are lost: {printed}");
    hosts(vm, COME_AND_GO).map(drop)
}

/// Two interfaces are made, connected, used in namespaces of their own, and destroyed; those
/// that stay go down and up.
const COME_AND_GO: &str = "
    m() { fslmc-guest mgmt \"$@\"; }
    a=$(m create dpni); b=$(m create dpni)
    m connect $a $b >/dev/null; m plug $a; m plug $b
    a=${a#dpni.}; b=${b#dpni.}
    for n in $a $b; do until_so \"[ -d /sys/bus/fsl-mc/devices/dpni.$n/net ]\"; done
    make_pair $a $b
    echoed $a 50 10.0.$a.2
    for n in $a $b; do host $n ip link set $(dev $n) down; ip netns del h$n; done
    for n in $a $b; do
        echo dpni.$n >/sys/bus/fsl-mc/drivers/fsl_dpaa2_eth/unbind
        m destroy dpni.$n >/dev/null
        until_so \"[ ! -e /sys/bus/fsl-mc/devices/dpni.$n ]\"
        rm /tmp/dev/$n
    done
    for n in 0 1; do host $n ip link set $(dev $n) down; host $n ip link set $(dev $n) up; done";

fn measure(vm: &mut TestVm) -> Result<InUse> {
    // Of each slab cache, Linux keeps some slabs that are empty: they are given back first.
    let printed = vm.sh("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 2
         for cache in /sys/kernel/slab/*/shrink; do echo 1 >$cache; done
         awk '/^(SUnreclaim|KernelStack|PageTables|SecPageTables|Percpu):/ { sum += $2 }
              END { print sum }' /proc/meminfo
         sed -n 's/^nr_iommu_pages //p' /proc/vmstat")?;
    let numbers: Vec<i64> = printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [kernel, iommu] = numbers[..] else {
        bail!("the kernel does not tell its memory: {printed}");
    };
    // Pages of a slab and slabs, by slabinfo(5).
    let table = vm.sh("awk '/ : slabdata / { print $1, $6 * 4 * $(NF - 1) }' /proc/slabinfo")?;
    let rows = table.lines().filter_map(|line| line.split_once(' '));
    let slabs =
        rows.map(|(name, kib)| Ok((name.to_owned(), kib.parse()?))).collect::<Result<_>>()?;
    let board = vm.board()?;
    let (buffers, waiting) = (board.qbman().all_free_buffers(), board.qbman().frames_waiting());
    Ok(InUse { buffers, waiting, kernel, slabs, iommu, board: own_memory()? })
}

/// KiB of memory of this process that is nobody else's: the board, without the guest's memory.
fn own_memory() -> Result<i64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no RssAnon in /proc/self/status")?.parse()?)
}

/// What of the kernel's memory has grown most: five slabs, KiB.
fn grown(first: &InUse, now: &InUse) -> Vec<(String, i64)> {
    let change = |(name, kib): (&String, &i64)| {
        (name.clone(), kib - first.slabs.get(name).copied().unwrap_or_default())
    };
    let mut all: Vec<_> = now.slabs.iter().map(change).filter(|(_, kib)| *kib > 0).collect();
    all.sort_by_key(|(_, kib)| -kib);
    all.truncate(5);
    all
}

/// Whether nothing is used up.
fn compare(first: &InUse, now: &InUse) -> Result<()> {
    let pools = first.buffers.iter().zip(&now.buffers).enumerate();
    for (pool, (before, after)) in pools {
        let change = i64::from(*after) - i64::from(*before);
        ensure!(change.abs() <= tolerance::BUFFERS, "pool {pool}: {before} buffers, now {after}");
    }
    ensure!(now.waiting == 0, "{} frames wait in queues that nobody sends to", now.waiting);
    ensure!(
        now.kernel - first.kernel <= tolerance::KERNEL_KIB,
        "{} KiB of the guest's kernel, now {}; slabs that have grown most: {:?}",
        first.kernel,
        now.kernel,
        grown(first, now)
    );
    for (what, before, after, tolerated) in [
        ("pages of the IOMMU's tables", first.iommu, now.iommu, tolerance::IOMMU_PAGES),
        ("KiB of the board's process", first.board, now.board, tolerance::BOARD_KIB),
    ] {
        ensure!(after - before <= tolerated, "{before} {what}, now {after}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_told() {
        let first = InUse {
            buffers: vec![640, 0],
            waiting: 0,
            kernel: 50_000,
            slabs: BTreeMap::new(),
            iommu: 40,
            board: 9,
        };
        compare(&first, &first).unwrap();
        let cases = [
            (InUse { buffers: vec![620, 0], ..first.clone() }, "pool 0"),
            (InUse { buffers: vec![640, 20], ..first.clone() }, "pool 1"),
            (InUse { waiting: 1, ..first.clone() }, "wait in queues"),
            (InUse { kernel: 52_000, ..first.clone() }, "kernel"),
            (InUse { iommu: 60, ..first.clone() }, "IOMMU"),
            (InUse { board: 5_000, ..first.clone() }, "board"),
        ];
        for (now, what) in cases {
            let error = compare(&first, &now).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
