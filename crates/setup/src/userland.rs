// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Root file systems for the guest, made of Debian packages.
//!
//! The packages are resolved as on a machine where nothing is installed, together
//! with Debian's minimal system (shell, core utilities, `kmod`); they are unpacked,
//! completed by what their maintainer scripts would have done as far as programs need
//! it ([`configure`]), and made an image (erofs) that the guest mounts read-only.

mod accounts;
mod alternatives;
mod configure;
mod request;
mod script;

use crate::apt::{Apt, Scope};
use crate::cache::Cache;
use crate::disk;
use crate::erofs::{self, Image};
use crate::error::Result;
use crate::from_packages::FromPackages;
use crate::install::{self, Archive, Plan};
use crate::package::Package;
use crate::package_set::PackageSet;
use crate::packages::Packages;
use crate::progress::Progress;
use crate::store::{Stamp, Store};
use crate::tree;
use std::path::Path;

pub use request::{DEFAULT_SUITE, Userland};

/// Counts up when images of the same packages are made in another way.
const LAYOUT: u32 = 3;

/// Gives the image of a request, and makes it if it is not there, or if newer packages
/// are to be looked for.
pub(crate) fn open(
    cache: &Cache,
    request: &Userland,
    refresh: bool,
    progress: &dyn Progress,
) -> Result<Image> {
    let store = Store::new(cache, "userland", LAYOUT);
    if !refresh && let Some((path, lock)) = store.find(&request.key())? {
        return Ok(Image::new(path, lock));
    }
    let tools = cache.ensure(&[PackageSet::Images], progress)?;
    let apt = Apt::of_guest(cache, request.suite(), Scope::of_guest(&request.suites()))?;
    let maker = Maker { cache, store: &store, tools: &tools, archive: &apt, progress };
    let make = || maker.make(request, refresh).inspect_err(|_| apt.forget_unknown_suite());
    let (path, lock) = store.ensure(cache, &request.key(), refresh, progress, make)?;
    Ok(Image::new(path, lock))
}

/// All that it takes to make an image.
struct Maker<'a> {
    cache: &'a Cache,
    store: &'a Store,
    tools: &'a Packages,
    archive: &'a dyn Archive,
    progress: &'a dyn Progress,
}

impl Maker<'_> {
    fn make(&self, request: &Userland, refresh: bool) -> Result<Stamp> {
        let (archive, progress) = (self.archive, self.progress);
        archive.prepare()?;
        archive.update(refresh, progress)?;
        let look_up = || Plan::of(archive, request.selection());
        let Self { cache, store, .. } = *self;
        let images = FromPackages { cache, store, suffix: ".erofs", archive, progress };
        // Unpacked, then once more as the image.
        let unpacked = |plan: &Plan| archive.installed_size(&plan.packages);
        let make = |packages: &[Package], image: &Path| self.build(packages, image);
        let (image, plan) = images.provide(look_up, unpacked, make)?;
        Stamp::of(LAYOUT, &image, "", plan.described())
    }

    /// Unpacks and completes beside the image's place, and moves it there.
    fn build(&self, packages: &[Package], image: &Path) -> Result<()> {
        let partial = disk::partial(image);
        let (root, control) = (partial.join("root"), partial.join("control"));
        let files: Vec<_> = packages.iter().map(|package| self.archive.file(package)).collect();
        disk::or_remove(&partial, || {
            tree::unpack(&files, &root, self.progress).inspect_err(install::discard_damaged)?;
            let control = tree::control_files(&files, &control)?;
            configure::complete(&root, &control)?;
            erofs::make(self.tools, &root, image, self.progress)
        })?;
        disk::remove_folder(&partial)
    }
}
