// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The private directory of one machine, for its sockets and files.
//!
//! It goes away with the machine. One whose process was killed outright stays behind
//! until the next start: its lock, which the kernel has dropped, says that nobody uses it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use crate::error::VmError;

const PREFIX: &str = "fslmc-";
const LOCK: &str = "lock";
/// An unlocked directory that is younger may be about to be locked, unless the process
/// that its name has is gone.
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
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let directory =
            tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir_in(parent)?;
        let lock = File::create(directory.path().join(LOCK))?;
        // Who looks for machines may hold it for a moment.
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Self { directory, _lock: lock })
    }
}

/// A machine of this user's that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Number of the process that started it.
    pub process: u32,
    /// Its private directory.
    pub directory: PathBuf,
}

/// The machines that run, by their processes' numbers: those whose directory is under
/// `parent`, else where it is made when nothing else is said.
pub fn running(parent: Option<&Path>) -> Vec<Running> {
    let parent = parent.map_or_else(usual_parent, Path::to_path_buf);
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<Running> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (process, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
            let running = Running { process: process.parse().ok()?, directory: entry.path() };
            is_locked(&running.directory).then_some(running)
        })
        .collect();
    found.sort_by_key(|running| running.process);
    found
}

/// Whether a process uses a directory. One of another user's cannot be looked into.
fn is_locked(directory: &Path) -> bool {
    let lock = File::open(directory.join(LOCK));
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::AGAIN))
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
    for entry in entries.flatten() {
        let directory = entry.path();
        if is_abandoned(&directory, &entry.file_name().to_string_lossy(), age) {
            tracing::debug!("removing {}, which nobody uses any more", directory.display());
            let _ = fs::remove_dir_all(&directory);
        }
    }
}

/// Whether a directory is one of ours that nobody uses. A lock that is held says that it
/// is used, also by a process in another container, whose number says nothing here.
fn is_abandoned(directory: &Path, name: &str, age: Duration) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let owner = rest.split_once('-').and_then(|(pid, _)| Pid::from_raw(pid.parse().ok()?));
    let is_dead = owner.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
    let lock = directory.join(LOCK);
    let Ok(file) = File::open(&lock) else {
        // Killed before it made the lock: with no process in the name, it is not ours.
        let modified = fs::metadata(directory).and_then(|found| found.modified());
        return is_dead && !lock.exists() && is_older(modified, age);
    };
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    (is_dead || is_older(modified, age))
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn is_older(modified: io::Result<SystemTime>, age: Duration) -> bool {
    modified.is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed >= age))
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
    fn machines_that_run_are_found() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("fslmc-7-left")).unwrap();
        fs::write(parent.path().join("fslmc-7-left").join(LOCK), "").unwrap();
        fs::create_dir(parent.path().join("fslmc-notes")).unwrap();
        assert_eq!(running(Some(parent.path())), []);
        let directory = RuntimeDirectory::new(Some(parent.path())).unwrap();
        let (process, path) = (std::process::id(), directory.path().to_path_buf());
        assert_eq!(running(Some(parent.path())), [Running { process, directory: path }]);
        drop(directory);
        assert_eq!(running(Some(parent.path())), []);
        assert_eq!(running(Some(&parent.path().join("none"))), []);
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

    /// The number of a process that has ended.
    fn dead_process() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn what_a_killed_process_left_goes_at_the_next_start() {
        let parent = tempfile::tempdir().unwrap();
        let (dead, living) = (dead_process(), std::process::id());
        let make = |name: String, lock: bool| {
            let directory = parent.path().join(name);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("initramfs"), "").unwrap();
            if lock {
                fs::write(directory.join(LOCK), "").unwrap();
            }
            directory
        };
        let left = make(format!("fslmc-{dead}-aaaaaa"), true);
        let starting = make(format!("fslmc-{living}-bbbbbb"), true);
        let locked = make(format!("fslmc-{dead}-cccccc"), true);
        let never_locked = make(format!("fslmc-{dead}-dddddd"), false);
        // As a process in another container, whose number is not known here, holds it.
        let lock = File::open(locked.join(LOCK)).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        drop(RuntimeDirectory::new(Some(parent.path())).unwrap());
        assert!(!left.exists());
        assert!(starting.exists() && locked.exists());
        assert!(never_locked.exists(), "too young");
        remove_abandoned(parent.path(), Duration::ZERO);
        assert!(!never_locked.exists() && locked.exists());
    }
}
