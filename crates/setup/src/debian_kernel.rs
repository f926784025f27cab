// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Kernels of Debian's other than the board's: by version, or the one of a suite.

use std::fs;
use std::path::{Path, PathBuf};

use crate::apt::{Apt, Scope};
use crate::cache::Cache;
use crate::compression;
use crate::disk;
use crate::error::{Error, Result};
use crate::from_packages::FromPackages;
use crate::install::{self, Archive, Plan};
use crate::kernel::Kernel;
use crate::lock::Lock;
use crate::package::Package;
use crate::package_set::{Absent, Selection, absent};
use crate::progress::Progress;
use crate::store::{Stamp, Store};
use crate::tree;

/// Counts up when kernels are laid out in another way.
const LAYOUT: u32 = 1;

/// Where versions are looked for.
const SUITES: [&str; 3] = ["trixie", "trixie-backports", "testing"];

/// What kernels depend on only to be installed on a real machine.
const ABSENT: [Absent; 4] = [
    absent("linux-base"),
    absent("kmod"),
    absent("initramfs-tools"),
    absent("linux-initramfs-tool"),
];

/// A kernel that stays as long as this lives.
#[derive(Debug)]
pub struct DebianKernel {
    /// The kernel.
    pub kernel: Kernel,
    root: PathBuf,
    _lock: Lock,
}

impl DebianKernel {
    /// The folder of its unpacked packages.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

/// Which of Debian's kernels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelVersion(String);

impl std::str::FromStr for KernelVersion {
    type Err = Error;

    /// The start of a version (`6.12`, `6.12.117+deb13`), which may have the end of one behind
    /// a `+` (`7.2+deb13`: the newest 7.2 that was built for trixie), or a suite (`testing`), which
    /// stands for its current kernel.
    fn from_str(text: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
        if text.is_empty() || text.starts_with(['.', '+', '-']) || !text.chars().all(is_plain) {
            return Err(Error::KernelVersion(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl KernelVersion {
    fn is_suite(&self) -> bool {
        self.0.starts_with(|c: char| c.is_ascii_alphabetic())
    }
}

/// Gives a kernel, and fetches it if it is not there, or if a newer one is to be looked
/// for.
pub(crate) fn open(
    cache: &Cache,
    version: &KernelVersion,
    refresh: bool,
    progress: &dyn Progress,
) -> Result<DebianKernel> {
    let store = Store::new(cache, "kernels", LAYOUT);
    let opened = |(root, lock): (PathBuf, Lock)| {
        Ok(DebianKernel { kernel: Kernel::in_tree(&root)?, root, _lock: lock })
    };
    if !refresh && let Some(found) = store.find(&version.0)? {
        return opened(found);
    }
    let suites =
        if version.is_suite() { vec![version.0.clone()] } else { SUITES.map(str::to_owned).into() };
    let name = if version.is_suite() { &version.0 } else { "kernels" };
    let apt = Apt::of_guest(cache, name, Scope::of_guest(&suites))?;
    let make = || {
        fetch(cache, &store, &apt, version, refresh, progress)
            .inspect_err(|_| apt.forget_unknown_suite())
    };
    opened(store.ensure(cache, &version.0, refresh, progress, make)?)
}

fn fetch(
    cache: &Cache,
    store: &Store,
    apt: &Apt,
    version: &KernelVersion,
    refresh: bool,
    progress: &dyn Progress,
) -> Result<Stamp> {
    apt.prepare()?;
    apt.update(refresh, progress)?;
    let look_up = || {
        let package = if version.is_suite() {
            "linux-image-arm64".to_owned()
        } else {
            newest(&apt.names("^linux-image-[0-9].*-arm64$")?, &version.0)?
        };
        let selection = Selection {
            name: format!("the kernel {}", version.0),
            install: vec![package],
            absent: ABSENT.to_vec(),
            at_least: None,
        };
        Plan::of(apt, selection)
    };
    let kernels = FromPackages { cache, store, suffix: "", archive: apt, progress };
    let make = |packages: &[Package], root: &Path| unpack(apt, packages, root, progress);
    let (root, plan) = kernels.provide(look_up, |_| Ok(0), make)?;
    let image = Kernel::in_tree(&root)?.image().to_owned();
    Stamp::of(LAYOUT, &root, image.strip_prefix(&root).unwrap_or(&image), plan.described())
}

/// Unpacks beside the kernel's place and moves it there.
fn unpack(apt: &Apt, packages: &[Package], root: &Path, progress: &dyn Progress) -> Result<()> {
    let partial = disk::partial(root);
    let files: Vec<_> = packages.iter().map(|package| apt.file(package)).collect();
    disk::or_remove(&partial, || {
        tree::unpack(&files, &partial, progress).inspect_err(install::discard_damaged)?;
        compression::unwrap_kernel(&partial)?;
        tree::sync(&partial)?;
        disk::remove_folder(root)?;
        fs::rename(&partial, root).map_err(Error::file("cannot move into place", &partial))
    })
}

/// Of packages as `linux-image-6.12.117+deb13-arm64`, the newest of a version that starts
/// with `wanted`, and ends with what that has from a `+` on (`7.2+deb13`). Other flavours (`-rt-`, `-cloud-`) do not count.
fn newest(names: &[String], wanted: &str) -> Result<String> {
    let version = |name: &String| -> Option<String> {
        let version = name.strip_prefix("linux-image-")?.strip_suffix("-arm64")?;
        (!version.contains('-')).then(|| version.to_owned())
    };
    let (start, build) = wanted.split_at(wanted.find('+').unwrap_or(wanted.len()));
    let fits = |version: &str| {
        let rest = version.strip_prefix(start).and_then(|rest| rest.strip_suffix(build));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '+']))
    };
    let mut versions: Vec<String> = names.iter().filter_map(version).collect();
    versions.sort_by_key(|version| numbers(version));
    match versions.iter().rev().find(|version| fits(version)) {
        Some(version) => Ok(format!("linux-image-{version}-arm64")),
        None => Err(Error::NoSuchKernel { wanted: wanted.to_owned(), known: versions.join(", ") }),
    }
}

/// The numbers of a version, in their order.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some of the packages that Debian had in November 2026.
    fn names() -> Vec<String> {
        [
            "linux-image-6.12.107+deb13-arm64",
            "linux-image-6.12.117+deb13-arm64",
            "linux-image-6.12.117+deb13-rt-arm64",
            "linux-image-6.19.10+deb13-arm64",
            "linux-image-6.19.8+deb13-arm64",
            "linux-image-7.2.12+deb13-arm64",
            "linux-image-7.2.12+deb14-arm64",
            "linux-image-7.2.12+deb14-cloud-arm64",
        ]
        .map(str::to_owned)
        .into()
    }

    #[test]
    fn the_newest_of_a_version_is_found() {
        for (wanted, package) in [
            ("6.12", "linux-image-6.12.117+deb13-arm64"),
            ("6.12.107", "linux-image-6.12.107+deb13-arm64"),
            ("6", "linux-image-6.19.10+deb13-arm64"),
            ("7.2.12", "linux-image-7.2.12+deb14-arm64"),
            ("7.2.12+deb13", "linux-image-7.2.12+deb13-arm64"),
            ("7.2+deb13", "linux-image-7.2.12+deb13-arm64"),
            ("7+deb14", "linux-image-7.2.12+deb14-arm64"),
        ] {
            assert_eq!(newest(&names(), wanted).unwrap(), package);
        }
        let error = newest(&names(), "6.1").unwrap_err().to_string();
        assert!(error.contains("6.1") && error.contains("7.2.12+deb14"), "{error}");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for wrong in ["", "-o", "../x", "6.12 x", "6/12", "+1"] {
            assert!(wrong.parse::<KernelVersion>().is_err(), "{wrong}");
        }
        assert!("testing".parse::<KernelVersion>().unwrap().is_suite());
        assert!(!"6.12".parse::<KernelVersion>().unwrap().is_suite());
    }
}
