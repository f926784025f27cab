// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The kernel that the board boots.

use std::path::{Path, PathBuf};

use crate::compression;
use crate::disk;
use crate::error::{Error, Result};
use crate::modules::{self, Module};

/// An unpacked arm64 kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    image: PathBuf,
    release: String,
    modules: PathBuf,
}

impl Kernel {
    /// Finds the one kernel of a tree.
    pub(crate) fn in_tree(root: &Path) -> Result<Self> {
        let missing =
            |what: &str| Error::NotInTree { what: what.to_owned(), tree: root.to_owned() };
        let order = disk::find(root, "usr/lib/modules/*/modules.order")
            .ok_or_else(|| missing("the kernel's list of modules"))?;
        let modules = order.parent().ok_or_else(|| missing("the kernel's modules"))?.to_owned();
        let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let unwrapped = unwrapped_image(root);
        let image = if unwrapped.exists() { unwrapped } else { vmlinuz(root)? };
        Ok(Self { image, release, modules })
    }

    /// A kernel that was built by hand, in its build folder (`make O=<folder>`, with
    /// the targets `Image` and `modules`), for instance one with the kernel's own
    /// checks switched on.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the folder lacks the image or the list of modules.
    pub fn built_in(folder: &Path) -> Result<Self> {
        let missing = |what: &str| Error::Malformed {
            path: folder.to_owned(),
            what: format!(
                "is not the build folder of an arm64 kernel: it has no {what} (make \
                     the targets Image and modules)"
            ),
        };
        let image = folder.join("arch/arm64/boot/Image");
        if !image.is_file() {
            return Err(missing("arch/arm64/boot/Image"));
        }
        let modules = folder.to_owned();
        if !modules.join("modules.order").is_file() {
            return Err(missing("modules.order"));
        }
        let release = std::fs::read_to_string(folder.join("include/config/kernel.release"))
            .map_err(|_| missing("include/config/kernel.release"))?;
        Ok(Self { image, release: release.trim().to_owned(), modules })
    }

    /// An image with its modules: `modules` is `/lib/modules/<release>` of a system, or a
    /// folder in which `make modules_install INSTALL_MOD_PATH=` has put them.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the one is no arm64 kernel, the other has no modules, or
    /// the two are of different releases.
    pub fn of_files(image: &Path, modules: &Path) -> Result<Self> {
        let malformed =
            |path: &Path, what: String| Error::Malformed { path: path.to_owned(), what };
        let bytes = std::fs::read(image).map_err(Error::file("cannot read", image))?;
        if !compression::is_image(&bytes) {
            let what = "is not an arm64 kernel image (the file `Image` of a build, uncompressed)";
            return Err(malformed(image, what.to_owned()));
        }
        let order = Some(modules.join("modules.order"))
            .filter(|order| order.is_file())
            .or_else(|| disk::find(modules, "lib/modules/*/modules.order"))
            .or_else(|| disk::find(modules, "usr/lib/modules/*/modules.order"));
        let Some(folder) = order.as_deref().and_then(Path::parent) else {
            let what = "has neither modules.order nor lib/modules/<release>/modules.order";
            return Err(malformed(modules, what.to_owned()));
        };
        let folder = folder.canonicalize().map_err(Error::file("cannot look at", folder))?;
        let release = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The kernel's banner (init/version-timestamp.c), which is data of the image.
        let banner = format!("Linux version {release} (");
        if !bytes.windows(banner.len()).any(|window| window == banner.as_bytes()) {
            let what = format!(
                "are the modules of Linux {release} by the folder's name, which {} is not",
                image.display()
            );
            return Err(malformed(&folder, what));
        }
        Ok(Self { image: image.to_owned(), release, modules: folder })
    }

    /// The image, uncompressed: what QEMU's `-kernel` takes.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// What `uname -r` says in the guest.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The folder that the guest has as `/lib/modules/<release>`. It lacks
    /// `modules.dep`, which Debian makes when a kernel is installed.
    pub fn modules_folder(&self) -> &Path {
        &self.modules
    }

    /// The modules of these names with all that they depend on, uncompressed and
    /// in an order in which they can be loaded. `-` and `_` in a name are the
    /// same. What is built into the kernel is left out.
    ///
    /// # Errors
    /// [`Error::NoSuchModule`] for a name that the kernel does not have,
    /// [`Error::Malformed`] for a module file that is not one.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<Module>> {
        modules::in_load_order(&self.release, &self.modules, names)
    }
}

/// The kernel as the package has it: beside its modules since Debian's 7.x
/// packages, in `boot` before.
pub(crate) fn vmlinuz(root: &Path) -> Result<PathBuf> {
    disk::find(root, "usr/lib/modules/*/vmlinuz")
        .or_else(|| disk::find(root, "boot/vmlinuz-*"))
        .ok_or_else(|| Error::NotInTree { what: "vmlinuz".to_owned(), tree: root.to_owned() })
}

/// Where the plain image is put if vmlinuz is a compressed one.
pub(crate) fn unwrapped_image(root: &Path) -> PathBuf {
    root.join("boot/Image")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_image_and_modules_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("Image");
        let mut bytes = vec![0; 64];
        bytes.splice(56..60, *b"ARM\x64");
        bytes.extend(b"\0Linux version 7.3.4-test (me@here) (gcc)\0");
        fs::write(&image, &bytes).unwrap();
        let put = |release: &str| {
            let modules = folder.path().join(release).join("lib/modules").join(release);
            fs::create_dir_all(&modules).unwrap();
            fs::write(modules.join("modules.order"), "").unwrap();
            modules
        };
        let modules = put("7.3.4-test");
        for given in [&modules, &folder.path().join("7.3.4-test")] {
            let kernel = Kernel::of_files(&image, given).unwrap();
            assert_eq!(kernel.release(), "7.3.4-test");
            assert_eq!(kernel.modules_folder(), modules.canonicalize().unwrap());
        }
        let refused = |image: &Path, modules: &Path| {
            Kernel::of_files(image, modules).unwrap_err().to_string()
        };
        assert!(refused(&image, &put("7.3.4")).contains("Linux 7.3.4 by the folder's name"));
        assert!(refused(&image, folder.path()).contains("modules.order"));
        fs::write(folder.path().join("text"), "x").unwrap();
        assert!(
            refused(&folder.path().join("text"), &modules).contains("not an arm64 kernel image")
        );
    }

    #[test]
    fn a_build_folder_must_be_complete() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("arch/arm64/boot/Image", ""),
            ("modules.order", ""),
            ("include/config/kernel.release", "7.3.4-test\n"),
        ];
        for (file, contents) in files {
            let error = Kernel::built_in(folder.path()).unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        let kernel = Kernel::built_in(folder.path()).unwrap();
        assert_eq!(kernel.release(), "7.3.4-test");
        assert!(kernel.image().ends_with("arch/arm64/boot/Image"));
    }
}
