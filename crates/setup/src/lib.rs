// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Fetches and unpacks what a machine lacks: the emulator, an arm64 kernel
//! with its modules, and what it takes to build programs for the guest and modules
//! for its kernel.
//!
//! Everything comes from Debian packages (trixie and trixie-backports). The
//! machine's own `apt-get` resolves, downloads and authenticates them, with a
//! configuration and a state of our own, so that nothing of the machine's
//! package management changes; `dpkg-deb` unpacks them into a tree below a
//! cache folder. No root is needed: programs of a tree run through the tree's own
//! dynamic loader ([`Packages::command`]); only what is built for the kernel takes a
//! place where the tree is `/`, which bubblewrap makes ([`build_driver`]).
//!
//! # The cache folder
//! `$FSLMC_CACHE`, else `$XDG_CACHE_HOME/fslmc`, else `~/.cache/fslmc`:
//!
//! | path | holds |
//! |---|---|
//! | `board.json`, `cross.json`, `kernel-build.json` | the stamp of a set: which tree is current. Written last |
//! | `trees/<set>-<id>/` | the unpacked packages; the id names set, packages and versions |
//! | `trees/<set>-<id>.json` | the manifest: packages, every file with size and hash |
//! | `trees/<set>-<id>.lock` | held shared by each process that uses the tree |
//! | `lock` | held by the one process that changes the cache |
//! | `apt/` | package lists and half-done downloads; packages go once they are unpacked |
//! | `guest/` | wrappers and the target folder of the guest's programs |
//! | `debug-kernel/` | a kernel that watches the driver, and the driver of each checkout for it |
//! | `kernels/`, `build-trees/` | other kernels of Debian's, and what builds the driver for them |
//! | `switch-driver/` | Linux's driver of switches for the board's kernel |
//! | `driver/` | for each checkout, the driver and the folders that it is built in |
//!
//! Any of it may be removed at any time that nothing runs; the next run fetches
//! what is missing.
//!
//! # Example
//! ```no_run
//! use setup::{Cache, PackageSet, Terminal};
//! let progress = Terminal::new();
//! let packages = Cache::from_env()?.ensure(&[PackageSet::Board], &progress)?;
//! let kernel = packages.kernel()?;
//! let qemu = packages.command("qemu-system-aarch64")?.arg("--version").status();
//! for module in kernel.modules(&["vfio-fsl-mc"])? {
//!     println!("{}: {} bytes", module.name, module.bytes.len());
//! }
//! # Ok::<(), setup::Error>(())
//! ```
#![forbid(unsafe_code)]

mod apt;
mod build_tree;
mod cache;
mod compression;
mod debian_kernel;
mod debug_kernel;
mod disk;
mod driver;
mod erofs;
mod error;
mod from_packages;
mod guest;
mod host;
mod install;
mod kernel;
mod lock;
mod mirror;
mod module_check;
mod module_image;
mod modules;
mod other_build_tree;
mod package;
mod package_set;
mod packages;
mod progress;
mod sandbox;
mod stamp;
mod store;
mod switch_driver;
mod tree;
mod userland;

pub use cache::Cache;
pub use debian_kernel::{DebianKernel, KernelVersion};
pub use debug_kernel::{DebugKernel, build_debug_kernel};
pub use driver::{BuiltDriver, build_driver, build_least_driver, lint_driver};
pub use erofs::Image;
pub use error::{Error, Result};
pub use guest::{GUEST_TARGET, build_guest_programs};
pub use kernel::Kernel;
pub use modules::Module;
pub use package::Package;
pub use package_set::PackageSet;
pub use packages::Packages;
pub use progress::{Progress, Silent, Terminal};
pub use switch_driver::build_switch_driver;
pub use userland::{DEFAULT_SUITE, Userland};
