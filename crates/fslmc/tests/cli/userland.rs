// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc run` with Debian packages or a root file system of the user's.

use crate::{
    program::{Ended, Process, fslmc, run},
    trial,
};
use anyhow::{Context, Result, ensure};
use board_qemu::Initramfs;
use libtest_mimic::Trial;
use setup::{Cache, PackageSet, Silent};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// What the tests run. One list, so that there is one image.
pub const PACKAGES: &str = "dpdk,ethtool,iperf3,iproute2,kexec-tools,tcpdump";

/// How long the packages may take to come, from a slow mirror.
const FETCHED: Duration = Duration::from_secs(1800);

pub fn trials() -> Vec<Trial> {
    vec![
        trial("userland::packages_run", packages_run),
        trial("userland::dpdk_moves_packets", dpdk_moves_packets),
        trial("userland::the_second_start_asks_nobody", the_second_start_asks_nobody),
        trial("userland::modprobe_loads_modules", modprobe_loads_modules),
        trial("userland::packages_that_cannot_be_had", packages_that_cannot_be_had),
        trial("userland::a_directory_is_the_root", a_directory_is_the_root),
        trial("userland::an_image_is_the_root", an_image_is_the_root),
        trial("userland::what_is_no_root_is_refused", what_is_no_root),
        trial("userland::a_second_kernel_finds_the_mc", a_second_kernel),
        trial("userland::huge_pages_are_reserved", huge_pages_are_reserved),
    ]
}

/// Fetches the packages before a test's time runs.
pub fn prepare() -> Result<()> {
    let status =
        Process::start(&mut fslmc(&["setup", "--packages", PACKAGES]))?.wait_for(FETCHED)?;
    ensure!(status.success(), "fslmc setup --packages ends with {status}");
    Ok(())
}

/// Runs a script of bash in a guest with the packages.
fn with_packages(options: &[&str], script: &str) -> Result<Ended> {
    let start = ["run", "--no-share", "--packages", PACKAGES];
    let words = [&start[..], options, &["--", "bash", "-euc", script]].concat();
    run(&mut fslmc(&words), b"")
}

fn packages_run() -> Result<()> {
    let ended = with_packages(
        &[],
        "echo shell $BASH_VERSION
         ip -br link show lo
         ip link set lo up
         ethtool -k lo | grep tx-checksumming
         ping -c 1 127.0.0.1 >/dev/null
         iperf3 -s -D -1
         sleep 1
         iperf3 -c 127.0.0.1 -n 1M | grep receiver
         # It becomes another user, which its maintainer script makes.
         tcpdump -i lo -c 1 -w /tmp/lo.pcap icmp &
         sleep 2
         ping -c 1 127.0.0.1 >/dev/null
         wait $!
         tcpdump -r /tmp/lo.pcap
         ldconfig -p | grep -q libz.so.1
         awk 'BEGIN { print \"chosen alternative\" }'
         echo written >/usr/share/new; cat /usr/share/new
         dpkg-query --show --showformat 'installed ${Version}\\n' iperf3
         iperf3 --version | head -1",
    )?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    for expected in [
        "shell 5.",
        "lo ",
        "tx-checksumming: on",
        "receiver",
        "ICMP echo request",
        "chosen alternative",
        "written",
    ] {
        ensure!(ended.stdout.contains(expected), "no {expected:?}: {ended:?}");
    }
    // The program is of the version that the archive says.
    let after = |text: &str| {
        let rest = ended.stdout.split(text).nth(1).with_context(|| format!("no {text:?}"))?;
        Ok::<_, anyhow::Error>(rest.split([' ', '-', '\n']).next().unwrap_or_default().to_owned())
    };
    ensure!(
        after("installed ")? == after("iperf 3.").map(|minor| format!("3.{minor}"))?,
        "{ended:?}"
    );
    Ok(())
}

/// Two ports without hardware: each end counts what the other has sent.
fn dpdk_moves_packets() -> Result<()> {
    let ended = with_packages(
        &["--hugepages", "128"],
        "dpdk-testpmd -v -l 0-1 --no-pci --vdev=net_ring0 --vdev=net_ring1 -- \
             --total-num-mbufs=2048 --tx-first --stats-period=1 --no-mlockall &
         sleep 15
         kill -INT $!
         wait $!
         # The drivers of the board are there to be loaded.
         ls /usr/lib/aarch64-linux-gnu/dpdk/pmds-*/ | grep -E 'fslmc|dpaa2'",
    )?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    for expected in ["librte_bus_fslmc.so", "librte_net_dpaa2.so", "librte_mempool_dpaa2.so"] {
        ensure!(ended.stdout.contains(expected), "no {expected:?}: {ended:?}");
    }
    let received = ended.stdout.lines().filter_map(|line| {
        line.trim().strip_prefix("RX-packets:")?.split_whitespace().next()?.parse::<u64>().ok()
    });
    ensure!(received.max().is_some_and(|most| most > 1000), "{ended:?}");
    Ok(())
}

/// The mirror cannot be reached, and nothing is said of it.
fn the_second_start_asks_nobody() -> Result<()> {
    let mut command = fslmc(&[
        "run",
        "--no-share",
        "--packages",
        "tcpdump,kexec-tools,iproute2,iperf3,ethtool,dpdk",
        "--",
        "true",
    ]);
    command.env("FSLMC_MIRROR", "http://127.0.0.1:1/debian");
    let start = Instant::now();
    let ended = run(&mut command, b"")?;
    ensure!(ended.code() == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    // A boot takes a few seconds, resolving the packages alone would take more.
    ensure!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    Ok(())
}

fn modprobe_loads_modules() -> Result<()> {
    let ended = with_packages(
        &[],
        "modprobe dummy numdummies=3; ls -d /sys/class/net/dummy2
         modprobe vfio-fsl-mc; ls -d /sys/bus/fsl-mc/drivers/vfio-fsl-mc
         cat /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
         modprobe -r dummy
         test ! -e /sys/class/net/dummy2",
    )?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    ensure!(ended.stdout.ends_with("vfio-fsl-mc\nY\n"), "{ended:?}");
    Ok(())
}

fn packages_that_cannot_be_had() -> Result<()> {
    let refused = |packages: &str, words: &[&str]| {
        let ended = run(&mut fslmc(&["run", "--packages", packages, "--", "true"]), b"")?;
        ensure!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
        let missing: Vec<_> = words.iter().filter(|word| !ended.stderr.contains(**word)).collect();
        ensure!(missing.is_empty(), "without {missing:?}: {}", ended.stderr);
        Ok(())
    };
    refused("no-such-package", &["no-such-package", "trixie", "packages.debian.org"])?;
    refused("dpdk,--yes", &["`--yes` is not a package name"])?;
    refused("bash=0.1", &["0.1", "bash", "was not found"])?;
    refused(
        "systemd-sysv,sysvinit-core",
        &["systemd-sysv : Conflicts: sysvinit-core", "cannot be installed together"],
    )?;
    let mut command =
        fslmc(&["run", "--packages", "hello", "--suite", "no-such-suite", "--", "true"]);
    let ended = run(&mut command, b"")?;
    ensure!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    ensure!(ended.stderr.contains("no-such-suite"), "{}", ended.stderr);
    Ok(())
}

/// The least root file system: the busybox that the board's packages have.
fn small_root(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    fs::create_dir_all(root.join("bin"))?;
    let busybox = Cache::from_env()?.ensure(&[PackageSet::Board], &Silent)?.busybox()?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    for applet in ["sh", "cat", "ls"] {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    fs::write(root.join("marker"), "this one\n")?;
    Ok(root)
}

/// Runs in a root; what is written there is not to be seen outside.
fn runs_in(root: &Path) -> Result<()> {
    let script = "cat /marker; echo changed >/marker; echo new >/new; cat /marker /new; \
                  fslmc-guest mgmt version; ls -d /lib/modules/*/kernel";
    let root = root.to_str().context("no UTF-8")?;
    let ended =
        run(&mut fslmc(&["run", "--no-share", "--root", root, "--", "sh", "-ec", script]), b"")?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    ensure!(ended.stdout.starts_with("this one\nchanged\nnew\n"), "{ended:?}");
    ensure!(ended.stdout.contains("10.39"), "{ended:?}");
    Ok(())
}

fn a_directory_is_the_root() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = small_root(folder.path())?;
    runs_in(&root)?;
    ensure!(fs::read_to_string(root.join("marker"))? == "this one\n", "the directory was written");
    ensure!(!root.join("new").exists(), "the directory was written");
    Ok(())
}

fn an_image_is_the_root() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = small_root(folder.path())?;
    let image = folder.path().join("root.ext4");
    let made = Command::new("/sbin/mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .args([&root, &image])
        .arg("32M")
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    let before = fs::read(&image)?;
    runs_in(&image)?;
    ensure!(fs::read(&image)? == before, "the image was written");
    Ok(())
}

fn what_is_no_root() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let refused = |path: &str, word: &str| {
        let ended = run(&mut fslmc(&["run", "--root", path, "--", "true"]), b"")?;
        ensure!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
        ensure!(ended.stderr.contains(path) && ended.stderr.contains(word), "{}", ended.stderr);
        Ok(())
    };
    refused("/no-such-image", "No such file")?;
    let empty = folder.path().to_str().context("no UTF-8")?;
    refused(empty, "neither usr/ nor bin/")?;
    let text = folder.path().join("text");
    fs::write(&text, "just text")?;
    refused(text.to_str().context("no UTF-8")?, "images of ext2")
}

fn huge_pages_are_reserved() -> Result<()> {
    let script = "grep HugePages_Total /proc/meminfo; grep /dev/hugepages /proc/mounts";
    let ended = run(
        &mut fslmc(&["run", "--no-share", "--hugepages", "8", "--", "sh", "-ec", script]),
        b"",
    )?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    ensure!(ended.stdout.contains(" 8\n") && ended.stdout.contains("pagesize=2M"), "{ended:?}");
    let ended = run(&mut fslmc(&["run", "--hugepages", "500", "--", "true"]), b"")?;
    ensure!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    ensure!(ended.stderr.contains("--memory 1256M"), "{}", ended.stderr);
    Ok(())
}

/// A kernel that another one has started finds the Management Complex as that has left it,
/// with a container that a program holds, and lists what the first one has.
///
/// The stock driver lets no kernel go while a program holds a container (defect 24).
///
/// It goes without message interrupts: without UEFI, Linux tells no second kernel where the
/// tables of the interrupt controller are.
fn a_second_kernel() -> Result<()> {
    const INIT: &str = "#!/bin/busybox sh
        echo the second kernel is up
        /bin/busybox poweroff -f
        ";
    const SCRIPT: &str = r#"
        mkfifo /tmp/said
        sleep 1000 | fslmc-guest vfio hold dprc.2 >/tmp/said &
        read said </tmp/said; echo "$said"
        ls /sys/bus/fsl-mc/devices
        kexec -c -l /host/Image --initrd=/host/initrd \
            --command-line="console=ttyAMA0 irqchip.gicv3_nolpi=1"
        kexec -e"#;
    let folder = tempfile::tempdir()?;
    let packages = Cache::from_env()?.ensure(&[PackageSet::Board], &Silent)?;
    let mut initial = Initramfs::new();
    initial.file("bin/busybox", 0o755, &fs::read(packages.busybox()?)?)?;
    initial.file("init", 0o755, INIT.as_bytes())?;
    fs::write(folder.path().join("initrd"), initial.finish())?;
    fs::copy(packages.kernel()?.image(), folder.path().join("Image"))?;
    let console = folder.path().join("console");
    let start = ["run", "--driver", "rust", "--bind", "dprc.2", "--packages", PACKAGES];
    let mut command = fslmc(&start);
    command.arg("--share").arg(folder.path());
    command.arg(format!("--console={}", console.display()));
    command.args(["--", "bash", "-euc", SCRIPT]);
    let ended = run(&mut command, b"");
    let said = fs::read_to_string(&console)?;
    let ended = ended.with_context(|| format!("the console ends with {}", tail(&said)))?;
    ensure!(said.contains("the second kernel is up"), "{ended:?}{}", tail(&said));
    // What it starts with.
    let (_, second) = said.rsplit_once("Booting Linux on physical CPU").context("two kernels")?;
    let devices: Vec<_> = ended.stdout.lines().filter(|line| line.starts_with("dp")).collect();
    ensure!(devices.len() > 40, "{ended:?}");
    for device in devices {
        let added = format!("fsl-mc {device}: Adding to iommu group");
        ensure!(second.contains(&added), "no {device} in {second}");
    }
    Ok(())
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
