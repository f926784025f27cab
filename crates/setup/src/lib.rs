// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Fetches and unpacks what a machine lacks: the emulator, an arm64 kernel
//! with its modules, and what it takes to build programs for the guest.
//!
//! Everything comes from Debian packages (trixie and trixie-backports). The
//! machine's own `apt-get` resolves, downloads and authenticates them, with a
//! configuration and a state of our own, so that nothing of the machine's
//! package management changes; `dpkg-deb` unpacks them into a tree below a
//! cache folder. No root, no chroot and no mount is needed: programs of a tree
//! run through the tree's own dynamic loader ([`Parts::command`]).
//!
//! # The cache folder
//! `$FSLMC_CACHE`, else `$XDG_CACHE_HOME/fslmc`, else `~/.cache/fslmc`:
//!
//! | path | holds |
//! |---|---|
//! | `board.json`, `cross.json` | the stamp of a set: which tree is current. Written last |
//! | `trees/<set>-<id>/` | the unpacked packages; the id names set, packages and versions |
//! | `trees/<set>-<id>.json` | the manifest: packages, every file with size and hash |
//! | `trees/<set>-<id>.lock` | held shared by each process that uses the tree |
//! | `lock` | held by the one process that changes the cache |
//! | `apt/` | package lists and half-done downloads; packages go once they are unpacked |
//! | `guest/` | wrappers and the target folder of the guest's programs |
//!
//! Any of it may be removed at any time that nothing runs; the next run fetches
//! what is missing.
//!
//! # Example
//! ```no_run
//! use setup::{Cache, Need, Terminal};
//! let progress = Terminal::new();
//! let parts = Cache::from_env()?.ensure(&[Need::Board], &progress)?;
//! let kernel = parts.kernel()?;
//! let qemu = parts.command("qemu-system-aarch64")?.arg("--version").status();
//! for module in kernel.modules(&["vfio-fsl-mc"])? {
//!     println!("{}: {} bytes", module.name, module.bytes.len());
//! }
//! # Ok::<(), setup::Error>(())
//! ```
#![forbid(unsafe_code)]

mod apt;
mod cache;
mod compression;
mod disk;
mod error;
mod guest;
mod host;
mod install;
mod kernel;
mod lock;
mod mirror;
mod modules;
mod need;
mod package;
mod parts;
mod progress;
mod stamp;
mod tree;

pub use cache::Cache;
pub use error::{Error, Result};
pub use guest::{GUEST_TARGET, build_guest_programs};
pub use kernel::Kernel;
pub use modules::Module;
pub use need::Need;
pub use package::Package;
pub use parts::Parts;
pub use progress::{Progress, Silent, Terminal};
