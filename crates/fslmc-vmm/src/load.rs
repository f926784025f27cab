// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's memory and what is in it at the start (Linux
//! Documentation/arch/arm64/booting.rst).
//!
//! Not by `linux-loader`: its 0.14 needs a newer compiler than the board's 1.85, and those
//! before it another `vm-memory`.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use crate::cli::Guest;
use crate::error::Error;
use crate::layout::{self, Places, RAM};
use crate::virtio::block::Disk;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// What a guest is made of: opened once, before the process gives up what it does not need,
/// and read again for each start.
pub struct Files {
    kernel: Source,
    initramfs: Option<Source>,
    /// Disks, which are one guest's after the other.
    pub disks: Vec<Arc<Disk>>,
}

impl Files {
    /// Opens all of them, and looks whether they are what a guest with so much memory can start
    /// with.
    ///
    /// # Errors
    /// All that is wrong: [`Error::File`] with the file's name, [`Error::Memory`].
    pub fn open(guest: &Guest) -> Result<Self, Vec<Error>> {
        let mut errors = Vec::new();
        let kernel = noted(Source::open("the kernel", &guest.kernel), &mut errors);
        let initramfs = guest.initramfs.as_deref();
        let initramfs = initramfs.map(|path| Source::open("the initial file system", path));
        let initramfs = noted(initramfs.transpose(), &mut errors);
        // All are open at once, so that one that is given twice finds itself locked.
        let disks = guest.disks.iter().filter_map(|source| {
            let opened = Disk::open(source).map(Arc::new);
            let opened = opened.map_err(|reason| file_error("the disk", &source.path, reason));
            noted(opened, &mut errors)
        });
        let disks = disks.collect();
        let Some(kernel) = kernel else { return Err(errors) };
        let mut files = Self { kernel, initramfs: initramfs.flatten(), disks };
        errors.extend(files.placed(guest).err());
        if errors.is_empty() { Ok(files) } else { Err(errors) }
    }

    /// What is put where in the guest's memory.
    fn placed(&mut self, guest: &Guest) -> Result<Placed, Error> {
        let Self { kernel, initramfs, .. } = self;
        kernel.rewind()?;
        let header = ImageHeader::read(&mut kernel.file).map_err(|reason| kernel.error(reason))?;
        let kernel_size = header.text_offset.saturating_add(header.size);
        let initramfs_size = initramfs.as_ref().map_or(Ok(0), Source::size)?;
        let too_little = |needed: u64| Error::Memory {
            kernel: guest.kernel.clone(),
            needed: needed.div_ceil(1 << 20),
            memory: guest.memory >> 20,
            advice: needed.saturating_mul(2).div_ceil(1 << 20),
        };
        let places =
            layout::places(guest.memory, kernel_size, initramfs_size).map_err(too_little)?;
        Ok(Placed { header, places, initramfs_size })
    }
}

/// What came of something; why it failed is noted.
fn noted<T>(outcome: Result<T, Error>, errors: &mut Vec<Error>) -> Option<T> {
    outcome.map_err(|error| errors.push(error)).ok()
}

/// What a guest starts with, and where.
struct Placed {
    header: ImageHeader,
    places: Places,
    /// Bytes.
    initramfs_size: u64,
}

/// Where things are.
#[derive(Debug)]
pub struct Images {
    /// The kernel's entry, bytes into memory.
    pub entry: u64,
    /// Start and end of the initial file system.
    pub initramfs: Option<(u64, u64)>,
    /// Where the device tree goes.
    pub device_tree: u64,
}

/// Memory of a guest.
pub fn memory(bytes: u64) -> Result<GuestMemoryMmap, Error> {
    let failed = |reason: String| Error::System {
        what: "allocating the guest's memory",
        reason: std::io::Error::other(reason),
    };
    let size = usize::try_from(bytes).map_err(|error| failed(error.to_string()))?;
    GuestMemoryMmap::from_ranges(&[(GuestAddress(RAM), size)])
        .map_err(|error| failed(error.to_string()))
}

/// Puts kernel and initial file system into memory: the kernel at its start, the rest at
/// its end.
///
/// # Errors
/// [`Error::File`] with the file's name, [`Error::Memory`].
pub fn images(files: &mut Files, guest: &Guest, memory: &GuestMemoryMmap) -> Result<Images, Error> {
    // Read again: a file may be another one by the guest's next start.
    let Placed { header, places, initramfs_size } = files.placed(guest)?;
    let Places { initramfs: place, device_tree } = places;
    let Files { kernel, initramfs, .. } = files;
    let entry = header.text_offset;
    kernel.rewind()?;
    kernel.copy(memory, RAM + entry, header.file)?;
    let initramfs = match initramfs {
        Some(source) => {
            source.rewind()?;
            source.copy(memory, place, initramfs_size)?;
            Some((place, place + initramfs_size))
        }
        None => None,
    };
    Ok(Images { entry, initramfs, device_tree })
}

/// Puts the device tree into memory.
pub fn device_tree(memory: &GuestMemoryMmap, at: u64, blob: &[u8]) -> Result<(), Error> {
    memory.write_slice(blob, GuestAddress(at)).map_err(|error| Error::System {
        what: "putting the device tree into memory",
        reason: std::io::Error::other(error),
    })
}

/// Random numbers for the guest's start.
///
/// # Errors
/// When the system has none.
pub fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::System { what: "getrandom", reason: errno.into() })?;
    Ok(seed)
}

/// A file that goes into the guest's memory, and what messages call it.
struct Source {
    what: &'static str,
    path: PathBuf,
    file: File,
}

impl Source {
    fn open(what: &'static str, path: &Path) -> Result<Self, Error> {
        match File::open(path) {
            Ok(file) => Ok(Self { what, path: path.to_owned(), file }),
            Err(error) => Err(file_error(what, path, error)),
        }
    }

    fn error(&self, reason: impl ToString) -> Error {
        file_error(self.what, &self.path, reason)
    }

    fn rewind(&mut self) -> Result<(), Error> {
        self.file.rewind().map_err(|error| self.error(error))
    }

    /// Bytes of the file.
    fn size(&self) -> Result<u64, Error> {
        self.file.metadata().map(|data| data.len()).map_err(|error| self.error(error))
    }

    /// Copies so many bytes from where the file is to an address.
    fn copy(&mut self, memory: &GuestMemoryMmap, at: u64, bytes: u64) -> Result<(), Error> {
        let size = usize::try_from(bytes).unwrap_or(usize::MAX);
        memory
            .read_exact_volatile_from(GuestAddress(at), &mut self.file, size)
            .map_err(|error| self.error(error))
    }
}

fn file_error(what: &'static str, path: &Path, reason: impl ToString) -> Error {
    Error::File { what, path: path.to_owned(), reason: reason.to_string() }
}

/// What the header of a kernel says.
struct ImageHeader {
    /// Where it wants to be from a border of 2 MiB on.
    text_offset: u64,
    /// What it occupies once it runs.
    size: u64,
    /// Bytes of the file.
    file: u64,
}

impl ImageHeader {
    fn read(kernel: &mut File) -> Result<Self, String> {
        let mut header = [0; 64];
        let short = |_| "shorter than the header of an Image".to_owned();
        kernel.read_exact(&mut header).map_err(short)?;
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        if header[56..60] != *b"ARM\x64" {
            let compressed = header.starts_with(&[0x1f, 0x8b]);
            let advice = if compressed { ", but compressed: unpack it with gunzip" } else { "" };
            return Err(format!("no arm64 Image{advice}"));
        }
        let file = kernel.metadata().map_err(|error| error.to_string())?.len();
        // Kernels before 3.17 say no size, and are at a fixed place.
        let text_offset = if word(16) == 0 { 0x8_0000 } else { word(8) };
        Ok(Self { text_offset, size: word(16).max(file), file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    /// An Image that occupies so many MiB, as far as its header says.
    fn image(mib: u64) -> Vec<u8> {
        let mut image = vec![0; 4096];
        image[16..24].copy_from_slice(&(mib << 20).to_le_bytes());
        image[56..60].copy_from_slice(b"ARM\x64");
        image
    }

    #[test]
    fn all_that_is_wrong_with_files_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let said = |words: &[&str]| {
            let all = ["fslmc-vmm", "--memory", "96M", "--kernel"].iter().chain(words);
            let opened = Files::open(&Cli::try_parse_from(all).unwrap().guest);
            let errors = opened.err().unwrap_or_default();
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (good, large) = (file("Image", &image(50)), file("large", &image(95)));
        let packed = file("Image.gz", &[[0x1f, 0x8b].as_slice(), &[0; 100]].concat());
        let (empty, disk) = (file("empty", &[]), file("disk", &[0; 512]));
        assert_eq!(said(&[&good, "--disk", &disk]), [""; 0]);
        assert_eq!(said(&[&good, "--initramfs", &empty]), [""; 0]);

        let text = said(&[&packed, "--disk", &empty, "--initramfs", "/none"]);
        assert_eq!(text.len(), 3, "{text:?}");
        let text = text.join("\n");
        assert!(text.contains("unpack it with gunzip") && text.contains("0 bytes"), "{text}");
        assert!(text.contains("/none"), "{text}");
        assert!(said(&[&large])[0].contains("give --memory"), "{:?}", said(&[&large]));
        assert!(said(&[&empty])[0].contains("shorter than the header"));
        let text = said(&[&good, "--disk", &disk, "--disk", &disk]);
        assert!(text.len() == 1 && text[0].contains("given twice"), "{text:?}");
    }
}
