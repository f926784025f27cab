// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Root file systems for the guest, made of Debian packages.
//!
//! The packages are resolved as on a machine where nothing is installed, together
//! with Debian's minimal system (shell, core utilities, `kmod`); they are unpacked,
//! completed by what their maintainer scripts would have done as far as programs need
//! it ([`configure`]), and made an image (erofs) that the guest mounts read-only.
//!
//! A stamp maps a request (packages and suite) to its image, so that a start with a
//! request of before needs neither network nor apt. An image is named after what it
//! was made of: two requests that resolve to the same packages share one.

mod accounts;
mod alternatives;
mod configure;
mod request;
mod script;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::apt::{Apt, Scope};
use crate::cache::{Cache, lock_path};
use crate::disk;
use crate::erofs::{self, Image};
use crate::error::{Error, Result};
use crate::install::{self, Archive};
use crate::lock::Lock;
use crate::need::Need;
use crate::package::Package;
use crate::parts::Parts;
use crate::progress::Progress;
use crate::tree;

pub use request::{DEFAULT_SUITE, Userland};

/// Counts up when images of the same packages are made in another way.
const LAYOUT: u32 = 1;

/// A request that nobody has made for so long is forgotten when another image is made.
const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);

/// What a request resolved to. Written last.
#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    layout: u32,
    /// File name of the image.
    image: String,
    /// Its size in bytes, which shows one that was cut short.
    size: u64,
    /// For people to read.
    packages: Vec<String>,
}

/// Gives the image of a request, and makes it if it is not there, or if newer packages
/// are to be looked for.
pub(crate) fn open(
    cache: &Cache,
    request: &Userland,
    refresh: bool,
    progress: &dyn Progress,
) -> Result<Image> {
    let store = Store { folder: cache.folder().join("userland") };
    if !refresh && let Some(image) = store.image(request)? {
        return Ok(image);
    }
    let tools = cache.ensure(&[Need::Images], progress)?;
    disk::make_folder(&store.folder)?;
    let _alone = Lock::exclusive(&cache.folder().join("lock"), || {
        progress.message("waiting for another process that sets up the same cache");
    })?;
    // That other process may just have done what we are after.
    if !refresh && let Some(image) = store.image(request)? {
        return Ok(image);
    }
    let folder = cache.folder().join(format!("apt-guest-{}", request.suite()));
    let is_new = !folder.exists();
    let apt = Apt::new(folder.clone(), Scope::of_guest(&request.suites()))?;
    let maker = Maker { cache, store: &store, tools: &tools, archive: &apt, progress };
    let made = maker.make(request, refresh);
    if made.is_err() && is_new && !apt.has_lists() {
        // A suite that nobody has: the error says so, and nothing of it stays.
        disk::remove_folder(&folder)?;
    }
    made?;
    store.image(request)?.ok_or_else(|| Error::NotInTree {
        what: "the image that was just made".into(),
        tree: store.folder.clone(),
    })
}

/// The folder of the images.
struct Store {
    folder: PathBuf,
}

impl Store {
    fn stamp_path(&self, request: &Userland) -> PathBuf {
        self.folder.join(format!("{}.json", request.key()))
    }

    /// The image of a request, if it is there and looks whole.
    fn image(&self, request: &Userland) -> Result<Option<Image>> {
        let path = self.stamp_path(request);
        let Some(stamp) = disk::read_json::<Stamp>(&path).filter(|stamp| stamp.layout == LAYOUT)
        else {
            return Ok(None);
        };
        let image = self.folder.join(&stamp.image);
        // From here on, nobody removes the image under our feet.
        let Some(lock) = Lock::try_shared(&lock_path(&image))? else { return Ok(None) };
        if !fs::metadata(&image).is_ok_and(|found| found.len() == stamp.size) {
            return Ok(None);
        }
        // Says that the request is still made; a cache that others keep stays as it is.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some(Image::new(image, lock)))
    }

    /// Forgets requests of long ago, and removes images that no request leads to. That
    /// one cannot be removed is no reason to fail.
    fn clean(&self, progress: &dyn Progress) -> Result<()> {
        let mut kept = Vec::new();
        let entries = disk::entries(&self.folder)?;
        let with = |extension: &'static str| {
            let paths = entries.iter().map(fs::DirEntry::path);
            paths.filter(move |path| path.extension().is_some_and(|found| found == extension))
        };
        for path in with("json") {
            let modified = fs::metadata(&path).and_then(|found| found.modified()).ok();
            let is_old =
                modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > KEEP);
            match disk::read_json::<Stamp>(&path) {
                Some(stamp) if stamp.layout == LAYOUT && !is_old => kept.push(stamp.image),
                _ => disk::remove(&path)?,
            }
        }
        for image in with("erofs") {
            let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !kept.contains(&name)
                && let Err(error) = erofs::remove_unused(&image)
            {
                progress.message(&error.to_string());
            }
        }
        Ok(())
    }
}

/// All that it takes to make an image.
struct Maker<'a> {
    cache: &'a Cache,
    store: &'a Store,
    tools: &'a Parts,
    archive: &'a dyn Archive,
    progress: &'a dyn Progress,
}

impl Maker<'_> {
    fn make(&self, request: &Userland, refresh: bool) -> Result<()> {
        let (archive, progress) = (self.archive, self.progress);
        archive.prepare()?;
        archive.update(refresh, progress)?;
        let selection = request.selection();
        let packages = archive.plan(&selection)?;
        let described: Vec<String> = packages.iter().map(Package::described).collect();
        let image = format!("{}.erofs", tree::short_hash(&format!("{LAYOUT} {described:?}")));
        let path = self.store.folder.join(&image);
        if !path.is_file() {
            // Unpacked, then once more as the image.
            let unpacked = archive.installed_size(&packages)?;
            install::check_space(self.cache, &selection.name, unpacked, archive, &packages)?;
            install::download(&selection, archive, &packages, progress)?;
            self.build(&packages, &path)?;
        }
        Lock::provide(&lock_path(&path))?;
        let size = fs::metadata(&path).map_err(Error::file("cannot look at", &path))?.len();
        let stamp = Stamp { layout: LAYOUT, image, size, packages: described };
        disk::write_json(&self.store.stamp_path(request), &stamp)?;
        self.store.clean(progress)
    }

    /// Unpacks and completes beside the image's place, and moves it there.
    fn build(&self, packages: &[Package], image: &Path) -> Result<()> {
        let partial = self.store.folder.join(".partial");
        disk::remove_folder(&partial)?;
        let (root, control) = (partial.join("root"), partial.join("control"));
        let files: Vec<_> = packages.iter().map(|package| self.archive.file(package)).collect();
        tree::unpack(&files, &root, self.progress).inspect_err(install::discard_damaged)?;
        let control = tree::control_files(&files, &control)?;
        configure::complete(&root, &control)?;
        erofs::make(self.tools, &root, image, self.progress)?;
        disk::remove_folder(&partial)
    }
}
