// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Locks between processes. The kernel drops them with the process, so that an
//! interrupted run leaves none behind.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// A child has a copy of its parent's files until it has become another program. To close
    /// ours would not end the lock as long as there is one.
    fn drop(&mut self) {
        // Nothing can be done about a failure, and closing ends the lock as a rule.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Takes the lock for this process alone; `waiting` is called if that means
    /// to wait for another process.
    pub fn exclusive(path: &Path, waiting: impl FnOnce()) -> Result<Self> {
        let file = open_for_locking(path)?;
        if !try_lock(&file, FlockOperation::NonBlockingLockExclusive, path)? {
            waiting();
            loop {
                match flock(&file, FlockOperation::LockExclusive) {
                    Ok(()) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(Error::file("cannot lock", path)(error.into())),
                }
            }
        }
        Ok(Self { file })
    }

    /// Takes the lock for this process alone, or gives up at once.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let file = open_for_locking(path)?;
        let taken = try_lock(&file, FlockOperation::NonBlockingLockExclusive, path)?;
        Ok(taken.then_some(Self { file }))
    }

    /// Takes the lock for this process alone in order to replace or remove `what`, or says who
    /// uses it.
    pub fn to_change(path: &Path, what: &Path) -> Result<Self> {
        Self::try_exclusive(path)?
            .ok_or_else(|| Error::InUse { what: what.to_owned(), users: holders(path) })
    }

    /// Makes the file that others will lock.
    pub fn provide(path: &Path) -> Result<()> {
        open_for_locking(path).map(drop)
    }

    /// Takes the lock together with others that share it. `None` if somebody
    /// holds it alone, or if there is no such file.
    pub fn try_shared(path: &Path) -> Result<Option<Self>> {
        // Reading is enough to lock, so a cache that others keep can be used too.
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("cannot open", path)(error)),
        };
        let taken = try_lock(&file, FlockOperation::NonBlockingLockShared, path)?;
        Ok(taken.then_some(Self { file }))
    }
}

/// The processes that hold a lock, as far as the kernel tells (proc_locks(5)); a process that
/// another container has is none of them.
fn holders(path: &Path) -> Vec<u32> {
    let Ok(inode) = std::fs::metadata(path).map(|found| found.ino()) else { return Vec::new() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    // `1: FLOCK  ADVISORY  READ 1234 fd:00:5678 0 EOF`; there is a `->` where one only waits.
    let holder = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = words[..] else { return None };
        let is_it = file.rsplit(':').next()?.parse() == Ok(inode);
        process.parse().ok().filter(|process| is_it && *process != 0)
    };
    let mut found: Vec<u32> = locks.lines().filter_map(holder).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn open_for_locking(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Error::file("cannot make the lock file", path))
}

fn try_lock(file: &File, operation: FlockOperation, path: &Path) -> Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(Error::file("cannot lock", path)(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_keeps_others_from_having_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tree.lock");
        assert!(Lock::try_shared(&path).unwrap().is_none());
        drop(Lock::try_exclusive(&path).unwrap().unwrap());
        let one = Lock::try_shared(&path).unwrap().unwrap();
        let other = Lock::try_shared(&path).unwrap().unwrap();
        drop(one);
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(other);
        let alone = Lock::exclusive(&path, || panic!("nobody holds it")).unwrap();
        assert!(Lock::try_shared(&path).unwrap().is_none());
        drop(alone);
    }

    #[test]
    fn who_holds_a_lock_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tree.lock");
        drop(Lock::to_change(&path, folder.path()).unwrap());
        let _used = Lock::try_shared(&path).unwrap().unwrap();
        let error = Lock::to_change(&path, folder.path()).unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
        // The kernel may hide locks, as gVisor does.
        if std::fs::read_to_string("/proc/locks").is_ok_and(|locks| !locks.is_empty()) {
            assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        }
    }
}
