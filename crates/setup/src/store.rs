// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A folder of things that were made on request: images of root file systems, kernels.
//!
//! A stamp maps a request to the thing that it led to, so that a request of before needs
//! neither network nor apt. A thing is named after what it was made of: two requests that
//! resolve to the same packages share one. Its lock, beside it, is held shared by who
//! uses it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, lock_path};
use crate::disk;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::progress::Progress;

/// A request that nobody has made for so long is forgotten when another one is carried
/// out.
const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);

/// What a request led to. Written last.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Counts up when things are made in another way.
    layout: u32,
    /// The name of the file or folder.
    item: String,
    /// The file that shows whether the thing is whole, relative to it (empty: the thing
    /// itself), and the size of that file.
    key_file: (PathBuf, u64),
    /// What it was made of, for people to read.
    packages: Vec<String>,
}

impl Stamp {
    /// Describes a thing at its place.
    pub fn of(
        layout: u32,
        item: &Path,
        key_file: impl Into<PathBuf>,
        packages: Vec<String>,
    ) -> Result<Self> {
        let key_file = key_file.into();
        let path = at(item, &key_file);
        let size = fs::metadata(&path).map_err(Error::file("cannot look at", &path))?.len();
        let name = item.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { layout, item: name, key_file: (key_file, size), packages })
    }
}

/// The folder.
pub(crate) struct Store {
    folder: PathBuf,
    layout: u32,
}

impl Store {
    /// A folder of the cache, with things of this layout.
    pub fn new(cache: &Cache, name: &str, layout: u32) -> Self {
        Self { folder: cache.folder().join(name), layout }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Counts up when things are made in another way.
    pub fn layout(&self) -> u32 {
        self.layout
    }

    /// What a request has led to, if it is there and looks whole, with the lock that keeps
    /// it.
    pub fn find(&self, request: &str) -> Result<Option<(PathBuf, Lock)>> {
        let path = self.stamp_path(request);
        let Some(stamp) = self.stamp(&path) else { return Ok(None) };
        let item = self.folder.join(&stamp.item);
        // From here on, nobody removes it under our feet.
        let Some(lock) = Lock::try_shared(&lock_path(&item))? else { return Ok(None) };
        if !is_whole(&item, &stamp.key_file) {
            return Ok(None);
        }
        // Says that the request is still made; a cache that others keep stays as it is.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some((item, lock)))
    }

    /// Carries a request out unless it was before, or in any case if `again`: `make` gives
    /// the stamp of what it made. The cache is locked meanwhile.
    pub fn ensure(
        &self,
        cache: &Cache,
        request: &str,
        again: bool,
        progress: &dyn Progress,
        make: impl FnOnce() -> Result<Stamp>,
    ) -> Result<(PathBuf, Lock)> {
        disk::make_folder(&self.folder)?;
        let _alone = Lock::exclusive(&cache.folder().join("lock"), || {
            progress.message("waiting for another process that sets up the same cache");
        })?;
        // That other process may just have done what we are after.
        if !again && let Some(found) = self.find(request)? {
            return Ok(found);
        }
        disk::remove_leftovers(&self.folder)?;
        let stamp = make()?;
        Lock::provide(&lock_path(&self.folder.join(&stamp.item)))?;
        disk::write_json(&self.stamp_path(request), &stamp)?;
        self.clean(progress)?;
        self.find(request)?.ok_or_else(|| Error::NotInTree {
            what: "what was just made".into(),
            tree: self.folder.clone(),
        })
    }

    /// Whether a thing can be used again for another request: a request has led to it, and it
    /// looks whole. One of which nobody knows whether it is goes. The cache must be locked.
    pub fn reuse(&self, item: &Path) -> Result<bool> {
        for path in self.stamp_paths()? {
            if self.stamp(&path).is_some_and(|stamp| {
                self.folder.join(&stamp.item) == item && is_whole(item, &stamp.key_file)
            }) {
                return Ok(true);
            }
        }
        if fs::symlink_metadata(item).is_ok() {
            let _alone = Lock::to_change(&lock_path(item), item)?;
            remove_whole(item)?;
        }
        Ok(false)
    }

    fn stamp_paths(&self) -> Result<Vec<PathBuf>> {
        let paths = disk::entries(&self.folder)?.into_iter().map(|entry| entry.path());
        Ok(paths.filter(|path| has_extension(path, "json")).collect())
    }

    fn stamp_path(&self, request: &str) -> PathBuf {
        self.folder.join(format!("{request}.json"))
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        disk::read_json::<Stamp>(path).filter(|stamp| stamp.layout == self.layout)
    }

    /// Forgets requests of long ago, and removes things that no request leads to. That one
    /// cannot be removed is no reason to fail.
    fn clean(&self, progress: &dyn Progress) -> Result<()> {
        let mut kept = Vec::new();
        for path in self.stamp_paths()? {
            let modified = fs::metadata(&path).and_then(|found| found.modified()).ok();
            let is_old =
                modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > KEEP);
            match self.stamp(&path) {
                Some(stamp) if !is_old => kept.push(self.folder.join(stamp.item)),
                _ => disk::remove(&path)?,
            }
        }
        for path in disk::entries(&self.folder)?.into_iter().map(|entry| entry.path()) {
            if !has_extension(&path, "json")
                && !has_extension(&path, "lock")
                && !kept.contains(&path)
                && let Err(error) = remove_unused(&path)
            {
                progress.message(&error.to_string());
            }
        }
        Ok(())
    }
}

/// Removes a thing and its lock, unless somebody uses it.
pub(crate) fn remove_unused(item: &Path) -> Result<()> {
    let lock = lock_path(item);
    let Some(_alone) = Lock::try_exclusive(&lock)? else { return Ok(()) };
    remove_whole(item)?;
    disk::remove(&lock)
}

/// Removes a thing that nobody uses. If that is interrupted, what is left has a name that
/// nobody takes for a thing, and [`disk::remove_leftovers`] removes it.
fn remove_whole(item: &Path) -> Result<()> {
    let name = item.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let removed = item.with_file_name(format!(".{name}.removed"));
    disk::remove(&removed)?;
    match fs::rename(item, &removed) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file("cannot remove", item)(error)),
        Ok(()) => disk::remove(&removed),
    }
}

fn is_whole(item: &Path, (key_file, size): &(PathBuf, u64)) -> bool {
    fs::metadata(at(item, key_file)).is_ok_and(|found| found.len() == *size)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn at(item: &Path, key_file: &Path) -> PathBuf {
    if key_file.as_os_str().is_empty() { item.to_owned() } else { item.join(key_file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    /// A store with a request `r` that has led to the file `item`.
    fn with_item(item: &str) -> (tempfile::TempDir, Cache, Store) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let store = Store::new(&cache, "things", 1);
        make(&cache, &store, "r", item, false).unwrap();
        (folder, cache, store)
    }

    fn make(
        cache: &Cache,
        store: &Store,
        request: &str,
        item: &str,
        again: bool,
    ) -> Result<(PathBuf, Lock)> {
        store.ensure(cache, request, again, &Silent, || {
            let path = store.folder().join(item);
            fs::write(&path, "contents").unwrap();
            Stamp::of(store.layout, &path, "", vec!["p".into()])
        })
    }

    #[test]
    fn a_request_is_carried_out_once() {
        let (_folder, cache, store) = with_item("one.img");
        let never = || panic!("it is there");
        let (path, _lock) = store.ensure(&cache, "r", false, &Silent, never).unwrap();
        assert!(path.ends_with("things/one.img"));
        assert!(store.find("other").unwrap().is_none());
    }

    #[test]
    fn what_is_cut_short_or_of_another_layout_is_made_again() {
        let (_folder, cache, store) = with_item("one.img");
        fs::write(store.folder().join("one.img"), "con").unwrap();
        assert!(store.find("r").unwrap().is_none());
        make(&cache, &store, "r", "one.img", false).unwrap();
        assert!(store.find("r").unwrap().is_some());
        assert!(Store::new(&cache, "things", 2).find("r").unwrap().is_none());
    }

    #[test]
    fn what_no_request_leads_to_goes_unless_it_is_used() {
        let (_folder, cache, store) = with_item("old.img");
        let used = store.find("r").unwrap().unwrap();
        let old = store.folder().join("old.img");
        make(&cache, &store, "r", "new.img", true).unwrap();
        assert!(old.exists(), "it is in use");
        drop(used);
        make(&cache, &store, "s", "new.img", false).unwrap();
        assert!(!old.exists() && !lock_path(&old).exists());
        assert!(store.find("r").unwrap().is_some() && store.find("s").unwrap().is_some());
    }

    #[test]
    fn what_no_stamp_says_to_be_whole_is_not_used_again() {
        let (_folder, cache, store) = with_item("one.img");
        let item = store.folder().join("one.img");
        assert!(store.reuse(&item).unwrap());
        fs::write(&item, "con").unwrap();
        let used = Lock::try_shared(&lock_path(&item)).unwrap().unwrap();
        assert!(matches!(store.reuse(&item), Err(Error::InUse { .. })), "somebody uses it");
        drop(used);
        assert!(!store.reuse(&item).unwrap());
        assert!(!item.exists());
        // A folder that was half removed, or that somebody has put there.
        let folder = store.folder().join("0123");
        disk::make_folder(&folder.join("usr")).unwrap();
        assert!(!store.reuse(&folder).unwrap());
        assert!(!folder.exists());
        // Interrupted once more, it has another name, and goes when something is made.
        let removed = store.folder().join(".0123.removed");
        disk::make_folder(&removed.join("usr")).unwrap();
        let made = store.ensure(&cache, "s", false, &Silent, || {
            assert!(!removed.exists(), "it takes space");
            let path = store.folder().join("two.img");
            fs::write(&path, "").unwrap();
            Stamp::of(store.layout, &path, "", vec![])
        });
        assert!(made.is_ok());
    }

    #[test]
    fn requests_of_long_ago_are_forgotten() {
        let (_folder, cache, store) = with_item("old.img");
        let ago = SystemTime::now() - KEEP - Duration::from_secs(60);
        let stamp = File::options().write(true).open(store.stamp_path("r")).unwrap();
        stamp.set_modified(ago).unwrap();
        make(&cache, &store, "s", "new.img", false).unwrap();
        assert!(store.find("r").unwrap().is_none());
        assert!(!store.folder().join("old.img").exists());
    }
}
