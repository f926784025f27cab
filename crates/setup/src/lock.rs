// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Locks between processes. The kernel drops them with the process, so that an
//! interrupted run leaves none behind.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
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
        Ok(Self { _file: file })
    }

    /// Takes the lock for this process alone, or gives up at once.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let file = open_for_locking(path)?;
        let taken = try_lock(&file, FlockOperation::NonBlockingLockExclusive, path)?;
        Ok(taken.then_some(Self { _file: file }))
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
        Ok(taken.then_some(Self { _file: file }))
    }
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
}
