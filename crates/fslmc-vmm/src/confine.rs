// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What this process gives up before a guest runs in it: a guest that got the better of the
//! VMM would have no more of the host than a guest needs.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use crate::calls;
use crate::error::Error;
use crate::streams::tell;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};
use seccompiler::apply_filter_all_threads;
use std::path::PathBuf;

/// The newest rules of Landlock that are used: those of Linux 6.10, with ioctls of devices.
/// An older kernel enforces those that it knows.
const RULES: ABI = ABI::V5;

/// What the kernel tells of the bus.
const SYSFS: &str = "/sys";

/// The files that are opened while a guest runs, beside what is read in `/sys`. All are there
/// by now; one that is not, is not to be opened later either.
#[derive(Debug)]
pub struct Reach {
    /// Devices, to read, to write and for their ioctls.
    pub devices: Vec<PathBuf>,
    /// Files of the bus that are written to give containers back.
    pub written: Vec<PathBuf>,
}

/// From now on: no file but those that are open and those of `reach`, `/sys` to read; and no
/// system call but those of [`calls`], all others fail with EPERM. For this thread and those
/// that it starts.
///
/// # Errors
/// What the kernel refuses. One without Landlock is told of on standard error.
pub fn confine(reach: &Reach) -> Result<(), Error> {
    // rustix looks the size of a page up once, by a call or a file that are not to be had any
    // more then, and panics without.
    let _ = rustix::param::page_size();
    let enforced = files(reach).map_err(|error| failed("Landlock", error))?;
    if enforced == RulesetStatus::NotEnforced {
        tell("this kernel has no Landlock: the VMM can open what its user can");
    }
    let filters = calls::filters(std::process::id());
    for filter in filters.map_err(|error| failed("the filter of system calls", error))? {
        apply_filter_all_threads(&filter).map_err(|error| failed("seccomp", error))?;
    }
    Ok(())
}

fn failed(what: &'static str, error: impl std::fmt::Display) -> Error {
    Error::System { what, reason: std::io::Error::other(error.to_string()) }
}

fn files(reach: &Reach) -> Result<RulesetStatus, landlock::RulesetError> {
    let read = AccessFs::from_read(RULES) & !BitFlags::from(AccessFs::Execute);
    let write = BitFlags::from(AccessFs::WriteFile);
    let devices = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .create()?
        .add_rules(path_beneath_rules(&reach.devices, devices))?
        .add_rules(path_beneath_rules(&reach.written, write))?
        .add_rules(path_beneath_rules([SYSFS], read))?
        .restrict_self()?;
    Ok(status.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, ErrorKind};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn open(path: &Path, options: &mut OpenOptions) -> Result<File, ErrorKind> {
        options.open(path).map_err(|error| error.kind())
    }

    fn read(path: &Path) -> Result<File, ErrorKind> {
        open(path, File::options().read(true))
    }

    fn write(path: &Path) -> Result<File, ErrorKind> {
        open(path, File::options().write(true))
    }

    /// Tells a process of the test below that it is the one to confine itself.
    const CONFINED: &str = "FSLMC_TEST_CONFINED";

    #[test]
    fn what_is_looked_up_once_is_there() {
        if std::env::var_os(CONFINED).is_some() {
            confine(&Reach { devices: vec![], written: vec![] }).unwrap();
            // Not the one that `confine` asks for: both come from the same place.
            assert!(rustix::param::page_size() > 0 && rustix::param::clock_ticks_per_second() > 0);
            return;
        }
        let test = concat!(module_path!(), "::what_is_looked_up_once_is_there");
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test.split_once("::").unwrap().1])
            .env(CONFINED, "1")
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
    }

    /// Another thread is confined, and this one is not.
    #[test]
    fn no_file_beside_those_that_are_named_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["group", "next-group", "real-unbind", "bind"] {
            fs::write(at(name), "").unwrap();
        }
        symlink(at("real-unbind"), at("unbind")).unwrap();
        let reach = Reach {
            devices: vec![at("group"), PathBuf::from("/dev/null"), at("missing")],
            written: vec![at("unbind")],
        };
        let held = File::open(at("bind")).unwrap();
        let switch = Path::new("/sys/bus/platform/drivers_autoprobe");
        let refused = ErrorKind::PermissionDenied;
        // Not so where this user may not write there in the first place.
        let switches = write(switch).is_ok();
        std::thread::scope(|scope| {
            let confined = scope.spawn(|| {
                if files(&reach).unwrap() == RulesetStatus::NotEnforced {
                    eprintln!("this kernel has no Landlock: nothing is tested");
                    return;
                }
                open(&at("group"), File::options().read(true).write(true)).unwrap();
                write(&at("unbind")).unwrap();
                write(Path::new("/dev/null")).unwrap();
                fs::read_dir("/sys").unwrap().next().unwrap().unwrap();
                read(switch).unwrap();
                io::copy(&mut &held, &mut io::sink()).unwrap();

                assert_eq!(read(&at("unbind")).unwrap_err(), refused);
                for name in ["next-group", "bind"] {
                    assert_eq!(read(&at(name)).unwrap_err(), refused, "{name}");
                    assert_eq!(write(&at(name)).unwrap_err(), refused, "{name}");
                }
                let made = open(&at("missing"), File::options().write(true).create(true));
                assert_eq!(made.unwrap_err(), refused);
                assert_eq!(fs::remove_file(at("group")).unwrap_err().kind(), refused);
                if switches {
                    assert_eq!(write(switch).unwrap_err(), refused);
                }
            });
            confined.join().unwrap();
        });
        write(&at("bind")).unwrap();
    }
}
