// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The private directory of one machine, for its sockets and files.
//!
//! It goes away with the machine. One whose process was killed outright stays
//! behind; its lock, which the kernel has dropped, tells the next start that
//! nobody uses it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::error::VmError;

const PREFIX: &str = "fslmc-";
const LOCK: &str = "lock";
/// An unlocked directory that is younger is about to be locked.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// A directory that only this user may enter, locked and removed at the end.
pub struct RuntimeDirectory {
    directory: TempDir,
    _lock: File,
}

impl RuntimeDirectory {
    /// Makes one under `parent`, else under `$XDG_RUNTIME_DIR`, else where
    /// temporary files go, and removes those that nobody uses any more.
    pub fn new(parent: Option<&Path>) -> Result<Self, VmError> {
        let parent = parent.map_or_else(usual_parent, Path::to_path_buf);
        Self::make(&parent).map_err(|source| VmError::RuntimeDirectory { parent, source })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn make(parent: &Path) -> io::Result<Self> {
        if !parent.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        remove_abandoned(parent, ABANDONED_AFTER);
        let private = fs::Permissions::from_mode(0o700);
        let directory =
            tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent)?;
        let lock = File::create(directory.path().join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { directory, _lock: lock })
    }
}

fn usual_parent() -> PathBuf {
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    runtime.unwrap_or_else(std::env::temp_dir)
}

/// Removes what killed processes left. Whatever cannot be read or removed is
/// somebody else's and stays.
fn remove_abandoned(parent: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
    {
        let directory = entry.path();
        if is_abandoned(&directory.join(LOCK), age) {
            tracing::debug!("removing {}, which nobody uses any more", directory.display());
            let _ = fs::remove_dir_all(&directory);
        }
    }
}

fn is_abandoned(lock: &Path, age: Duration) -> bool {
    let Ok(file) = File::open(lock) else { return false };
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed >= age));
    is_old && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let directory = RuntimeDirectory::new(Some(&parent.path().join("new/one"))).unwrap();
        assert_eq!(fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = directory.path().to_path_buf();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_place_that_cannot_be_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RuntimeDirectory::new(Some(&file)).err().unwrap();
        assert!(matches!(&error, VmError::RuntimeDirectory { .. }));
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn only_abandoned_ones_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let used = RuntimeDirectory::new(Some(parent.path())).unwrap();
        let abandoned = parent.path().join("fslmc-dead");
        let foreign = parent.path().join("fslmc-notes");
        for directory in [&abandoned, &foreign] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("qmp"), "").unwrap();
        }
        fs::write(abandoned.join(LOCK), "").unwrap();
        remove_abandoned(parent.path(), Duration::from_secs(600));
        assert!(abandoned.exists(), "too young");
        remove_abandoned(parent.path(), Duration::ZERO);
        assert!(!abandoned.exists());
        assert!(foreign.exists(), "it has no lock: not ours");
        assert!(used.path().exists(), "locked");
    }
}
