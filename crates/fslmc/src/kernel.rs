// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which kernel a machine boots.

use miette::Diagnostic;
use setup::{Cache, DebianKernel, Kernel, KernelVersion, Packages, Progress};
use std::path::{Path, PathBuf};

/// Names another kernel than the board's, as `--kernel` does.
pub const VARIABLE: &str = "FSLMC_KERNEL";

/// Prefix of a Debian version.
const DEBIAN: &str = "debian:";

/// A kernel to be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KernelChoice {
    /// The one that the board's packages have, which the driver in Rust is built for.
    #[default]
    Board,
    /// One of Debian's.
    Debian(KernelVersion),
    /// Built by hand, in its build folder.
    Built(PathBuf),
    /// An image, with its modules elsewhere.
    Files {
        /// The image.
        image: PathBuf,
        /// The folder with its modules.
        modules: PathBuf,
    },
}

/// Why a choice cannot be understood.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum KernelChoiceError {
    /// Debian has no such version.
    #[error(transparent)]
    Version(#[from] setup::Error),
    /// There is no such file.
    #[error("the kernel {0} does not exist")]
    #[diagnostic(help("{}", otherwise(.0)))]
    NotThere(PathBuf),
    /// An image comes without modules.
    #[error("{0} is a kernel image without modules")]
    #[diagnostic(help(
        "name them with --kernel-modules: /lib/modules/<release> of that kernel, or the folder that `make \
         modules_install INSTALL_MOD_PATH=` was given"
    ))]
    NoModules(PathBuf),
    /// Modules come without an image.
    #[error("--kernel-modules requires --kernel IMAGE, but --kernel is {0}")]
    #[diagnostic(help("leave it out: this kind of kernel brings its own modules"))]
    NeedlessModules(String),
}

/// What a name that is no file's may have been meant for.
fn otherwise(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.parse::<KernelVersion>().is_ok() {
        return format!("for Debian's kernel of that version or suite: --kernel {DEBIAN}{text}");
    }
    "name a kernel build directory, an Image file, debian:VERSION or debian:SUITE".into()
}

impl KernelChoice {
    /// Reads `debian:VERSION`, `debian:SUITE`, a build folder, or an image with its
    /// modules.
    ///
    /// # Errors
    /// [`KernelChoiceError`]. Whether a folder has a kernel shows when it is used.
    pub fn parse(text: &str, modules: Option<&Path>) -> Result<Self, KernelChoiceError> {
        let alone = |choice| match modules {
            None => Ok(choice),
            Some(_) => Err(KernelChoiceError::NeedlessModules(text.to_owned())),
        };
        if let Some(version) = text.strip_prefix(DEBIAN) {
            return alone(Self::Debian(version.parse()?));
        }
        let path = PathBuf::from(text);
        if !path.exists() {
            return Err(KernelChoiceError::NotThere(path));
        }
        match modules {
            Some(modules) if !path.is_dir() => {
                Ok(Self::Files { image: path, modules: modules.to_owned() })
            }
            None if path.is_file() => Err(KernelChoiceError::NoModules(path)),
            _ => alone(Self::Built(path)),
        }
    }

    /// What `FSLMC_KERNEL` names.
    ///
    /// # Errors
    /// As for [`KernelChoice::parse`].
    pub fn from_env() -> Result<Self, KernelChoiceError> {
        let text = std::env::var_os(VARIABLE).filter(|text| !text.is_empty());
        text.map_or(Ok(Self::Board), |text| Self::parse(&text.to_string_lossy(), None))
    }

    /// Finds the kernel, or fetches it.
    ///
    /// # Errors
    /// Says what is missing.
    pub(crate) fn find(
        &self,
        cache: &Cache,
        packages: &Packages,
        progress: &dyn Progress,
    ) -> setup::Result<Found> {
        let mut kept = None;
        let kernel = match self {
            Self::Board => packages.kernel()?,
            Self::Built(folder) => Kernel::built_in(folder)?,
            Self::Files { image, modules } => Kernel::of_files(image, modules)?,
            Self::Debian(version) => {
                kept.insert(cache.debian_kernel(version, progress)?).kernel.clone()
            }
        };
        Ok(Found { kernel, kept })
    }
}

/// A kernel, with what keeps it from being removed.
#[derive(Debug)]
pub(crate) struct Found {
    pub kernel: Kernel,
    pub kept: Option<DebianKernel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_kernel_is_told_from_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("Image"), "").unwrap();
        let parse = |text: &str, modules: Option<&Path>| KernelChoice::parse(text, modules);
        let modules = Path::new("/lib/modules/x");
        let version = "6.12".parse().unwrap();
        assert_eq!(parse("debian:6.12", None).unwrap(), KernelChoice::Debian(version));
        assert_eq!(parse(&path(""), None).unwrap(), KernelChoice::Built(path("").into()));
        assert_eq!(
            parse(&path("Image"), Some(modules)).unwrap(),
            KernelChoice::Files { image: path("Image").into(), modules: modules.into() }
        );
        assert!(matches!(parse(&path("Image"), None), Err(KernelChoiceError::NoModules(_))));
        assert!(matches!(
            parse("debian:6.12", Some(modules)),
            Err(KernelChoiceError::NeedlessModules(_))
        ));
        assert!(matches!(parse("debian:", None), Err(KernelChoiceError::Version(_))));
        let missing = |text: &str| {
            let error = parse(text, None).unwrap_err();
            assert!(matches!(error, KernelChoiceError::NotThere(_)), "{error}");
            error.help().unwrap().to_string()
        };
        assert!(missing("6.12").contains("--kernel debian:6.12"));
        assert!(missing("testing").contains("--kernel debian:testing"));
        assert!(missing(&path("vmlinux")).contains("build directory"));
    }
}
