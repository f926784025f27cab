// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A guest with a container of its own beside its host, in one boot: `cargo xtask bench guest`.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::Parser;
use fslmc::{artifacts::Driver, nested};
use std::time::Duration;
use vm_tests::{
    TestVm, artifacts_with, guest_programs,
    hosts::hosts,
    inner::{l2, mount_packages, packages_disk, say, start},
    iperf::{Report, SMALL_DATAGRAMS},
};

/// Benchmarks commands and frames of a guest of KVM against those of its host.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench guest")]
struct Args {
    /// MC commands of each side
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    commands: u32,
    /// Echo requests of each side
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pings: u32,
    /// Seconds of each measurement of traffic
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Traffic that is measured: a name, iperf3's options, which of its figures, and what makes a
/// number of the name's unit.
type Traffic = (&'static str, &'static str, fn(&Report) -> Result<f64>, f64);

const TRAFFIC: [Traffic; 3] = [
    ("TCP to the host, Mbit/s", "", Report::received_bits, 1e6),
    ("TCP from the host, Mbit/s", "-R", Report::received_bits, 1e6),
    ("UDP, frames of 64 bytes, thousand/s", SMALL_DATAGRAMS, Report::datagrams, 1e3),
];

/// The program that times commands, on both sides.
const PROGRAM: &str = "fslmc-guest";

/// Two interfaces of the host's that reach each other, beside the one that the guest's is
/// connected with.
const HOST: &str = "
    m() { fslmc-guest mgmt \"$@\"; }
    m create dpbp --count 2 --plugged >/dev/null
    m create dpcon --count 4 --plugged >/dev/null
    a=$(m create dpni); b=$(m create dpni)
    m connect $a $b; m plug $a; m plug $b
    a=${a#dpni.}; b=${b#dpni.}
    for n in 0 $a $b; do until_so \"[ -d /sys/bus/fsl-mc/devices/dpni.$n/net ]\"; done
    make_pair $a $b
    near=$(ls /sys/bus/fsl-mc/devices/dpni.0/net)
    ip addr add 10.1.0.1/24 dev $near; ip link set $near up
    echo $a $b";

/// The guest's end of the connection.
const GUEST: &str = "a=$(ls /sys/bus/fsl-mc/devices/dpni.1/net); ip addr add 10.1.0.2/24 dev $a; \
                     ip link set $a up; for try in $(seq 100); do \
                     [ \"$(cat /sys/class/net/$a/carrier)\" = 1 ] && break; sleep 0.1; done";

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let artifacts = artifacts_with(Driver::Rust)?;
    nested::prepare(artifacts, guest_programs()?, &[PROGRAM], folder.path())?;
    TestVm::with("guests")?
        .driver(Driver::Rust)
        .with_packages()?
        .limit(Duration::from_secs(1800))
        .share(folder.path())
        .options(|options| {
            options.machine.cpu = "neoverse-n2".into();
            options.machine.virtualization = true;
            options.machine.memory = 2 << 30;
            options.modules.push("fsl-dpaa2-eth".into());
        })
        .run(|vm| measure(vm, &args))
}

fn measure(vm: &mut TestVm, args: &Args) -> Result<()> {
    vm.bind(&["dprc.2", "dprc.3"])?;
    vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
    let pair = hosts(vm, HOST)?;
    let (near, far) = pair.trim().split_once(' ').with_context(|| pair.clone())?;
    let packages = packages_disk(vm)?;
    start(vm, "one", &format!("--assign dprc.2 --disk {packages}:ro"))?;
    say(vm, "one", GUEST)?;
    mount_packages(vm, "one")?;
    hosts(vm, &format!("serve {far}; iperf3 -s -D"))?;
    println!("{:<44} {:>10} {:>10} {:>8}", "", "host", "guest", "ratio");

    let time = format!("{PROGRAM} mgmt time --count {}", args.commands);
    let host = vm.sh(&time)?;
    let guest = say(vm, "one", &format!("{time} --root dprc.2"))?;
    for (at, name) in ["least", "median"].into_iter().enumerate() {
        let micros = |text: &str| -> Result<f64> {
            let word = text.split_whitespace().nth(at).with_context(|| text.to_owned())?;
            Ok(word.parse::<f64>()? / 1000.0)
        };
        line(&format!("MC command (GetVersion), us, {name}"), micros(&host)?, micros(&guest)?);
    }

    let ping = format!("ping -q -c {} -i 0.01 -W 5", args.pings);
    let host = hosts(vm, &format!("host {near} {ping} 10.0.{near}.2"))?;
    let guest = say(vm, "one", &format!("{ping} 10.1.0.1"))?;
    for (at, name) in ["least", "mean"].into_iter().enumerate() {
        let what = format!("echo over two connected interfaces, ms, {name}");
        line(&what, round_trip(&host, at)?, round_trip(&guest, at)?);
    }
    for (name, options, figure, scale) in TRAFFIC {
        let client = format!("iperf3 -J -t {} {options}", args.seconds);
        let host = hosts(vm, &format!("host {near} {client} -c 10.0.{near}.2"))?;
        let before = exits(vm)?;
        let guest = say(vm, "one", &format!("chroot /mnt {client} -c 10.1.0.1"))?;
        let exits = (exits(vm)? - before) / f64::from(args.seconds);
        let [host, guest] = [host, guest].map(|printed| figure(&Report::parse(&printed)?));
        line(name, host? / scale, guest? / scale);
        println!("{:<44} {:>10} {exits:>10.0}", "    exits of the guest a second", "");
    }
    println!(
        "\nhost    from one interface of the host's to another\n\
         guest   from the guest's interface to one of the host's"
    );
    vm.sh(&l2("term one")).map(drop)
}

/// How often guests have left for their host's kernel or for the VMM, until now.
fn exits(vm: &mut TestVm) -> Result<f64> {
    let counters = "/sys/kernel/debug/kvm";
    let printed = vm.sh(&format!(
        "[ -d {counters} ] || mount -t debugfs debugfs /sys/kernel/debug; cat {counters}/exits"
    ))?;
    printed.trim().parse().with_context(|| printed.clone())
}

fn line(what: &str, host: f64, guest: f64) {
    println!("{what:<44} {host:>10.2} {guest:>10.2} {:>8.2}", guest / host);
}

/// A figure of the last line of `ping`: "... min/avg/max ... = A/B/C".
fn round_trip(printed: &str, at: usize) -> Result<f64> {
    let figures = printed.lines().find_map(|line| line.split_once("min/avg/max"));
    let (_, figures) =
        figures.and_then(|(_, rest)| rest.split_once("= ")).with_context(|| printed.to_owned())?;
    let figure = figures.split(['/', ' ']).nth(at).with_context(|| printed.to_owned())?;
    Ok(figure.parse()?)
}
