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
//!   [`Gate`] sees to that. Nobody waits at it, since a process that is killed never
//!   leaves: a step that conflicts with another is left out.

use crate::shared::SLOTS;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// What somebody is in the gate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// An ioctl that VFIO passes on to the IOMMU driver.
    Call = 1,
    /// Something that gives a container an IOMMU driver, or takes it away.
    Change = 2,
}

/// Stands for nobody.
const OUT: u8 = 0;

/// Who is in it, by slot. Any number of calls go together, and any number of changes,
/// which the kernel keeps apart itself; never both.
#[derive(Debug)]
pub struct Gate {
    parties: [AtomicU8; SLOTS],
}

impl Gate {
    /// Does something within the gate; nothing if others are there for the other use.
    pub fn within<T>(&self, party: usize, purpose: Use, act: impl FnOnce() -> T) -> Option<T> {
        self.enter(party, purpose).then(|| {
            let result = act();
            self.leave(party);
            result
        })
    }

    fn enter(&self, party: usize, purpose: Use) -> bool {
        let Some(own) = self.parties.get(party) else { return false };
        // Each says what it does before it looks at the others. These steps have one order
        // for all: of two that conflict, at least one sees the other.
        own.store(purpose as u8, SeqCst);
        let conflicts = self.parties.iter().enumerate().any(|(other, entry)| {
            let entry = entry.load(SeqCst);
            other != party && entry != OUT && entry != purpose as u8
        });
        if conflicts {
            self.leave(party);
        }
        !conflicts
    }

    /// Ends a party's use, also that of one which is gone.
    pub fn leave(&self, party: usize) {
        if let Some(own) = self.parties.get(party) {
            own.store(OUT, SeqCst);
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
        let gate = &Shared::new().unwrap().gate;
        assert!(gate.enter(0, Use::Call));
        assert!(gate.enter(SLOTS - 1, Use::Call));
        assert!(!gate.enter(1, Use::Change));
        gate.leave(0);
        assert!(!gate.enter(1, Use::Change));
        gate.leave(SLOTS - 1);
        assert!(gate.enter(1, Use::Change));
        assert!(gate.enter(2, Use::Change));
        gate.leave(1);
        assert!(!gate.enter(0, Use::Call));
        gate.leave(2);
        assert!(gate.enter(0, Use::Call));
        assert!(!gate.enter(SLOTS, Use::Call));
    }

    #[test]
    fn what_conflicts_is_left_out_and_leaves_no_trace() {
        let gate = &Shared::new().unwrap().gate;
        let inner = gate.within(0, Use::Call, || gate.within(1, Use::Change, || ()));
        assert_eq!(inner, Some(None));
        assert_eq!(gate.within(1, Use::Change, || 7), Some(7));
        assert_eq!(gate.within(0, Use::Call, || 8), Some(8));
    }

    #[test]
    fn one_that_is_gone_blocks_nobody_once_its_slot_is_vacated() {
        let shared = Shared::new().unwrap();
        assert!(shared.gate.enter(3, Use::Change));
        assert!(!shared.gate.enter(0, Use::Call));
        shared.vacate(3);
        assert!(shared.gate.enter(0, Use::Call));
    }

    #[test]
    fn threads_never_meet_with_different_uses() {
        let gate = &Shared::new().unwrap().gate;
        // Calls count up and changes down.
        let inside = AtomicI32::new(0);
        let work = |party: usize| {
            let (purpose, one) = if party % 2 == 0 { (Use::Call, 1) } else { (Use::Change, -1) };
            for _ in 0..2000 {
                gate.within(party, purpose, || {
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
