// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a context bank has translated lately, for a look without a lock.
//!
//! Every entry is one word, so that it is whole or not there. An entry stands for
//! 4 KiB; larger pages and blocks take as many as are used. What is here is in the
//! bank's cache too: an invalidation that finds nothing there has nothing to do
//! here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::access::{Access, AccessKind, Mapped, Permissions};
use super::shape::ADDRESS_BITS;

const PAGE_SHIFT: u32 = 12;
const PAGE: u64 = 1 << PAGE_SHIFT;
const INDEX_BITS: u32 = 13;
const ENTRIES: usize = 1 << INDEX_BITS;
/// Bits of a page number: those of an address, and one for its upper half.
const NUMBER_BITS: u32 = ADDRESS_BITS + 1 - PAGE_SHIFT;

const VALID: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const UNPRIVILEGED: u64 = 1 << 2;
/// The page of memory, and above it what of the page number the index leaves open.
const OUTPUT_SHIFT: u32 = 3;
const OUTPUT_BITS: u32 = ADDRESS_BITS - PAGE_SHIFT;
const TAG_SHIFT: u32 = OUTPUT_SHIFT + OUTPUT_BITS;

const _: () = assert!(TAG_SHIFT + NUMBER_BITS - INDEX_BITS <= u64::BITS);

/// The entries. They take memory when the first is made.
#[derive(Debug, Default)]
pub(super) struct Tlb {
    entries: OnceLock<Box<[AtomicU64]>>,
    /// Something was made since it was cleared.
    used: AtomicBool,
}

impl Tlb {
    /// The entries as they are now and as they change; nothing before the first is made.
    #[inline]
    pub(super) fn entries(&self) -> Option<Entries<'_>> {
        self.entries.get().and_then(|entries| (**entries).try_into().ok()).map(Entries)
    }

    /// Notes that `iova` goes to `address`.
    pub(super) fn insert(&self, iova: u64, address: u64, permissions: Permissions) {
        let Some(number) = number(iova) else { return };
        let mut entry = VALID;
        if permissions.write {
            entry |= WRITE;
        }
        if permissions.unprivileged {
            entry |= UNPRIVILEGED;
        }
        entry |= tag(number) << TAG_SHIFT | address >> PAGE_SHIFT << OUTPUT_SHIFT;
        let entries =
            self.entries.get_or_init(|| (0..ENTRIES).map(|_| AtomicU64::new(0)).collect());
        if let Some(place) = entries.get(index(number)) {
            self.used.store(true, Ordering::Relaxed);
            place.store(entry, Ordering::Relaxed);
        }
    }

    /// Forgets the page or block of `1 << shift` bytes that `start` begins.
    pub(super) fn forget(&self, start: u64, shift: u32) {
        let pages = 1u64 << shift.saturating_sub(PAGE_SHIFT);
        if pages >= ENTRIES as u64 {
            return self.clear();
        }
        let (Some(first), Some(entries)) = (number(start), self.entries.get()) else { return };
        for number in first..first + pages {
            if let Some(place) = entries.get(index(number))
                && place.load(Ordering::Relaxed) >> TAG_SHIFT == tag(number)
            {
                place.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        if let Some(entries) = self.entries.get()
            && self.used.swap(false, Ordering::Relaxed)
        {
            entries.iter().for_each(|entry| entry.store(0, Ordering::Relaxed));
        }
    }
}

/// The entries of a [`Tlb`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Entries<'a>(&'a [AtomicU64; ENTRIES]);

impl Entries<'_> {
    /// Where `iova` goes, if that is known and the access is permitted. Whether it
    /// is not permitted is for the cache to say.
    #[inline]
    pub(super) fn find(self, iova: u64, access: Access) -> Option<Mapped> {
        let number = number(iova)?;
        let entry = self.0.get(index(number))?.load(Ordering::Relaxed);
        let mut wanted = VALID;
        if !access.privileged {
            wanted |= UNPRIVILEGED;
        }
        match access.kind {
            AccessKind::Read => {}
            AccessKind::Write => wanted |= WRITE,
            AccessKind::Fetch => return None,
        }
        if entry >> TAG_SHIFT != tag(number) || entry & wanted != wanted {
            return None;
        }
        let page = entry >> OUTPUT_SHIFT & ((1 << OUTPUT_BITS) - 1);
        let offset = iova & (PAGE - 1);
        Some(Mapped { address: page << PAGE_SHIFT | offset, length: PAGE - offset })
    }
}

/// The number of an address's page; none where the bits above it are neither all
/// clear nor all set.
#[inline]
fn number(iova: u64) -> Option<u64> {
    let above = iova as i64 >> ADDRESS_BITS;
    (above == 0 || above == -1).then_some(iova >> PAGE_SHIFT & ((1 << NUMBER_BITS) - 1))
}

/// Pages that lie side by side have entries side by side; the bits above spread
/// buffers that lie in steps of a large power of two.
#[inline]
fn index(number: u64) -> usize {
    (number ^ number >> INDEX_BITS) as usize & (ENTRIES - 1)
}

#[inline]
fn tag(number: u64) -> u64 {
    number >> INDEX_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn find(tlb: &Tlb, iova: u64, access: Access) -> Option<Mapped> {
        tlb.entries()?.find(iova, access)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert { place: u64, output: u64, permissions: Permissions },
        Forget { place: u64, shift: u32 },
        Clear,
        Find { place: u64, access: Access },
    }

    fn place() -> impl Strategy<Value = u64> {
        let part = prop_oneof![0..4u64, (0..4u64).prop_map(|n| n << 25 | n << 12), any::<u64>()];
        (part, any::<bool>()).prop_map(|(part, high)| {
            let address = part % (1 << ADDRESS_BITS);
            if high { address | u64::MAX << ADDRESS_BITS } else { address }
        })
    }

    fn step() -> impl Strategy<Value = Step> {
        let permissions = any::<[bool; 2]>().prop_map(|[write, unprivileged]| Permissions {
            write,
            unprivileged,
            ..Permissions::ALL
        });
        let kind =
            prop_oneof![Just(AccessKind::Read), Just(AccessKind::Write), Just(AccessKind::Fetch)];
        let access =
            (kind, any::<bool>()).prop_map(|(kind, privileged)| Access { kind, privileged });
        let output = (0..1u64 << OUTPUT_BITS).prop_map(|page| page << PAGE_SHIFT);
        prop_oneof![
            4 => (place(), output, permissions)
                .prop_map(|(place, output, permissions)| Step::Insert { place, output, permissions }),
            2 => (place(), prop_oneof![Just(12u32), Just(14), Just(16), Just(21), Just(30)])
                .prop_map(|(place, shift)| Step::Forget { place, shift }),
            1 => Just(Step::Clear),
            6 => (place(), access).prop_map(|(place, access)| Step::Find { place, access }),
        ]
    }

    proptest! {
        /// What is found is what was noted last and not forgotten. It need not be
        /// found: entries make room for others.
        #[test]
        fn finds_what_is_so_or_nothing(steps in prop::collection::vec(step(), 0..200)) {
            let tlb = Tlb::default();
            let mut noted = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert { place, output, permissions } => {
                        tlb.insert(place, output | place & (PAGE - 1), permissions);
                        noted.insert(place >> PAGE_SHIFT, (output, permissions));
                        let access = Access { kind: AccessKind::Read, privileged: true };
                        prop_assert!(find(&tlb, place, access).is_some(), "the last is there");
                    }
                    Step::Forget { place, shift } => {
                        tlb.forget(place >> shift << shift, shift);
                        noted.retain(|page, _| page << PAGE_SHIFT >> shift != place >> shift);
                    }
                    Step::Clear => {
                        tlb.clear();
                        noted.clear();
                    }
                    Step::Find { place, access } => {
                        let Some(found) = find(&tlb, place, access) else { continue };
                        let noted = noted.get(&(place >> PAGE_SHIFT));
                        let (output, permissions) = noted.copied().unwrap();
                        prop_assert!(permissions.allow(access));
                        let offset = place & (PAGE - 1);
                        prop_assert_eq!(found.address, output | offset);
                        prop_assert_eq!(found.length, PAGE - offset);
                    }
                }
            }
        }
    }

    #[test]
    fn addresses_between_the_halves_are_not_kept() {
        let tlb = Tlb::default();
        for iova in [1 << ADDRESS_BITS, 0x5a << 56, u64::MAX << (ADDRESS_BITS + 1)] {
            tlb.insert(iova, 0x1000, Permissions::ALL);
            assert_eq!(find(&tlb, iova, Access::READ), None);
            tlb.forget(iova, 12);
        }
    }
}
