// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's initial file system: the agent, busybox, kernel modules.

use crate::{
    kit::{Driver, Kit, KitError},
    root::Root,
};
use board_qemu::{EntryError, Initramfs};
use guest_protocol::module_list::same_name;
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
const DEMAND: [(&str, &str); 3] =
    [("vfio_iommu_type1", "allow_unsafe_interrupts=1"), ("fsl-mc-dpio", ""), ("fsl-dpaa2-eth", "")];

/// The driver that a container is handed over by: there are two of the name.
const VFIO_FSL_MC: &str = "vfio-fsl-mc";

/// Where the guest has the kernel's own vfio-fsl-mc, whichever one is loaded on
/// demand.
pub const STOCK_DRIVER: &str = "/lib/modules/stock/vfio-fsl-mc.ko";
/// Where the guest has the one in Rust, if the kit has it.
pub const RUST_DRIVER: &str = "/lib/modules/rust/vfio-fsl-mc.ko";

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

/// Makes the archive. Of the two vfio-fsl-mc drivers, `driver` is the one that is
/// loaded on demand.
///
/// # Errors
/// [`ImageError`].
pub fn build(
    kit: &Kit,
    shared: bool,
    root: Option<&Root>,
    driver: Driver,
    more_modules: &[String],
) -> Result<Vec<u8>, ImageError> {
    let mut image = Initramfs::new();
    image.file("/init", 0o755, &Kit::read(&kit.program)?)?;
    image.file("/bin/busybox", 0o755, &Kit::read(&kit.busybox)?)?;
    image.symlink("/bin/fslmc-guest", "/init")?;
    let mut modules = Modules::default();
    let over_9p = shared || root.is_some_and(|root| root.directory().is_some());
    for name in EARLY.iter().chain(if over_9p { &SHARED[..] } else { &[] }) {
        modules.add(kit, &mut image, "early", name, "")?;
    }
    for name in root.map(Root::needs).unwrap_or_default() {
        modules.add(kit, &mut image, "demand", name, "")?;
    }
    modules.add_driver(kit, &mut image, driver)?;
    for (name, parameters) in DEMAND {
        match modules.add(kit, &mut image, "demand", name, parameters) {
            // A kernel that was built by hand may do without. Who asks for it in the
            // guest is told that it is not there.
            Err(ImageError::Module(setup::Error::NoSuchModule { wanted_by: None, .. })) => {}
            other => other?,
        }
    }
    for name in more_modules {
        modules.add(kit, &mut image, "demand", name, "")?;
    }
    image.file(guest_protocol::module_list::PATH, 0o644, modules.list.as_bytes())?;
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
                let parameters = if same_name(&module.name, name) { parameters } else { "" };
                self.note(stage, &module.name, &path, &needs, parameters);
            }
            needs.push(module.name);
        }
        Ok(())
    }

    /// Puts both vfio-fsl-mc drivers in, with all that they need, and lists one.
    fn add_driver(
        &mut self,
        kit: &Kit,
        image: &mut Initramfs,
        driver: Driver,
    ) -> Result<(), ImageError> {
        let stock = kit.kernel.modules(&[VFIO_FSL_MC])?;
        let stock = stock.iter().find(|module| same_name(&module.name, VFIO_FSL_MC));
        let rust = kit.driver.as_ref().map(|built| &built.module);
        let (chosen, path) = match driver {
            Driver::Rust => (Some(rust.ok_or(KitError::NotBuilt)?), RUST_DRIVER),
            Driver::Stock | Driver::None => (stock, STOCK_DRIVER),
        };
        for (module, path) in [(stock, STOCK_DRIVER), (rust, RUST_DRIVER)] {
            let Some(module) = module else { continue };
            image.file(path, 0o644, &module.bytes)?;
            for need in module.dependencies()? {
                self.add(kit, image, "demand", &need, "")?;
            }
        }
        // A kernel may have it built in.
        if let Some(module) = chosen {
            let mut needs = Vec::new();
            for need in module.dependencies()? {
                needs.extend(kit.kernel.modules(&[&need])?.into_iter().map(|module| module.name));
            }
            self.seen.insert(module.name.clone());
            self.note("demand", &module.name, path, &needs, "");
        }
        Ok(())
    }

    /// Adds a line to the list.
    fn note(&mut self, stage: &str, name: &str, path: &str, needs: &[String], parameters: &str) {
        let needs = if needs.is_empty() { "-".into() } else { needs.join(",") };
        let _ = writeln!(self.list, "{stage} {name} {path} {needs} {parameters}");
    }
}
