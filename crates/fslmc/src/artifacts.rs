// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a machine is started with: emulator, kernel, guest programs.

use crate::kernel::{Found, KernelChoice, KernelChoiceError};
use miette::Diagnostic;
use setup::{BuiltDriver, Cache, DebianKernel, Kernel, PackageSet, Packages, Progress};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Package of the guest's programs, and the name of the one program in it.
const GUEST_PACKAGE: &str = "fslmc-guest";

/// What the guest's programs are made of, below the checkout.
const GUEST_SOURCES: [&str; 11] = [
    "crates/guest",
    "crates/guest-agent",
    "crates/guest-protocol",
    "crates/dprc",
    "crates/dprc-assign",
    "crates/fsl-mc-linux",
    "crates/fslmc-vmm",
    "crates/mc-abi",
    "crates/qbman-abi",
    "Cargo.toml",
    "Cargo.lock",
];

/// A vfio-fsl-mc driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Driver {
    /// The one of this project, built from the checkout.
    Rust,
    /// The C module that comes with the kernel.
    Stock,
    /// None.
    None,
}

impl Driver {
    /// The driver of a machine that nobody has chosen one for: this project's, where
    /// there is one for the kernel.
    pub fn usual(kernel: &KernelChoice) -> Self {
        if *kernel == KernelChoice::Board || driver_module().is_some() {
            Self::Rust
        } else {
            Self::Stock
        }
    }

    /// The sets of packages that a machine with this kernel and this driver needs: what is
    /// built already, and what is built for another kernel, needs none to build the driver.
    pub fn package_sets(self, kernel: &KernelChoice) -> &'static [PackageSet] {
        self.sets(builds(kernel))
    }

    fn sets(self, builds: bool) -> &'static [PackageSet] {
        match self {
            Self::Rust if builds => {
                &[PackageSet::Board, PackageSet::Cross, PackageSet::KernelBuild]
            }
            _ => &[PackageSet::Board, PackageSet::Cross],
        }
    }
}

/// Names a driver in Rust that was built by hand.
const MODULE: &str = "FSLMC_DRIVER_MODULE";

/// The path that a variable holds; an empty one is as good as none.
fn path_in(variable: Option<OsString>) -> Option<PathBuf> {
    variable.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Whether a driver in Rust is to be built for the board's kernel.
fn builds(kernel: &KernelChoice) -> bool {
    *kernel == KernelChoice::Board && driver_module().is_none()
}

fn driver_module() -> Option<PathBuf> {
    path_in(std::env::var_os(MODULE))
}

/// Why an artifact cannot be had.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ArtifactsError {
    /// The set-up failed.
    #[error(transparent)]
    Setup(#[from] setup::Error),
    /// There is no checkout to build the guest's programs from.
    #[error("the sources of the guest's programs are not at {0}")]
    #[diagnostic(help("run fslmc from a checkout, or set FSLMC_SOURCE to one"))]
    NoSource(PathBuf),
    /// There is no checkout to build the driver from.
    #[error("the sources of the driver are not at {0}")]
    #[diagnostic(help(
        "run fslmc from a checkout, or set FSLMC_SOURCE to one; --driver stock takes the kernel's own driver"
    ))]
    NoDriverSource(PathBuf),
    /// The driver does not build here.
    #[error(transparent)]
    #[diagnostic(help("--driver stock takes the kernel's own driver"))]
    Driver(setup::Error),
    /// The kernel is not understood.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kernel(#[from] KernelChoiceError),
    /// The set-up builds the driver for Debian's kernels alone.
    #[error("the driver in Rust is built for Debian's kernels, not for Linux {0}")]
    #[diagnostic(help(
        "--driver stock takes the kernel's own driver; or build it for this kernel \
         (docs/debug-kernel.md) and set {MODULE} to the module"
    ))]
    NoModule(String),
    /// A machine is to have a driver that was not built.
    #[error("the driver in Rust was not built: the artifacts were prepared for another driver")]
    NotBuilt,
    /// A file that must be there cannot be read.
    #[error("reading {path}: {cause}")]
    #[diagnostic(help("`fslmc setup --verify` finds damaged files"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
}

/// The files that a machine is started with.
#[derive(Debug)]
pub struct Artifacts {
    /// The unpacked packages.
    pub packages: Packages,
    /// The kernel.
    pub kernel: Kernel,
    /// The program that is the guest's first process and all its tools.
    pub program: PathBuf,
    /// The guest's shell and applets.
    pub busybox: PathBuf,
    /// The driver in Rust, if these were prepared for it.
    pub driver: Option<BuiltDriver>,
    /// Keeps a fetched kernel from being removed.
    _kernel: Option<DebianKernel>,
}

impl Artifacts {
    /// As [`Artifacts::with_kernel`], with the kernel that `FSLMC_KERNEL` names, else the
    /// board's.
    ///
    /// # Errors
    /// [`ArtifactsError`].
    pub fn prepare(driver: Driver, progress: &dyn Progress) -> Result<Self, ArtifactsError> {
        Self::with_kernel(&KernelChoice::from_env()?, driver, progress)
    }

    /// Finds all artifacts; fetches and builds what is missing. The driver in Rust is
    /// built only for [`Driver::Rust`]; the stock one is there in any case.
    ///
    /// `FSLMC_DRIVER_MODULE` names a driver in Rust that was built by hand; for a kernel that
    /// is none of Debian's there must be one.
    ///
    /// # Errors
    /// [`ArtifactsError`].
    pub fn with_kernel(
        kernel: &KernelChoice,
        driver: Driver,
        progress: &dyn Progress,
    ) -> Result<Self, ArtifactsError> {
        let cache = Cache::from_env()?;
        let module = driver_module();
        let builds = builds(kernel);
        let packages = ensure_sets(&cache, driver.package_sets(kernel), progress)?;
        let program = guest_program(&packages, cache.folder())?;
        let Found { kernel, kept } = kernel.find(&cache, &packages, progress)?;
        let driver = match (driver, module) {
            (Driver::Stock | Driver::None, _) => None,
            (Driver::Rust, Some(file)) => Some(BuiltDriver::of_file(&file, &kernel)?),
            (Driver::Rust, None) if builds => Some(rust_driver(&packages, progress)?),
            (Driver::Rust, None) => match &kept {
                Some(kept) => {
                    let build = cache.build_tree(kept, progress);
                    Some(rust_driver(&build.map_err(ArtifactsError::Driver)?, progress)?)
                }
                None => return Err(ArtifactsError::NoModule(kernel.release().to_owned())),
            },
        };
        let busybox = packages.busybox()?;
        Ok(Self { kernel, busybox, program, driver, packages, _kernel: kept })
    }

    /// The bytes of an artifact.
    ///
    /// # Errors
    /// [`ArtifactsError::Read`].
    pub fn read(path: &Path) -> Result<Vec<u8>, ArtifactsError> {
        fs::read(path).map_err(|cause| ArtifactsError::Read { path: path.into(), cause })
    }
}

/// Opens the sets. Those that only a driver in Rust needs come last: if they cannot be had, the
/// other driver can.
fn ensure_sets(
    cache: &Cache,
    sets: &[PackageSet],
    progress: &dyn Progress,
) -> Result<Packages, ArtifactsError> {
    let usual = Driver::Stock.sets(false);
    let packages = cache.ensure(usual, progress)?;
    if sets == usual {
        return Ok(packages);
    }
    // They may turn out to be too old for the others, and go.
    drop(packages);
    cache.ensure(sets, progress).map_err(ArtifactsError::Driver)
}

/// Only the emulator and its tools: enough to look at layouts.
///
/// # Errors
/// [`ArtifactsError::Setup`].
pub fn board_packages(progress: &dyn Progress) -> Result<Packages, ArtifactsError> {
    Ok(Cache::from_env()?.ensure(&[PackageSet::Board], progress)?)
}

fn rust_driver(
    packages: &Packages,
    progress: &dyn Progress,
) -> Result<BuiltDriver, ArtifactsError> {
    setup::build_driver(&checkout(), packages, progress).map_err(|error| match error {
        setup::Error::NoDriverSource(path) => ArtifactsError::NoDriverSource(path),
        other => ArtifactsError::Driver(other),
    })
}

/// Where the sources are: in the checkout that this program was built from.
fn checkout() -> PathBuf {
    path_in(std::env::var_os("FSLMC_SOURCE"))
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")))
}

fn source() -> Result<PathBuf, ArtifactsError> {
    let root = checkout();
    if root.join(GUEST_SOURCES[0]).is_dir() {
        Ok(root)
    } else {
        Err(ArtifactsError::NoSource(root))
    }
}

/// The guest's program, built where a source has changed since.
fn guest_program(packages: &Packages, cache: &Path) -> Result<PathBuf, ArtifactsError> {
    let root = source()?;
    let stamp = cache.join("guest").join("program");
    program_of(&root, &identity(packages, &root), &stamp, || {
        let folder = setup::build_guest_programs(&root, packages, &[GUEST_PACKAGE])?;
        Ok(folder.join(GUEST_PACKAGE))
    })
}

/// The program that the stamp names, unless it belongs to something else than `identity`, or
/// a source below `root` has changed since `build` made it.
fn program_of(
    root: &Path,
    identity: &str,
    stamp: &Path,
    build: impl FnOnce() -> Result<PathBuf, ArtifactsError>,
) -> Result<PathBuf, ArtifactsError> {
    // Looked at before the build: what is saved meanwhile may be in the program or not.
    let built_from = format!("{identity} {}", state(root));
    if let Ok(known) = fs::read_to_string(stamp)
        && let Some((of, path)) = known.split_once('\n')
        && of == built_from
        && Path::new(path).is_file()
    {
        return Ok(path.into());
    }
    let program = build()?;
    let text = format!("{built_from}\n{}", program.display());
    // Without the stamp, the next start asks cargo again: slower, not wrong.
    if let Err(error) = fs::write(stamp, text) {
        tracing::debug!(%error, "stamp of the guest's program not written");
    }
    Ok(program)
}

/// What a built program belongs to: sources and compiler.
fn identity(packages: &Packages, root: &Path) -> String {
    let root = root.canonicalize().unwrap_or_else(|_| root.into());
    let tree =
        packages.tree(PackageSet::Cross).map(|t| t.display().to_string()).unwrap_or_default();
    format!("{} {tree}", root.display())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

/// The sources in one word: when one was last changed. Deleting a file changes its folder.
fn state(root: &Path) -> String {
    let since = newest(root).and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or_else(String::new, |since| since.as_nanos().to_string())
}

/// When a source was last changed; deleting a file changes its folder.
fn newest(root: &Path) -> Option<SystemTime> {
    fn walk(path: &Path) -> Option<SystemTime> {
        let own = modified(path);
        let Ok(entries) = fs::read_dir(path) else { return own };
        entries.flatten().map(|e| walk(&e.path())).chain([own]).max().flatten()
    }
    GUEST_SOURCES.iter().map(|source| walk(&root.join(source))).max().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_driver_that_is_built_for_the_boards_kernel_needs_its_build_tree() {
        let has = |sets: &[PackageSet]| sets.contains(&PackageSet::KernelBuild);
        assert!(has(Driver::Rust.sets(true)) && !has(Driver::Rust.sets(false)));
        assert!(!has(Driver::Stock.sets(true)) && !has(Driver::None.sets(true)));
        let other = KernelChoice::Debian("6.12".parse().unwrap());
        assert!(!has(Driver::Rust.package_sets(&other)));
    }

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        assert_eq!(path_in(None), None);
        assert_eq!(path_in(Some("".into())), None);
        assert_eq!(path_in(Some("/m.ko".into())), Some("/m.ko".into()));
    }

    #[test]
    fn a_source_that_is_saved_during_a_build_has_it_built_again() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join(GUEST_SOURCES[0]).join("main.rs");
        fs::create_dir_all(source.parent().unwrap()).unwrap();
        let (program, stamp) = (folder.path().join("program"), folder.path().join("stamp"));
        let ago = SystemTime::now() - Duration::from_secs(60);
        let save = |time: SystemTime| {
            fs::write(&source, "").unwrap();
            fs::File::open(&source).unwrap().set_modified(time).unwrap();
            // Its folder is as old as the test.
            fs::File::open(source.parent().unwrap()).unwrap().set_modified(ago).unwrap();
        };
        // Whether it is built; somebody saves the source meanwhile, if told to.
        let built = |saved: Option<SystemTime>| {
            let mut built = false;
            let build = || {
                built = true;
                if let Some(time) = saved {
                    save(time);
                }
                fs::write(&program, "").unwrap();
                Ok(program.clone())
            };
            program_of(folder.path(), "x", &stamp, build).unwrap();
            built
        };
        save(ago);
        assert!(built(Some(ago + Duration::from_secs(1))));
        assert!(built(None), "what was saved during the build may not be in it");
        assert!(!built(None));
        save(SystemTime::now());
        assert!(built(None));
        fs::remove_file(&program).unwrap();
        assert!(built(None) && !built(None));
    }
}
