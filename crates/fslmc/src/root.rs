// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's root file system, where it has another one than busybox and the agent:
//! Debian packages, or whatever a user brings.

use crate::artifacts::{Artifacts, ArtifactsError};
use board_qemu::{Disk, ROOT_TAG, SharedDirectory};
use guest_protocol::{Ask, RootSource};
use setup::{Cache, Image, Progress, Userland};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Serial number of the disk with the root file system.
const ROOT_DISK: &str = "fslmc-root";
/// Serial number of the disk with the kernel's modules.
const MODULES_DISK: &str = "fslmc-modules";

/// How much of an image shows what it is: the last of the marks in [`kind_of`].
const HEAD: u64 = 0x1_0048;

/// A root file system for a guest. It is never written: the guest has a layer in memory
/// above it.
#[derive(Debug)]
pub struct Root {
    source: Source,
    /// What is to be `/lib/modules/<release>`.
    modules: Image,
}

#[derive(Debug)]
enum Source {
    Packages(Image),
    Image { path: PathBuf, kind: &'static str },
    Directory(PathBuf),
}

/// Why there is no such root file system.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RootError {
    /// The set-up failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Artifacts(#[from] ArtifactsError),
    /// The file or directory cannot be read.
    #[error("reading the root file system {path}: {cause}")]
    #[diagnostic(help("use an image of an arm64 file system, or a directory that holds one"))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is no image that the guest could mount.
    #[error("{path} is {what}, not an image of a file system that the guest can mount")]
    #[diagnostic(help("{advice}"))]
    NoImage {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The directory holds something else.
    #[error("{path} does not look like a root file system: it has neither usr/ nor bin/")]
    #[diagnostic(help("use the directory that becomes / in the guest"))]
    NoRoot {
        /// The directory.
        path: PathBuf,
    },
}

impl Root {
    /// Debian packages with all that they depend on.
    ///
    /// # Errors
    /// [`RootError::Artifacts`]: a package that is not there, a mirror that does not answer.
    pub fn of_packages(
        artifacts: &Artifacts,
        packages: &Userland,
        progress: &dyn Progress,
    ) -> Result<Self, RootError> {
        let cache = Cache::from_env().map_err(ArtifactsError::from)?;
        let image = cache.userland(packages, progress).map_err(ArtifactsError::from)?;
        Self::new(&cache, artifacts, Source::Packages(image), progress)
    }

    /// A user's own: an image of a file system, or a directory.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn of_path(
        artifacts: &Artifacts,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, RootError> {
        let failed = |cause| RootError::Read { path: path.to_owned(), cause };
        let path = path.canonicalize().map_err(failed)?;
        let source = if path.is_dir() {
            if !["usr", "bin"].iter().any(|folder| path.join(folder).is_dir()) {
                return Err(RootError::NoRoot { path });
            }
            Source::Directory(path)
        } else {
            let mut head = Vec::new();
            let file = File::open(&path).map_err(failed)?;
            file.take(HEAD).read_to_end(&mut head).map_err(failed)?;
            match kind_of(&head) {
                Ok(kind) => Source::Image { path, kind },
                Err((what, advice)) => return Err(RootError::NoImage { path, what, advice }),
            }
        };
        let cache = Cache::from_env().map_err(ArtifactsError::from)?;
        Self::new(&cache, artifacts, source, progress)
    }

    fn new(
        cache: &Cache,
        artifacts: &Artifacts,
        source: Source,
        progress: &dyn Progress,
    ) -> Result<Self, RootError> {
        let modules =
            cache.modules_image(&artifacts.kernel, progress).map_err(ArtifactsError::from)?;
        Ok(Self { source, modules })
    }

    /// The kernel modules without which the guest cannot mount it.
    pub fn modules(&self) -> Vec<&'static str> {
        let own = match &self.source {
            Source::Packages(_) => None,
            Source::Image { kind, .. } => Some(*kind),
            Source::Directory(_) => Some("9p"),
        };
        // The modules of the kernel come as erofs in any case.
        ["virtio_blk", "erofs", "overlay"]
            .into_iter()
            .chain(own.filter(|k| *k != "erofs"))
            .collect()
    }

    /// The disks that it is on, beside others.
    pub fn disks(&self) -> Vec<Disk> {
        let own = match &self.source {
            Source::Packages(image) => Some(image.path().to_owned()),
            Source::Image { path, .. } => Some(path.clone()),
            Source::Directory(_) => None,
        };
        let disk = |path, serial| Disk { path, serial };
        let modules = disk(self.modules.path().to_owned(), MODULES_DISK);
        own.map(|path| disk(path, ROOT_DISK)).into_iter().chain([modules]).collect()
    }

    /// The directory that it is, if it is one.
    pub fn directory(&self) -> Option<SharedDirectory> {
        match &self.source {
            Source::Directory(path) => {
                Some(SharedDirectory { path: path.clone(), read_only: true })
            }
            Source::Packages(_) | Source::Image { .. } => None,
        }
    }

    /// What the agent is asked.
    pub fn order(&self) -> Ask {
        let disk = |kind: &str| RootSource::Disk { serial: ROOT_DISK.into(), kind: kind.into() };
        let source = match &self.source {
            Source::Packages(_) => disk("erofs"),
            Source::Image { kind, .. } => disk(kind),
            Source::Directory(_) => RootSource::Directory { tag: ROOT_TAG.into() },
        };
        Ask::EnterRoot { source, modules: Some(MODULES_DISK.into()) }
    }
}

/// The type of file system by its mark, or what else it is and what to do about it. Marks
/// and their places: the kernel's `include/uapi/linux/magic.h`, the UEFI specification for
/// partition tables, QEMU's `docs/interop/qcow2.rst`.
fn kind_of(head: &[u8]) -> Result<&'static str, (&'static str, &'static str)> {
    const KNOWN: [(usize, &[u8], &str); 5] = [
        (0x438, b"\x53\xef", "ext4"),
        (0x400, b"\xe2\xe1\xf5\xe0", "erofs"),
        (0, b"hsqs", "squashfs"),
        (0, b"XFSB", "xfs"),
        (0x1_0040, b"_BHRfS_M", "btrfs"),
    ];
    const OTHERS: [(usize, &[u8], &str, &str); 7] = [
        (
            0,
            b"QFI\xfb",
            "a disk in QEMU's qcow2 format",
            "`qemu-img convert -O raw` makes it plain",
        ),
        (0x200, b"EFI PART", "a disk with a partition table", PARTITION),
        (0x1fe, b"\x55\xaa", "a disk with a partition table", PARTITION),
        (0, b"070701", "a cpio archive", "unpack it, and give the directory"),
        (0, b"\x1f\x8b", "compressed by gzip", "uncompress it first"),
        (0, b"\xfd7zXZ\0", "compressed by xz", "uncompress it first"),
        (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", "uncompress it first"),
    ];
    const PARTITION: &str = "give the image of the partition with the root file system: `losetup -P` \
                             or `dd` with its start and size takes it out";
    let has = |at: usize, mark: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(mark));
    if let Some((_, _, kind)) = KNOWN.iter().find(|(at, mark, _)| has(*at, mark)) {
        return Ok(kind);
    }
    if let Some((_, _, what, advice)) = OTHERS.iter().find(|(at, mark, ..)| has(*at, mark)) {
        return Err((what, advice));
    }
    let advice = "images of ext2 to ext4, erofs, squashfs, xfs and btrfs can be mounted";
    Err((if head.is_empty() { "empty" } else { "unknown" }, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn images_are_told_from_other_files() {
        let mut gpt = vec![0; 0x600];
        gpt[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
        gpt[0x200..0x208].copy_from_slice(b"EFI PART");
        assert!(kind_of(&gpt).unwrap_err().0.contains("partition"));
        assert!(kind_of(b"QFI\xfb\0\0\0\x03").unwrap_err().1.contains("qemu-img"));
        assert_eq!(kind_of(b"hsqs"), Ok("squashfs"));
        assert_eq!(kind_of(b"").unwrap_err().0, "empty");
        assert_eq!(kind_of(b"#!/bin/sh\n").unwrap_err().0, "unknown");
    }

    /// What the tool that makes it makes of it.
    #[test]
    fn an_image_of_ext4_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        let made = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].into_iter().find_map(|program| {
            Command::new(program).args(["-q", "-t", "ext4"]).arg(&image).arg("4M").output().ok()
        });
        let made = made.expect("each Debian has mke2fs: e2fsprogs is of priority required");
        assert!(made.status.success(), "{made:?}");
        assert_eq!(kind_of(&std::fs::read(&image).unwrap()), Ok("ext4"));
    }
}
