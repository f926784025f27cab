// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Guests inside the guest, which the script of [`nested`] handles.

use crate::TestVm;
use anyhow::{Result, ensure};
use fslmc::{machine::SHARED_PATH, nested};
use std::{
    thread,
    time::{Duration, Instant},
};

/// The command line of an action of the script's.
pub fn l2(action: &str) -> String {
    format!("sh {SHARED_PATH}/{} {action}", nested::SCRIPT)
}

/// The block device with the machine's packages, for a guest's `--disk`.
///
/// # Errors
/// The machine has none, or is gone.
pub fn packages_disk(vm: &mut TestVm) -> Result<String> {
    let printed = vm.sh("for disk in /sys/block/vd*; do
             [ \"$(cat $disk/serial)\" = fslmc-root ] && echo /dev/${disk##*/}
         done; true")?;
    let disk = printed.trim();
    ensure!(!disk.is_empty(), "no disk with packages");
    Ok(disk.to_owned())
}

/// Mounts in a guest what [`packages_disk`] has named as its first disk, at `/mnt`: its
/// programs run by `chroot /mnt`.
///
/// # Errors
/// The guest has no such disk, or is gone.
pub fn mount_packages(vm: &mut TestVm, guest: &str) -> Result<()> {
    let line = "load disks; mkdir /mnt; mount -t erofs -o ro /dev/vda /mnt && \
                mount -t tmpfs tmpfs /mnt/tmp && mount -o bind /dev /mnt/dev";
    say(vm, guest, line).map(drop)
}

/// Starts a guest with options of the VMM's, and waits until it listens.
///
/// # Errors
/// It does not start; the console is in the error.
pub fn start(vm: &mut TestVm, guest: &str, options: &str) -> Result<()> {
    vm.sh(&l2(&format!("start {guest} {options}"))).map(drop)
}

/// Lets a guest run a line, and gives what it prints.
///
/// # Errors
/// The line fails, or the guest is gone.
pub fn say(vm: &mut TestVm, guest: &str, line: &str) -> Result<String> {
    let script = format!("{SHARED_PATH}/{}", nested::SCRIPT);
    let output = vm.command(&["sh", &script, "say", guest, line], b"")?;
    ensure!(output.code == 0, "{guest}: `{line}`: {}{}", output.stdout, output.stderr);
    Ok(output.stdout)
}

/// How often a guest is asked whether its command has ended.
const PAUSE: Duration = Duration::from_secs(3);

/// Lets a guest run a command that takes longer than a line may, and gives what it prints.
///
/// # Errors
/// It fails, takes longer than `patience`, or the guest is gone.
pub fn say_long(vm: &mut TestVm, guest: &str, command: &str, patience: Duration) -> Result<String> {
    const OUTPUT: &str = "/tmp/long";
    say(vm, guest, &format!("({command}; echo code $?) >{OUTPUT} 2>&1 &"))?;
    let end = Instant::now() + patience;
    loop {
        let printed = say(vm, guest, &format!("cat {OUTPUT}"))?;
        if printed.contains("code ") {
            ensure!(printed.contains("code 0"), "`{command}`: {printed}");
            return Ok(printed);
        }
        ensure!(Instant::now() < end, "`{command}` does not end: {printed}");
        thread::sleep(PAUSE);
    }
}
