// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The modules of a kernel as the guest has them at `/lib/modules/<release>`: an image
//! with the indexes of depmod(8), which Debian makes when a kernel is installed.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::UNIX_EPOCH;

use crate::cache::{Cache, lock_path};
use crate::disk;
use crate::erofs::{self, Image};
use crate::error::{Error, Result, START};
use crate::kernel::Kernel;
use crate::lock::Lock;
use crate::modules;
use crate::package_set::PackageSet;
use crate::packages::Packages;
use crate::progress::Progress;
use crate::store;
use crate::tree;

/// Counts up when images of the same modules are made in another way.
const LAYOUT: u32 = 1;

/// Lists that depmod reads beside the modules. Not each kernel has each.
const LISTS: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

pub(crate) fn open(cache: &Cache, kernel: &Kernel, progress: &dyn Progress) -> Result<Image> {
    let files = modules::files(kernel.modules_folder())?;
    let folder = cache.folder().join("modules");
    let name = format!("{}-{}", kernel.release(), identity(kernel, &files)?);
    let path = folder.join(format!("{name}.erofs"));
    if let Some(image) = existing(&path)? {
        return Ok(image);
    }
    let tools = cache.ensure(&[PackageSet::Images], progress)?;
    disk::make_folder(&folder)?;
    let _alone = Lock::exclusive(&cache.folder().join("lock"), || {
        progress.message("waiting for another process that sets up the same cache");
    })?;
    if existing(&path)?.is_none() {
        disk::remove_leftovers(&folder)?;
        let stage = path.with_extension("partial");
        disk::or_remove(&stage, || build(&stage, &tools, kernel, &files, &path, progress))?;
        Lock::provide(&lock_path(&path))?;
        remove_others(&folder, kernel.release(), &path, progress)?;
    }
    existing(&path)?.ok_or_else(|| Error::NotInTree {
        what: "the image that was just made".into(),
        tree: folder,
    })
}

fn existing(path: &Path) -> Result<Option<Image>> {
    let Some(lock) = Lock::try_shared(&lock_path(path))? else { return Ok(None) };
    Ok(path.is_file().then(|| Image::new(path.to_owned(), lock)))
}

/// What changes when a kernel is built again.
fn identity(kernel: &Kernel, files: &[PathBuf]) -> Result<String> {
    let folder = kernel.modules_folder();
    let mut text = format!("{LAYOUT} {}\n", folder.display());
    for file in files {
        let path = folder.join(file);
        let found = fs::metadata(&path).map_err(Error::file("cannot look at", &path))?;
        let time = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let _ = writeln!(text, "{} {} {time:?}", file.display(), found.len());
    }
    Ok(tree::short_hash(&text))
}

fn build(
    stage: &Path,
    tools: &Packages,
    kernel: &Kernel,
    files: &[PathBuf],
    image: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let inside = Path::new("usr/lib/modules").join(kernel.release());
    let modules = stage.join(inside);
    disk::make_folder(&modules)?;
    // depmod looks in /lib or in /usr/lib, as it was built.
    let lib = stage.join("lib");
    symlink("usr/lib", &lib).map_err(Error::file("cannot link", &lib))?;
    progress.busy(&format!("indexing the modules of Linux {}", kernel.release()));
    for file in files {
        // In the folder that a kernel was built in they are at its top.
        let top = if file.starts_with("kernel") { "" } else { "kernel" };
        let to = modules.join(top).join(file);
        disk::make_folder(to.parent().unwrap_or(&modules))?;
        bring(&kernel.modules_folder().join(file), &to)?;
    }
    for list in LISTS {
        let from = kernel.modules_folder().join(list);
        if from.is_file() {
            bring(&from, &modules.join(list))?;
        }
    }
    index(tools, kernel.release(), stage)?;
    progress.finished();
    erofs::make(tools, &modules, image, progress)?;
    disk::remove_folder(stage)
}

fn index(tools: &Packages, release: &str, stage: &Path) -> Result<()> {
    let mut command = tools.command("depmod")?;
    command.arg("-b").arg(stage).arg(release).stdin(Stdio::null());
    let output = command.output().map_err(Error::file(START, Path::new(command.get_program())))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Indexes {
        release: release.to_owned(),
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// A second name where that is possible, else a copy.
fn bring(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).map(drop).map_err(Error::file("cannot write", to))
}

/// Images of the same release with other modules: nobody will ask for them again.
fn remove_others(
    folder: &Path,
    release: &str,
    current: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let start = format!("{release}-");
    for entry in disk::entries(folder)? {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&start)
            && name.ends_with(".erofs")
            && path != current
            && let Err(error) = store::remove_unused(&path)
        {
            progress.message(&error.to_string());
        }
    }
    Ok(())
}
