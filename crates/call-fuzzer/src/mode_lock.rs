// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Keeps the fuzzer away from a race that is VFIO's own: no driver of a device takes
//! part in it.
//!
//! `drivers/vfio/container.c` of Linux 7.3: `vfio_fops_unl_ioctl` passes an ioctl that
//! it does not know on to the IOMMU driver, with the container's `iommu_data`, and takes
//! no lock. `vfio_group_detach_container` frees `iommu_data` meanwhile, and
//! `vfio_ioctl_set_iommu` sets the driver before its data. The ioctl works on freed
//! memory then, or on none.
//!
//! A group leaves its container when its file is closed for the last time, by
//! GROUP_UNSET_CONTAINER, and when its last device is unbound. So two things have to
//! be true while an ioctl is passed on:
//!
//! - The caller itself holds the file of the group, of which there is one at a time:
//!   nobody else can close it for the last time (`steps::containers::pass_on`).
//! - No process sets the IOMMU driver, unsets the container or unbinds the device. The
//!   [`ModeLock`] sees to that. Nobody waits for it, since a process that is killed never
//!   leaves: a step that conflicts with another is left out.

use crate::shared::SLOTS;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// What the lock is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// An ioctl that VFIO passes on to the IOMMU driver.
    Call = 1,
    /// Something that gives a container an IOMMU driver, or takes it away.
    Change = 2,
}

/// Not held.
const FREE: u8 = 0;

/// A lock that any number of parties hold in the same mode: calls go together, and so do changes,
/// which the kernel keeps apart itself; never both. One entry per slot.
#[derive(Debug)]
pub struct ModeLock {
    parties: [AtomicU8; SLOTS],
}

impl ModeLock {
    /// Calls `work` with the lock held; `None` where another party holds it in the other mode.
    pub fn try_with<T>(&self, party: usize, mode: Mode, work: impl FnOnce() -> T) -> Option<T> {
        self.try_lock(party, mode).then(|| {
            let result = work();
            self.unlock(party);
            result
        })
    }

    fn try_lock(&self, party: usize, mode: Mode) -> bool {
        let Some(own) = self.parties.get(party) else { return false };
        // Each says what it does before it looks at the others. These steps have one order
        // for all: of two that conflict, at least one sees the other.
        own.store(mode as u8, SeqCst);
        let conflicts = self.parties.iter().enumerate().any(|(other, entry)| {
            let entry = entry.load(SeqCst);
            other != party && entry != FREE && entry != mode as u8
        });
        if conflicts {
            self.unlock(party);
        }
        !conflicts
    }

    /// Ends a party's use, also that of one which is gone.
    pub fn unlock(&self, party: usize) {
        if let Some(own) = self.parties.get(party) {
            own.store(FREE, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Shared;
    use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

    #[test]
    fn calls_and_changes_exclude_each_other() {
        let lock = &Shared::new().unwrap().iommu_lock;
        assert!(lock.try_lock(0, Mode::Call));
        assert!(lock.try_lock(SLOTS - 1, Mode::Call));
        assert!(!lock.try_lock(1, Mode::Change));
        lock.unlock(0);
        assert!(!lock.try_lock(1, Mode::Change));
        lock.unlock(SLOTS - 1);
        assert!(lock.try_lock(1, Mode::Change));
        assert!(lock.try_lock(2, Mode::Change));
        lock.unlock(1);
        assert!(!lock.try_lock(0, Mode::Call));
        lock.unlock(2);
        assert!(lock.try_lock(0, Mode::Call));
        assert!(!lock.try_lock(SLOTS, Mode::Call));
    }

    #[test]
    fn what_conflicts_is_left_out_and_leaves_no_trace() {
        let lock = &Shared::new().unwrap().iommu_lock;
        let inner = lock.try_with(0, Mode::Call, || lock.try_with(1, Mode::Change, || ()));
        assert_eq!(inner, Some(None));
        assert_eq!(lock.try_with(1, Mode::Change, || 7), Some(7));
        assert_eq!(lock.try_with(0, Mode::Call, || 8), Some(8));
    }

    #[test]
    fn one_that_is_gone_blocks_nobody_once_its_slot_is_vacated() {
        let shared = Shared::new().unwrap();
        assert!(shared.iommu_lock.try_lock(3, Mode::Change));
        assert!(!shared.iommu_lock.try_lock(0, Mode::Call));
        shared.vacate(3);
        assert!(shared.iommu_lock.try_lock(0, Mode::Call));
    }

    #[test]
    fn threads_never_meet_with_different_uses() {
        let lock = &Shared::new().unwrap().iommu_lock;
        // Calls count up and changes down.
        let inside = AtomicI32::new(0);
        let work = |party: usize| {
            let (mode, one) = if party % 2 == 0 { (Mode::Call, 1) } else { (Mode::Change, -1) };
            for _ in 0..2000 {
                lock.try_with(party, mode, || {
                    assert!(inside.fetch_add(one, SeqCst) * one >= 0);
                    std::thread::yield_now();
                    assert!(inside.fetch_sub(one, SeqCst) * one > 0);
                });
            }
        };
        std::thread::scope(|scope| {
            for party in 0..4 {
                scope.spawn(move || work(party));
            }
        });
        assert_eq!(inside.load(Relaxed), 0);
    }
}
