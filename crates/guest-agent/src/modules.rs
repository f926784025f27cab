// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Loading the kernel modules that the image ships.

use crate::failure::Failure;
use fsl_mc_linux::bus::write_attribute;
use fsl_mc_linux::errno::describe;
use guest_protocol::module_list::{self, Module, ModuleList};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Tells the kernel to unpack the file itself (MODULE_INIT_COMPRESSED_FILE of
/// `linux/module.h`).
const COMPRESSED_FILE: i32 = 4;

/// The modules of the image.
#[derive(Debug, Default)]
pub struct Modules {
    list: ModuleList,
}

/// What loading a module came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The module.
    pub name: String,
    /// Whether the kernel had it already.
    pub already: bool,
}

impl Modules {
    /// Reads the image's list; an image without one has no modules.
    ///
    /// # Errors
    /// When the list cannot be read or understood.
    pub fn of_image() -> Result<Self, Failure> {
        let path = Path::new(module_list::PATH);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(Failure::io("reading the module list", path, &error, REBUILD));
            }
        };
        let list = ModuleList::parse(&text)
            .map_err(|error| Failure::new(error.to_string(), module_list::PATH, REBUILD))?;
        Ok(Self { list })
    }

    /// The module files are at another place from now on.
    pub fn move_below(&mut self, place: &str) {
        for module in &mut self.list.modules {
            module.path.insert_str(0, place);
        }
    }

    /// The line of a module in the image's list.
    pub fn find(&self, name: &str) -> Option<&Module> {
        self.list.find(name)
    }

    /// Loads the modules that are needed before anything else. One that the kernel
    /// refuses does not keep the others away: the ports that report it may need them.
    /// Returns what was loaded and the first refusal.
    pub fn load_early(&self) -> (Vec<Loaded>, Result<(), Failure>) {
        let mut loaded = Vec::new();
        let mut refusal = Ok(());
        for module in self.list.early() {
            match insert(module, "") {
                Ok(module) => loaded.push(module),
                Err(failure) => refusal = refusal.and(Err(failure)),
            }
        }
        (loaded, refusal)
    }

    /// Whether the image has that module as a file.
    pub fn has(&self, name: &str) -> bool {
        self.list.find(name).is_some()
    }

    /// Loads a module and what it needs, with additional parameters for itself. One that the
    /// kernel has built in is there already.
    ///
    /// # Errors
    /// When the image lacks one of them or the kernel refuses one.
    pub fn load(&self, name: &str, parameters: &str) -> Result<Vec<Loaded>, Failure> {
        let order = self.list.with_needs(name).map_err(|error| {
            Failure::new(
                error.to_string(),
                module_list::PATH,
                "Build the image with this module, or a kernel that has it built in",
            )
        })?;
        let own = order.len().saturating_sub(1);
        order
            .iter()
            .enumerate()
            .map(|(index, module)| insert(module, if index == own { parameters } else { "" }))
            .collect()
    }

    /// Loads a module if the image has it; a kernel may have it built in.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn load_if_shipped(&self, name: &str) -> Result<Vec<Loaded>, Failure> {
        if self.has(name) { self.load(name, "") } else { Ok(Vec::new()) }
    }
}

const REBUILD: &str = "The image is damaged; build it again";

/// What `vfio-fsl-mc` and its users need, in loading order.
pub const VFIO_MODULES: [&str; 3] = ["vfio", "vfio_iommu_type1", "vfio-fsl-mc"];

/// Loads what a container's user-space driver needs.
///
/// The emulated board's MSI controller isolates no interrupts as far as the
/// kernel can tell, so that type1 has a parameter to accept this.
///
/// # Errors
/// When a shipped module cannot be loaded, or the setting be made.
pub fn load_vfio(modules: &Modules) -> Result<Vec<Loaded>, Failure> {
    let mut loaded = Vec::new();
    for name in VFIO_MODULES {
        if !modules.has(name) {
            continue;
        }
        let parameters = if name == "vfio_iommu_type1" { "allow_unsafe_interrupts=1" } else { "" };
        for module in modules.load(name, parameters)? {
            let seen = loaded.iter().any(|seen: &Loaded| seen.name == module.name);
            if !seen {
                loaded.push(module);
            }
        }
    }
    allow_unsafe_interrupts()?;
    Ok(loaded)
}

/// Sets the parameter of a `vfio_iommu_type1` that was loaded without it.
fn allow_unsafe_interrupts() -> Result<(), Failure> {
    let path = PathBuf::from("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
    match std::fs::read_to_string(&path) {
        Ok(value) if value.trim() == "N" => Ok(write_attribute(&path, "1", |_| {
            "Load vfio_iommu_type1 with allow_unsafe_interrupts=1".to_owned()
        })?),
        _ => Ok(()),
    }
}

fn insert(module: &Module, more_parameters: &str) -> Result<Loaded, Failure> {
    let path = Path::new(&module.path);
    let file = File::open(path).map_err(|error| {
        Failure::io(format!("opening module {}", module.name), path, &error, REBUILD)
    })?;
    let parameters = joined_parameters(&module.parameters, more_parameters);
    let parameters = CString::new(parameters).map_err(|_| {
        Failure::new(
            format!("the parameters of module {} contain a NUL byte", module.name),
            &module.path,
            "Correct the parameters",
        )
    })?;
    let compressed = ["xz", "gz", "zst"]
        .iter()
        .any(|&end| path.extension().is_some_and(|extension| extension == end));
    let flags = if compressed { COMPRESSED_FILE } else { 0 };
    match rustix::system::finit_module(&file, &parameters, flags) {
        Ok(()) => Ok(Loaded { name: module.name.clone(), already: false }),
        Err(Errno::EXIST) => Ok(Loaded { name: module.name.clone(), already: true }),
        Err(errno) => Err(Failure::new(
            format!("loading module {}: {}", module.name, describe(&errno.into())),
            &module.path,
            reason_of_refusal(errno),
        )),
    }
}

/// The list's parameters, then those of the order; one that stands there already
/// is not repeated.
fn joined_parameters(of_list: &str, of_order: &str) -> String {
    let mut all: Vec<&str> = of_list.split_whitespace().collect();
    for parameter in of_order.split_whitespace() {
        if !all.contains(&parameter) {
            all.push(parameter);
        }
    }
    all.join(" ")
}

fn reason_of_refusal(errno: Errno) -> String {
    match errno {
        Errno::NOENT => "It uses a symbol that the kernel does not have: a module that it needs \
                         is missing in the list, or comes later (the kernel's log names the symbol)"
            .to_owned(),
        Errno::NOEXEC => "It was built for another kernel, or is not a module".to_owned(),
        Errno::INVAL => "The kernel rejects its format or one of its parameters \
                         (the kernel's log says which)"
            .to_owned(),
        Errno::OPNOTSUPP => "This kernel cannot unpack modules; ship the file unpacked".to_owned(),
        Errno::NODEV => "It finds no device that it could drive".to_owned(),
        Errno::PERM => "Only root may load modules, and only where that is not locked".to_owned(),
        _ => "The kernel's log (dmesg) says more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_loaded_for_what_is_built_in() {
        let list = ModuleList::parse("builtin fsl-mc-dpio\n").unwrap();
        let modules = Modules { list };
        assert_eq!(modules.load("fsl_mc_dpio", "").unwrap(), []);
        assert_eq!(modules.load_if_shipped("fsl_mc_dpio").unwrap(), []);
        let error = modules.load("fsl-dpaa2-eth", "").unwrap_err().to_string();
        assert!(error.contains("fsl-dpaa2-eth is not in the guest's image"), "{error}");
    }

    #[test]
    fn parameters_are_joined_once() {
        assert_eq!(joined_parameters("a=1 b=2", " b=2 c=3 "), "a=1 b=2 c=3");
        assert_eq!(joined_parameters("", ""), "");
    }
}
