// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's initial file system: the agent, busybox, kernel modules.

use crate::kit::{Kit, KitError};
use board_qemu::{EntryError, Initramfs};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Modules that the agent needs to find its ports and the shared directory.
const EARLY: [&str; 2] = ["virtio_mmio", "virtio_console"];
/// Modules that mount the shared directory.
const SHARED: [&str; 2] = ["9pnet_virtio", "9p"];
/// Modules that are loaded when something asks for them, with parameters.
///
/// The IOMMU of the board has no interrupt remapping of its own (the ITS
/// isolates), which the kernel cannot know: without the parameter
/// VFIO_SET_IOMMU is refused.
const DEMAND: [(&str, &str); 4] = [
    ("vfio_iommu_type1", "allow_unsafe_interrupts=1"),
    ("vfio-fsl-mc", ""),
    ("fsl-mc-dpio", ""),
    ("fsl-dpaa2-eth", ""),
];

/// Why no image can be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ImageError {
    /// A part is missing.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kit(#[from] KitError),
    /// A module is missing.
    #[error(transparent)]
    Module(#[from] setup::Error),
    /// The archive takes no such file.
    #[error("making the guest's file system: {0}")]
    Entry(#[from] EntryError),
}

/// Makes the archive.
///
/// # Errors
/// [`ImageError`].
pub fn build(kit: &Kit, shared: bool, more_modules: &[String]) -> Result<Vec<u8>, ImageError> {
    let mut image = Initramfs::new();
    image.file("/init", 0o755, &Kit::read(&kit.program)?)?;
    image.file("/bin/busybox", 0o755, &Kit::read(&kit.busybox)?)?;
    image.symlink("/bin/fslmc-guest", "/init")?;
    let mut modules = Modules::default();
    for name in EARLY.iter().chain(if shared { &SHARED[..] } else { &[] }) {
        modules.add(kit, &mut image, "early", name, "")?;
    }
    for (name, parameters) in DEMAND {
        modules.add(kit, &mut image, "demand", name, parameters)?;
    }
    for name in more_modules {
        modules.add(kit, &mut image, "demand", name, "")?;
    }
    image.file(fslmc_guest::module_list::PATH, 0o644, modules.list.as_bytes())?;
    Ok(image.finish())
}

/// The modules that are in the image, and the list that says so.
#[derive(Default)]
struct Modules {
    seen: BTreeSet<String>,
    list: String,
}

impl Modules {
    fn add(
        &mut self,
        kit: &Kit,
        image: &mut Initramfs,
        stage: &str,
        name: &str,
        parameters: &str,
    ) -> Result<(), ImageError> {
        // In load order: each needs those before it, at most.
        let mut needs: Vec<String> = Vec::new();
        for module in kit.kernel.modules(&[name])? {
            if self.seen.insert(module.name.clone()) {
                let path = format!("/lib/modules/{}.ko", module.name);
                image.file(&path, 0o644, &module.bytes)?;
                let own = module.name.replace('_', "-") == name.replace('_', "-");
                let parameters = if own { parameters } else { "" };
                let needs = if needs.is_empty() { "-".into() } else { needs.join(",") };
                let _ = writeln!(self.list, "{stage} {} {path} {needs} {parameters}", module.name);
            }
            needs.push(module.name);
        }
        Ok(())
    }
}
