// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Linux's own driver of switches (`dpsw`), as a module for the board's kernel: Debian's
//! kernels are configured without it. Its sources are those of the very kernel.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build_tree::{Headers, SWITCH, checked};
use crate::disk;
use crate::driver::file_name;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::package_set::PackageSet;
use crate::packages::Packages;
use crate::progress::Progress;
use crate::sandbox::{self, Sandbox};

/// The module's file.
const MODULE: &str = "fsl-dpaa2-switch.ko";

/// The part of the folder's `Makefile` that is about switches.
const KBUILD: &str = "\
obj-m := fsl-dpaa2-switch.o
fsl-dpaa2-switch-y := dpaa2-switch.o dpaa2-switch-ethtool.o dpsw.o dpaa2-switch-flower.o
";

/// The folder in the cache.
const PLACE: &str = "switch-driver";

/// Builds the module, unless that has been done for this kernel; its path, in a folder in
/// which nothing else lies.
///
/// # Errors
/// [`Error::NotOpened`] without [`PackageSet::KernelBuild`], [`Error::KernelBuild`] with what
/// the compiler says, and [`Error::NoSandbox`].
pub fn build_switch_driver(packages: &Packages, progress: &dyn Progress) -> Result<PathBuf> {
    let tree = packages.tree(PackageSet::KernelBuild)?;
    let headers = Headers::in_tree(tree)?;
    let place = packages.cache().join(PLACE);
    disk::make_folder(&place)?;
    let _alone = Lock::exclusive(&place.join("lock"), || {
        progress.message("waiting for another process that builds the driver of switches");
    })?;
    let (mark, module) = (place.join("tree"), place.join("module").join(MODULE));
    let built_with = fs::read_to_string(&mark).ok();
    if built_with.as_deref() == Some(&file_name(tree)) && module.is_file() {
        return Ok(module);
    }
    disk::remove(&mark)?;
    build(packages, tree, &headers, &place, progress)?;
    let bytes = place.join("build").join(MODULE);
    let bytes = fs::read(&bytes).map_err(Error::file("cannot read", &bytes))?;
    disk::make_folder(&place.join("module"))?;
    disk::write_whole(&module, &bytes)?;
    disk::write_whole(&mark, file_name(tree).as_bytes())?;
    Ok(module)
}

fn build(
    packages: &Packages,
    tree: &Path,
    headers: &Headers,
    place: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let what = "building Linux's driver of switches";
    let build = place.join("build");
    disk::remove_folder(&build)?;
    disk::make_folder(&build)?;
    for entry in disk::entries(&headers.common.join(SWITCH))? {
        let copy = build.join(entry.file_name());
        fs::copy(entry.path(), &copy).map_err(Error::file("cannot copy to", &copy))?;
    }
    disk::write_whole(&build.join("Kbuild"), KBUILD.as_bytes())?;
    let sandbox = Sandbox::open(packages, tree)?
        .with(&build, "/build", true)
        .variable("DEB_BUILD_ARCH", crate::host::host()?.architecture)
        .variable("KBUILD_BUILD_TIMESTAMP", "1970-01-01");
    let from = format!("/usr/src/{}", file_name(&headers.folder));
    let jobs = sandbox::jobs();
    let make = ["make", "-C", &from, "M=/build", &jobs, "modules"];
    progress.busy(what);
    let ended = sandbox.run(&make, |line| progress.doing(line.trim()))?;
    progress.finished();
    checked(what, &headers.release, &ended)?;
    let stripped = format!("/build/{MODULE}");
    let strip = ["aarch64-linux-gnu-strip", "--strip-debug", &stripped];
    checked(what, &headers.release, &sandbox.run(&strip, |_| ())?)
}
