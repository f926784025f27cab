// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What Linux's own network driver does with the board's interfaces beyond moving frames:
//! all that `ethtool` and `ip` ask of it. They share a boot, and each leaves it as it was.
//!
//! Its module cannot be unloaded here: it takes its folder in debugfs away before the
//! interfaces that have files there, and the kernel (7.3.4) follows a pointer that is none.

use crate::{beside::Object, frames, trial};
use anyhow::{Context, Result, ensure};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use mc_abi::{ObjectType, dpni};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object as ObjectFile, Symbol, SymbolSection},
};
use std::collections::BTreeMap;
use vm_tests::{TestVm, hosts::hosts};

pub fn trials() -> Vec<Trial> {
    vec![trial("linux::in_one_boot", in_one_boot)]
}

type Step = (&'static str, fn(&mut TestVm) -> Result<()>);

const STEPS: [Step; 11] = [
    ("what ethtool tells", what_ethtool_tells),
    ("settings are kept", settings_are_kept),
    ("offloads go off and on", offloads),
    ("rules steer", steering),
    ("flows are spread", spreading),
    ("VLANs, groups and promiscuous mode", filters),
    ("the MTU changes under load", mtu_under_load),
    ("a processor goes and comes", processors),
    ("rates are kept", rates),
    ("all interfaces at once", all_at_once),
    ("programs decide of frames", xdp),
];

fn in_one_boot() -> Result<()> {
    frames::machine(Driver::Stock)?.run(|vm| {
        frames::give_to_linux(vm)?;
        hosts(vm, "mount -t debugfs none /sys/kernel/debug 2>/dev/null || true; make_pair 0 1")?;
        for (name, step) in STEPS {
            step(vm).with_context(|| name)?;
            no_loss(vm, 20).with_context(|| format!("after: {name}"))?;
        }
        Ok(())
    })
}

fn no_loss(vm: &mut TestVm, count: u32) -> Result<()> {
    hosts(vm, &format!("echoed 0 {count} 10.0.0.2")).map(drop)
}

fn what_ethtool_tells(vm: &mut TestVm) -> Result<()> {
    let told =
        hosts(vm, "for what in -i -l -c -a -k -T -n; do host 0 ethtool $what $(dev 0); done")?;
    for part in [
        "driver: fsl_dpaa2_eth",
        // Of the MC, as dpni reports it.
        "firmware-version: 8.5",
        "bus-info: dprc.1",
        "rx-checksumming: on",
        "tx-checksumming: on",
        "scatter-gather: on",
        "tcp-segmentation-offload: on",
        "2 RX rings available",
    ] {
        ensure!(told.contains(part), "{part}: {told}");
    }
    Ok(())
}

/// What is set is read back, out of the MC where it is kept there.
fn settings_are_kept(vm: &mut TestVm) -> Result<()> {
    let told = hosts(
        vm,
        "host 0 ethtool -C $(dev 0) rx-usecs 100; host 0 ethtool -c $(dev 0) | grep ^rx-usecs:
         host 0 ethtool -C $(dev 0) rx-usecs 0
         for to in off on; do
             host 0 ethtool -A $(dev 0) rx $to tx $to
             host 0 ethtool -a $(dev 0) | grep -c \"^[RT]X:.*$to\"
         done",
    )?;
    let words: Vec<&str> = told.split_whitespace().collect();
    ensure!(words == ["rx-usecs:", "100", "2", "2"], "{told}");
    Ok(())
}

fn offloads(vm: &mut TestVm) -> Result<()> {
    hosts(vm, "serve 1")?;
    for feature in ["rx", "tx", "tso", "gso", "gro", "sg"] {
        for state in ["off", "on"] {
            let printed = hosts(
                vm,
                &format!(
                    "for n in 0 1; do host $n ethtool -K $(dev $n) {feature} {state}; done
                     host 0 iperf3 -c 10.0.0.2 -n 300K"
                ),
            )?;
            ensure!(printed.contains("receiver"), "{feature} {state}: {printed}");
        }
    }
    let wrong = hosts(
        vm,
        "for n in 0 1; do
             host $n awk '/^Tcp:/ && $2 != \"RtoAlgorithm\" { print $16 }' /proc/net/snmp
         done; host 1 pkill iperf3",
    )?;
    ensure!(wrong.split_whitespace().all(|count| count == "0"), "wrong checksums: {wrong}");
    Ok(())
}

/// Frames that dpni.1 has received by the queue that they came through: the driver's own
/// count, by the processor of the queue.
fn received_by_queue(vm: &mut TestVm) -> Result<BTreeMap<u32, u64>> {
    let table = vm.sh("cat /sys/kernel/debug/dpaa2-eth/dpni.1/fq_stats")?;
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, processor, _, "Rx", frames, _] => Some((processor, frames)),
            _ => None,
        }
    });
    rows.map(|(processor, frames)| Ok((processor.parse()?, frames.parse()?))).collect()
}

/// What a script sends to dpni.1, by queue.
fn sent_by(vm: &mut TestVm, script: &str) -> Result<Vec<u64>> {
    let before = received_by_queue(vm)?;
    hosts(vm, script)?;
    // Datagrams are received after they are sent.
    let mut after = received_by_queue(vm)?;
    for _ in 0..20 {
        let now = received_by_queue(vm)?;
        if now == after {
            break;
        }
        after = now;
    }
    Ok([0, 1]
        .map(|queue| {
            let count = |table: &BTreeMap<u32, u64>| table.get(&queue).copied().unwrap_or(0);
            count(&after) - count(&before)
        })
        .into())
}

/// A rule of `ethtool -N` decides the queue, whatever the frame's hash.
fn steering(vm: &mut TestVm) -> Result<()> {
    let mut seen = Vec::new();
    for queue in [0, 1] {
        let rule = format!("flow-type udp4 dst-ip 10.0.0.2 dst-port 5005 action {queue}");
        hosts(vm, &format!("host 1 ethtool -N $(dev 1) {rule}"))?;
        let counts = sent_by(
            vm,
            "host 0 bash -c 'for n in $(seq 60); do echo x >/dev/udp/10.0.0.2/5005; done'",
        )?;
        // Each datagram has a source port of its own. A few other frames may come meanwhile.
        let (most, least) = (counts.iter().max(), counts.iter().min());
        ensure!(most >= Some(&60) && least <= Some(&5), "to queue {queue}: {counts:?}");
        seen.push(counts.iter().position(|count| Some(count) == most));
        hosts(
            vm,
            "rule=$(host 1 ethtool -n $(dev 1) | sed -n 's/^Filter: //p')
             host 1 ethtool -N $(dev 1) delete $rule
             host 1 ethtool -n $(dev 1) | grep 'Total 0 rules'",
        )?;
    }
    ensure!(seen[0] != seen[1], "both rules lead to the same queue: {seen:?}");
    Ok(())
}

/// The hash over addresses and ports spreads flows, one over addresses alone does not.
fn spreading(vm: &mut TestVm) -> Result<()> {
    let flows =
        "host 0 bash -c 'for port in $(seq 6000 6199); do echo x >/dev/udp/10.0.0.2/$port; done'";
    let hash = |fields: &str| format!("host 1 ethtool -N $(dev 1) rx-flow-hash udp4 {fields}");
    hosts(vm, &hash("sdfn"))?;
    let spread = sent_by(vm, flows)?;
    // Of 200 random choices between two, fewer than 60 for one are out of the question.
    ensure!(spread.iter().all(|count| *count >= 60), "{spread:?}");
    hosts(vm, &hash("sd"))?;
    let together = sent_by(vm, flows)?;
    let least = together.iter().min().copied().unwrap_or_default();
    ensure!(least <= 5 && together.iter().sum::<u64>() >= 200, "{together:?}");
    hosts(vm, &hash("sdfn")).map(drop)
}

/// What the interface lets through: a VLAN, a group that was joined, and anything in
/// promiscuous mode.
fn filters(vm: &mut TestVm) -> Result<()> {
    let printed = hosts(
        vm,
        "for n in 0 1; do
             host $n ip link add link $(dev $n) name v100 type vlan id 100
             host $n ip addr add 10.0.100.$((n + 1))/24 dev v100; host $n ip link set v100 up
         done
         host 0 ping -q -c 50 -i 0.01 -W 5 10.0.100.2
         for n in 0 1; do host $n ip link del v100; done",
    )?;
    ensure!(printed.contains(" 0% packet loss"), "{printed}");
    let counts = hosts(
        vm,
        "frames() { counter 1 '[hw] rx frames'; counter 1 '[hw] rx filtered frames'; }
         group=01:00:5e:01:02:03
         host 0 ip neigh replace 10.0.0.9 lladdr $group nud permanent dev $(dev 0)
         host 0 ip neigh replace 10.0.0.8 lladdr 02:00:00:00:00:77 nud permanent dev $(dev 0)
         say() { host 0 bash -c \"for n in \\$(seq 20); do echo x >/dev/udp/10.0.0.$1/7; done\"; }
         frames; say 9; frames
         host 1 ip maddr add $group dev $(dev 1); say 9; frames
         host 1 ip maddr del $group dev $(dev 1); say 9; frames
         say 8; frames
         host 1 ip link set $(dev 1) promisc on; say 8; frames
         host 1 ip link set $(dev 1) promisc off; say 8; frames
         for a in 8 9; do host 0 ip neigh del 10.0.0.$a dev $(dev 0); done",
    )?;
    let numbers: Vec<u64> = counts.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(numbers.len() == 14, "{counts}");
    let received: Vec<u64> = numbers.chunks(2).map(|pair| pair[0]).collect();
    let filtered: Vec<u64> = numbers.chunks(2).map(|pair| pair[1]).collect();
    // Not joined, joined, left, another's address, promiscuous, not any more.
    let lets_through = [false, true, false, false, true, false];
    for (step, through) in lets_through.into_iter().enumerate() {
        let more = |counts: &[u64]| counts[step + 1] - counts[step];
        let (got, refused) = (more(&received), more(&filtered));
        let expected = if through { got >= 20 && refused == 0 } else { got < 5 && refused >= 20 };
        ensure!(expected, "step {step}: {got} received, {refused} filtered: {counts}");
    }
    Ok(())
}

fn mtu_under_load(vm: &mut TestVm) -> Result<()> {
    let printed = hosts(
        vm,
        "serve 1
         host 0 iperf3 -c 10.0.0.2 -t 6 >/tmp/load 2>&1 & load=$!
         for mtu in 9000 1500 4000 576 1500; do
             sleep 0.5
             for n in 0 1; do host $n ip link set $(dev $n) mtu $mtu; done
         done
         wait $load; cat /tmp/load; host 1 pkill iperf3",
    )?;
    ensure!(printed.contains("receiver"), "{printed}");
    hosts(vm, "wait_carrier 0 1; wait_carrier 1 1").map(drop)
}

/// Frames go on while the processor of one of the portals is away.
fn processors(vm: &mut TestVm) -> Result<()> {
    for online in ["0", "1"] {
        let printed = hosts(
            vm,
            &format!(
                "host 0 ping -q -c 300 -i 0.01 -W 5 10.0.0.2 >/tmp/pings & pings=$!
                 sleep 0.3; echo {online} >/sys/devices/system/cpu/cpu1/online
                 wait $pings; cat /tmp/pings"
            ),
        )?;
        ensure!(printed.contains(" 0% packet loss"), "cpu1 {online}: {printed}");
    }
    Ok(())
}

/// A rate that the MC is told holds back what Linux sends. Linux's own `tbf` tells it one, and
/// none when it goes; it limits by itself, too, so that only the command's success shows.
fn rates(vm: &mut TestVm) -> Result<()> {
    hosts(
        vm,
        "host 0 tc qdisc add dev $(dev 0) root tbf rate 2mbit burst 10kb latency 100ms
         host 0 ping -q -c 5 -i 0.02 10.0.0.2
         host 0 tc qdisc del dev $(dev 0) root
         serve 1",
    )?;
    let dpni = Object::open(&vm.board()?, ObjectType::Dpni, 0)?;
    let mut transfer = |committed_rate| -> Result<f64> {
        let committed_burst = 3000;
        let rate =
            dpni::SetTxShaping { committed_rate, committed_burst, ..dpni::SetTxShaping::default() };
        dpni.call(&rate)?;
        let told =
            hosts(vm, "host 0 iperf3 -c 10.0.0.2 -t 3 -f k | awk '/receiver/ { print $7 }'")?;
        Ok(told.trim().parse::<f64>()? / 1000.)
    };
    let slow = transfer(2)?;
    let fast = transfer(0)?;
    ensure!((0.5..2.2).contains(&slow), "{slow} Mbit/s, where 2 are let through");
    ensure!(fast > 2. * slow, "{fast} Mbit/s without a limit, {slow} with one of 2");
    hosts(vm, "host 1 pkill iperf3").map(drop)
}

/// All of Linux's interfaces move frames at the same time.
fn all_at_once(vm: &mut TestVm) -> Result<()> {
    let printed = hosts(
        vm,
        "make_pair 4 5; make_pair 6 7
         for n in 0 1 4 5 6 7; do
             case $n in 0|1) net=0;; *) net=$((n & ~1));; esac
             peer=$((2 - n % 2))
             host $n ping -q -c 200 -i 0.01 -W 5 10.0.$net.$peer >/tmp/pings.$n & pids=\"${pids:-} $!\"
         done
         for pid in $pids; do wait $pid; done
         cat /tmp/pings.*",
    )?;
    ensure!(printed.matches(" 0% packet loss").count() == 6, "{printed}");
    Ok(())
}

/// XDP programs of two to four instructions (Linux Documentation/bpf/standardization):
/// frames that are let through, dropped, sent back, and sent out by another interface.
fn xdp(vm: &mut TestVm) -> Result<()> {
    let index = hosts(
        vm,
        "ip -n h4 link set $(dev 4) netns h1
         host 1 ip link set $(dev 4) up
         wait_up() { until_so \"[ \\\"\\$(host $1 cat /sys/class/net/$2/carrier)\\\" = 1 ]\"; }
         wait_up 1 $(dev 4); wait_up 5 $(dev 5)
         host 1 cat /sys/class/net/$(dev 4)/ifindex",
    )?;
    let index: u64 = index.trim().parse()?;
    let set = |register: u64, value: u64| 0xb7 | register << 8 | value << 32;
    let call = |helper: u64| 0x85 | helper << 32;
    const EXIT: u64 = 0x95;
    // enum xdp_action and BPF_FUNC_redirect (Linux include/uapi/linux/bpf.h).
    let (drop, pass, send_back, redirect) = (1, 2, 3, 23);
    for (name, code, counter) in [
        ("pass", vec![set(0, pass), EXIT], "[hw] rx frames"),
        ("drop", vec![set(0, drop), EXIT], "[drv] xdp drop"),
        ("back", vec![set(0, send_back), EXIT], "[drv] xdp tx"),
        ("on", vec![set(1, index), set(2, 0), call(redirect), EXIT], "[drv] xdp redirect"),
    ] {
        let file = format!("/tmp/{name}.o");
        let written = vm.command(&["sh", "-c", &format!("cat >{file}")], &program(&code)?)?;
        ensure!(written.code == 0, "{written:?}");
        let printed = hosts(
            vm,
            &format!(
                "host 1 ip link set dev $(dev 1) xdp obj {file} sec xdp
                 wait_carrier 0 1; wait_carrier 1 1
                 # One that is for another address is filtered.
                 all() {{ counter $1 '[hw] rx frames'; counter $1 '[hw] rx filtered frames'; }}
                 counts() {{ counter 1 '{counter}'; all 0; all 5; }}
                 counts
                 host 0 ping -q -c 20 -i 0.02 -W 1 10.0.0.2 || true
                 counts
                 host 1 ip link set dev $(dev 1) xdp off
                 wait_carrier 0 1; wait_carrier 1 1"
            ),
        )?;
        let answered = printed.contains(" 0% packet loss");
        ensure!(answered == (name == "pass"), "{name}: {printed}");
        let counts: Vec<u64> = printed.lines().filter_map(|line| line.parse().ok()).collect();
        ensure!(counts.len() == 10, "{name}: ten counters: {printed}");
        let (before, after) = counts.split_at(5);
        let more = |of: std::ops::Range<usize>| -> u64 {
            of.map(|place| after[place] - before[place]).sum()
        };
        ensure!(more(0..1) >= 20, "{name}: {printed}");
        // What was sent back comes to who sent it, what was sent on to who is there.
        ensure!((more(1..3) >= 20) == (name == "pass" || name == "back"), "{name}: {printed}");
        ensure!((more(3..5) >= 20) == (name == "on"), "{name}: {printed}");
    }
    Ok(())
}

/// A program as `ip` takes it: an ELF file for BPF.
fn program(instructions: &[u64]) -> Result<Vec<u8>> {
    let mut file = ObjectFile::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let code: Vec<u8> = instructions.iter().flat_map(|word| word.to_le_bytes()).collect();
    let section = file.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
    file.append_section_data(section, &code, 8);
    file.add_symbol(Symbol {
        name: b"program".to_vec(),
        value: 0,
        size: code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    let license = file.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    file.append_section_data(license, b"GPL\0", 1);
    Ok(file.write()?)
}
