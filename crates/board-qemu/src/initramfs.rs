// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's initial file system: a `newc` cpio archive, built in memory
//! (Linux Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::fmt::Write as _;

const DIRECTORY: u32 = 0o040_755;
const SYMLINK: u32 = 0o120_777;
const REGULAR: u32 = 0o100_000;

/// An archive under construction. Directories on the way to an entry are made
/// as needed; everything belongs to root.
#[derive(Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    inode: u32,
    directories: BTreeSet<String>,
}

/// An entry that the archive's format does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot put {path:?} into the guest's file system: {reason}")]
pub struct EntryError {
    /// The path that was asked for.
    pub path: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Initramfs {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a regular file at `path` with permission bits `mode`.
    ///
    /// # Errors
    /// [`EntryError`] for a path that is empty, climbs with `..`, holds a NUL,
    /// or for contents of 4 GiB or more.
    pub fn file(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<(), EntryError> {
        self.add(path, REGULAR | (mode & 0o7777), contents)
    }

    /// Adds a symbolic link at `path` that points to `target`.
    ///
    /// # Errors
    /// As [`Initramfs::file`].
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), EntryError> {
        self.add(path, SYMLINK, target.as_bytes())
    }

    /// Adds a directory, unless it is there.
    ///
    /// # Errors
    /// As [`Initramfs::file`].
    pub fn directory(&mut self, path: &str) -> Result<(), EntryError> {
        let path = relative(path)?;
        self.parents(&path)?;
        self.make_directory(&path)
    }

    /// The finished archive, uncompressed: under emulation the guest's
    /// decompression costs more than the host's copy saves.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        // The trailer's fields are all known to fit.
        let _ = self.record("TRAILER!!!", 0, &[]);
        let padded = self.bytes.len().next_multiple_of(512);
        self.bytes.resize(padded, 0);
        self.bytes
    }

    fn add(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<(), EntryError> {
        let path = relative(path)?;
        self.parents(&path)?;
        self.record(&path, mode, contents)
    }

    fn parents(&mut self, path: &str) -> Result<(), EntryError> {
        for (end, _) in path.match_indices('/') {
            self.make_directory(&path[..end])?;
        }
        Ok(())
    }

    fn make_directory(&mut self, path: &str) -> Result<(), EntryError> {
        if self.directories.insert(path.to_string()) {
            self.record(path, DIRECTORY, &[])?;
        }
        Ok(())
    }

    fn record(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<(), EntryError> {
        let too_long = |reason| EntryError { path: name.to_string(), reason };
        let length =
            u32::try_from(contents.len()).map_err(|_| too_long("its contents are too long"))?;
        let name_length =
            u32::try_from(name.len() + 1).map_err(|_| too_long("its name is too long"))?;
        self.inode += 1;
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor,
        // rdevmajor, rdevminor, namesize, check
        let fields = [self.inode, mode, 0, 0, links, 0, length, 0, 0, 0, 0, name_length, 0];
        let mut header = String::from("070701");
        for field in fields {
            // Writing to a string does not fail.
            let _ = write!(header, "{field:08X}");
        }
        self.bytes.extend(header.bytes());
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }
}

/// The path as the archive names it: without the leading slash.
fn relative(path: &str) -> Result<String, EntryError> {
    let refused = |reason| Err(EntryError { path: path.to_string(), reason });
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return refused("it names no entry");
    }
    if parts.contains(&"..") {
        return refused("it climbs with `..`");
    }
    if path.contains('\0') {
        return refused("it holds a NUL");
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn one_file_byte_for_byte() {
        let mut archive = Initramfs::new();
        archive.file("/init", 0o755, b"hi\n").unwrap();
        let bytes = archive.finish();
        let expected = concat!(
            "070701",
            "00000001",
            "000081ED",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000003",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000005",
            "00000000",
            "init\0\0",
            "hi\n\0",
            "070701",
            "00000001",
            "00000000",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "0000000B",
            "00000000",
            "TRAILER!!!\0\0\0\0",
        );
        // Header and name together end on a multiple of 4: 110 + 5 + 1 for
        // "init", 110 + 11 + 3 for the trailer.
        assert_eq!(String::from_utf8_lossy(&bytes[..expected.len()]), expected);
        assert!(bytes[expected.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(bytes.len() % 512, 0);
    }

    #[test]
    fn directories_come_once_and_before_their_entries() {
        let mut archive = Initramfs::new();
        archive.file("a/b/c", 0o644, b"").unwrap();
        archive.symlink("/a//b/./d", "../c").unwrap();
        archive.directory("a/b").unwrap();
        archive.directory("proc").unwrap();
        let text = String::from_utf8_lossy(&archive.finish()).into_owned();
        let names: Vec<usize> = ["a\0", "a/b\0", "a/b/c\0", "a/b/d\0", "proc\0"]
            .iter()
            .map(|name| {
                assert_eq!(text.matches(&format!("00000000{name}")).count(), 1, "{name:?}");
                text.find(&format!("00000000{name}")).unwrap()
            })
            .collect();
        assert!(names.is_sorted());
    }

    #[test]
    fn bad_paths_are_refused() {
        let mut archive = Initramfs::new();
        for path in ["", "/", ".", "a/../b", "..", "a\0b"] {
            let error = archive.file(path, 0o644, b"").unwrap_err();
            assert_eq!(error.path, path);
        }
    }

    /// What another reader of the format makes of an archive.
    #[test]
    fn an_independent_reader_lists_it() {
        let mut archive = Initramfs::new();
        archive.file("bin/busybox", 0o755, &[7; 1001]).unwrap();
        archive.symlink("bin/sh", "busybox").unwrap();
        let bytes = archive.finish();
        let mut rest = bytes.as_slice();
        let mut entries = Vec::new();
        loop {
            let mut reader = cpio::newc::Reader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                break;
            }
            let mut contents = Vec::new();
            reader.read_to_end(&mut contents).unwrap();
            entries.push((entry.name().to_owned(), entry.mode(), contents));
            rest = reader.finish().unwrap();
        }
        let entry = |name: &str, mode, contents: &[u8]| (name.to_owned(), mode, contents.to_vec());
        let expected = [
            entry("bin", 0o040_755, b""),
            entry("bin/busybox", 0o100_755, &[7; 1001]),
            entry("bin/sh", 0o120_777, b"busybox"),
        ];
        assert_eq!(entries, expected);
    }
}
