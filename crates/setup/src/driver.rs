// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Building the Linux driver of a checkout for the board's kernel, and the one that it is
//! measured beside.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::build_tree::Headers;
use crate::disk;
use crate::error::{Error, Result};
use crate::guest::workspace_key;
use crate::kernel::Kernel;
use crate::lock::Lock;
use crate::module_check;
use crate::modules::{self, Module};
use crate::package_set::PackageSet;
use crate::packages::Packages;
use crate::progress::Progress;
use crate::sandbox::{self, Ended, Sandbox};
use crate::tree::hexadecimal;

/// The module's file without its suffix, as `Kbuild` has it.
const NAME: &str = "vfio-fsl-mc";

/// A driver of a checkout.
struct Recipe {
    /// Its folder in a checkout, with its `Kbuild`.
    folder: &'static str,
    /// The first of its Rust files, in that folder.
    root_file: Option<&'static str>,
    /// What it is made of, below the checkout.
    sources: &'static [&'static str],
    /// Where the cache keeps it.
    place: &'static str,
    /// What is done, for the user.
    building: &'static str,
    checking: &'static str,
}

/// The project's driver.
const DRIVER: Recipe = Recipe {
    folder: "driver",
    root_file: Some("main.rs"),
    sources: &["driver", "crates/vfio-fsl-mc-core/src/logic"],
    place: "driver",
    building: "building the driver",
    checking: "checking the driver",
};

/// What any driver costs at least.
const LEAST: Recipe = Recipe {
    folder: "crates/driver-bench/least",
    root_file: None,
    sources: &["crates/driver-bench/least"],
    place: "driver-least",
    building: "building the least driver",
    checking: "checking the least driver",
};

/// Names that only files of a build have: somebody may have built in the checkout.
/// Hidden files are left out too.
const PRODUCTS: [&str; 10] = [
    ".o",
    ".ko",
    ".a",
    ".cmd",
    ".mod",
    ".mod.c",
    ".rmeta",
    "modules.order",
    "Module.symvers",
    "_generated.rs",
];

/// The driver, built for the board's kernel.
#[derive(Debug, Clone)]
pub struct BuiltDriver {
    /// The module without debugging information, ready to be loaded.
    pub module: Module,
    /// The same with debugging information.
    pub with_symbols: PathBuf,
    /// The kernel that it is for.
    pub release: String,
}

impl BuiltDriver {
    /// A module that was built by hand for `kernel`.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Malformed`] if it is no module,
    /// [`Error::DoesNotFit`] if it is for another kernel.
    pub fn of_file(file: &Path, kernel: &Kernel) -> Result<Self> {
        let bytes = fs::read(file).map_err(Error::file("cannot read", file))?;
        let magic = module_check::version_magic(file, &bytes)?;
        if magic.split_whitespace().next() != Some(kernel.release()) {
            return Err(Error::DoesNotFit {
                module: file.to_owned(),
                what: format!("it is for `{magic}`, and the kernel is {}", kernel.release()),
            });
        }
        let module = Module { name: modules::canonical(NAME), path: file.to_owned(), bytes };
        Ok(Self { module, with_symbols: file.to_owned(), release: kernel.release().to_owned() })
    }
}

/// What is remembered of a build.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Built {
    /// Of sources and tree.
    inputs: String,
    /// SHA-256 of the module, in hexadecimal.
    module: String,
}

/// Builds the driver of the checkout at `checkout`, unless that has been done.
/// Nothing is written into the checkout.
///
/// # Errors
/// [`Error::NotOpened`] without [`PackageSet::Board`] and [`PackageSet::KernelBuild`],
/// [`Error::NoDriverSource`] if it is no checkout, [`Error::DriverBuild`] with what
/// the compilers say, [`Error::NoSandbox`], and [`Error::DoesNotFit`] for a module that
/// the kernel would refuse.
pub fn build_driver(
    checkout: &Path,
    packages: &Packages,
    progress: &dyn Progress,
) -> Result<BuiltDriver> {
    build(&DRIVER, checkout, packages, progress)
}

/// Builds the driver that does the least that any could do, which the bench of drivers
/// measures beside them. It goes by the driver's name, and is of no other use.
///
/// # Errors
/// As for [`build_driver`].
pub fn build_least_driver(
    checkout: &Path,
    packages: &Packages,
    progress: &dyn Progress,
) -> Result<BuiltDriver> {
    build(&LEAST, checkout, packages, progress)
}

/// Holds the sources of both drivers against the kernel's rules: clippy and the C compiler
/// without a warning, and the kernel's format.
///
/// # Errors
/// As for [`build_driver`].
pub fn lint_driver(checkout: &Path, packages: &Packages, progress: &dyn Progress) -> Result<()> {
    [&DRIVER, &LEAST].into_iter().try_for_each(|recipe| lint(recipe, checkout, packages, progress))
}

fn build(
    recipe: &'static Recipe,
    checkout: &Path,
    packages: &Packages,
    progress: &dyn Progress,
) -> Result<BuiltDriver> {
    let work = Work::new(recipe, checkout, packages)?;
    if let Some(built) = work.built()? {
        return Ok(built);
    }
    let _alone = work.lock(progress)?;
    if let Some(built) = work.built()? {
        return Ok(built);
    }
    let build = work.folder("build")?;
    work.make(recipe.building, &build, &[], progress)?;
    let with_symbols = format!("/build/{NAME}.ko");
    let stripped = format!("/build/{NAME}.stripped");
    let strip = ["aarch64-linux-gnu-strip", "--strip-debug", "-o", &stripped, &with_symbols];
    work.checked(recipe.building, &work.sandbox(&build)?.run(&strip, |_| ())?)?;
    let path = build.join(format!("{NAME}.stripped"));
    let bytes = fs::read(&path).map_err(Error::file("cannot read", &path))?;
    work.check_fit(&bytes)?;
    disk::write_whole(&work.module(), &bytes)?;
    let module = hexadecimal(&Sha256::digest(&bytes));
    disk::write_json(&work.place.join("build.json"), &work.record(module))?;
    let missing = || Error::NotInTree { what: format!("{NAME}.ko"), tree: work.place.clone() };
    work.built()?.ok_or_else(missing)
}

fn lint(
    recipe: &'static Recipe,
    checkout: &Path,
    packages: &Packages,
    progress: &dyn Progress,
) -> Result<()> {
    let work = Work::new(recipe, checkout, packages)?;
    let stamp = work.place.join("lint.json");
    let clean = work.record(String::new());
    if disk::read_json::<Built>(&stamp).as_ref() == Some(&clean) {
        return Ok(());
    }
    let _alone = work.lock(progress)?;
    let build = work.folder("lint")?;
    if let Some(root_file) = recipe.root_file {
        let rules = format!("/usr/src/{}/.rustfmt.toml", file_name(&work.headers.common));
        let root = format!("/source/{}/{root_file}", recipe.folder);
        let format = ["rustfmt", "--check", "--edition", "2021", "--config-path", &rules, &root];
        work.checked(recipe.checking, &work.sandbox(&build)?.run(&format, |_| ())?)?;
    }
    let strict = ["CLIPPY=1", "KRUSTFLAGS=-Dwarnings", "KCFLAGS=-Werror"];
    work.make(recipe.checking, &build, &strict, progress)?;
    disk::write_json(&stamp, &clean)
}

/// A checkout's sources, and the place in the cache where they are built.
struct Work<'a> {
    recipe: &'static Recipe,
    packages: &'a Packages,
    tree: &'a Path,
    headers: Headers,
    checkout: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Of the sources and the tree.
    inputs: String,
    place: PathBuf,
}

impl<'a> Work<'a> {
    fn new(recipe: &'static Recipe, checkout: &Path, packages: &'a Packages) -> Result<Self> {
        let tree = packages.tree(PackageSet::KernelBuild)?;
        let files = sources(recipe, checkout)?;
        let mut hash = Sha256::new();
        hash.update(file_name(tree));
        for (path, contents) in &files {
            // Lengths keep one file's end from being another one's beginning.
            hash.update(format!("\n{} {}\n", path.display(), contents.len()));
            hash.update(contents);
        }
        Ok(Self {
            recipe,
            packages,
            tree,
            headers: Headers::in_tree(tree)?,
            checkout: fs::canonicalize(checkout).unwrap_or_else(|_| checkout.to_owned()),
            files,
            inputs: hexadecimal(&hash.finalize()),
            place: packages.cache().join(recipe.place).join(place_of(checkout, tree, packages)),
        })
    }

    fn record(&self, module: String) -> Built {
        Built { inputs: self.inputs.clone(), module }
    }

    fn module(&self) -> PathBuf {
        self.place.join(format!("{NAME}.ko"))
    }

    /// The module, if it is one of these sources.
    fn built(&self) -> Result<Option<BuiltDriver>> {
        let Some(known) = disk::read_json::<Built>(&self.place.join("build.json")) else {
            return Ok(None);
        };
        let path = self.module();
        let Ok(bytes) = fs::read(&path) else { return Ok(None) };
        // Another process may be replacing it.
        if known != self.record(hexadecimal(&Sha256::digest(&bytes))) {
            return Ok(None);
        }
        Ok(Some(BuiltDriver {
            module: Module { name: modules::canonical(NAME), path, bytes },
            with_symbols: self.place.join("build").join(format!("{NAME}.ko")),
            release: self.headers.release.clone(),
        }))
    }

    fn lock(&self, progress: &dyn Progress) -> Result<Lock> {
        disk::make_folder(&self.place)?;
        let lock = Lock::exclusive(&self.place.join("lock"), || {
            progress.message("waiting for another process that builds the driver");
        })?;
        copy_files(&self.files, &self.place.join("source"))?;
        Ok(lock)
    }

    /// A folder to build in. What was built with another tree is of no use.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let (folder, mark) = (self.place.join(name), self.place.join(format!("{name}.tree")));
        let tree = file_name(self.tree);
        if fs::read_to_string(&mark).ok().as_deref() != Some(tree.as_str()) {
            disk::remove_folder(&folder)?;
            disk::make_folder(&folder)?;
            disk::write_whole(&mark, tree.as_bytes())?;
        }
        disk::make_folder(&folder)?;
        Ok(folder)
    }

    fn sandbox(&self, build: &Path) -> Result<Sandbox> {
        // Paths are the same whatever the checkout is called, and so is the module.
        Ok(Sandbox::open(self.packages, self.tree)?
            .with(&self.place.join("source"), "/source", false)
            .with(build, "/build", true)
            .variable("DEB_BUILD_ARCH", crate::host::host()?.architecture)
            .variable("KBUILD_BUILD_TIMESTAMP", "1970-01-01")
            .variable("KBUILD_BUILD_USER", "fslmc")
            .variable("KBUILD_BUILD_HOST", "fslmc"))
    }

    fn make(
        &self,
        what: &'static str,
        build: &Path,
        options: &[&str],
        progress: &dyn Progress,
    ) -> Result<()> {
        let headers = format!("/usr/src/{}", file_name(&self.headers.folder));
        let (source, jobs) = (format!("M=/source/{}", self.recipe.folder), sandbox::jobs());
        let make = ["make", "-C", &headers, &source, "MO=/build", &jobs];
        progress.busy(what);
        let words = [&make[..], options, &["modules"]].concat();
        let ended = self.sandbox(build)?.run(&words, |line| progress.doing(line.trim()))?;
        progress.finished();
        self.checked(what, &ended)?;
        let said = self.telling(&ended.output);
        if said.contains("warning") {
            progress.message(&said);
        }
        Ok(())
    }

    fn checked(&self, what: &'static str, ended: &Ended) -> Result<()> {
        if ended.status.success() {
            return Ok(());
        }
        let output = self.telling(&ended.output);
        Err(Error::DriverBuild { what, status: ended.status, output })
    }

    /// What compilers say, without kbuild's own account, and with the paths that the
    /// user knows.
    fn telling(&self, output: &str) -> String {
        let checkout = format!("{}/", self.checkout.display());
        sandbox::without_chatter(output).replace("/source/", &checkout)
    }

    /// The kernel must know each symbol that the module uses, and be the one that
    /// the module says it is for.
    fn check_fit(&self, module: &[u8]) -> Result<()> {
        let path = self.headers.folder.join("Module.symvers");
        let symbols = fs::read_to_string(&path).map_err(Error::file("cannot read", &path))?;
        let kernel = self.packages.kernel()?;
        let stock = kernel.modules(&[NAME])?;
        let same = |other: &&Module| other.name == modules::canonical(NAME);
        let stock = stock.iter().find(same).ok_or_else(|| Error::NoSuchModule {
            release: kernel.release().to_owned(),
            name: NAME.to_owned(),
            wanted_by: None,
        })?;
        let magic = module_check::version_magic(&stock.path, &stock.bytes)?;
        module_check::fits(&self.module(), module, &symbols, &magic)
    }
}

/// Where the driver of a checkout is built with a tree: for the board's kernel, in a folder
/// that stays when there is a newer one.
fn place_of(checkout: &Path, tree: &Path, packages: &Packages) -> String {
    let key = workspace_key(checkout);
    if tree.parent() == Some(&packages.cache().join("trees")) {
        return key;
    }
    format!("{key}-{}", file_name(tree))
}

/// Makes `copy` hold the sources of a checkout's driver and nothing else.
pub(crate) fn copy_sources(checkout: &Path, copy: &Path) -> Result<()> {
    copy_files(&sources(&DRIVER, checkout)?, copy)
}

/// Copies what has changed: kbuild would take what an earlier build left in the checkout
/// for its own. What is not a source any more goes.
fn copy_files(files: &[(PathBuf, Vec<u8>)], copy: &Path) -> Result<()> {
    let kept = |path: &Path| files.iter().any(|(file, _)| copy.join(file) == path);
    let mut stale = Vec::new();
    if copy.is_dir() {
        walk(copy, &|_| true, &mut stale)?;
    }
    stale.retain(|path| !kept(path));
    stale.iter().try_for_each(|path| disk::remove(path))?;
    for (path, contents) in files {
        let path = copy.join(path);
        disk::make_folder(path.parent().unwrap_or(copy))?;
        disk::write_if_changed(&path, contents)?;
    }
    Ok(())
}

/// The files that a driver is made of, by their paths below the checkout, sorted.
fn sources(recipe: &Recipe, checkout: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths = Vec::new();
    for folder in recipe.sources {
        let path = checkout.join(folder);
        if !path.is_dir() {
            return Err(Error::NoDriverSource(path));
        }
        walk(&path, &is_source, &mut paths)?;
    }
    paths.sort();
    let read = |path: PathBuf| {
        let contents = fs::read(&path).map_err(Error::file("cannot read", &path))?;
        Ok((path.strip_prefix(checkout).unwrap_or(&path).to_owned(), contents))
    };
    paths.into_iter().map(read).collect()
}

fn is_source(name: &str) -> bool {
    !name.starts_with('.') && !PRODUCTS.iter().any(|end| name.ends_with(end))
}

fn walk(folder: &Path, wanted: &dyn Fn(&str) -> bool, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in disk::entries(folder)? {
        let path = entry.path();
        if !wanted(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, wanted, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            disk::make_folder(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    #[test]
    fn products_of_a_build_are_no_sources() {
        let folder = checkout(&[
            "driver/main.rs",
            "driver/Kbuild",
            "driver/main.o",
            "driver/.main.o.cmd",
            "driver/vfio-fsl-mc.mod.c",
            "driver/vfio-fsl-mc.ko",
            "driver/bindings_generated.rs",
            "driver/abstractions/mod.rs",
            "driver/Module.symvers",
            "crates/vfio-fsl-mc-core/src/logic/mod.rs",
            "crates/vfio-fsl-mc-core/src/lib.rs",
        ]);
        let found = sources(&DRIVER, folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "crates/vfio-fsl-mc-core/src/logic/mod.rs",
                "driver/Kbuild",
                "driver/abstractions/mod.rs",
                "driver/main.rs",
            ]
        );
        assert_eq!(found[3].1, b"driver/main.rs");
    }

    #[test]
    fn a_folder_without_a_driver_is_named() {
        let folder = checkout(&["driver/main.rs"]);
        let error = sources(&DRIVER, folder.path()).unwrap_err();
        assert!(
            matches!(&error, Error::NoDriverSource(path) if path.ends_with("logic")),
            "{error}"
        );
    }
}
