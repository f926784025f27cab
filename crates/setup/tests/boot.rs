// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The real sets do what they are for: a program is built for the guest, and
//! the kernel runs it as init under the emulator.
//!
//! Needs a network the first time (300 MB into the user's cache):
//! `cargo test -p setup -- --ignored`

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use setup::{Cache, PackageSet, Packages, Terminal, build_guest_programs};

/// A program that uses what guest programs use: threads, files, unwinding,
/// other programs.
const PROGRAM: &str = r#"
use std::fs;
fn main() {
    let sum = std::thread::spawn(|| (1..=10).sum::<u32>()).join().unwrap();
    let unwound = std::panic::catch_unwind(|| {
        let empty: Vec<u8> = Vec::new();
        empty[std::env::args().count()]
    });
    fs::create_dir_all("/proc").unwrap();
    fs::write("/note", "kept").unwrap();
    let note = fs::read_to_string("/note").unwrap();
    let release = std::process::Command::new("/busybox").args(["uname", "-rm"]).output().unwrap();
    let release = String::from_utf8_lossy(&release.stdout).trim().to_owned();
    println!("GUEST sum {sum} unwound {} note {note} on {release}", unwound.is_err());
    std::process::Command::new("/busybox").args(["insmod", "/module.ko"]).status().unwrap();
    println!("GUEST module {}", fs::read_dir("/proc").is_ok());
    let _ = std::process::Command::new("/busybox").args(["poweroff", "-f"]).status();
    loop {
        std::thread::park();
    }
}
"#;

#[test]
#[ignore = "fetches 300 MB the first time"]
fn a_guest_program_runs_under_the_kernel() {
    let packages = Cache::from_env()
        .unwrap()
        .ensure(&[PackageSet::Board, PackageSet::Cross], &Terminal::new())
        .unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let program = built(scratch.path(), &packages);
    let kernel = packages.kernel().unwrap();
    let modules = kernel.modules(&["vfio-fsl-mc", "arm-smmu"]).unwrap();
    let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(names, ["vfio", "vfio_fsl_mc"], "arm-smmu is built in, vfio comes first");

    let archive = initramfs(&[
        ("init", &fs::read(program).unwrap()),
        ("busybox", &fs::read(packages.busybox().unwrap()).unwrap()),
        ("module.ko", &modules[0].bytes),
    ]);
    let initrd = scratch.path().join("initrd");
    fs::write(&initrd, archive).unwrap();
    let log = scratch.path().join("console");
    let mut qemu = packages.command("qemu-system-aarch64").unwrap();
    qemu.args(["-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-m", "512M", "-no-reboot"])
        .args(["-nodefaults", "-display", "none"])
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(&initrd)
        .args(["-append", "console=ttyAMA0 panic=-1"])
        .stdin(Stdio::null());
    wait(qemu.spawn().unwrap(), Duration::from_secs(120));
    let console = fs::read_to_string(&log).unwrap();
    let expected = format!("GUEST sum 55 unwound true note kept on {} aarch64", kernel.release());
    assert!(console.contains(&expected), "{console}");
    assert!(
        console.contains("VFIO - User Level meta-driver"),
        "the module was not loaded: {console}"
    );
}

fn built(scratch: &Path, packages: &Packages) -> std::path::PathBuf {
    let manifest =
        "[package]\nname = \"probe\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::create_dir(scratch.join("src")).unwrap();
    fs::write(scratch.join("Cargo.toml"), manifest).unwrap();
    fs::write(scratch.join("src/main.rs"), PROGRAM).unwrap();
    let release = build_guest_programs(scratch, packages, &["probe"]).unwrap();
    let program = scratch.join("probe");
    fs::copy(release.join("probe"), &program).unwrap();
    // The folder is this checkout's own, which will not be seen again.
    fs::remove_dir_all(release.ancestors().nth(2).unwrap()).unwrap();
    program
}

fn wait(mut child: Child, limit: Duration) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An archive in the "newc" form of cpio (the kernel's
/// Documentation/driver-api/early-userspace/buffer-format.rst).
fn initramfs(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    entry(&mut archive, "dev", 0o040_755, (0, 0), &[]);
    entry(&mut archive, "dev/console", 0o020_600, (5, 1), &[]);
    entry(&mut archive, "dev/null", 0o020_666, (1, 3), &[]);
    for (name, contents) in files {
        entry(&mut archive, name, 0o100_755, (0, 0), contents);
    }
    entry(&mut archive, "TRAILER!!!", 0, (0, 0), &[]);
    archive
}

fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
    let size = u32::try_from(contents.len()).unwrap();
    let name_size = u32::try_from(name.len() + 1).unwrap();
    archive.extend(b"070701");
    for field in [0, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0] {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(contents);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
