// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Files and folders: the operations that the cache needs, with errors that
//! name the path.

use std::fs::{self, File};
use std::io::ErrorKind::DirectoryNotEmpty;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::file("cannot make the folder", path))
}

/// Writes a file so that it is there as a whole or not at all, even if the
/// machine stops in between.
pub(crate) fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    // Two threads may write the same file: each has a partial one of its own.
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.{number}.new", std::process::id()));
    let partial = PathBuf::from(partial);
    let written = (|| {
        let mut file = File::create(&partial)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    })();
    written.map_err(|reason| {
        // The write error is the one to report.
        let _ = fs::remove_file(&partial);
        Error::File { action: "cannot write", path: path.to_owned(), reason }
    })
}

/// Writes `contents` unless the file has them: an untouched file keeps its time,
/// which is what cargo looks at.
pub(crate) fn write_if_changed(path: &Path, contents: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(found) if found == contents => Ok(()),
        _ => write_whole(path, contents),
    }
}

/// Writes a value as JSON, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(|reason| Error::Malformed {
        path: path.to_owned(),
        what: format!("cannot be expressed as JSON: {reason}"),
    })?;
    write_whole(path, &text)
}

/// Reads a JSON file; one that is missing or not understood counts as absent,
/// since whatever it describes can be made again.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Removes a folder with all it holds, if it is there. Folders without write
/// permission, as some packages have them, go too.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            make_writable(path);
            fs::remove_dir_all(path)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::file("cannot remove", path)),
    }
}

/// Removes a file, a link or a folder with all it holds.
pub(crate) fn remove(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        return remove_folder(path);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::file("cannot remove", path)),
    }
}

/// Where something that is to be at `path` is made, in the same folder: each time it is asked for
/// another place. A run that was killed may have left programs behind that still write into its
/// own.
pub(crate) fn partial(path: &Path) -> PathBuf {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    // A number of a process comes again one day.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{time:x}.{number}.partial", std::process::id()))
}

/// Removes what runs that were interrupted have left in a folder: what was being made
/// (`*.partial`), and what was being removed (`.*`). Whoever works there must hold the same lock
/// as the caller. A folder that a program of such a run still writes to may be left for the next
/// time.
pub(crate) fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in entries(folder)? {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name.ends_with(".partial") {
            match remove(&entry.path()) {
                Err(Error::File { reason, .. }) if reason.kind() == DirectoryNotEmpty => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// Does work that makes the folder `partial`, and removes the folder if it fails: it would take
/// the space that the next run looks for.
pub(crate) fn or_remove<T>(partial: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    work().inspect_err(|_| {
        // What is wrong with the work is the error to report.
        let _ = remove_folder(partial);
    })
}

fn make_writable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // A failure shows when the removal is tried again.
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// What a folder holds, sorted by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
        .map_err(Error::file("cannot list", folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// The first path below `root` that fits `pattern`: `*` stands for any part of
/// one name.
pub(crate) fn find(root: &Path, pattern: &str) -> Option<PathBuf> {
    let (head, tail) = match pattern.split_once('/') {
        Some((head, tail)) => (head, Some(tail)),
        None => (pattern, None),
    };
    let candidates = match head.split_once('*') {
        None => vec![root.join(head)],
        Some((start, end)) => entries(root)
            .ok()?
            .into_iter()
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            })
            .map(|entry| entry.path())
            .collect(),
    };
    candidates.into_iter().find_map(|path| match tail {
        Some(tail) => find(&path, tail),
        None => path.exists().then_some(path),
    })
}

/// Bytes that an unprivileged user may still write below `folder`.
pub(crate) fn free_bytes(folder: &Path) -> Result<u64> {
    let space = rustix::fs::statvfs(folder)
        .map_err(|error| Error::file("cannot ask for the free space of", folder)(error.into()))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_may_write_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| write_whole(&path, b"all of it").unwrap()));
            }
        });
        assert_eq!(fs::read(&path).unwrap(), b"all of it");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn finds_by_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("usr/lib/modules/7.3.4");
        make_folder(&deep).unwrap();
        fs::write(deep.join("modules.order"), "").unwrap();
        let found = find(folder.path(), "usr/lib/modules/*/modules.order");
        assert_eq!(found, Some(deep.join("modules.order")));
        assert_eq!(find(folder.path(), "usr/lib/modules/6*/modules.order"), None);
        assert_eq!(find(folder.path(), "none/*"), None);
    }

    #[test]
    fn an_unchanged_file_keeps_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wrapper");
        write_if_changed(&path, b"one").unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        write_if_changed(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), old);
        write_if_changed(&path, b"two").unwrap();
        assert_ne!(fs::metadata(&path).unwrap().modified().unwrap(), old);
    }

    #[test]
    fn each_attempt_has_a_place_of_its_own_which_is_a_leftover_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("tree-1.2");
        let [one, other] = [partial(&place), partial(&place)];
        assert_ne!(one, other);
        make_folder(&one.join("usr")).unwrap();
        make_folder(&other).unwrap();
        make_folder(&place).unwrap();
        remove_leftovers(folder.path()).unwrap();
        assert_eq!(entries(folder.path()).unwrap().len(), 1);
        assert!(place.exists());
    }

    #[test]
    fn removes_folders_that_may_not_be_written() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        make_folder(&root.join("locked")).unwrap();
        fs::write(root.join("locked/file"), "x").unwrap();
        fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o500)).unwrap();
        remove_folder(&root).unwrap();
        assert!(!root.exists());
        remove_folder(&root).unwrap();
    }
}
