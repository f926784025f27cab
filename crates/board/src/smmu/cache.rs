// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The translation cache of one context bank.
//!
//! It holds pages and blocks only, no tables: an invalidation of the last
//! level and one of all levels are the same. Entries carry no ASID, because
//! the cache is emptied whenever the registers that name the ASID change.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::walk::Leaf;

/// Entries that one bank keeps at most.
const CAPACITY: usize = 16_384;

/// Cached leaves, by size and then by page number.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// One map for each size in use (a granule has at most three).
    sizes: Vec<(u32, HashMap<u64, Leaf, RandomState>)>,
    entries: usize,
}

impl Cache {
    /// The leaf that maps the (sign-extended) `address`.
    pub(super) fn find(&self, address: u64) -> Option<Leaf> {
        self.sizes.iter().find_map(|(shift, pages)| pages.get(&(address >> shift)).copied())
    }

    /// Adds a leaf. A full cache starts afresh, and says so.
    pub(super) fn insert(&mut self, leaf: Leaf) -> bool {
        let full = self.entries >= CAPACITY;
        if full {
            self.clear();
        }
        let page = leaf.input >> leaf.shift;
        let added = match self.sizes.iter_mut().find(|(shift, _)| *shift == leaf.shift) {
            Some((_, pages)) => pages.insert(page, leaf).is_none(),
            None => {
                self.sizes.push((leaf.shift, HashMap::from_iter([(page, leaf)])));
                true
            }
        };
        self.entries += usize::from(added);
        full
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.sizes.clear();
        self.entries = 0;
    }

    /// Forgets what is tagged with the bank's ASID; global mappings stay.
    pub(super) fn forget_not_global(&mut self) {
        for (_, pages) in &mut self.sizes {
            pages.retain(|_, leaf| leaf.global);
        }
        self.count();
    }

    /// Forgets the leaves that map `address`, of whatever size; only global
    /// ones unless `tagged`. Gives each to `forgotten`.
    pub(super) fn forget_address(
        &mut self,
        address: u64,
        tagged: bool,
        mut forgotten: impl FnMut(Leaf),
    ) {
        for (shift, pages) in &mut self.sizes {
            let page = address >> *shift;
            if pages.get(&page).is_some_and(|leaf| tagged || leaf.global)
                && let Some(leaf) = pages.remove(&page)
            {
                forgotten(leaf);
            }
        }
        self.count();
    }

    /// Number of leaves.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    fn count(&mut self) {
        self.entries = self.sizes.iter().map(|(_, pages)| pages.len()).sum();
    }
}
