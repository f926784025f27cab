// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Bringing a set in: one process at a time, and in such an order that an
//! interruption at any point leaves either the old state or the new one.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use crate::build_tree;
use crate::cache::{Cache, lock_path, manifest_path};
use crate::compression;
use crate::disk;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::package::Package;
use crate::package_set::{Finish, Selection, Set};
use crate::packages::{OpenTree, Packages};
use crate::progress::Progress;
use crate::sandbox;
use crate::stamp::{Stamp, tree_name};
use crate::tree::{self, Manifest};

/// Where packages come from.
pub(crate) trait Archive {
    /// Makes ready; called once, with the cache locked.
    fn prepare(&self) -> Result<()>;
    /// Fetches the package lists if they are old, or if `always`.
    fn update(&self, always: bool, progress: &dyn Progress) -> Result<()>;
    /// What a set consists of today, whether it has been downloaded or not,
    /// sorted.
    fn plan(&self, set: &Selection) -> Result<Vec<Package>>;
    /// Bytes that packages take once they are unpacked, as they state it
    /// themselves.
    fn installed_size(&self, packages: &[Package]) -> Result<u64>;
    /// Downloads what is not there yet.
    fn download(
        &self,
        set: &Selection,
        packages: &[Package],
        progress: &dyn Progress,
    ) -> Result<()>;
    /// The file of a downloaded package.
    fn file(&self, package: &Package) -> PathBuf;
    /// Removes all that has been downloaded: once what was asked for is made, nobody needs it,
    /// nor what earlier plans have left.
    fn forget(&self) -> Result<()>;
}

/// What a selection consists of today.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What was asked for.
    pub selection: Selection,
    /// The packages, sorted.
    pub packages: Vec<Package>,
}

impl Plan {
    /// Asks the archive.
    pub fn of(archive: &dyn Archive, selection: Selection) -> Result<Self> {
        let packages = archive.plan(&selection)?;
        Ok(Self { selection, packages })
    }

    /// The packages in their versions, as one word each.
    pub fn described(&self) -> Vec<String> {
        self.packages.iter().map(Package::described).collect()
    }
}

/// Why a set is brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is not there, or is plainly incomplete.
    Missing,
    /// Newer packages are wanted.
    Refresh,
    /// It is there but not as it should be.
    Damaged,
}

/// Makes a set's newest packages its current tree.
pub(crate) fn install(
    cache: &Cache,
    set: &'static Set,
    why: Why,
    archive: &dyn Archive,
    progress: &dyn Progress,
) -> Result<OpenTree> {
    disk::make_folder(&cache.trees())?;
    let _alone = Lock::exclusive(&cache.folder().join("lock"), || {
        progress.message("waiting for another process that sets up the same cache");
    })?;
    // That other process may just have done what we are after.
    if why == Why::Missing
        && let Some(tree) = cache.open(set)?
    {
        return Ok(tree);
    }
    archive.prepare()?;
    archive.update(why == Why::Refresh, progress)?;
    let look_up = || {
        let plan = Plan::of(archive, set.selection())?;
        if let Finish::BuildTree(_) = set.finish {
            build_tree::check_plan(&plan.packages)?;
        }
        Ok(plan)
    };
    let is_current = |name: &str| match cache.stamp(set) {
        Some(stamp) => Ok(stamp.tree == name && stamp.fits(set, &cache.trees().join(name))?),
        None => Ok(false),
    };
    let mut plan = look_up()?;
    let mut name = tree_name(set, &plan.packages)?;
    if is_current(&name)? && why != Why::Damaged {
        progress.message(&format!("`{}` is up to date", set.name));
    } else {
        disk::remove_leftovers(&cache.trees())?;
        check_space(cache, set.scratch, archive, &plan)?;
        plan = download(archive, plan, look_up, progress)?;
        name = tree_name(set, &plan.packages)?;
        if !is_current(&name)? || why == Why::Damaged {
            unpack(cache, set, archive, &plan.packages, &cache.trees().join(&name), progress)?;
        }
        archive.forget()?;
    }
    let root = cache.trees().join(&name);
    Lock::provide(&lock_path(&root))?;
    remove_old_trees(cache, set, &name, progress);
    let opened = cache.open(set)?;
    opened.ok_or_else(|| Error::NotInTree { what: "what was just unpacked".into(), tree: root })
}

/// `extra` is what the work takes beside the packages, packed and unpacked.
pub(crate) fn check_space(
    cache: &Cache,
    extra: u64,
    archive: &dyn Archive,
    plan: &Plan,
) -> Result<()> {
    let is_missing = |package: &&Package| !is_whole(&archive.file(package), package);
    let download: u64 = plan.packages.iter().filter(is_missing).map(|package| package.size).sum();
    let unpacked = archive.installed_size(&plan.packages)?;
    let bytes = download.saturating_add(unpacked).saturating_add(extra);
    check_free(cache.folder(), &plan.selection.name, bytes)
}

/// Whether a package has been downloaded to the end.
pub(crate) fn is_whole(file: &Path, package: &Package) -> bool {
    fs::metadata(file).is_ok_and(|found| found.len() == package.size)
}

/// Whether so many bytes can be written below the cache folder.
pub(crate) fn check_free(folder: &Path, name: &str, bytes: u64) -> Result<()> {
    let (needed, available) = (bytes >> 20, disk::free_bytes(folder)? >> 20);
    if available < needed {
        let folder = folder.to_owned();
        return Err(Error::NoSpace { set: name.to_owned(), folder, needed, available });
    }
    Ok(())
}

/// Downloads what was planned. Package lists that are a little old name files that the mirror
/// does not have any more, and a mirror may falter: a second try starts from new lists, and
/// from what `look_up` finds in them. Gives the plan of what has been downloaded.
pub(crate) fn download(
    archive: &dyn Archive,
    plan: Plan,
    look_up: impl Fn() -> Result<Plan>,
    progress: &dyn Progress,
) -> Result<Plan> {
    let Err(error) = archive.download(&plan.selection, &plan.packages, progress) else {
        return Ok(plan);
    };
    // One that a signal has ended was to end: the mirror is not to blame.
    if !matches!(&error, Error::Apt { status, .. } if status.signal().is_none()) {
        return Err(error);
    }
    progress.message("not all could be downloaded; trying once more");
    archive.update(true, progress)?;
    let plan = look_up()?;
    archive.download(&plan.selection, &plan.packages, progress)?;
    Ok(plan)
}

/// Unpacks beside the tree's place, moves it there, and makes it current.
fn unpack(
    cache: &Cache,
    set: &'static Set,
    archive: &dyn Archive,
    packages: &[Package],
    root: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let partial = disk::partial(root);
    // If there is a tree of this name, it is one that was found to be damaged. Who uses it
    // would have it pulled from under its feet.
    let _alone = root.exists().then(|| Lock::to_change(&lock_path(root), root)).transpose()?;
    disk::or_remove(&partial, || unpack_at(cache, set, archive, packages, root, &partial, progress))
}

fn unpack_at(
    cache: &Cache,
    set: &'static Set,
    archive: &dyn Archive,
    packages: &[Package],
    root: &Path,
    partial: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let files: Vec<_> = packages.iter().map(|package| archive.file(package)).collect();
    tree::unpack(&files, partial, progress).inspect_err(discard_damaged)?;
    let candidate = OpenTree { set, root: partial.to_owned(), _lock: None };
    let unpacked = Packages::new(cache.folder().to_owned(), vec![candidate]);
    unpacked.try_programs()?;
    match set.finish {
        Finish::AsItIs => {}
        Finish::Kernel => compression::unwrap_kernel(partial)?,
        Finish::Sandbox => sandbox::prepare(partial)?,
        Finish::BuildTree(_) => build_tree::complete(&unpacked, partial, packages, progress)?,
    }
    let manifest = Manifest::of(partial, packages.to_vec(), progress)?;
    let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stamp = Stamp::of(set, partial, name, packages)?;

    // Its stamp goes first: what an interruption leaves of the old tree is none.
    if cache.stamp(set).is_some_and(|old| old.tree == stamp.tree) {
        disk::remove(&cache.stamp_path(set))?;
    }
    disk::remove_folder(root)?;
    fs::rename(partial, root).map_err(Error::file("cannot move into place", partial))?;
    disk::write_json(&manifest_path(root), &manifest)?;
    Lock::provide(&lock_path(root))?;
    tree::sync(root)?;
    disk::write_json(&cache.stamp_path(set), &stamp)
}

/// A package that does not unpack was damaged after apt-get had checked it: the
/// next run is to fetch it again. On a full disk it is not to blame, nor where dpkg-deb or a
/// program that it works with was ended by a signal.
pub(crate) fn discard_damaged(error: &Error) {
    if let Error::Unpack { package, advice: None, .. } = error {
        // If that fails too, the next run says so.
        let _ = fs::remove_file(package);
    }
}

/// Trees that nobody uses any more. That one cannot be removed is no reason to
/// fail.
fn remove_old_trees(cache: &Cache, set: &Set, current: &str, progress: &dyn Progress) {
    let prefix = format!("{}-", set.name);
    for entry in disk::entries(&cache.trees()).into_iter().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let root = entry.path();
        if name.starts_with(&prefix)
            && name != current
            && root.is_dir()
            && let Err(error) = remove_unused_tree(&root)
        {
            progress.message(&error.to_string());
        }
    }
}

fn remove_unused_tree(root: &Path) -> Result<()> {
    let lock = lock_path(root);
    let Some(_alone) = Lock::try_exclusive(&lock)? else { return Ok(()) };
    disk::remove_folder(root)?;
    for path in [manifest_path(root), lock] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("cannot remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
