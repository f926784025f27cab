// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The stamp of a set: which tree is current, and what shows at a glance that
//! the tree is whole.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk;
use crate::error::{Error, Result};
use crate::host::host;
use crate::kernel::Kernel;
use crate::package::Package;
use crate::package_set::{Finish, Set};
use crate::tree;

/// It is the last thing that a set-up writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The name of the tree's folder.
    pub tree: String,
    /// What was asked for: another version of this crate may ask for more.
    pub recipe: String,
    /// Files without which the set is of no use, with their sizes: looking at
    /// them is quick and shows a tree that somebody has removed or cut short.
    pub key_files: Vec<(PathBuf, u64)>,
    /// The packages, for people to read.
    pub packages: Vec<String>,
}

impl Stamp {
    /// Describes a tree at `root` that is to be known as `tree`.
    pub fn of(set: &Set, root: &Path, tree: String, packages: &[Package]) -> Result<Self> {
        Ok(Self {
            tree,
            recipe: recipe(set)?,
            key_files: key_files(set, root)?,
            packages: packages.iter().map(Package::described).collect(),
        })
    }

    /// Whether the stamp is of the set as it is defined today, and the tree at
    /// `root` has its key files.
    pub fn fits(&self, set: &Set, root: &Path) -> Result<bool> {
        let whole = || {
            self.key_files.iter().all(|(path, size)| {
                fs::metadata(root.join(path)).is_ok_and(|found| found.len() == *size)
            })
        };
        Ok(self.recipe == recipe(set)? && whole())
    }
}

/// The name of a tree follows from what it is made of.
pub(crate) fn tree_name(set: &Set, packages: &[Package]) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(recipe(set)?);
    for package in packages {
        hash.update(package.described());
        hash.update("\n");
    }
    let digits = tree::hexadecimal(&hash.finalize());
    Ok(format!("{}-{}", set.name, digits.get(..12).unwrap_or(&digits)))
}

/// All that decides what a set consists of, but for the versions.
fn recipe(set: &Set) -> Result<String> {
    /// Counts up when trees are laid out in another way.
    const LAYOUT: u32 = 1;
    let absent: Vec<_> = set.absent.iter().map(|absent| absent.name).collect();
    let finish = match set.finish {
        Finish::AsItIs | Finish::Kernel | Finish::Sandbox => String::new(),
        Finish::BuildTree(version) => format!(" then build {version}"),
    };
    Ok(format!(
        "{LAYOUT} {} {} without {}{finish}",
        host()?.architecture,
        set.install.join(" "),
        absent.join(" ")
    ))
}

/// The files that are looked at on each run, relative to `root`.
fn key_files(set: &Set, root: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let programs = set.programs.iter().map(|program| format!("usr/bin/{program}"));
    let others = set.files.iter().map(|pattern| (*pattern).to_owned());
    let loader = host()?.loader.to_owned();
    let loader = (!set.programs.is_empty()).then_some(loader);
    let mut found = Vec::new();
    for pattern in programs.chain(others).chain(loader) {
        let missing = || Error::NotInTree { what: pattern.clone(), tree: root.to_owned() };
        found.push(disk::find(root, &pattern).ok_or_else(missing)?);
    }
    if set.finish == Finish::Kernel {
        found.push(Kernel::in_tree(root)?.image().to_owned());
    }
    let recorded = found.into_iter().map(|path| {
        let size = fs::metadata(&path).map_err(Error::file("cannot look at", &path))?.len();
        Ok((path.strip_prefix(root).unwrap_or(&path).to_owned(), size))
    });
    recorded.collect()
}
