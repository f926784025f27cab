// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The open package sets: programs that can be started, files that can be used.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::disk;
use crate::error::{Error, Result, START};
use crate::host::host;
use crate::kernel::Kernel;
use crate::lock::Lock;
use crate::package_set::{PackageSet, Set};

/// Unpacked package sets. As long as it lives, no other process removes them.
#[derive(Debug)]
pub struct Packages {
    cache: PathBuf,
    trees: Vec<OpenTree>,
}

/// A set's folder, with the lock that keeps it.
#[derive(Debug)]
pub(crate) struct OpenTree {
    pub set: &'static Set,
    pub root: PathBuf,
    /// Absent while the tree is being made: it has no name to be found by.
    pub _lock: Option<Lock>,
}

impl Packages {
    pub(crate) fn new(cache: PathBuf, trees: Vec<OpenTree>) -> Self {
        Self { cache, trees }
    }

    /// The cache folder that the packages are in.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The folder of a set: `usr/bin`, `usr/lib` and so on are below it.
    ///
    /// # Errors
    /// [`Error::NotOpened`] if the set was not asked for.
    pub fn tree(&self, set: PackageSet) -> Result<&Path> {
        let tree = self.trees.iter().find(|tree| std::ptr::eq(tree.set, set.definition()));
        tree.map(|tree| tree.root.as_path()).ok_or(Error::NotOpened(set.name()))
    }

    /// A command that runs one of the sets' programs with the set's own
    /// libraries, whatever the machine has. Arguments can be added as usual.
    ///
    /// QEMU finds its firmware; its loadable modules are the set's.
    ///
    /// # Errors
    /// [`Error::NoSuchProgram`] if no open set has it.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut words = self.command_line(program)?.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        // A library that is made for the machine's C library is none for the set's.
        command.args(words).env_remove("LD_PRELOAD");
        if program.starts_with("qemu-") {
            let (root, _) = self.locate(program)?;
            command.env("QEMU_MODULE_DIR", library_folder(root)?.join("qemu"));
        }
        Ok(command)
    }

    /// The words that start a program: the loader, its options, the program and
    /// the options that it needs to find its own files.
    pub(crate) fn command_line(&self, program: &str) -> Result<Vec<OsString>> {
        let (root, path) = self.locate(program)?;
        let mut words: Vec<OsString> = vec![
            root.join(host()?.loader).into(),
            "--argv0".into(),
            program.into(),
            "--library-path".into(),
            library_folder(root)?.into(),
            path.into(),
        ];
        if program.starts_with("qemu-system-") {
            for firmware in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
                words.extend(["-L".into(), root.join(firmware).into()]);
            }
        }
        Ok(words)
    }

    fn locate(&self, program: &str) -> Result<(&Path, PathBuf)> {
        let places = self.trees.iter().flat_map(|tree| {
            ["usr/bin", "usr/sbin"].map(|folder| (tree.root.as_path(), tree.root.join(folder)))
        });
        places
            .map(|(root, folder)| (root, folder.join(program)))
            .find(|(_, path)| !program.contains('/') && path.is_file())
            .ok_or_else(|| Error::NoSuchProgram(program.to_owned()))
    }

    /// The arm64 kernel of the board.
    ///
    /// # Errors
    /// [`Error::NotOpened`] without [`PackageSet::Board`], [`Error::NotInTree`] if its
    /// files are not where Debian has them.
    pub fn kernel(&self) -> Result<Kernel> {
        Kernel::in_tree(self.tree(PackageSet::Board)?)
    }

    /// A static busybox for the guest (arm64).
    ///
    /// # Errors
    /// [`Error::NotOpened`] without [`PackageSet::Board`].
    pub fn busybox(&self) -> Result<PathBuf> {
        let root = self.tree(PackageSet::Board)?;
        disk::find(root, "usr/bin/busybox")
            .ok_or_else(|| Error::NotInTree { what: "busybox".to_owned(), tree: root.to_owned() })
    }

    /// Starts each program of the sets once, so that one which does not run on
    /// this machine is found out before anything relies on it.
    pub(crate) fn try_programs(&self) -> Result<()> {
        for program in self.trees.iter().flat_map(|tree| tree.set.programs) {
            let mut command = self.command(program)?;
            let output = command
                .arg("--version")
                .stdin(Stdio::null())
                .output()
                .map_err(Error::file(START, Path::new(command.get_program())))?;
            if !output.status.success() {
                return Err(Error::DoesNotRun {
                    program: (*program).to_owned(),
                    status: output.status,
                    output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn library_folder(root: &Path) -> Result<PathBuf> {
    Ok(root.join("usr/lib").join(host()?.triplet))
}
