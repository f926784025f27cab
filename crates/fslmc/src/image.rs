// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's initial file system: the agent, busybox, kernel modules.

use crate::{
    artifacts::{Artifacts, ArtifactsError, Driver},
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
/// Where the guest has the one in Rust, if it was built.
pub const RUST_DRIVER: &str = "/lib/modules/rust/vfio-fsl-mc.ko";

/// Why no image can be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ImageError {
    /// A file is missing.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Artifacts(#[from] ArtifactsError),
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
    artifacts: &Artifacts,
    shared: bool,
    root: Option<&Root>,
    driver: Driver,
    more_modules: &[String],
) -> Result<Vec<u8>, ImageError> {
    let mut image = Initramfs::new();
    image.file("/init", 0o755, &Artifacts::read(&artifacts.program)?)?;
    image.file("/bin/busybox", 0o755, &Artifacts::read(&artifacts.busybox)?)?;
    image.symlink("/bin/fslmc-guest", "/init")?;
    // As the command is called on a board; of its subcommands, those that make sense there.
    image.symlink("/bin/fslmc", "/init")?;
    let mut modules = Modules::default();
    let over_9p = shared || root.is_some_and(|root| root.directory().is_some());
    for name in EARLY.iter().chain(if over_9p { &SHARED[..] } else { &[] }) {
        modules.add(artifacts, &mut image, "early", name, "")?;
    }
    for name in root.map(Root::modules).unwrap_or_default() {
        modules.add(artifacts, &mut image, "demand", name, "")?;
    }
    modules.add_driver(artifacts, &mut image, driver)?;
    for (name, parameters) in DEMAND {
        match modules.add(artifacts, &mut image, "demand", name, parameters) {
            // A kernel that was built by hand may do without. Who asks for it in the
            // guest is told that it is not there.
            Err(ImageError::Module(setup::Error::NoSuchModule { wanted_by: None, .. })) => {}
            other => other?,
        }
    }
    for name in more_modules {
        modules.add(artifacts, &mut image, "demand", name, "")?;
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
        artifacts: &Artifacts,
        image: &mut Initramfs,
        stage: &str,
        name: &str,
        parameters: &str,
    ) -> Result<(), ImageError> {
        // In load order: each depends at most on those before it.
        let mut dependencies: Vec<String> = Vec::new();
        for module in artifacts.kernel.modules(&[name])? {
            if self.seen.insert(module.name.clone()) {
                let path = format!("/lib/modules/{}.ko", module.name);
                image.file(&path, 0o644, &module.bytes)?;
                let parameters = if same_name(&module.name, name) { parameters } else { "" };
                self.note(stage, &module.name, &path, &dependencies, parameters);
            }
            dependencies.push(module.name);
        }
        Ok(())
    }

    /// Puts both vfio-fsl-mc drivers in, with all their dependencies, and lists one.
    fn add_driver(
        &mut self,
        artifacts: &Artifacts,
        image: &mut Initramfs,
        driver: Driver,
    ) -> Result<(), ImageError> {
        let stock = artifacts.kernel.modules(&[VFIO_FSL_MC])?;
        let stock = stock.iter().find(|module| same_name(&module.name, VFIO_FSL_MC));
        let rust = artifacts.driver.as_ref().map(|built| &built.module);
        let (chosen, path) = match driver {
            Driver::Rust => (Some(rust.ok_or(ArtifactsError::NotBuilt)?), RUST_DRIVER),
            Driver::Stock | Driver::None => (stock, STOCK_DRIVER),
        };
        for (module, path) in [(stock, STOCK_DRIVER), (rust, RUST_DRIVER)] {
            let Some(module) = module else { continue };
            image.file(path, 0o644, &module.bytes)?;
            for dependency in module.dependencies()? {
                self.add(artifacts, image, "demand", &dependency, "")?;
            }
        }
        // A kernel may have it built in.
        if let Some(module) = chosen {
            let mut dependencies = Vec::new();
            for dependency in module.dependencies()? {
                dependencies.extend(
                    artifacts.kernel.modules(&[&dependency])?.into_iter().map(|module| module.name),
                );
            }
            self.seen.insert(module.name.clone());
            self.note("demand", &module.name, path, &dependencies, "");
        }
        Ok(())
    }

    /// Adds a line to the list.
    fn note(
        &mut self,
        stage: &str,
        name: &str,
        path: &str,
        dependencies: &[String],
        parameters: &str,
    ) {
        let dependencies =
            if dependencies.is_empty() { "-".into() } else { dependencies.join(",") };
        let _ = writeln!(self.list, "{stage} {name} {path} {dependencies} {parameters}");
    }
}
