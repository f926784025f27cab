// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Guests with disks: programs of a distribution inside a guest that has a container.

use crate::{
    assign::{bring_up, last_words, machine, prepare_host},
    trial,
};
use anyhow::{Context, Result, ensure};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use vm_tests::{
    TestVm,
    inner::{mount_packages, packages_disk, say, start},
    iperf::Report,
};

pub fn trials() -> Vec<Trial> {
    vec![trial("assign::traffic_and_disks", traffic_and_disks)]
}

/// The image of packages that the outer machine runs from goes to the guest as its first
/// disk, to be read; the second one is a file that it writes to.
fn traffic_and_disks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    machine("neoverse-n2", Driver::Rust, folder.path())?.with_packages()?.run(|vm| {
        prepare_host(vm)?;
        vm.sh("dd if=/dev/zero of=/tmp/disk bs=1M count=4 2>/dev/null; iperf3 -s -D")?;
        let packages = packages_disk(vm)?;
        refused(vm, &packages)?;
        start(vm, "one", &format!("--assign dprc.2 --disk {packages}:ro --disk /tmp/disk"))?;
        mount_packages(vm, "one")?;
        written(vm)?;
        bring_up(vm, "one", "dpni.1", "10.0.0.2")?;
        for options in ["", "-R", "-u -b 3M", "-u -b 3M -R"] {
            traffic(vm, options)?;
        }
        ensure!(last_words(vm, "one", "poweroff -f")? == 0, "the VMM fails");
        // What the guest has written is in the file, sector 3 and nothing else.
        let sum =
            vm.sh("tr -d '\\0' </tmp/disk; cmp -n 1536 /tmp/disk /dev/zero && wc -c </tmp/disk")?;
        ensure!(sum == "written inside4194304\n", "{sum:?}");
        Ok(())
    })
}

/// What is no disk is told with its name before the container is touched.
fn refused(vm: &mut TestVm, packages: &str) -> Result<()> {
    let vmm = "/host/fslmc-vmm --kernel /host/Image --assign dprc.2";
    vm.sh("head -c 1000 /dev/zero >/tmp/odd")?;
    for (disk, reason) in [
        ("/no/such".to_owned(), "No such file"),
        ("/tmp/odd".to_owned(), "1000 bytes"),
        ("/dev/null".to_owned(), "neither a file nor a block device"),
        (packages.to_owned(), "give it as"),
    ] {
        let output = vm.try_sh(&format!("{vmm} --disk {disk} </dev/null"))?;
        let told = output.stderr.contains(&disk) && output.stderr.contains(reason);
        ensure!(output.code == 1 && told, "{disk}: {output:?}");
    }
    Ok(())
}

/// The guest reads the first disk as the host does, cannot write to it, and writes to the
/// second.
fn written(vm: &mut TestVm) -> Result<()> {
    let version = say(vm, "one", "cat /mnt/etc/debian_version; cat /sys/block/vda/ro")?;
    let host = vm.sh("cat /etc/debian_version; echo 1")?;
    ensure!(version == host, "{version} {host}");
    let words = "for word in serial size ro; do cat /sys/block/vdb/$word; echo; done";
    let serial = say(vm, "one", words)?;
    ensure!(serial.split_whitespace().eq(["disk", "8192", "0"]), "{serial}");
    say(
        vm,
        "one",
        "printf 'written inside' | dd of=/dev/vdb bs=512 seek=3 conv=notrunc,fsync 2>/dev/null",
    )?;
    // All of the first disk, past the caches of both kernels.
    say(vm, "one", "dd if=/dev/vda of=/dev/null bs=1M iflag=direct count=16 2>/dev/null").map(drop)
}

/// Traffic between the guest's interface and the host's; no frame with a wrong checksum
/// arrives.
fn traffic(vm: &mut TestVm, options: &str) -> Result<()> {
    let line = format!("chroot /mnt iperf3 -c 10.0.0.1 -t 3 -J {options}");
    let printed = say(vm, "one", &line)?;
    let report = Report::parse(&printed)?;
    let (rate, least, unit) = match options.contains("-u") {
        true => (report.datagrams()?, 20.0, "datagrams"),
        false => (report.received_bits()?, 200_000.0, "bits"),
    };
    eprintln!("iperf3 {options}: {rate:.0} {unit} a second");
    ensure!(rate > least, "iperf3 {options}: {rate} {unit} a second: {printed}");
    for counters in [say(vm, "one", "cat /proc/net/snmp")?, vm.sh("cat /proc/net/snmp")?] {
        for (family, count) in checksum_errors(&counters)? {
            ensure!(count == 0, "{family} {count} wrong checksums after iperf3 {options}");
        }
    }
    Ok(())
}

/// `InCsumErrors` of TCP and UDP, from what /proc/net/snmp prints: a line with names and one
/// with numbers for each family.
fn checksum_errors(printed: &str) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for family in ["Tcp:", "Udp:"] {
        let mut lines = printed.lines().filter(|line| line.starts_with(family));
        let (names, numbers) = lines.next().zip(lines.next()).context("no such family")?;
        let at = names.split_whitespace().position(|name| name == "InCsumErrors");
        let number = at.and_then(|at| numbers.split_whitespace().nth(at));
        found.push((family.to_owned(), number.context("no InCsumErrors")?.parse()?));
    }
    Ok(found)
}
