// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Another root file system than the one that the kernel started with: a disk or a
//! directory of the host, which is never written, under a layer in memory.

use crate::failure::Failure;
use crate::modules::Modules;
use crate::root_files::{mount_host_directory, mount_one};
use guest_protocol::module_list::Module;
use guest_protocol::{INITIAL_ROOT, RootSource};
use rustix::mount::{MountFlags, mount_bind, mount_move};
use rustix::process::{chdir, chroot};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The file system as it is.
const LOWER: &str = "/newroot/lower";
/// What is written.
const WRITES: &str = "/newroot/writes";
/// The one on the other.
const MERGED: &str = "/newroot/merged";

/// Mounts that move along.
const MOVED: [&str; 5] = ["/proc", "/sys", "/dev", "/tmp", "/run"];

/// How long a disk may take to appear after its driver.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the kernel's modules are mounted until they are at their place.
const MODULES: &str = "/newroot/modules";

/// Names of the guest's own programs in the new root.
const PROGRAMS: [(&str, &str); 3] =
    [("fslmc-guest", "init"), ("fslmc", "init"), ("busybox", "bin/busybox")];

/// Makes `source` the root of this process and of all that it starts.
///
/// # Errors
/// When the disk does not appear, or the kernel refuses a mount.
pub fn enter(source: &RootSource, modules: Option<&str>) -> Result<(), Failure> {
    match source {
        RootSource::Disk { serial, kind } => {
            // An ext4 whose journal is not empty wants to be written to replay it.
            let options = if kind == "ext4" { "noload" } else { "" };
            mount_one(kind, &disk(serial)?, LOWER, MountFlags::RDONLY, options)?;
        }
        RootSource::Directory { tag } => mount_host_directory(tag, LOWER, true, "cache=loose")?,
    }
    // While /sys and /dev are where disks are looked for.
    if let Some(serial) = modules {
        mount_one("erofs", &disk(serial)?, MODULES, MountFlags::RDONLY, "")?;
    }
    mount_one("tmpfs", "tmpfs", WRITES, MountFlags::empty(), "mode=0755")?;
    let (upper, work) = (format!("{WRITES}/upper"), format!("{WRITES}/work"));
    for folder in [&upper, &work] {
        make_folder(Path::new(folder))?;
    }
    let layers = format!("lowerdir={LOWER},upperdir={upper},workdir={work}");
    mount_one("overlay", "overlay", MERGED, MountFlags::empty(), &layers)?;
    for place in MOVED {
        let new = format!("{MERGED}{place}");
        make_folder(Path::new(&new))?;
        mount_move(place, &new).map_err(|errno| refused("moving a mount", &new, errno))?;
    }
    let initial = format!("{MERGED}{INITIAL_ROOT}");
    make_folder(Path::new(&initial))?;
    mount_bind("/", &initial)
        .map_err(|errno| refused("keeping the initial root", &initial, errno))?;
    if modules.is_some() {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let place = below_lib(Path::new(MERGED)).join("modules").join(release);
        make_folder(&place)?;
        mount_move(MODULES, &place)
            .map_err(|errno| refused("moving a mount", &place.display().to_string(), errno))?;
    }
    chdir(MERGED)
        .and_then(|()| mount_move(".", "/"))
        .and_then(|()| chroot("."))
        .and_then(|()| chdir("/"))
        .map_err(|errno| refused("changing the root", MERGED, errno))
}

/// Adds what the guest's own programs and `modprobe` need to the new root.
///
/// # Errors
/// When a file cannot be written.
pub fn complete(modules: &Modules) -> Result<(), Failure> {
    make_folder(Path::new("/usr/local/bin"))?;
    for (name, program) in PROGRAMS {
        // One that is there is as good, or its owner's wish.
        let _ = symlink(format!("{INITIAL_ROOT}/{program}"), format!("/usr/local/bin/{name}"));
    }
    make_folder(Path::new("/root"))?;
    make_folder(Path::new("/etc/modprobe.d"))?;
    let path = Path::new("/etc/modprobe.d/fslmc.conf");
    fs::write(path, modprobe_rules(modules.find("vfio-fsl-mc")))
        .map_err(|error| Failure::io("writing a file", path, &error, SEE_LOG))?;
    index_libraries()
}

/// What `modprobe` is to do as the agent does it. The file of `vfio-fsl-mc` is the one
/// that the machine was started with, whichever the kernel came with.
fn modprobe_rules(driver: Option<&Module>) -> String {
    let mut rules = String::from("options vfio_iommu_type1 allow_unsafe_interrupts=1\n");
    if let Some(module) = driver {
        let _ = write!(rules, "install vfio_fsl_mc ");
        for need in &module.needs {
            let _ = write!(rules, "modprobe {need} && ");
        }
        let _ = writeln!(rules, "{INITIAL_ROOT}/bin/busybox insmod {}", module.path);
    }
    rules
}

/// An unpacked system has no index of its libraries. The loader finds those in its own
/// folders without one, but neither those in other folders nor does `ldconfig -p`.
fn index_libraries() -> Result<(), Failure> {
    let cache = Path::new("/etc/ld.so.cache");
    let Some(program) =
        ["/sbin/ldconfig", "/usr/sbin/ldconfig"].into_iter().find(|p| Path::new(p).is_file())
    else {
        return Ok(());
    };
    if cache.exists() {
        return Ok(());
    }
    match Command::new(program).arg("-X").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Failure::new(
            format!(
                "{program} ended with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            program,
            "Is the root file system one for arm64, and whole?",
        )),
        Err(error) => Err(Failure::io(
            "starting ldconfig",
            Path::new(program),
            &error,
            "Is the root file system one for arm64, and whole?",
        )),
    }
}

/// The device of the disk with a serial number.
fn disk(serial: &str) -> Result<String, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(name) = disk_now(serial) {
            let device = PathBuf::from(format!("/dev/{name}"));
            if device.exists() {
                return Ok(device.display().to_string());
            }
        }
        if Instant::now() > end {
            return Err(Failure::new(
                format!("no disk has the serial number {serial}"),
                "/sys/block",
                "Does the kernel have virtio_blk, and the machine this disk?",
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn disk_now(serial: &str) -> Option<String> {
    let disks = fs::read_dir("/sys/block").ok()?.flatten();
    let found = disks.into_iter().find(|disk| {
        fs::read_to_string(disk.path().join("serial")).is_ok_and(|text| text.trim() == serial)
    })?;
    Some(found.file_name().to_string_lossy().into_owned())
}

/// `/lib` of a system below `root`, where it is a link to `usr/lib` that may be absolute.
fn below_lib(root: &Path) -> PathBuf {
    let is_link = fs::symlink_metadata(root.join("lib")).is_ok_and(|found| found.is_symlink());
    root.join(if is_link { "usr/lib" } else { "lib" })
}

const SEE_LOG: &str = "The kernel's log (dmesg) says more";

fn refused(what: &str, place: &str, errno: rustix::io::Errno) -> Failure {
    Failure::io(what, Path::new(place), &errno.into(), SEE_LOG)
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::io("making a folder", path, &error, SEE_LOG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lib_may_be_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        assert_eq!(below_lib(root), root.join("lib"));
        symlink("/usr/lib", root.join("lib")).unwrap();
        assert_eq!(below_lib(root), root.join("usr/lib"));
    }

    #[test]
    fn modprobe_takes_the_driver_of_the_machine() {
        let line = "demand vfio_fsl_mc /x/rust/vfio-fsl-mc.ko vfio,irqbypass\n";
        let list = guest_protocol::module_list::ModuleList::parse(line).unwrap();
        let rules = modprobe_rules(list.find("vfio-fsl-mc"));
        let rule = "install vfio_fsl_mc modprobe vfio && modprobe irqbypass && \
                    /run/fslmc/bin/busybox insmod /x/rust/vfio-fsl-mc.ko\n";
        assert!(rules.ends_with(rule), "{rules}");
        assert!(!modprobe_rules(None).contains("install"));
    }
}
