// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A guest with a container of its own beside its host, in one boot: `cargo xtask bench guest`.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, anyhow, bail};
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
    /// Frames that wake a program, of each side
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// Echo requests of each side
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pings: u32,
    /// Seconds of each measurement of traffic
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// For the end of the host's kernel command line
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    append: String,
}

/// Traffic that is measured: a name, iperf3's options, which of its figures, and what makes a
/// number of the name's unit.
type Traffic = (&'static str, &'static str, fn(&Report) -> Result<f64>, f64);

const TRAFFIC: [Traffic; 3] = [
    ("TCP to the host, Mbit/s", "", Report::received_bits, 1e6),
    ("TCP from the host, Mbit/s", "-R", Report::received_bits, 1e6),
    ("UDP, frames of 64 bytes, thousand/s", SMALL_DATAGRAMS, Report::datagrams, 1e3),
];

/// The program that times commands and frames, on both sides.
const PROGRAM: &str = "fslmc-guest";

/// Makes two interfaces of the host's that reach each other, beside the one that the guest's is
/// connected with, and two in the guest's container; prints their numbers. Linux lists a
/// container by places, which shift while something comes, and takes away what it misses: no
/// driver has an interface yet that would be away for long.
const MAKE: &str = "
    m() { fslmc-guest mgmt \"$@\"; }
    some() { m create $1 --in $2 --count $3 --plugged >/dev/null; sleep 1; }
    some dpbp dprc.1 2; some dpcon dprc.1 4; some dpbp dprc.2 2; some dpcon dprc.2 2
    pair() {
        one=$(m create dpni --in $1); two=$(m create dpni --in $1)
        m connect $one $two; m plug $one --in $1; sleep 1; m plug $two --in $1; sleep 1
        echo ${one#dpni.} ${two#dpni.}
    }
    echo $(pair dprc.1) $(pair dprc.2)";

/// Brings two interfaces up, whose addresses of the link are theirs at once, and prints their
/// names: `up 5 6`.
const UP: &str = "up() { \
        for one in $1 $2; do \
            a=$(ls /sys/bus/fsl-mc/devices/dpni.$one/net); \
            echo 0 >/proc/sys/net/ipv6/conf/$a/accept_dad; ip link set $a up; echo $a; \
        done; \
        for try in $(seq 100); do \
            [ \"$(cat /sys/class/net/$a/carrier)\" = 1 ] && break; sleep 0.1; \
        done; \
        sleep 2; \
    };";

/// The host's end of the connection with the guest.
const HOST: &str = "a=$(ls /sys/bus/fsl-mc/devices/dpni.0/net); ip addr add 10.1.0.1/24 dev $a; \
                    ip link set $a up";

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
            options.append.clone_from(&args.append);
            options.modules.push("fsl-dpaa2-eth".into());
        })
        .run(|vm| measure(vm, &args))
}

fn measure(vm: &mut TestVm, args: &Args) -> Result<()> {
    vm.bind(&["dprc.2", "dprc.3"])?;
    let made = vm.sh(MAKE)?;
    let numbers: Vec<&str> = made.split_whitespace().collect();
    let &[near, far, from, to] = &numbers[..] else { bail!("no interfaces: {made}") };
    vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
    let interfaces = "until_so \"[ -d /sys/bus/fsl-mc/devices/dpni.$n/net ]\"";
    hosts(vm, &format!("for n in 0 {near} {far}; do {interfaces}; done"))?;
    let wake = |names: &str, count: u32| {
        let names: Vec<&str> = names.split_whitespace().collect();
        format!("{PROGRAM} wake {} --count {count}", names.join(" "))
    };
    let names = vm.sh(&format!("{UP} up {near} {far}"))?;
    let woken = vm.sh(&wake(&names, args.frames))?;
    hosts(vm, &format!("make_pair {near} {far}; {HOST}; serve {far}; iperf3 -s -D"))?;
    let packages = packages_disk(vm)?;
    start(vm, "one", &format!("--assign dprc.2 --disk {packages}:ro"))?;
    say(vm, "one", GUEST)?;
    mount_packages(vm, "one")?;
    println!("{:<44} {:>10} {:>10} {:>8}", "", "host", "guest", "ratio");

    let time = format!("{PROGRAM} mgmt time --count {}", args.commands);
    let host = vm.sh(&time)?;
    let (guest, more) = once_and_twice(vm, args.commands, |count| {
        format!("{PROGRAM} mgmt time --count {count} --root dprc.2")
    })?;
    least_and_median("MC command (GetVersion), us", &host, &guest, 0)?;
    print_exits(more, "command", args.commands);

    // Lines that a guest reads or prints are exits, a few for each letter: no long ones here.
    let names = say(vm, "one", &format!("{UP} up {from} {to}"))?;
    let (guest, more) = once_and_twice(vm, args.frames, |count| wake(&names, count))?;
    least_and_median("interrupt, us", &woken, &guest, 2)?;
    least_and_median("frame that wakes its receiver, us", &woken, &guest, 0)?;
    print_exits(more, "frame", 2 * args.frames);

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
        say(vm, "one", &format!("chroot /mnt {client} -c 10.1.0.1 >/tmp/report"))?;
        let since = exits_since(vm, before)?;
        let guest = say(vm, "one", "cat /tmp/report")?;
        let [host, guest] = [host, guest].map(|printed| figure(&Report::parse(&printed)?));
        line(name, host? / scale, guest? / scale);
        print_exits(since, "second", args.seconds);
    }
    println!(
        "\nhost    from one interface of the host's to another\n\
         guest   from the guest's interface to one of the host's"
    );
    vm.sh(&l2("term one")).map(drop)
}

/// Lines for what a program prints on both sides: two times in nanoseconds, from a word on.
fn least_and_median(what: &str, host: &str, guest: &str, first: usize) -> Result<()> {
    for (at, name) in (first..).zip(["least", "median"]) {
        let micros = |text: &str| -> Result<f64> {
            let word = text.split_whitespace().nth(at).with_context(|| text.to_owned())?;
            Ok(word.parse::<f64>()? / 1000.0)
        };
        line(&format!("{what}, {name}"), micros(host)?, micros(guest)?);
    }
    Ok(())
}

/// Counters of KVM's that say why guests leave: all exits; accesses to devices for which
/// the VMM runs, and those that the host's kernel answers; waits for an interrupt. The rest is
/// the host's own interrupts and pages that are mapped.
const EXITS: [&str; 4] = ["exits", "mmio_exit_user", "mmio_exit_kernel", "wfi_exit_stat"];

type Exits = [f64; EXITS.len()];

/// What the counters of guests have counted until now.
fn exits(vm: &mut TestVm) -> Result<Exits> {
    let printed = vm.sh(&format!(
        "[ -d /sys/kernel/debug/kvm ] || mount -t debugfs debugfs /sys/kernel/debug
         cd /sys/kernel/debug/kvm; cat {}",
        EXITS.join(" ")
    ))?;
    let numbers: Vec<f64> = printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| anyhow!("KVM counts: {printed}"))
}

fn exits_since(vm: &mut TestVm, before: Exits) -> Result<Exits> {
    let now = exits(vm)?;
    Ok(std::array::from_fn(|at| now[at] - before[at]))
}

/// Has the guest do something so many times, and then twice as many. What it prints at first, and
/// by how much more exits the second takes: what the shell, the console and the program's start
/// cost is in both.
fn once_and_twice(
    vm: &mut TestVm,
    count: u32,
    line: impl Fn(u32) -> String,
) -> Result<(String, Exits)> {
    let mut measured = |count| {
        let before = exits(vm)?;
        let printed = say(vm, "one", &line(count))?;
        anyhow::Ok((printed, exits_since(vm, before)?))
    };
    let (printed, once) = measured(count)?;
    let (_, twice) = measured(2 * count)?;
    Ok((printed, std::array::from_fn(|at| twice[at] - once[at])))
}

/// A line with what the guest has counted, by a unit of which there were `count`.
fn print_exits(counted: Exits, unit: &str, count: u32) {
    let [all, user, kernel, waits] = counted.map(|counted| counted / f64::from(count));
    println!(
        "    exits of the guest a {unit}: {all:.1}; to the VMM {user:.1}, devices in the kernel \
         {kernel:.1}, idle {waits:.1}"
    );
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
