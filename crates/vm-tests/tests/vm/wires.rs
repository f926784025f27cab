// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Ethernet ports and what is at the other ends of their wires, as Linux's own driver
//! sees them.

use crate::trial;
use anyhow::{Context, Result, ensure};
use fslmc::machine::Options;
use libtest_mimic::Trial;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    thread,
    time::Duration,
};
use vm_tests::{TestVm, TestVmBuilder, hosts::hosts};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("wires::every_kind_of_wire", every_kind_of_wire),
        trial("wires::eight_interfaces_at_once", eight_interfaces_at_once),
        trial("wires::two_boards", two_boards),
    ]
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

/// One board with a wire of each kind that needs no rights; they share the boot.
fn every_kind_of_wire() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let requests = folder.path().join("requests.pcap");
    fs::write(&requests, recorded_requests(20))?;
    let files = format!(
        "dpmac.7=pcap:in={},out={}",
        requests.display(),
        folder.path().join("answers.pcapng").display()
    );
    let wires = [
        "dpmac.1=dpmac.2",
        "dpmac.3=dpmac.4,drop=20%,seed=7",
        "dpmac.5=dpmac.6,corrupt=100%",
        &files,
        "dpmac.8=user",
    ];
    let captured = folder.path().join("captured.pcapng");
    let capture = |object: &str| format!("{object}={}", captured.display()).parse();
    let captures = vec![capture("dpni.0")?, capture("dpmac.2")?];
    let machine = machine(&wires.map(Into::into), folder.path())?;
    machine.options(|options| options.captures = captures).run(|vm| {
        vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
        hosts(
            vm,
            "for n in 0 2 4; do
                 make_pair $n $((n + 1))
                 known $n $((n + 1)) 10.0.$n.2; known $((n + 1)) $n 10.0.$n.1
             done
             make_host 6 $(ls /sys/bus/fsl-mc/devices/dpni.6/net) 10.0.6.1/24
             make_host 7 $(ls /sys/bus/fsl-mc/devices/dpni.7/net) 10.0.2.15/24
             for n in 6 7; do wait_carrier $n 1; done",
        )?;
        over_a_cable(vm)?;
        what_was_captured(vm)?;
        pulling_the_plug(vm)?;
        frames_that_get_lost(vm)?;
        frames_that_are_damaged(vm)?;
        files_of_frames(vm)?;
        out_of_the_network(vm)
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
                     wait_carrier $n {carrier}; host $n ip link show $(dev $n)
                 done"
            ),
        )?;
        ensure!(shown.matches(said).count() == 2, "{said}: {shown}");
    }
    let printed = hosts(vm, "host 0 ping -q -c 50 -i 0.01 -W 5 10.0.0.2")?;
    ensure!(printed.contains(" 0% packet loss"), "{printed}");
    Ok(())
}

/// What Linux has sent on one side and not received on the other is what the wire says
/// that it has lost, a fifth.
fn frames_that_get_lost(vm: &mut TestVm) -> Result<()> {
    let before = sent_and_lost(vm)?;
    hosts(vm, "host 2 ping -q -c 300 -i 0.005 -W 1 10.0.2.2 || true")?;
    let after = settled(vm)?;
    let [there, back] =
        [0, 1].map(|n| (after[n].sent - before[n].sent, after[n].lost - before[n].lost));
    for (n, (sent, lost)) in [there, back].into_iter().enumerate() {
        let arrived = after[n].arrived - before[n].arrived;
        ensure!(sent == arrived + lost, "{sent} sent, {arrived} arrived, {lost} lost: {after:?}");
        // A fifth, give or take what chance does (five standard deviations).
        let expected = sent as f64 / 5.0;
        let off = (lost as f64 - expected).abs();
        ensure!(off < 5.0 * (expected * 0.8).sqrt(), "{lost} of {sent} frames lost");
    }
    ensure!(there.0 >= 300, "{there:?}");
    Ok(())
}

/// One direction of the wire between dpni.2 and dpni.3.
#[derive(Debug, PartialEq)]
struct Direction {
    /// What the sender has sent, by Linux's counter.
    sent: u64,
    /// What the receiver has received, or filtered, by its counters.
    arrived: u64,
    /// What the wire has lost.
    lost: u64,
}

/// The counters once they stand still: frames may be under way.
fn settled(vm: &mut TestVm) -> Result<[Direction; 2]> {
    let mut before = sent_and_lost(vm)?;
    for _ in 0..50 {
        let now = sent_and_lost(vm)?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
    anyhow::bail!("frames never stop: {before:?}")
}

fn sent_and_lost(vm: &mut TestVm) -> Result<[Direction; 2]> {
    let printed = hosts(
        vm,
        "for n in 2 3; do
             for what in tx rx 'rx filtered'; do counter $n \"[hw] $what frames\"; done
         done",
    )?;
    let numbers: Vec<u64> = printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let lost = vm.machine()?.network().wires()[1].ports.clone();
    let [(_, there), (_, back)] = lost[..] else { anyhow::bail!("a cable has two ends: {lost:?}") };
    let &[sent, received, filtered, other_sent, other_received, other_filtered] = &numbers[..]
    else {
        anyhow::bail!("six counters: {printed}")
    };
    Ok([
        Direction { sent, arrived: other_received + other_filtered, lost: there },
        Direction { sent: other_sent, arrived: received + filtered, lost: back },
    ])
}

/// A frame with a bit flipped is found out by a checksum, where the bit is in what the
/// checksum covers.
fn frames_that_are_damaged(vm: &mut TestVm) -> Result<()> {
    let printed = hosts(
        vm,
        "host 4 ping -q -c 200 -i 0.005 -W 1 -s 1000 10.0.4.2 || true
         host 5 awk '/^Icmp:/ && $2 != \"InMsgs\" { print \"wrong\", $4 }' /proc/net/snmp",
    )?;
    ensure!(printed.contains("100% packet loss"), "{printed}");
    let wrong: u64 = printed
        .lines()
        .find_map(|line| line.strip_prefix("wrong "))
        .with_context(|| printed.clone())?
        .parse()?;
    // Of 1042 bytes, 34 are of headers below ICMP.
    ensure!((180..=200).contains(&wrong), "{wrong} wrong checksums of 200: {printed}");
    Ok(())
}

/// Requests out of a file are answered into another, which a program of the guest's reads.
fn files_of_frames(vm: &mut TestVm) -> Result<()> {
    let read = hosts(
        vm,
        "for try in $(seq 300); do
             tcpdump -n -r /host/answers.pcapng arp >/tmp/read 2>/dev/null || true
             [ $(grep -c 'Reply 10.0.6.1 is-at' /tmp/read) -ge 20 ] && break
             sleep 0.2
         done
         cat /tmp/read; address 6",
    )?;
    let address = read.lines().last().unwrap_or_default();
    let answer = format!("Reply 10.0.6.1 is-at {address}");
    // The early one may have been too early.
    ensure!([20, 21].contains(&read.matches(&answer).count()), "{answer}: {read}");
    // The pause is for the port, and Linux's driver has asked for that.
    let pause = hosts(
        vm,
        "host 6 ethtool -a $(dev 6) | grep X:
         until_so '[ \"$(counter 6 \"[mac] rx pause\")\" = 1 ]'
         host 6 ethtool -A $(dev 6) rx off tx off
         host 6 ethtool -a $(dev 6) | grep X:",
    )?;
    let words: Vec<&str> = pause.split_whitespace().collect();
    let expected = "RX: on TX: on RX: off TX: off";
    ensure!(words.join(" ") == expected, "{pause}");
    Ok(())
}

/// The network behind address translation: its gateway, and a connection to this machine.
fn out_of_the_network(vm: &mut TestVm) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let server = thread::spawn(move || -> std::io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut line = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut line)?;
        stream.write_all(b"hello from outside\n")?;
        Ok(line)
    });
    let printed = hosts(
        vm,
        &format!(
            "host 7 ping -q -c 20 -i 0.05 -W 5 10.0.2.2
             host 7 bash -c 'exec 3<>/dev/tcp/10.0.2.2/{port}
                             echo hello from inside >&3; cat <&3'"
        ),
    )?;
    ensure!(printed.contains(" 0% packet loss"), "{printed}");
    ensure!(printed.contains("hello from outside"), "{printed}");
    let line = server.join().ok().context("the server panicked")??;
    ensure!(line == "hello from inside\n", "{line:?}");
    Ok(())
}

/// A pcap file with ARP requests for 10.0.6.1, a millisecond apart. One more comes twenty
/// seconds before them: the file is played as soon as the interface takes frames, and Linux
/// answers nothing before it has heard that the link is up. Last comes a pause frame.
fn recorded_requests(count: u32) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 6, 2, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend([2, 0, 0, 0, 6, 2, 10, 0, 6, 2, 0, 0, 0, 0, 0, 0, 10, 0, 6, 1]);
    frame.resize(60, 0);
    let mut file: Vec<u8> = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let mut pause = vec![0x01, 0x80, 0xc2, 0, 0, 1, 2, 0, 0, 0, 6, 2, 0x88, 0x08, 0, 1, 0xff, 0xff];
    pause.resize(60, 0);
    let times = std::iter::once((0, 0)).chain((0..count).map(|n| (20, n * 1000)));
    let requests = times.map(|time| (time, &frame));
    for ((seconds, microseconds), frame) in requests.chain([((20, count * 1000), &pause)]) {
        let length = frame.len() as u32;
        let head = [1_700_000_000 + seconds, microseconds, length, length];
        file.extend(head.iter().flat_map(|word| word.to_le_bytes()));
        file.extend(frame);
    }
    file
}

/// Four cables, with traffic on all of them in both directions; all of it arrives.
fn eight_interfaces_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cables = [1, 3, 5, 7].map(|n| format!("dpmac.{n}=dpmac.{}", n + 1));
    machine(&cables, folder.path())?.run(|vm| {
        vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
        let printed = hosts(
            vm,
            "for n in 0 2 4 6; do
                 make_pair $n $((n + 1))
                 known $n $((n + 1)) 10.0.$n.2; known $((n + 1)) $n 10.0.$n.1
                 serve $((n + 1))
             done
             all() {
                 local n jobs=
                 for n in 0 2 4 6; do \"$@\" $n >/tmp/said.$n & jobs=\"$jobs $!\"; done
                 for n in $jobs; do wait $n; done
                 cat /tmp/said.*
             }
             pings() { host $1 ping -q -c 250 -i 0.02 -W 10 -s 1000 10.0.$1.2; }
             streams() { host $1 iperf3 -c 10.0.$1.2 -n 4M --bidir; }
             all pings; all streams; pkill iperf3
             has() { counter $1 \"[hw] $2\"; }
             arrived() {
                 echo $(($(has $1 'rx frames') + $(has $1 'rx filtered frames') +
                         $(has $1 'rx discarded frames') + $(has $1 'rx nobuffer discards')))
             }
             for n in 0 1 2 3 4 5 6 7; do
                 until_so \"[ \\$(has $n 'tx frames') = \\$(arrived $((n ^ 1))) ]\"
             done",
        )?;
        ensure!(printed.matches(" 0% packet loss").count() == 4, "{printed}");
        ensure!(printed.matches("receiver").count() == 8, "{printed}");
        Ok(())
    })
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
