// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Things in a store that are made of packages, and named after them.

use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::error::Result;
use crate::install::{Archive, Plan, check_space, download};
use crate::package::Package;
use crate::progress::Progress;
use crate::store::Store;
use crate::tree;

/// What it takes to make one.
pub(crate) struct FromPackages<'a> {
    /// Whose disk has to have the space.
    pub cache: &'a Cache,
    /// Where the thing goes.
    pub store: &'a Store,
    /// What its name ends in.
    pub suffix: &'static str,
    /// Where the packages come from.
    pub archive: &'a dyn Archive,
    pub progress: &'a dyn Progress,
}

impl FromPackages<'_> {
    /// The thing of the plan that `look_up` finds, and that plan; `make` makes it of the
    /// packages at its place if it is not there. `extra` is what that takes in bytes beside the
    /// packages, packed and unpacked.
    pub fn provide(
        &self,
        look_up: impl Fn() -> Result<Plan>,
        extra: impl FnOnce(&Plan) -> Result<u64>,
        make: impl FnOnce(&[Package], &Path) -> Result<()>,
    ) -> Result<(PathBuf, Plan)> {
        let mut plan = look_up()?;
        let mut place = self.place(&plan);
        if !self.store.reuse(&place)? {
            check_space(self.cache, extra(&plan)?, self.archive, &plan)?;
            plan = download(self.archive, plan, look_up, self.progress)?;
            place = self.place(&plan);
            if !self.store.reuse(&place)? {
                make(&plan.packages, &place)?;
            }
            self.archive.forget()?;
        }
        Ok((place, plan))
    }

    fn place(&self, plan: &Plan) -> PathBuf {
        let made_of = format!("{} {:?}", self.store.layout(), plan.described());
        self.store.folder().join(tree::short_hash(&made_of) + self.suffix)
    }
}
