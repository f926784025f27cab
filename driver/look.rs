// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! What the Management Complex says that is in a container.

use crate::logic::command::Object as Description;
use kernel::prelude::*;

/// What the Management Complex says of an object, and of each of its regions.
pub(crate) struct Seen {
    pub(crate) object: Description,
    pub(crate) regions: KVec<[u64; 7]>,
}

impl Seen {
    /// Whether a device that was made for the one serves the other: under the same number there
    /// may be another object by now, whose registers are elsewhere.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.object.is_like(&other.object) && self.regions[..] == other.regions[..]
    }

    fn is_same(&self, other: &Self) -> bool {
        self.is_like(other) && self.object.is_plugged() == other.object.is_plugged()
    }
}

/// What a container has: two lists, one after the other.
///
/// The container may change through another portal while its objects are listed one by one;
/// then one that stays can be missing. What both lists say is good.
pub(crate) struct Look {
    first: KVec<Seen>,
    second: KVec<Seen>,
    is_stable: bool,
}

impl Look {
    pub(crate) fn new(first: KVec<Seen>, second: KVec<Seen>) -> Self {
        let mut both = first.iter().zip(&second);
        let is_stable = first.len() == second.len() && both.all(|(a, b)| a.is_same(b));
        Self {
            first,
            second,
            is_stable,
        }
    }

    /// Whether both lists are equal.
    pub(crate) fn is_stable(&self) -> bool {
        self.is_stable
    }

    /// What both lists say.
    pub(crate) fn sure(&self) -> impl Iterator<Item = &Seen> {
        let is_sure = |seen: &&Seen| self.is_stable || self.first.iter().any(|a| a.is_same(seen));
        self.second.iter().filter(is_sure)
    }

    /// Whether a list names an object.
    pub(crate) fn names(&self, is: impl Fn(&Description) -> bool) -> bool {
        let is_in = |list: &[Seen]| list.iter().any(|seen| is(&seen.object));
        is_in(&self.first) || is_in(&self.second)
    }

    /// The second list.
    pub(crate) fn last(&self) -> &[Seen] {
        &self.second
    }

    /// Takes out what the second list says of an object.
    pub(crate) fn take(&mut self, object: &Description) -> Option<Seen> {
        let mut all = self.second.iter();
        let at = all.position(|seen| seen.object == *object)?;
        self.second.remove(at).ok()
    }
}
