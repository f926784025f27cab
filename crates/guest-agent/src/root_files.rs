// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The file systems that every program expects.

use crate::failure::Failure;
use fsl_mc_linux::errno::describe;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Type, place and options of what is mounted at start.
const MOUNTS: [(&str, &str, &str); 7] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("devpts", "/dev/pts", "mode=0620,ptmxmode=0666"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("tmpfs", "/tmp", "mode=1777"),
    ("tmpfs", "/run", "mode=0755"),
];

/// Mounts them, in order; what is mounted already is left alone.
///
/// # Errors
/// When the kernel refuses one.
pub fn mount_all() -> Result<(), Failure> {
    for (kind, place, options) in MOUNTS {
        mount_one(kind, kind, place, MountFlags::empty(), options)?;
    }
    for (target, link) in [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ] {
        // devtmpfs is fresh at every start; a link that is there is as good.
        let _ = symlink(target, link);
    }
    let _ = fs::create_dir_all("/root");
    Ok(())
}

/// Makes sure that there is a shell: an image may ship busybox alone, without the
/// links to its applets.
///
/// # Errors
/// When busybox is there and does not make its links.
pub fn install_shell() -> Result<(), Failure> {
    let busybox = Path::new("/bin/busybox");
    if Path::new("/bin/sh").exists() || !busybox.exists() {
        return Ok(());
    }
    let status = Command::new(busybox).args(["--install", "-s", "/bin"]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(
            format!("busybox --install ended with {status}"),
            "/bin/busybox",
            "The image needs a static busybox for arm64",
        )),
        Err(error) => Err(Failure::io(
            "running busybox --install",
            busybox,
            &error,
            "The image needs a static busybox for arm64",
        )),
    }
}

/// Mounts a directory of the host that the emulator offers under a tag.
///
/// # Errors
/// When the kernel refuses; the advice names the likely reason.
pub fn mount_host_directory(
    tag: &str,
    path: &str,
    read_only: bool,
    more_options: &str,
) -> Result<(), Failure> {
    // 512000 is the most that a virtio transport carries in one message
    // (net/9p/trans_virtio.c: 125 pages of 4 KiB).
    let options = format!("trans=virtio,version=9p2000.L,msize=512000,{more_options}");
    let options = options.trim_end_matches(',');
    let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    mount_one("9p", tag, path, flags, options)
}

pub(super) fn mount_one(
    kind: &str,
    source: &str,
    place: &str,
    flags: MountFlags,
    options: &str,
) -> Result<(), Failure> {
    let directory = Path::new(place);
    fs::create_dir_all(directory).map_err(|error| {
        Failure::io("making a mount point", directory, &error, "Choose another place")
    })?;
    let options = CString::new(options).unwrap_or_default();
    match mount(source, place, kind, flags, options.as_c_str()) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) if kind != "9p" => Ok(()),
        Err(errno) => Err(Failure::new(
            format!("mounting {source} ({kind}): {}", describe(&errno.into())),
            place,
            match (errno, kind) {
                (Errno::NODEV, "9p") => {
                    "The kernel has no 9p: ship the modules 9pnet_virtio and 9p".to_owned()
                }
                (Errno::NODEV, _) => format!("The kernel has no {kind}"),
                (Errno::INVAL | Errno::UCLEAN | Errno::IO, _) if source.starts_with("/dev/") => {
                    format!(
                        "Is it a file system of type {kind}, and whole? The kernel's log (dmesg) says more"
                    )
                }
                (Errno::NOENT | Errno::CONNREFUSED, "9p") => format!(
                    "The emulator offers no directory with the tag {source}, or it is mounted already"
                ),
                (Errno::INVAL | Errno::PROTONOSUPPORT, "9p") => {
                    "The kernel's 9p has no virtio transport: ship the module 9pnet_virtio"
                        .to_owned()
                }
                (Errno::BUSY, _) => "Something is mounted there already".to_owned(),
                _ => "The kernel's log (dmesg) says more".to_owned(),
            },
        )),
    }
}
