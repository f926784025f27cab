// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A kernel that watches the driver: Debian's newest sources, with the configuration that
//! a checkout has at `driver/debug.config`, built by clang.
//!
//! Each step is marked when it is over, and make itself knows what it has compiled: an
//! interrupted run goes on where it was.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::build_tree::checked;
use crate::cache::lock_path;
use crate::disk;
use crate::driver;
use crate::error::{Error, Result};
use crate::install;
use crate::kernel::Kernel;
use crate::lock::Lock;
use crate::package_set::PackageSet;
use crate::packages::Packages;
use crate::progress::Progress;
use crate::sandbox::{self, Sandbox};
use crate::store;
use crate::tree::{self, hexadecimal};

/// The folder in the cache.
const PLACE: &str = "debug-kernel";

/// The configuration, below a checkout.
const FRAGMENT: &str = "driver/debug.config";

/// The architecture, and the compilers by the suffix that Debian gives them. KASAN goes
/// with Rust only where the C compiler is clang, of the LLVM that rustc has.
const COMPILERS: [&str; 2] = ["ARCH=arm64", "LLVM=-19"];

/// Most of the sources are drivers that the configuration has not. Their Kconfig files
/// are read all the same.
const LEFT_OUT: [&str; 7] = [
    "Documentation/*.rst",
    "arch/[b-z]*.[cS]",
    "arch/*/boot/dts/*",
    "drivers/gpu/drm/*.[chS]",
    "sound/*.[ch]",
    "tools/perf/*",
    "tools/testing/*",
];

/// What a build takes on the disk: 1 GB of sources, and what is made of them.
const BUILD_SIZE: u64 = 2 << 30;

/// The bus probes a container with its parent's scan lock held. Both locks are of one
/// class, which lockdep takes for a deadlock: it says so and switches itself off, before
/// the driver is even loaded. This gives each depth a class of its own.
const BUS: &str = "drivers/bus/fsl-mc/fsl-mc-bus.c";
const LOCK_IS_MADE: &str = "mutex_init(&mc_bus->scan_mutex);\n";
const CLASS_BY_DEPTH: &str = "\
\t\tint depth = 0;
\t\tfor (struct device *up = parent_dev; up && dev_is_fsl_mc(up); up = up->parent)
\t\t\tdepth++;
\t\tlockdep_set_subclass(&mc_bus->scan_mutex, depth);
";

/// The kernel and the driver for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugKernel {
    /// What `uname -r` says on it.
    pub release: String,
    /// The folder that it was built in, which `FSLMC_KERNEL` takes.
    pub folder: PathBuf,
    /// The driver of the checkout, which `FSLMC_DRIVER_MODULE` takes.
    pub module: PathBuf,
}

/// Builds the kernel with the configuration of the checkout at `checkout`, and the
/// checkout's driver against it, as far as that has not been done.
///
/// # Errors
/// [`Error::NotOpened`] without [`PackageSet::DebugKernel`], [`Error::NoDriverSource`] if it
/// is no checkout, [`Error::LostOptions`] where the kernel does not have what the
/// configuration asks for, [`Error::KernelBuild`] and [`Error::DriverBuild`] with what the
/// compilers say, [`Error::NoSandbox`], and [`Error::NoSpace`].
pub fn build_debug_kernel(
    checkout: &Path,
    packages: &Packages,
    progress: &dyn Progress,
) -> Result<DebugKernel> {
    let tree = packages.tree(PackageSet::DebugKernel)?;
    let all = packages.cache().join(PLACE);
    let place = all.join(driver::file_name(tree));
    disk::make_folder(&place)?;
    let _alone = Lock::exclusive(&lock_path(&place), || {
        progress.message("waiting for another process that builds the debug kernel");
    })?;
    let work = Work { checkout, packages, tree, place, progress };
    work.unpack_sources()?;
    let release = work.build_kernel()?;
    let module = work.build_driver(&release)?;
    work.remove_others(&all)?;
    Ok(DebugKernel { release, folder: work.kernel(), module })
}

struct Work<'a> {
    checkout: &'a Path,
    packages: &'a Packages,
    tree: &'a Path,
    place: PathBuf,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    fn source(&self) -> PathBuf {
        self.place.join("source")
    }

    fn kernel(&self) -> PathBuf {
        self.place.join("build")
    }

    fn sandbox(&self) -> Result<Sandbox> {
        Ok(Sandbox::open(self.packages, self.tree)?
            .variable("KBUILD_BUILD_TIMESTAMP", "1970-01-01")
            .variable("KBUILD_BUILD_USER", "fslmc")
            .variable("KBUILD_BUILD_HOST", "fslmc"))
    }

    /// Runs a step of the kernel's own build.
    fn step(&self, what: &'static str, sandbox: &Sandbox, words: &[&str]) -> Result<()> {
        self.progress.busy(what);
        let ended = sandbox.run(words, |line| self.progress.doing(line.trim()))?;
        self.progress.finished();
        checked(what, "of the newest linux-source", &ended)
    }

    fn unpack_sources(&self) -> Result<()> {
        let source = self.source();
        if source.is_dir() {
            return Ok(());
        }
        let partial = self.place.join("source.partial");
        // What an interrupted run has left there takes space.
        disk::remove_folder(&partial)?;
        install::check_free(self.packages.cache(), PLACE, BUILD_SIZE)?;
        let pattern = "usr/src/linux-source-*.tar.xz";
        let archive = disk::find(self.tree, pattern)
            .ok_or_else(|| Error::NotInTree { what: pattern.into(), tree: self.tree.to_owned() })?;
        disk::make_folder(&partial)?;
        let name = driver::file_name(&archive);
        let inside = format!("/usr/src/{name}");
        let mut unpack = vec!["tar", "-I", "xz -dT0", "--no-same-owner", "--strip-components=1"];
        unpack.extend(["-xf", &inside, "-C", "/source"]);
        // A `*` would match any number of folders, and so others of the same name below.
        let folder = name.strip_suffix(".tar.xz").unwrap_or(&name);
        let left_out = LEFT_OUT.map(|pattern| format!("--exclude={folder}/{pattern}"));
        unpack.extend(left_out.iter().map(String::as_str));
        let sandbox = self.sandbox()?.with(&partial, "/source", true);
        self.step("unpacking the kernel's sources", &sandbox, &unpack)?;
        let bus = partial.join(BUS);
        let text = fs::read_to_string(&bus).map_err(Error::file("cannot read", &bus))?;
        disk::write_whole(&bus, with_class_by_depth(&bus, &text)?.as_bytes())?;
        // The name says that all of it is there, also after the machine has stopped.
        tree::sync(&partial)?;
        fs::rename(&partial, &source).map_err(Error::file("cannot move into place", &partial))
    }

    /// Gives the kernel's release.
    fn build_kernel(&self) -> Result<String> {
        let path = self.checkout.join(FRAGMENT);
        let fragment =
            fs::read_to_string(&path).map_err(|_| Error::NoDriverSource(path.clone()))?;
        let (kernel, mark) = (self.kernel(), self.place.join("built"));
        let wanted = hexadecimal(&Sha256::digest(&fragment));
        if fs::read_to_string(&mark).is_ok_and(|found| found == wanted)
            && let Ok(built) = Kernel::built_in(&kernel)
        {
            return Ok(built.release().to_owned());
        }
        disk::remove(&mark)?;
        disk::make_folder(&kernel)?;
        let inside = "debug.config";
        disk::write_if_changed(&kernel.join(inside), fragment.as_bytes())?;
        let sandbox = self
            .sandbox()?
            .with(&self.source(), "/source", true)
            .with(&kernel, "/build", true)
            .variable("KCONFIG_ALLCONFIG", format!("/build/{inside}"));
        let make = [&["make", "-C", "/source", "O=/build"][..], &COMPILERS].concat();
        let configure = [&make[..], &["allnoconfig"]].concat();
        self.step("configuring the debug kernel", &sandbox, &configure)?;
        let config = kernel.join(".config");
        let found = fs::read_to_string(&config).map_err(Error::file("cannot read", &config))?;
        let lost = lost_options(&fragment, &found);
        if !lost.is_empty() {
            return Err(Error::LostOptions { fragment: path, lost: lost.join(", ") });
        }
        let jobs = sandbox::jobs();
        let build = [&make[..], &[jobs.as_str(), "Image", "modules"]].concat();
        let what = "building the debug kernel (about twenty minutes of processor time)";
        self.step(what, &sandbox, &build)?;
        let built = Kernel::built_in(&kernel)?;
        disk::write_whole(&mark, wanted.as_bytes())?;
        Ok(built.release().to_owned())
    }

    fn build_driver(&self, release: &str) -> Result<PathBuf> {
        let of_checkout = format!("driver-{}", crate::guest::workspace_key(self.checkout));
        let (source, build) =
            (self.place.join(&of_checkout).join("source"), self.place.join(&of_checkout));
        let build = build.join("build");
        driver::copy_sources(self.checkout, &source)?;
        // What was built for a kernel that has been configured anew is of no use.
        let symbols = self.kernel().join("Module.symvers");
        let symbols = fs::read(&symbols).map_err(Error::file("cannot read", &symbols))?;
        let of = format!("{release} {}", hexadecimal(&Sha256::digest(&symbols)));
        let mark = self.place.join(&of_checkout).join("kernel");
        if fs::read_to_string(&mark).ok().as_deref() != Some(&of) {
            disk::remove_folder(&build)?;
            disk::make_folder(&build)?;
            disk::write_whole(&mark, of.as_bytes())?;
        }
        let what = "building the driver for the debug kernel";
        let sandbox = self
            .sandbox()?
            .with(&self.source(), "/source", false)
            .with(&self.kernel(), "/build", false)
            .with(&source, "/tmp/source", false)
            .with(&build, "/tmp/build", true);
        let jobs = sandbox::jobs();
        let make = ["make", "-C", "/build", "M=/tmp/source/driver", "MO=/tmp/build", &jobs];
        let words = [&make[..], &COMPILERS, &["modules"]].concat();
        self.progress.busy(what);
        let ended = sandbox.run(&words, |line| self.progress.doing(line.trim()))?;
        self.progress.finished();
        if !ended.status.success() {
            let checkout = format!("{}/", self.checkout.display());
            let said = sandbox::without_chatter(&ended.output);
            let output = said.replace("/tmp/source/", &checkout);
            return Err(Error::DriverBuild { what, status: ended.status, output });
        }
        Ok(build.join("vfio-fsl-mc.ko"))
    }

    /// Kernels that were built with other packages, unless somebody builds there now.
    fn remove_others(&self, all: &Path) -> Result<()> {
        for entry in disk::entries(all)? {
            let path = entry.path();
            if path.is_dir()
                && path != self.place
                && let Err(error) = store::remove_unused(&path)
            {
                self.progress.message(&error.to_string());
            }
        }
        Ok(())
    }
}

/// The bus's source with a lock class for each depth of containers.
fn with_class_by_depth(path: &Path, text: &str) -> Result<String> {
    let Some((before, after)) = text.split_once(LOCK_IS_MADE) else {
        return Err(Error::Malformed {
            path: path.to_owned(),
            what: format!(
                "has no `{}`, after which each depth of containers is given a lock class of its \
                 own: this kernel's bus is another one than the driver was written for",
                LOCK_IS_MADE.trim_end()
            ),
        });
    };
    Ok([before, LOCK_IS_MADE, CLASS_BY_DEPTH, after].concat())
}

/// What a configuration does not have of what was asked for.
fn lost_options<'a>(fragment: &'a str, configuration: &str) -> Vec<&'a str> {
    let has = |wanted: &&str| configuration.lines().any(|line| line == *wanted);
    let wanted = fragment.lines().filter(|line| line.starts_with("CONFIG_"));
    wanted.filter(|line| !has(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_is_lost_is_named() {
        let fragment = "# KASAN is the point.\nCONFIG_KASAN=y\nCONFIG_NR_CPUS=8\n";
        let all = "CONFIG_KASAN=y\nCONFIG_NR_CPUS=8\nCONFIG_SMP=y\n";
        assert!(lost_options(fragment, all).is_empty());
        let other = "# CONFIG_KASAN is not set\nCONFIG_NR_CPUS=80\n";
        assert_eq!(lost_options(fragment, other), ["CONFIG_KASAN=y", "CONFIG_NR_CPUS=8"]);
    }

    #[test]
    fn a_bus_without_the_lock_is_refused() {
        let path = Path::new("bus.c");
        let text = "\t\tmutex_init(&mc_bus->scan_mutex);\n\t\tmc_dev = &mc_bus->mc_dev;\n";
        let changed = with_class_by_depth(path, text).unwrap();
        let at = |part: &str| changed.find(part).unwrap();
        assert!(at("mutex_init") < at("lockdep_set_subclass"));
        assert!(at("lockdep_set_subclass") < at("mc_dev ="));
        let error = with_class_by_depth(path, "int x;\n").unwrap_err().to_string();
        assert!(error.contains("bus.c") && error.contains("scan_mutex"), "{error}");
    }
}
