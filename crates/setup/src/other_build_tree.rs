// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What builds the driver for one of Debian's kernels other than the board's: the set
//! `kernel-build` with the headers and the sources of that kernel, made on request.

use std::fs;
use std::path::Path;

use crate::apt::{Apt, Scope};
use crate::build_tree;
use crate::cache::Cache;
use crate::debian_kernel::DebianKernel;
use crate::disk;
use crate::error::{Error, Result};
use crate::from_packages::FromPackages;
use crate::install::{self, Archive, Plan};
use crate::package::Package;
use crate::package_set::{PackageSet, Selection, Set};
use crate::packages::{OpenTree, Packages};
use crate::progress::Progress;
use crate::sandbox;
use crate::store::{Stamp, Store};
use crate::tree;

/// Counts up when trees are made in another way.
const LAYOUT: u32 = 1;

/// The packages of the set that are the board's kernel's.
const OF_THE_BOARD: [&str; 2] = ["linux-headers-arm64:arm64", "linux-source"];

/// Opens what builds the driver for `kernel`, and makes it if nobody has asked for it yet.
/// The result has the kernel in place of the board's.
pub(crate) fn open(
    cache: &Cache,
    kernel: &DebianKernel,
    progress: &dyn Progress,
) -> Result<Packages> {
    let release = kernel.kernel.release();
    if !has_rust(kernel.root(), release) {
        return Err(Error::NoRust { release: release.to_owned() });
    }
    let store = Store::new(cache, "build-trees", LAYOUT);
    let (root, lock) = match store.find(release)? {
        Some(found) => found,
        None => store
            .ensure(cache, release, false, progress, || make(cache, &store, release, progress))?,
    };
    let set = PackageSet::KernelBuild.definition();
    let build = OpenTree { set, root, _lock: Some(lock) };
    // `kernel` holds a lock of its own on this one.
    let board = PackageSet::Board.definition();
    let board = OpenTree { set: board, root: kernel.root().to_owned(), _lock: None };
    Ok(Packages::new(cache.folder().to_owned(), vec![board, build]))
}

/// Whether a kernel takes modules in Rust; where its configuration is not to be found, it may.
fn has_rust(root: &Path, release: &str) -> bool {
    let places = [format!("usr/lib/modules/{release}/config"), format!("boot/config-{release}")];
    let text = places.iter().find_map(|place| fs::read_to_string(root.join(place)).ok());
    text.is_none_or(|text| text.lines().any(|line| line == "CONFIG_RUST=y"))
}

fn make(cache: &Cache, store: &Store, release: &str, progress: &dyn Progress) -> Result<Stamp> {
    let apt = Apt::new(cache.folder().join("apt"), Scope::of_sets()?)?;
    apt.prepare()?;
    apt.update(false, progress)?;
    let set = PackageSet::KernelBuild.definition();
    let of_kernel = [format!("linux-headers-{release}"), sources_of(release)];
    let look_up = || {
        for name in &of_kernel {
            // A name has characters that mean something else in a pattern.
            let pattern = format!("^{}$", name.replace('.', "\\.").replace('+', "\\+"));
            if apt.names(&pattern)?.is_empty() {
                let (release, missing) = (release.to_owned(), name.clone());
                return Err(Error::NoBuildTree { release, missing });
            }
        }
        let plan = Plan::of(&apt, selection(set, &of_kernel))?;
        build_tree::check_plan(&plan.packages)?;
        Ok(plan)
    };
    let trees = FromPackages { cache, store, suffix: "", archive: &apt, progress };
    let make =
        |packages: &[Package], root: &Path| unpack(cache, set, &apt, packages, root, progress);
    let (root, plan) = trees.provide(look_up, |_| Ok(set.scratch), make)?;
    let key = format!("usr/src/linux-headers-{release}/rust/libkernel.rmeta");
    Stamp::of(LAYOUT, &root, key, plan.described())
}

/// The package with the sources that a release was built from.
fn sources_of(release: &str) -> String {
    let mut numbers = release.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    format!("linux-source-{major}.{minor}")
}

/// The set, with other headers and other sources.
fn selection(set: &Set, [headers, sources]: &[String; 2]) -> Selection {
    let own = [format!("{headers}:arm64"), sources.clone()];
    let mut selection = set.selection();
    selection.name = format!("what builds the driver for {headers}");
    selection.install.retain(|name| !OF_THE_BOARD.contains(&name.as_str()));
    selection.install.splice(0..0, own);
    selection.at_least = None;
    selection
}

/// Unpacks beside the tree's place, completes it, and moves it there.
fn unpack(
    cache: &Cache,
    set: &'static Set,
    apt: &Apt,
    packages: &[Package],
    root: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let partial = disk::partial(root);
    let files: Vec<_> = packages.iter().map(|package| apt.file(package)).collect();
    disk::or_remove(&partial, || {
        tree::unpack(&files, &partial, progress).inspect_err(install::discard_damaged)?;
        let candidate = OpenTree { set, root: partial.clone(), _lock: None };
        let unpacked = Packages::new(cache.folder().to_owned(), vec![candidate]);
        unpacked.try_programs()?;
        sandbox::prepare(&partial)?;
        build_tree::complete(&unpacked, &partial, packages, progress)?;
        tree::sync(&partial)?;
        disk::remove_folder(root)?;
        fs::rename(&partial, root).map_err(Error::file("cannot move into place", &partial))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_sources_of_the_kernel_take_the_place_of_the_boards() {
        assert_eq!(sources_of("7.2.12+deb13-arm64"), "linux-source-7.2");
        let names = ["linux-headers-7.2.12+deb13-arm64".to_owned(), "linux-source-7.2".to_owned()];
        let set = PackageSet::KernelBuild.definition();
        let chosen = selection(set, &names);
        assert_eq!(
            chosen.install[..2],
            ["linux-headers-7.2.12+deb13-arm64:arm64", "linux-source-7.2"]
        );
        assert_eq!(chosen.install.len(), set.install.len());
        assert!(OF_THE_BOARD.iter().all(|name| !chosen.install.iter().any(|one| one == name)));
    }

    #[test]
    fn a_kernel_without_rust_is_told_by_its_configuration() {
        let root = tempfile::tempdir().unwrap();
        assert!(has_rust(root.path(), "7.2"), "nobody knows");
        let boot = root.path().join("boot");
        disk::make_folder(&boot).unwrap();
        fs::write(boot.join("config-7.2"), "# CONFIG_RUST is not set\n").unwrap();
        assert!(!has_rust(root.path(), "7.2"));
        fs::write(boot.join("config-7.2"), "CONFIG_ARM64=y\nCONFIG_RUST=y\n").unwrap();
        assert!(has_rust(root.path(), "7.2"));
    }
}
