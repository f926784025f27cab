// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is missing from unpacked packages until they are configured.
//!
//! Maintainer scripts are not run: they are arm64 programs' work, and want to be root on
//! the machine that they change. Programs need little of what the scripts do: the users
//! that they become, the names that alternatives give them, and a handful of files below
//! `/etc`. Services are not enabled: nothing starts them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{accounts, alternatives};
use crate::error::{Error, Result};
use crate::tree::Control;

/// Folders that something is mounted on, or that programs take for granted.
const FOLDERS: [&str; 14] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "root",
    "home",
    "mnt",
    "host",
    "usr/local/bin",
    "usr/local/lib",
    "var/tmp",
    "var/log",
    "var/lib/dpkg",
];

/// Files that packages bring elsewhere and copy when they are configured.
const COPIES: [(&str, &str); 5] = [
    ("usr/share/base-files/nsswitch.conf", "etc/nsswitch.conf"),
    ("usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"),
    ("usr/share/base-files/profile", "etc/profile"),
    ("usr/share/base-files/dot.profile", "root/.profile"),
    ("usr/share/base-files/dot.bashrc", "root/.bashrc"),
];

/// Files that are written when a system is installed.
const FILES: [(&str, &str); 4] = [
    ("etc/hostname", "board\n"),
    ("etc/hosts", "127.0.0.1\tlocalhost board\n::1\tlocalhost\n"),
    ("etc/shells", "/bin/sh\n/bin/bash\n"),
    ("etc/fstab", ""),
];

/// Links that packages make when they are configured.
const LINKS: [(&str, &str); 3] = [
    ("usr/bin/sh", "dash"),
    ("etc/localtime", "../usr/share/zoneinfo/Etc/UTC"),
    ("etc/mtab", "../proc/self/mounts"),
];

/// Completes the unpacked packages below `root`.
pub(super) fn complete(root: &Path, packages: &[Control]) -> Result<()> {
    for folder in FOLDERS {
        make_folder(&root.join(folder))?;
    }
    for (from, to) in COPIES {
        let (from, to) = (root.join(from), root.join(to));
        if from.is_file() && !is_there(&to) {
            copy(&from, &to)?;
        }
    }
    for (file, contents) in FILES {
        let path = root.join(file);
        if !is_there(&path) {
            write(&path, contents)?;
        }
    }
    for (link, target) in LINKS {
        let path = root.join(link);
        if !is_there(&path) {
            symlink(target, &path).map_err(Error::file("cannot link", &path))?;
        }
    }
    let scripts = packages.iter().map(|package| package.read("postinst"));
    let scripts: Vec<String> = scripts.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    accounts::make(root, &scripts)?;
    alternatives::choose(root, &scripts)?;
    write_package_state(root, packages)
}

/// What `dpkg -l` and its like look at.
fn write_package_state(root: &Path, packages: &[Control]) -> Result<()> {
    let mut state = String::new();
    for package in packages {
        let Some(fields) = package.read("control")? else { continue };
        for line in fields.lines() {
            state.push_str(line);
            state.push('\n');
            if line.starts_with("Package:") {
                state.push_str("Status: install ok installed\n");
            }
        }
        state.push('\n');
    }
    write(&root.join("var/lib/dpkg/status"), &state)
}

/// A link counts wherever it leads.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Writes a file that everybody in the guest may read, whatever the umask of this process.
pub(super) fn write(path: &Path, contents: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    fs::write(path, contents)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o644)))
        .map_err(Error::file("cannot write", path))
}

/// Makes a folder, and those above it, that everybody in the guest may enter; one that is there
/// stays as it is.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .map_err(Error::file("cannot make the folder", path))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        make_folder(folder)?;
    }
    fs::copy(from, to).map(drop).map_err(Error::file("cannot write", to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_for_everybody_whatever_the_umask() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("etc/hosts");
        make_folder(path.parent().unwrap()).unwrap();
        // As a umask of 077 makes it.
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        write(&path, "::1 localhost\n").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o644);
        assert_eq!(mode(path.parent().unwrap()), 0o755);
        assert_eq!(fs::read_to_string(&path).unwrap(), "::1 localhost\n");
    }
}
