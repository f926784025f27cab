// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How much memory queues and pools may take together.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Bytes that are shared by those that need more than is kept for each.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A queue of values whose memory grows as needed: each has a share that
/// nobody can take from it, more comes out of a budget. It does not shrink
/// while it is in use, so that a steady flow costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Store<T> {
    values: VecDeque<T>,
    /// Bytes out of the budget.
    granted: usize,
}

/// Values that a store takes room for at first.
const FIRST: usize = 16;

impl<T> Store<T> {
    /// The values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Appends a value; `false` where there is no memory for it. `share` is how
    /// many values have their memory outside of the budget.
    pub fn push(&mut self, value: T, share: usize, budget: &Budget) -> bool {
        let room = self.values.len() < self.values.capacity() || self.grow(share, budget);
        if room {
            self.values.push_back(value);
        }
        room
    }

    /// Takes the oldest value.
    pub fn pop_oldest(&mut self) -> Option<T> {
        self.values.pop_front()
    }

    /// Takes the newest value.
    pub fn pop_newest(&mut self) -> Option<T> {
        self.values.pop_back()
    }

    /// Forgets all values, and gives their memory back.
    pub fn clear(&mut self, budget: &Budget) {
        self.values = VecDeque::new();
        budget.give(std::mem::take(&mut self.granted));
    }

    #[cold]
    fn grow(&mut self, share: usize, budget: &Budget) -> bool {
        let now = self.values.capacity();
        let wanted = now.saturating_mul(2).max(FIRST);
        let over = wanted.saturating_sub(share.max(now));
        let bytes = over.saturating_mul(size_of::<T>());
        if !budget.take(bytes) {
            return false;
        }
        self.granted += bytes;
        self.values.try_reserve_exact(wanted - now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_left_whatever_others_take() {
        let budget = Budget::new(64 * 8);
        let mut greedy = Store::default();
        let most = (0u64..).take_while(|n| greedy.push(*n, 32, &budget)).count();
        assert_eq!(most, 64, "32 of its own, 32 out of the budget; 64 more would be needed");
        let mut modest = Store::default();
        assert!((0u64..32).all(|n| modest.push(n, 32, &budget)));
        assert_eq!(
            (modest.pop_oldest(), modest.pop_newest(), modest.len()),
            (Some(0), Some(31), 30)
        );
        greedy.clear(&budget);
        assert!(greedy.is_empty());
        assert_eq!(budget.0.into_inner(), 64 * 8);
    }
}
