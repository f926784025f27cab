// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Images of file systems for the guest: erofs, which the kernel reads, writes never,
//! and which is made from a folder without any privilege.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::disk;
use crate::error::{Error, Result, START};
use crate::lock::Lock;
use crate::packages::Packages;
use crate::progress::Progress;

/// An image that nobody removes as long as this lives.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    _lock: Lock,
}

impl Image {
    /// An image with the shared lock beside it.
    pub(crate) fn new(path: PathBuf, lock: Lock) -> Self {
        Self { path, _lock: lock }
    }

    /// The file: an erofs file system without a partition table.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes an image of the folder `root` at `image`, whole or not at all. Everything in it
/// is root's. It is not compressed: an emulated processor unpacks slower than it reads.
pub(crate) fn make(
    tools: &Packages,
    root: &Path,
    image: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let mut partial = image.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    disk::remove(partial)?;
    progress.busy("making the image");
    let mut command = tools.command("mkfs.erofs")?;
    command.args(["--quiet", "--all-root"]).arg(partial).arg(root).stdin(Stdio::null());
    let output = command.output().map_err(Error::file(START, Path::new(command.get_program())))?;
    if !output.status.success() {
        // What is wrong comes first; that half an image stays is not.
        let _ = fs::remove_file(partial);
        let said = [output.stdout, output.stderr].concat();
        return Err(Error::Image {
            image: image.to_owned(),
            status: output.status,
            output: String::from_utf8_lossy(&said).trim().to_owned(),
        });
    }
    let file = fs::File::open(partial).map_err(Error::file("cannot open", partial))?;
    file.sync_all().map_err(Error::file("cannot write to the disk", partial))?;
    fs::rename(partial, image).map_err(Error::file("cannot move into place", partial))?;
    progress.finished();
    Ok(())
}
