// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The cache folder: which sets are there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::apt::{Apt, Scope};
use crate::build_tree::Headers;
use crate::debian_kernel::{self, DebianKernel, KernelVersion};
use crate::disk;
use crate::erofs::Image;
use crate::error::{Error, Result};
use crate::install::{self, Why};
use crate::kernel::Kernel;
use crate::lock::Lock;
use crate::module_image;
use crate::other_build_tree;
use crate::package::Package;
use crate::package_set::{PackageSet, Set};
use crate::packages::{OpenTree, Packages};
use crate::progress::Progress;
use crate::stamp::Stamp;
use crate::tree::Manifest;
use crate::userland::{self, Userland};

/// The folder that holds all that was fetched. See the crate's documentation
/// for its layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache of this user: `$FSLMC_CACHE`, else `$XDG_CACHE_HOME/fslmc`, else
    /// `~/.cache/fslmc`.
    ///
    /// # Errors
    /// [`Error::NoCacheFolder`] if `FSLMC_CACHE` is not set and neither of the others holds
    /// an absolute path, and as for [`Cache::at`].
    pub fn from_env() -> Result<Self> {
        Self::of_variables(|name| std::env::var_os(name))
    }

    fn of_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        // What somebody has chosen for us is taken, or refused, never passed over. Others read
        // the other two: the XDG specification has relative paths ignored.
        if let Some(chosen) = variable("FSLMC_CACHE").filter(|folder| !folder.is_empty()) {
            return Self::at(chosen);
        }
        let absolute =
            |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = absolute("XDG_CACHE_HOME")
            .map(|path| path.join("fslmc"))
            .or_else(|| absolute("HOME").map(|path| path.join(".cache/fslmc")))
            .ok_or(Error::NoCacheFolder)?;
        Self::at(folder)
    }

    /// A cache in a certain folder, which is made when it is needed.
    ///
    /// # Errors
    /// [`Error::UnusableFolder`] for a path that is not absolute, or that has a
    /// character to which the dynamic loader, the shell or apt's configuration
    /// gives another meaning.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Self> {
        const SPECIAL: [char; 8] = [':', ';', '"', '\'', '$', '%', '\n', '\\'];
        let folder = folder.into();
        let usable = folder.to_str().is_some_and(|text| !text.contains(SPECIAL));
        if !usable || !folder.is_absolute() {
            return Err(Error::UnusableFolder(folder));
        }
        Ok(Self { folder })
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens the sets, bringing in those that are not there. For sets that are
    /// there this takes milliseconds and starts no program.
    ///
    /// # Errors
    /// Says what is missing on this machine, what the mirror answered, or which
    /// file could not be written. What was downloaded is kept for the next run.
    pub fn ensure(&self, sets: &[PackageSet], progress: &dyn Progress) -> Result<Packages> {
        self.open_sets(sets, Why::Missing, progress)
    }

    /// Like [`Cache::ensure`], but looks for newer packages first. A tree that
    /// another process uses stays until a later refresh.
    ///
    /// # Errors
    /// As for [`Cache::ensure`].
    pub fn refresh(&self, sets: &[PackageSet], progress: &dyn Progress) -> Result<Packages> {
        self.open_sets(sets, Why::Refresh, progress)
    }

    /// Downloads and unpacks sets anew, whatever is there.
    ///
    /// # Errors
    /// As for [`Cache::ensure`].
    pub fn reinstall(&self, sets: &[PackageSet], progress: &dyn Progress) -> Result<Packages> {
        self.open_sets(sets, Why::Damaged, progress)
    }

    /// The image of a root file system for the guest; made where nobody has asked for
    /// these packages yet. For one that is there this takes milliseconds and starts no
    /// program.
    ///
    /// # Errors
    /// As for [`Cache::ensure`]; [`Error::Apt`] for a package that the suite does not
    /// have, and for packages that cannot be installed together.
    pub fn userland(&self, request: &Userland, progress: &dyn Progress) -> Result<Image> {
        userland::open(self, request, false, progress)
    }

    /// Like [`Cache::userland`], but looks for newer packages first.
    ///
    /// # Errors
    /// As for [`Cache::userland`].
    pub fn refresh_userland(&self, request: &Userland, progress: &dyn Progress) -> Result<Image> {
        userland::open(self, request, true, progress)
    }

    /// An image of what the guest has at `/lib/modules/<release>`, with the indexes that
    /// `modprobe` uses; made where the kernel has other modules than those of before.
    ///
    /// # Errors
    /// As for [`Cache::ensure`], and [`Error::Indexes`].
    pub fn modules_image(&self, kernel: &Kernel, progress: &dyn Progress) -> Result<Image> {
        module_image::open(self, kernel, progress)
    }

    /// One of Debian's kernels, fetched where it is not there yet.
    ///
    /// # Errors
    /// As for [`Cache::ensure`]; [`Error::NoSuchKernel`].
    pub fn debian_kernel(
        &self,
        version: &KernelVersion,
        progress: &dyn Progress,
    ) -> Result<DebianKernel> {
        debian_kernel::open(self, version, false, progress)
    }

    /// Like [`Cache::debian_kernel`], but looks for a newer one first.
    ///
    /// # Errors
    /// As for [`Cache::debian_kernel`].
    pub fn refresh_debian_kernel(
        &self,
        version: &KernelVersion,
        progress: &dyn Progress,
    ) -> Result<DebianKernel> {
        debian_kernel::open(self, version, true, progress)
    }

    /// What [`crate::build_driver`] takes to build for one of Debian's kernels other than the
    /// board's: made where nobody has asked for it yet, which downloads 475 MB and takes some
    /// minutes.
    ///
    /// # Errors
    /// As for [`Cache::ensure`]; [`Error::NoRust`] for a kernel that takes no modules in Rust,
    /// [`Error::NoBuildTree`] and [`Error::SourceVersion`] where the archive has not, or not
    /// any more, what the kernel was built from.
    pub fn build_tree(&self, kernel: &DebianKernel, progress: &dyn Progress) -> Result<Packages> {
        other_build_tree::open(self, kernel, progress)
    }

    /// Compares every file of the sets with what was unpacked. A set with files that differ
    /// counts as absent from then on: the next [`Cache::ensure`] unpacks it anew.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the files that differ, of the first such set.
    /// Also as for [`Cache::ensure`].
    pub fn verify(&self, sets: &[PackageSet], progress: &dyn Progress) -> Result<()> {
        let packages = self.ensure(sets, progress)?;
        let mut outcome = Ok(());
        for set in sets {
            let verified = self.verify_tree(set.definition(), packages.tree(*set)?, progress);
            outcome = outcome.and(verified);
        }
        outcome
    }

    pub(crate) fn verify_tree(
        &self,
        set: &Set,
        root: &Path,
        progress: &dyn Progress,
    ) -> Result<()> {
        let verified = verify(root, progress);
        if let Err(Error::Damaged { .. }) = verified
            && let Err(error) = self.forget_tree(set, root, progress)
        {
            // The damage is the error to report.
            progress.message(&error.to_string());
        }
        verified
    }

    /// Has the next set-up bring a set in, if the tree at `root` is its current one.
    fn forget_tree(&self, set: &Set, root: &Path, progress: &dyn Progress) -> Result<()> {
        let _alone = Lock::exclusive(&self.folder.join("lock"), || {
            progress.message("waiting for another process that sets up the same cache");
        })?;
        // Another process may have brought in another tree meanwhile.
        if self.stamp(set).is_some_and(|stamp| root.ends_with(stamp.tree)) {
            disk::remove(&self.stamp_path(set))?;
        }
        Ok(())
    }

    /// The packages of a set, if it is there.
    pub fn packages(&self, set: PackageSet) -> Option<Vec<Package>> {
        let tree = self.open(set.definition()).ok()??;
        let manifest: Manifest = disk::read_json(&manifest_path(&tree.root))?;
        Some(manifest.packages)
    }

    /// Opens or brings in the sets. Modules are built for the kernel that the board
    /// boots: if one of the two sets is newer than the other, both are refreshed.
    fn open_sets(
        &self,
        sets: &[PackageSet],
        why: Why,
        progress: &dyn Progress,
    ) -> Result<Packages> {
        let packages = self.open_each(sets, why, progress)?;
        let Some((kernel, headers)) = two_kernels(&packages)? else { return Ok(packages) };
        progress.message(&format!(
            "the board's kernel is {kernel}, but modules would be built for {headers}: looking for newer packages"
        ));
        drop(packages);
        self.open_each(&[PackageSet::Board, PackageSet::KernelBuild], Why::Refresh, progress)?;
        let packages = self.open_each(sets, Why::Missing, progress)?;
        match two_kernels(&packages)? {
            None => Ok(packages),
            Some((kernel, headers)) => Err(Error::OtherKernel { kernel, headers }),
        }
    }

    fn open_each(
        &self,
        sets: &[PackageSet],
        why: Why,
        progress: &dyn Progress,
    ) -> Result<Packages> {
        let open = |set: &PackageSet| {
            let set = set.definition();
            if why == Why::Missing
                && let Some(tree) = self.open(set)?
            {
                return Ok(tree);
            }
            let apt = Apt::new(self.folder.join("apt"), Scope::of_sets()?)?;
            install::install(self, set, why, &apt, progress)
        };
        let trees = sets.iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Packages::new(self.folder.clone(), trees))
    }

    /// The current tree of a set, if it looks whole.
    pub(crate) fn open(&self, set: &'static Set) -> Result<Option<OpenTree>> {
        let Some(stamp) = self.stamp(set) else { return Ok(None) };
        let root = self.trees().join(&stamp.tree);
        // From here on, nobody removes the tree under our feet.
        let lock = Lock::try_shared(&lock_path(&root))?;
        if lock.is_none() || !stamp.fits(set, &root)? {
            return Ok(None);
        }
        Ok(Some(OpenTree { set, root, _lock: lock }))
    }

    pub(crate) fn stamp(&self, set: &Set) -> Option<Stamp> {
        disk::read_json(&self.stamp_path(set))
    }

    pub(crate) fn stamp_path(&self, set: &Set) -> PathBuf {
        self.folder.join(format!("{}.json", set.name))
    }

    /// The folder that holds the trees.
    pub(crate) fn trees(&self) -> PathBuf {
        self.folder.join("trees")
    }
}

/// The release of the board's kernel and that of the headers, if both sets are open
/// and the releases differ.
fn two_kernels(packages: &Packages) -> Result<Option<(String, String)>> {
    let open = |set| match packages.tree(set) {
        Ok(tree) => Ok(Some(tree)),
        Err(Error::NotOpened(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let (Some(board), Some(build)) = (open(PackageSet::Board)?, open(PackageSet::KernelBuild)?)
    else {
        return Ok(None);
    };
    let kernel = Kernel::in_tree(board)?.release().to_owned();
    let headers = Headers::in_tree(build)?.release;
    Ok((kernel != headers).then_some((kernel, headers)))
}

/// Compares a tree with its manifest.
pub(crate) fn verify(root: &Path, progress: &dyn Progress) -> Result<()> {
    let path = manifest_path(root);
    let manifest: Manifest = disk::read_json(&path).ok_or_else(|| Error::Damaged {
        tree: root.to_owned(),
        checked: 1,
        differing: vec![path],
    })?;
    manifest.verify(root, progress)
}

/// The manifest of a tree.
pub(crate) fn manifest_path(root: &Path) -> PathBuf {
    beside(root, "json")
}

/// The file that users of a tree lock.
pub(crate) fn lock_path(root: &Path) -> PathBuf {
    beside(root, "lock")
}

fn beside(root: &Path, extension: &str) -> PathBuf {
    let mut path = root.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(set: PackageSet, root: &Path, files: &[&str]) -> OpenTree {
        for file in files {
            let path = root.join(file);
            disk::make_folder(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        OpenTree { set: set.definition(), root: root.to_owned(), _lock: None }
    }

    #[test]
    fn a_cache_that_is_asked_for_is_never_passed_over() {
        let cache = |variables: &[(&str, &str)]| {
            let found = |name: &str| variables.iter().find(|(known, _)| *known == name);
            Cache::of_variables(|name| found(name).map(|(_, value)| value.into()))
        };
        let home = ("HOME", "/h");
        let folder = |variables: &[_]| cache(variables).unwrap().folder().to_owned();
        assert_eq!(folder(&[("FSLMC_CACHE", "/c"), home]), Path::new("/c"));
        let relative = cache(&[("FSLMC_CACHE", "c"), home]);
        assert!(matches!(relative, Err(Error::UnusableFolder(path)) if path == Path::new("c")));
        let usual = Path::new("/h/.cache/fslmc");
        assert_eq!(folder(&[("FSLMC_CACHE", ""), home]), usual);
        assert_eq!(folder(&[("XDG_CACHE_HOME", "c"), home]), usual);
        assert_eq!(folder(&[("XDG_CACHE_HOME", "/x"), home]), Path::new("/x/fslmc"));
        assert!(matches!(cache(&[("HOME", "c")]), Err(Error::NoCacheFolder)));
    }

    #[test]
    fn a_kernel_and_headers_of_another_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let board = || {
            let modules = "usr/lib/modules/7.3.4-arm64";
            let files = [format!("{modules}/modules.order"), format!("{modules}/vmlinuz")];
            tree(
                PackageSet::Board,
                &folder.path().join("board"),
                &files.each_ref().map(String::as_str),
            )
        };
        let headers = |release: &str| {
            let own = format!("usr/src/linux-headers-{release}/Module.symvers");
            let files = [own.as_str(), "usr/src/linux-headers-7-common/Makefile"];
            tree(PackageSet::KernelBuild, &folder.path().join(release), &files)
        };
        let compare = |trees| two_kernels(&Packages::new(folder.path().to_owned(), trees)).unwrap();
        assert_eq!(compare(vec![board(), headers("7.3.4-arm64")]), None);
        let both = ("7.3.4-arm64".to_owned(), "7.3.5-arm64".to_owned());
        assert_eq!(compare(vec![board(), headers("7.3.5-arm64")]), Some(both));
        assert_eq!(compare(vec![board()]), None);
        assert_eq!(compare(vec![headers("7.3.5-arm64")]), None);
    }
}
