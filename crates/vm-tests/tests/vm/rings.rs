// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Somebody who means harm has a container, and others' frames flow meanwhile.

use crate::{
    frames,
    guest::{kernel_log, mgmt},
    trial,
};
use anyhow::{Context, Result, ensure};
use board::smmu::Counters;
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use std::{collections::BTreeMap, fs, time::Duration};
use vm_tests::{
    TestVm, guest_programs,
    hosts::{hosts, with_testpmd},
    inner::say_long,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("rings::an_attacked_container_harms_no_other", harms_no_other),
        trial("rings::answers_come_in_time", answers_come_in_time),
    ]
}

/// What misuses software portals.
pub const ATTACK: &str = "rings-attack";

/// Steps of the short run of an attack; `FSLMC_ATTACK` names another number.
const STEPS: u64 = 8_000;

/// How many steps an attack has.
pub fn steps(short: u64) -> u64 {
    let count = std::env::var("FSLMC_ATTACK").ok().and_then(|text| text.parse().ok());
    count.unwrap_or(short)
}

/// Linux's two hosts reach each other through DPDK while the third container's rings are
/// misused: no frame is lost, all that count agree, and only the attacker's stream faults.
fn harms_no_other() -> Result<()> {
    let steps = steps(STEPS);
    let folder = tempfile::tempdir()?;
    fs::copy(guest_programs()?.join(ATTACK), folder.path().join(ATTACK))
        .context("copying the guest's program")?;
    let machine =
        frames::machine_of("rings.dts", vm_tests::artifacts_with(Driver::Rust)?, Driver::Rust)?;
    let limit = Duration::from_secs(300 + steps / 100);
    machine.share(folder.path()).limit(limit).run(|vm| {
        vm.bind(&["dprc.2", "dprc.3"])?;
        vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
        let icid = vm.icid("dprc.3")?;
        let inventory = vm.board()?.mc().inventory();
        hosts(
            vm,
            "for n in 0 1; do
                 make_host $n $(ls /sys/bus/fsl-mc/devices/dpni.$n/net) 10.0.0.$((n + 1))/24
             done
             # The hosts are looked at one after the other: nothing may move then.
             known 0 1 10.0.0.2; known 1 0 10.0.0.1",
        )?;
        let faults = Faults::so_far(vm)?;
        let printed = attacked(vm, steps)?;
        eprintln!("{}", printed.lines().find(|line| line.starts_with('{')).unwrap_or_default());
        nothing_lost(&printed)?;
        faults.and_more_are_of(vm, icid)?;
        ensure!(vm.board()?.mc().inventory() == inventory, "objects have changed");
        mgmt(vm, "version")?;
        works_again(vm, "dprc.3")
    })
}

/// Frames flow before, while and after the attack; what is counted before and after.
fn attacked(vm: &mut TestVm, steps: u64) -> Result<String> {
    with_testpmd(
        vm,
        &format!(
            "cp /host/{ATTACK} /tmp
             count() {{
                 local n name
                 for n in 0 1; do
                     for name in rx_good_packets tx_good_packets rx_missed_errors rx_errors \
                         tx_errors rx_mbuf_allocation_errors; do
                         echo $1 testpmd $n $name $(xstat $n $name)
                     done
                     for name in 'tx frames' 'rx frames' 'rx filtered frames' \
                         'rx discarded frames' 'rx nobuffer discards' 'tx discarded frames'; do
                         echo $1 linux $n ${{name// /_}} $(counter $n \"[hw] $name\")
                     done
                 done
             }}
             start_testpmd --rxq=2 --txq=2 --forward-mode=io
             tell start
             wait_carrier 0 1; wait_carrier 1 1
             host 0 ping -q -c 10 -i 0.01 -W 5 10.0.0.2 >/dev/null
             count before
             /tmp/{ATTACK} --container dprc.3 --steps {steps} --seed 1 >/tmp/attack 2>&1 &
             attack=$!
             while [ -e /proc/$attack ]; do
                 echoed 0 100 10.0.0.2 -s 1400; echo all came back
             done
             code=0; wait $attack || code=$?
             echo \"attack exits with $code\"; cat /tmp/attack
             echoed 1 100 10.0.0.1; echo all came back
             count after
             quit"
        ),
    )
}

fn nothing_lost(printed: &str) -> Result<()> {
    ensure!(printed.contains("attack exits with 0"), "{printed}");
    let whole = printed.lines().filter(|line| *line == "all came back").count();
    // While it attacks, once at least, and after it.
    ensure!(whole >= 2, "{printed}");

    let mut grown: BTreeMap<String, i64> = BTreeMap::new();
    for line in printed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (sign, key, value) = match words[..] {
            ["before", who, n, name, value] => (-1, format!("{who} {n} {name}"), value),
            ["after", who, n, name, value] => (1, format!("{who} {n} {name}"), value),
            _ => continue,
        };
        *grown.entry(key).or_default() += sign * value.parse::<i64>().context(line.to_owned())?;
    }
    ensure!(grown.len() == 24, "counters are missing: {printed}");
    let count = |key: &str| grown.get(key).copied().with_context(|| format!("no counter {key}"));
    let pings = 100 * whole as i64;
    for (from, to) in [(0, 1), (1, 0)] {
        // Requests one way, answers the other.
        let sent = count(&format!("linux {from} tx_frames"))?;
        ensure!(sent >= pings, "{sent} frames of {pings} pings: {printed}");
        for on_the_way in [
            format!("testpmd {from} rx_good_packets"),
            format!("testpmd {to} tx_good_packets"),
            format!("linux {to} rx_frames"),
        ] {
            ensure!(count(&on_the_way)? == sent, "{on_the_way}: {sent} were sent: {grown:?}");
        }
    }
    let kept = ["rx_good_packets", "tx_good_packets", "tx_frames", "rx_frames"];
    let lost = grown.iter().find(|(key, value)| {
        **value != 0 && !kept.iter().any(|name| key.ends_with(&format!(" {name}")))
    });
    ensure!(lost.is_none(), "{lost:?}: {printed}");
    Ok(())
}

/// Faults of the SMMU until some time: as the board counts them, and as the kernel's log, which
/// leaves out those of a burst, tells of them.
pub struct Faults {
    counted: Counters,
    told: usize,
}

impl Faults {
    pub fn so_far(vm: &mut TestVm) -> Result<Self> {
        // The log first: what comes in between is counted, and need not be told.
        let told = told(vm)?.len();
        Ok(Self { counted: vm.board()?.smmu().counters(), told })
    }

    /// More have come since then: all in the address space of a stream, none without one, and
    /// all that the log tells of are of this stream.
    pub fn and_more_are_of(&self, vm: &mut TestVm, icid: u16) -> Result<()> {
        let told = told(vm)?;
        let now = vm.board()?.smmu().counters();
        let without = now.global_faults - self.counted.global_faults;
        ensure!(without == 0, "{without} transactions of streams that have no address space");
        let count = now.context_faults - self.counted.context_faults;
        let in_log = told.len().saturating_sub(self.told);
        ensure!(
            in_log > 0 && count >= in_log as u64,
            "{count} context faults, {in_log} of them in the kernel's log"
        );
        let stream = format!("cbfrsynra=0x{icid:x},");
        let other = told.iter().find(|line| !line.contains(&stream));
        ensure!(other.is_none(), "a fault that is not of {stream} {other:?}");
        eprintln!("{count} context faults; {in_log} in the kernel's log, of stream {icid:#x}");
        Ok(())
    }
}

/// Lines of the kernel's log that tell of context faults.
fn told(vm: &mut TestVm) -> Result<Vec<String>> {
    let log = kernel_log(vm)?;
    Ok(log.into_iter().filter(|line| line.contains("context fault")).collect())
}

/// A container that nobody has is reset, and moves frames as any other.
fn works_again(vm: &mut TestVm, container: &str) -> Result<()> {
    let said = vm.sh(&format!("fslmc-guest forward {container} --frames 2000 --first 20"))?;
    ensure!(said.lines().any(|line| line.starts_with("0 of ")), "buffers are lost: {said}");
    Ok(())
}

/// Steps of the short attack from within a guest.
const STEPS_WITHIN: u64 = 2_000;

/// What the kernel of a guest of 256 MiB is told, to leave the rest to an attacker...
pub const KEPT: &str = "mem=224M";
/// ...who takes the last mebibyte of it.
const LEFT: &str = "4ff00000";

/// How long an attack from within a guest may take: a portal's reset is four commands, each of
/// which leaves the guest eight times.
pub fn patience_within() -> Duration {
    Duration::from_secs(120 + steps(STEPS_WITHIN) / 20)
}

/// The same from inside a guest, past its kernel, with the container whose command portal is
/// at this address there.
pub fn from_within(vm: &mut TestVm, guest: &str, container: &str, portal: &str) -> Result<()> {
    let steps = steps(STEPS_WITHIN);
    let attack = format!(
        "{ATTACK} --container {container} --portal {portal} --memory {LEFT} --steps {steps}"
    );
    let report = say_long(vm, guest, &attack, patience_within())?;
    eprintln!("{}", report.lines().next().unwrap_or_default());
    Ok(())
}

/// What has an inner guest do the same without an end, and go on with something else.
pub fn without_end(container: &str, portal: &str) -> String {
    let steps = u64::MAX;
    format!(
        "{ATTACK} --container {container} --portal {portal} --memory {LEFT} --steps {steps} \
         >/dev/null 2>&1 &"
    )
}

/// Commands and dequeues of the short run; `FSLMC_ANSWERS` names another number.
const ANSWERS: u64 = 20_000;

/// While programs keep both processors of the guest busy, and with them those of the machine,
/// a portal answers before its clients give up.
fn answers_come_in_time() -> Result<()> {
    let count = std::env::var("FSLMC_ANSWERS").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(ANSWERS);
    let limit = Duration::from_secs(120 + count / 500);
    TestVm::with("default")?.limit(limit).run(|vm| {
        vm.bind(&["dprc.2"])?;
        for busy in [0, 2] {
            let command = format!("fslmc-guest answers dprc.2 --count {count} --busy {busy}");
            let said = vm.sh(&command)?;
            for what in ["commands: ", "dequeues: "] {
                let answers = format!("{what}{} answers", count / 2);
                ensure!(said.contains(&answers) && said.contains(" 0 late"), "{said}");
            }
            eprintln!("{busy} busy threads: {}", said.lines().collect::<Vec<_>>().join("; "));
        }
        Ok(())
    })
}
