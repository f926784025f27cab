// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A tree: the packages of a set, unpacked into one folder.
//!
//! A tree is made beside its place and moved there when it is complete, then
//! its manifest is written, and last the stamp that makes it current. Whatever
//! an interrupted run leaves behind is therefore never taken for a tree.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk;
use crate::error::{Error, Result, advice_from};
use crate::package::Package;
use crate::progress::Progress;

/// What a tree was made of and what it holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The packages.
    pub packages: Vec<Package>,
    /// Every regular file by its path in the tree.
    pub files: BTreeMap<PathBuf, FileRecord>,
}

/// A regular file as it was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its contents, in hexadecimal.
    pub sha256: String,
}

/// Documentation and translations: a quarter of some packages, used by nobody here.
const UNUSED: [&str; 9] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bash-completion",
    "usr/share/applications",
    "usr/share/icons",
    "usr/share/bug",
];

/// Unpacks package files into `tree`, which is made anew, and makes it one in
/// which programs find what they look for.
pub(crate) fn unpack(packages: &[PathBuf], tree: &Path, progress: &dyn Progress) -> Result<()> {
    disk::remove_folder(tree)?;
    disk::make_folder(tree)?;
    let sized = packages.iter().map(|package| Ok((file_size(package)?, package.as_path())));
    let mut sized = sized.collect::<Result<Vec<_>>>()?;
    sized.sort_by(|one, other| other.cmp(one));
    progress.started("unpacking", sized.iter().map(|(size, _)| size).sum());
    unpack_all(&sized, tree, progress)?;
    for unused in UNUSED {
        disk::remove_folder(&tree.join(unused))?;
    }
    join_usr(tree)?;
    make_links_relative(tree, tree)?;
    progress.finished();
    Ok(())
}

/// Several at a time, the largest first: decompression is what takes long, and
/// a large one that comes last is alone.
fn unpack_all(packages: &[(u64, &Path)], tree: &Path, progress: &dyn Progress) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let next = AtomicUsize::new(0);
    let done = AtomicU64::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((size, package)) = packages.get(index) else { break };
                    if let Err(error) = dpkg_deb("-x", package, tree) {
                        next.store(packages.len(), Ordering::Relaxed);
                        let mut slot =
                            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        slot.get_or_insert(error);
                        break;
                    }
                    let before = done.fetch_add(*size, Ordering::Relaxed);
                    progress.advanced(before.saturating_add(*size));
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.map_or(Ok(()), Err)
}

/// Unpacks a package's files (`-x`) or its control files (`-e`).
fn dpkg_deb(part: &str, package: &Path, into: &Path) -> Result<()> {
    let output = Command::new("dpkg-deb")
        .arg(part)
        .arg(package)
        .arg(into)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|reason| Error::NoProgram { program: "dpkg-deb", package: "dpkg", reason })?;
    if output.status.success() {
        return Ok(());
    }
    Err(not_unpacked(package, output.status, &String::from_utf8_lossy(&output.stderr)))
}

/// Why a package does not unpack. With advice, the package itself is not to blame.
pub(crate) fn not_unpacked(package: &Path, status: ExitStatus, said: &str) -> Error {
    let by_signal = status.signal().is_some()
        || ["subprocess was killed by signal", "subprocess was interrupted"]
            .iter()
            .any(|words| said.contains(words));
    let interrupted = "It was interrupted by a signal: the next run starts with the same package.";
    Error::Unpack {
        package: package.to_owned(),
        status,
        output: said.trim().to_owned(),
        advice: advice_from(said).or(by_signal.then_some(interrupted)),
    }
}

/// Debian's top folders are links into `usr`; base-files, which has them, is
/// not among the packages.
fn join_usr(tree: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        let (top, in_usr) = (tree.join(name), tree.join("usr").join(name));
        if fs::symlink_metadata(&top).is_ok_and(|found| found.is_dir()) {
            move_contents(&top, &in_usr)?;
            disk::remove_folder(&top)?;
        }
        if in_usr.exists() && fs::symlink_metadata(&top).is_err() {
            let target = Path::new("usr").join(name);
            std::os::unix::fs::symlink(target, &top).map_err(Error::file("cannot link", &top))?;
        }
    }
    Ok(())
}

fn move_contents(from: &Path, to: &Path) -> Result<()> {
    disk::make_folder(to)?;
    for entry in disk::entries(from)? {
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        let is_folder = fs::symlink_metadata(&old).is_ok_and(|found| found.is_dir());
        if is_folder && new.is_dir() {
            move_contents(&old, &new)?;
        } else {
            fs::rename(&old, &new).map_err(Error::file("cannot move", old))?;
        }
    }
    Ok(())
}

/// A link to `/usr/...` means the tree's, not the machine's.
fn make_links_relative(tree: &Path, folder: &Path) -> Result<()> {
    for entry in disk::entries(folder)? {
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::file("cannot look at", &path))?;
        if kind.is_dir() {
            make_links_relative(tree, &path)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(Error::file("cannot look at", &path))?;
            let Ok(below) = target.strip_prefix("/") else { continue };
            let depth = folder.strip_prefix(tree).map_or(0, |folder| folder.components().count());
            let relative: PathBuf =
                std::iter::repeat_n("..", depth).collect::<PathBuf>().join(below);
            fs::remove_file(&path)
                .and_then(|()| std::os::unix::fs::symlink(&relative, &path))
                .map_err(Error::file("cannot link", &path))?;
        }
    }
    Ok(())
}

impl Manifest {
    /// Reads and hashes every file of a tree.
    pub fn of(tree: &Path, packages: Vec<Package>, progress: &dyn Progress) -> Result<Self> {
        let mut paths = Vec::new();
        regular_files(tree, tree, &mut paths)?;
        let sizes =
            paths.iter().map(|path| file_size(&tree.join(path))).collect::<Result<Vec<_>>>()?;
        progress.started("checking", sizes.iter().sum());
        let mut done = 0u64;
        let mut files = BTreeMap::new();
        for (path, size) in paths.into_iter().zip(sizes) {
            let full = tree.join(&path);
            let record = record(&full).map_err(Error::file("cannot read", &full))?;
            files.insert(path, record);
            done = done.saturating_add(size);
            progress.advanced(done);
        }
        progress.finished();
        Ok(Self { packages, files })
    }

    /// Compares a tree with what was unpacked, byte for byte.
    pub fn verify(&self, tree: &Path, progress: &dyn Progress) -> Result<()> {
        progress.started("checking", self.files.values().map(|file| file.size).sum());
        let mut done = 0u64;
        let mut differing = Vec::new();
        for (path, expected) in &self.files {
            if !record(&tree.join(path)).is_ok_and(|found| found == *expected) {
                differing.push(path.clone());
            }
            done = done.saturating_add(expected.size);
            progress.advanced(done);
        }
        progress.finished();
        if differing.is_empty() {
            return Ok(());
        }
        Err(Error::Damaged { tree: tree.to_owned(), checked: self.files.len(), differing })
    }
}

fn regular_files(tree: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in disk::entries(folder)? {
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::file("cannot look at", &path))?;
        if kind.is_dir() {
            regular_files(tree, &path, found)?;
        } else if kind.is_file()
            && let Ok(relative) = path.strip_prefix(tree)
        {
            found.push(relative.to_owned());
        }
    }
    Ok(())
}

fn record(path: &Path) -> std::io::Result<FileRecord> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut size = 0u64;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        size = size.saturating_add(read.len() as u64);
    }
    Ok(FileRecord { size, sha256: hexadecimal(&hash.finalize()) })
}

/// What a package has besides its files: control fields and maintainer scripts.
#[derive(Debug)]
pub(crate) struct Control {
    /// The folder with `control`, `postinst` and so on.
    pub folder: PathBuf,
}

impl Control {
    /// One of the files; nothing where the package has none of that name.
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("cannot read", &path)(error)),
        }
    }
}

/// Unpacks the control files of packages into folders below `folder`.
pub(crate) fn control_files(packages: &[PathBuf], folder: &Path) -> Result<Vec<Control>> {
    disk::make_folder(folder)?;
    let one = |(number, package): (usize, &PathBuf)| {
        let folder = folder.join(number.to_string());
        dpkg_deb("-e", package, &folder)?;
        Ok(Control { folder })
    };
    packages.iter().enumerate().map(one).collect()
}

/// The start of a text's SHA-256, which tells texts apart.
pub(crate) fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text);
    hexadecimal(hash.get(..6).unwrap_or(&hash))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file_size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).map_err(Error::file("cannot look at", path))?.len())
}

/// Has the kernel write all that belongs to the tree to the disk, so that the
/// stamp does not get there first.
pub(crate) fn sync(tree: &Path) -> Result<()> {
    let folder = File::open(tree).map_err(Error::file("cannot open", tree))?;
    rustix::fs::syncfs(&folder)
        .map_err(|error| Error::file("cannot write to the disk", tree)(error.into()))
}
