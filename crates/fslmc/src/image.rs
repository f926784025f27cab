// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's initial file system: the agent, busybox, kernel modules.

use crate::{
    artifacts::{Artifacts, ArtifactsError, Driver},
    root::Root,
};
use board_qemu::{EntryError, Initramfs};
use guest_protocol::module_list::{self, ModuleList, Stage, same_name};
use setup::{Kernel, Module};
use std::collections::BTreeSet;
use std::path::Path;

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
    /// The kernel lacks the driver that was chosen.
    #[error("kernel {0} has no vfio-fsl-mc of its own, neither as a module nor built in")]
    #[diagnostic(help(
        "build it with CONFIG_VFIO_FSL_MC; without a container to hand over, --driver none does \
         without"
    ))]
    NoStockDriver(String),
}

/// What the guest starts with.
#[derive(Debug)]
pub struct Image {
    /// As the kernel takes it.
    pub archive: Vec<u8>,
    /// The kernel's modules for which somebody may ask.
    pub modules: ModuleList,
}

/// The parts that are not in this program.
struct Parts<'a> {
    program: &'a Path,
    busybox: &'a Path,
    kernel: &'a Kernel,
    /// The driver in Rust.
    rust: Option<&'a Module>,
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
) -> Result<Image, ImageError> {
    let parts = Parts {
        program: &artifacts.program,
        busybox: &artifacts.busybox,
        kernel: &artifacts.kernel,
        rust: artifacts.driver.as_ref().map(|built| &built.module),
    };
    build_of(&parts, shared, root, driver, more_modules)
}

fn build_of(
    parts: &Parts<'_>,
    shared: bool,
    root: Option<&Root>,
    driver: Driver,
    more_modules: &[String],
) -> Result<Image, ImageError> {
    let mut image = Initramfs::new();
    image.file("/init", 0o755, &Artifacts::read(parts.program)?)?;
    image.file("/bin/busybox", 0o755, &Artifacts::read(parts.busybox)?)?;
    image.symlink("/bin/fslmc-guest", "/init")?;
    // As the command is called on a board; of its subcommands, those that make sense there.
    image.symlink("/bin/fslmc", "/init")?;
    let mut modules = Modules::default();
    let over_9p = shared || root.is_some_and(|root| root.directory().is_some());
    for name in EARLY.iter().chain(if over_9p { &SHARED[..] } else { &[] }) {
        modules.add(parts, &mut image, Stage::Early, name, "")?;
    }
    for name in root.map(Root::modules).unwrap_or_default() {
        modules.add(parts, &mut image, Stage::Demand, name, "")?;
    }
    modules.add_driver(parts, &mut image, driver)?;
    for (name, parameters) in DEMAND {
        match modules.add(parts, &mut image, Stage::Demand, name, parameters) {
            // A kernel that was built by hand may do without. Who asks for it in the
            // guest is told that it is not there.
            Err(ImageError::Module(setup::Error::NoSuchModule { wanted_by: None, .. })) => {}
            other => other?,
        }
    }
    for name in more_modules {
        modules.add(parts, &mut image, Stage::Demand, name, "")?;
    }
    let modules = modules.list;
    image.file(module_list::PATH, 0o644, modules.to_string().as_bytes())?;
    Ok(Image { archive: image.finish(), modules })
}

/// Whether the kernel has a vfio-fsl-mc of its own.
///
/// # Errors
/// [`ImageError::Module`]: a file that is no module.
pub fn has_stock(artifacts: &Artifacts) -> Result<bool, ImageError> {
    match artifacts.kernel.modules(&[VFIO_FSL_MC]) {
        Err(setup::Error::NoSuchModule { wanted_by: None, .. }) => Ok(false),
        modules => Ok(modules.map(|_| true)?),
    }
}

/// The modules that are in the image, and the list that says so.
#[derive(Default)]
struct Modules {
    seen: BTreeSet<String>,
    list: ModuleList,
}

impl Modules {
    fn add(
        &mut self,
        parts: &Parts<'_>,
        image: &mut Initramfs,
        stage: Stage,
        name: &str,
        parameters: &str,
    ) -> Result<(), ImageError> {
        // In load order: each depends at most on those before it.
        let mut dependencies: Vec<String> = Vec::new();
        for module in parts.kernel.modules(&[name])? {
            if self.seen.insert(module.name.clone()) {
                let path = format!("/lib/modules/{}.ko", module.name);
                image.file(&path, 0o644, &module.bytes)?;
                let parameters = if same_name(&module.name, name) { parameters } else { "" };
                self.note(stage, &module.name, &path, &dependencies, parameters);
            }
            dependencies.push(module.name);
        }
        if !dependencies.iter().any(|there| same_name(there, name)) {
            self.note_built_in(name);
        }
        Ok(())
    }

    /// Puts both vfio-fsl-mc drivers in, with all their dependencies, and lists one.
    fn add_driver(
        &mut self,
        parts: &Parts<'_>,
        image: &mut Initramfs,
        driver: Driver,
    ) -> Result<(), ImageError> {
        let stock = match parts.kernel.modules(&[VFIO_FSL_MC]) {
            Err(setup::Error::NoSuchModule { wanted_by: None, release, .. }) => {
                if driver == Driver::Stock {
                    return Err(ImageError::NoStockDriver(release));
                }
                None
            }
            modules => Some(modules?),
        };
        let is_built_in = stock.as_ref().is_some_and(|modules| modules.is_empty());
        let stock = stock.iter().flatten().find(|module| same_name(&module.name, VFIO_FSL_MC));
        let rust = parts.rust;
        let (chosen, path) = match driver {
            Driver::Rust => (Some(rust.ok_or(ArtifactsError::NotBuilt)?), RUST_DRIVER),
            Driver::Stock | Driver::None => (stock, STOCK_DRIVER),
        };
        for (module, path) in [(stock, STOCK_DRIVER), (rust, RUST_DRIVER)] {
            let Some(module) = module else { continue };
            image.file(path, 0o644, &module.bytes)?;
            for dependency in module.dependencies()? {
                self.add(parts, image, Stage::Demand, &dependency, "")?;
            }
        }
        if chosen.is_none() && is_built_in {
            self.note_built_in(VFIO_FSL_MC);
        }
        if let Some(module) = chosen {
            let mut dependencies = Vec::new();
            for dependency in module.dependencies()? {
                dependencies.extend(
                    parts.kernel.modules(&[&dependency])?.into_iter().map(|module| module.name),
                );
            }
            self.seen.insert(module.name.clone());
            self.note(Stage::Demand, &module.name, path, &dependencies, "");
        }
        Ok(())
    }

    /// Adds a line to the list.
    fn note(
        &mut self,
        stage: Stage,
        name: &str,
        path: &str,
        dependencies: &[String],
        parameters: &str,
    ) {
        self.list.modules.push(module_list::Module {
            stage,
            name: name.to_owned(),
            path: path.to_owned(),
            needs: dependencies.to_vec(),
            parameters: parameters.to_owned(),
        });
    }

    /// Adds one that is there without a file.
    fn note_built_in(&mut self, name: &str) {
        if !self.list.has(name) {
            self.list.built_in.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The image for a kernel without modules, that has some drivers built in.
    fn image_with(
        built_in: &[&str],
        driver: Driver,
        more_modules: &[&str],
    ) -> Result<Image, ImageError> {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        put("arch/arm64/boot/Image", "");
        put("include/config/kernel.release", "7.3.4-test\n");
        put("modules.order", "");
        let lines = built_in.iter().map(|name| format!("kernel/drivers/{name}.ko\n"));
        put("modules.builtin", &lines.collect::<String>());
        let kernel = Kernel::built_in(folder.path()).unwrap();
        let program = put("program", "");
        let parts = Parts { program: &program, busybox: &program, kernel: &kernel, rust: None };
        let more_modules: Vec<_> = more_modules.iter().map(ToString::to_string).collect();
        build_of(&parts, true, None, driver, &more_modules)
    }

    const LEAST: [&str; 4] = ["virtio_mmio", "virtio_console", "9pnet_virtio", "9p"];

    /// As arm64's defconfig has it, but for vfio_iommu_type1.
    #[test]
    fn drivers_that_are_built_in_are_there() {
        let built_in = [&LEAST[..], &["fsl-mc-dpio", "dummy"]].concat();
        let image = image_with(&built_in, Driver::None, &["dummy"]).unwrap();
        let list = ModuleList::parse(&image.modules.to_string()).unwrap();
        assert_eq!(list.modules, []);
        assert_eq!(list.with_needs("fsl_mc_dpio"), Ok(Vec::new()));
        assert_eq!(list.with_needs("dummy"), Ok(Vec::new()));
        assert!(!list.has("fsl-dpaa2-eth") && !list.has(VFIO_FSL_MC));
    }

    #[test]
    fn the_kernels_own_driver_is_missed_where_it_is_chosen() {
        let error = image_with(&LEAST, Driver::Stock, &[]).unwrap_err().to_string();
        assert!(error.contains("7.3.4-test has no vfio-fsl-mc"), "{error}");
        let image = image_with(&[&LEAST[..], &["vfio-fsl-mc"]].concat(), Driver::Stock, &[]);
        assert!(image.unwrap().modules.has(VFIO_FSL_MC));
        assert!(!image_with(&LEAST, Driver::None, &[]).unwrap().modules.has("fsl-mc-dpio"));
        let error = image_with(&LEAST, Driver::None, &["dummy"]).unwrap_err().to_string();
        assert!(error.contains("`dummy`"), "{error}");
    }
}
