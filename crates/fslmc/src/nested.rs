// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a guest inside the guest starts with: the VMM, the board's own kernel, and a
//! small file system whose first process runs lines from the console.

use crate::artifacts::{Artifacts, ArtifactsError};
use board_qemu::{EntryError, Initramfs};
use miette::Diagnostic;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The package of the VMM, and its name.
pub const VMM: &str = "fslmc-vmm";

/// Handles guests from a shell; see its first lines.
pub const SCRIPT: &str = "l2.sh";

/// Modules of Linux's own drivers for network interfaces of the board.
const MODULES: [&str; 2] = ["fsl-mc-dpio", "fsl-dpaa2-eth"];

/// Those of disks of the VMM's, and of images with packages on them.
const DISK_MODULES: [&str; 3] = ["virtio_mmio", "virtio_blk", "erofs"];

/// Why a guest inside the guest cannot be prepared.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum NestedError {
    /// A part is missing.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Artifacts(#[from] ArtifactsError),
    /// The program does not build, or a module is missing.
    #[error(transparent)]
    Setup(#[from] setup::Error),
    /// The archive takes no such file.
    #[error("making the inner guest's file system: {0}")]
    Entry(#[from] EntryError),
    /// A file cannot be written.
    #[error("writing {path}: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
}

/// Puts into a folder, which the outer guest is to see, what a guest of `fslmc assign`
/// starts with: `Image`, `initramfs` and [`SCRIPT`].
///
/// # Errors
/// [`NestedError`].
pub fn prepare_plain(artifacts: &Artifacts, folder: &Path) -> Result<(), NestedError> {
    put_image(artifacts, folder)?;
    put(folder, "initramfs", 0o644, &initramfs(artifacts)?.finish())
}

/// The same, and the VMM as a program of its own. It lies in `programs`, beside others, some
/// of which the inner guest is to have in `/bin`.
///
/// # Errors
/// [`NestedError`].
pub fn prepare(
    artifacts: &Artifacts,
    programs: &Path,
    inner: &[&str],
    folder: &Path,
) -> Result<(), NestedError> {
    put(folder, VMM, 0o755, &Artifacts::read(&programs.join(VMM))?)?;
    put_image(artifacts, folder)?;
    let mut image = initramfs(artifacts)?;
    for name in inner {
        image.file(&format!("/bin/{name}"), 0o755, &Artifacts::read(&programs.join(name))?)?;
    }
    put(folder, "initramfs", 0o644, &image.finish())
}

fn put_image(artifacts: &Artifacts, folder: &Path) -> Result<(), NestedError> {
    put(folder, SCRIPT, 0o755, include_bytes!("nested/l2.sh"))?;
    put(folder, "Image", 0o644, &Artifacts::read(artifacts.kernel.image())?)
}

fn initramfs(artifacts: &Artifacts) -> Result<Initramfs, NestedError> {
    let mut image = Initramfs::new();
    image.file("/init", 0o755, include_bytes!("nested/init.sh"))?;
    image.file("/bin/busybox", 0o755, &Artifacts::read(&artifacts.busybox)?)?;
    let mut there = BTreeSet::new();
    for (list, names) in [("order", &MODULES[..]), ("disks", &DISK_MODULES)] {
        let mut order = String::new();
        for module in artifacts.kernel.modules(names)? {
            order.push_str(&module.name);
            order.push('\n');
            if there.insert(module.name.clone()) {
                image.file(&format!("/modules/{}.ko", module.name), 0o644, &module.bytes)?;
            }
        }
        image.file(&format!("/modules/{list}"), 0o644, order.as_bytes())?;
    }
    Ok(image)
}

fn put(folder: &Path, name: &str, mode: u32, bytes: &[u8]) -> Result<(), NestedError> {
    let path = folder.join(name);
    let failed = |cause| NestedError::Write { path: path.clone(), cause };
    fs::write(&path, bytes).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed)
}
