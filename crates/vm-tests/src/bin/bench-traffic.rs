// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Linux's own traffic over two interfaces of the board that reach each other, beside the
//! same over two virtio interfaces, and DPDK on both, in one boot: `cargo xtask bench traffic`.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use board_qemu::VIRTIO_PAIR;
use clap::Parser;
use fslmc::artifacts::Driver;
use std::{path::Path, time::Duration};
use vm_tests::{
    TestVm,
    hosts::{hosts, with_testpmd},
    iperf::{Report, SMALL_DATAGRAMS},
    layout_of,
};

/// Benchmarks iperf3 and testpmd over two connected dpnis against a pair of virtio-net.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench traffic")]
struct Args {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Rounds, in which the two take turns; medians are printed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
}

/// What is measured: a name, iperf3's options, which of its figures, its unit, and what makes
/// a number of the unit.
type Run = (&'static str, &'static str, fn(&Report) -> Result<f64>, &'static str, f64);

const RUNS: [Run; 4] = [
    ("TCP", "", Report::received_bits, "Mbit/s", 1e6),
    ("TCP, four streams", "-P 4", Report::received_bits, "Mbit/s", 1e6),
    ("TCP, the other way", "-R", Report::received_bits, "Mbit/s", 1e6),
    ("UDP, frames of 64 bytes", SMALL_DATAGRAMS, Report::datagrams, "thousand/s", 1e3),
];

/// Whether the two interfaces segment, join and check for Linux.
const OFFLOADS: [(&str, &str); 2] = [
    ("default offloads", "tso on gso on gro on"),
    ("tso, gso and gro off", "tso off gso off gro off"),
];

/// The pairs: a name, and the names of its two hosts.
const PAIRS: [(&str, [&str; 2]); 2] = [("dpni", ["0", "1"]), ("virtio-net", ["a", "b"])];

fn main() -> Result<()> {
    let args = Args::parse();
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/frames.dts");
    let modules = ["fsl-dpaa2-eth", "virtio-net"];
    TestVm::with_layout(layout_of(&layout)?)
        .with_packages()?
        .driver(Driver::Rust)
        .hugepages(256)
        .limit(Duration::from_secs(3600))
        .options(|options| {
            options.machine.memory = 2 << 30;
            options.machine.virtio_pair = true;
            options.modules.extend(modules.map(Into::into));
        })
        .run(|vm| {
            vm.bind(&["dprc.2"])?;
            vm.load(&["fsl-mc-dpio"])?;
            vm.load(&modules)?;
            set_up(vm)?;
            for (name, settings) in OFFLOADS {
                println!("\n{name}");
                println!("{:<28} {:>12} {:>12} {:>8}", "", PAIRS[0].0, PAIRS[1].0, "ratio");
                for (_, ends) in PAIRS {
                    for end in ends {
                        // What an interface has not got, it cannot switch.
                        let script = format!("host {end} ethtool -K $(dev {end}) {settings}");
                        hosts(vm, &format!("{script} >/dev/null 2>&1 || true"))?;
                    }
                }
                for run in &RUNS {
                    measure(vm, &args, run)?;
                }
            }
            dpdk(vm, &args)
        })
}

/// What testpmd polls in either case: a name, and what tells DPDK of the two ports.
const PORTS: [(&str, &str); 2] = [
    ("dpni", "eal_options=--no-pci"),
    (
        "virtio-net",
        "unset DPRC
         modprobe uio_pci_generic
         for device in /sys/bus/pci/devices/*; do
             grep -q 0x0200 $device/class || continue
             name=${device##*/}
             [ $(cat $device/driver_override) = uio_pci_generic ] || {
                 echo uio_pci_generic >$device/driver_override
                 [ ! -e $device/driver ] || echo $name >$device/driver/unbind
                 echo $name >/sys/bus/pci/drivers_probe
             }
             eal_options+=\" -a $name\"
         done",
    ),
];

/// Frames a second that testpmd moves between two ports that are connected: each comes back
/// into the other. As many go round as the first bursts are. What it has sent it has to have
/// received, but for those under way: from the start on, since testpmd does not clear its counts
/// at one time. The rate is that between two readings of a port's count with the guest's clock
/// beside each: how long the guest sleeps is not exactly what it is told.
///
/// Both ports are stopped before they are closed: the link of one goes down with the other, and
/// the thread of DPDK's that hears of it dies where it finds a port that has just been closed.
fn dpdk(vm: &mut TestVm, args: &Args) -> Result<()> {
    let mut found = [Vec::new(), Vec::new()];
    for _ in 0..args.rounds {
        for (figures, (name, ports)) in found.iter_mut().zip(PORTS) {
            let printed = with_testpmd(
                vm,
                &format!(
                    "{ports}
                     start_testpmd --forward-mode=io
                     reading() {{
                         local before=$(date +%s%N) frames=$(xstat 0 rx_good_packets)
                         echo reading $(((before + $(date +%s%N)) / 2)) \
                             $((frames + $(xstat 1 rx_good_packets)))
                     }}
                     tell start tx_first {BURSTS}
                     reading
                     sleep {}
                     reading
                     say stop
                     tell port stop all; sleep 1
                     quit",
                    args.seconds
                ),
            )?;
            let (sent, received) = forwarded(&printed).with_context(|| printed.clone())?;
            ensure!(
                received > 0 && sent.abs_diff(received) <= 2 * BURSTS * BURST,
                "{name}: {sent} frames sent, {received} received: {printed}"
            );
            figures.push(rate(&printed).with_context(|| printed.clone())?);
        }
    }
    println!("\nDPDK, without Linux");
    row("testpmd, frames of 64 bytes", "thousand/s", found, 1e3);
    Ok(())
}

/// Bursts that testpmd sends to each port at first, and how many frames each has.
const BURSTS: u64 = 4;
const BURST: u64 = 32;

/// Frames that testpmd says that it has sent and received on all ports.
fn forwarded(printed: &str) -> Option<(u64, u64)> {
    let (_, all) = printed.split_once("Accumulated")?;
    let number = |name: &str| all.split_once(name)?.1.split_whitespace().next()?.parse().ok();
    Some((number("TX-packets:")?, number("RX-packets:")?))
}

/// Frames a second between two readings, each of which is a line with nanoseconds and frames.
fn rate(printed: &str) -> Option<f64> {
    let readings = printed.lines().filter_map(|line| line.strip_prefix("reading "));
    let reading = |line: &str| {
        let mut words = line.split_whitespace().map(|word| word.parse::<u64>().ok());
        Some((words.next()??, words.next()??))
    };
    let readings: Vec<(u64, u64)> = readings.map(reading).collect::<Option<_>>()?;
    let &[(start, before), (end, after)] = readings.as_slice() else { return None };
    let seconds = end.checked_sub(start).filter(|time| *time > 0)? as f64 / 1e9;
    Some(after.checked_sub(before)? as f64 / seconds)
}

fn set_up(vm: &mut TestVm) -> Result<()> {
    let [a, b] = VIRTIO_PAIR;
    hosts(
        vm,
        &format!(
            "make_pair 0 1
             virtio() {{ grep -l $1 /sys/class/net/*/address | cut -d/ -f5; }}
             make_host a $(virtio {a}) 10.1.0.1/24; make_host b $(virtio {b}) 10.1.0.2/24
             serve 1; serve b"
        ),
    )?;
    Ok(())
}

fn measure(vm: &mut TestVm, args: &Args, run: &Run) -> Result<()> {
    let (name, options, figure, unit, scale) = run;
    let mut found = [Vec::new(), Vec::new()];
    for _ in 0..args.rounds {
        for (figures, (_, [near, _])) in found.iter_mut().zip(PAIRS) {
            let peer = if near == "0" { "10.0.0.2" } else { "10.1.0.2" };
            let seconds = args.seconds;
            let script = format!("host {near} iperf3 -J -c {peer} -t {seconds} {options}");
            let report = Report::parse(&hosts(vm, &script)?)?;
            figures.push(figure(&report).with_context(|| script.clone())?);
        }
    }
    row(name, unit, found, *scale);
    Ok(())
}

fn row(name: &str, unit: &str, found: [Vec<f64>; 2], scale: f64) {
    let [ours, theirs] = found.map(|figures| median(figures) / scale);
    let what = format!("{name}, {unit}");
    println!("{what:<28} {ours:>12.1} {theirs:>12.1} {:>8.2}", ours / theirs);
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_between_two_readings() {
        let printed = "reading 1000000000 100\ntestpmd> stop\nreading 3500000000 5100\n";
        assert_eq!(rate(printed), Some(2000.0));
        assert_eq!(rate("reading 1000000000 100\n"), None);
        assert_eq!(rate("reading 1000000000 100\nreading 1000000000 100\n"), None);
        assert_eq!(rate("reading 1000000000 \nreading 2000000000 100\n"), None);
    }
}
