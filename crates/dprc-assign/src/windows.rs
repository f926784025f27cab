// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where the guest finds things: a window of command portals, stores to which are trapped,
//! and a window of software portals, which are mapped.

use mc_abi::ObjectId;
use std::collections::BTreeMap;

/// Bytes between command portals, and the least between regions of software portals.
pub const PORTAL_STRIDE: u64 = 0x1_0000;

/// Bytes of each of the two windows. Linux masks the address of the root container's
/// portal with this to get at the window, which must therefore be aligned to it
/// (`drivers/bus/fsl-mc/fsl-mc-bus.c`).
pub const WINDOW_SIZE: u64 = 0x400_0000;

/// Bytes of the Management Complex's control registers (Linux
/// `arch/arm64/boot/dts/freescale/fsl-ls208xa.dtsi`, the second `reg` of `fsl-mc`).
pub(crate) const CONTROL_SIZE: u64 = 0x4_0000;

/// Where they are: at the end of the window of command portals, which is trapped, in
/// place of its last portals.
pub(crate) const CONTROL_OFFSET: u64 = WINDOW_SIZE - CONTROL_SIZE;

/// The two windows in the guest's physical address space, and who has which place.
#[derive(Debug, Clone)]
pub struct Windows {
    portals: u64,
    queues: u64,
    portal_owners: BTreeMap<u64, Option<ObjectId>>,
    regions: BTreeMap<(ObjectId, u8), Range>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    offset: u64,
    size: u64,
}

impl Windows {
    /// Windows at two addresses, both aligned to [`WINDOW_SIZE`]; `None` where they are
    /// not, or are the same. The first portal is the container's own.
    pub fn new(portals: u64, queues: u64) -> Option<Self> {
        let aligned = portals % WINDOW_SIZE == 0 && queues % WINDOW_SIZE == 0;
        let inside = portals.checked_add(WINDOW_SIZE).and(queues.checked_add(WINDOW_SIZE));
        (aligned && inside.is_some() && portals != queues).then(|| Self {
            portals,
            queues,
            portal_owners: BTreeMap::from([(0, None)]),
            regions: BTreeMap::new(),
        })
    }

    /// Guest physical address of the window of command portals.
    pub fn portals(&self) -> u64 {
        self.portals
    }

    /// Guest physical address of the control registers, inside the window of command
    /// portals.
    pub fn control(&self) -> u64 {
        self.portals + CONTROL_OFFSET
    }

    /// Guest physical address of the window of software portals.
    pub fn queues(&self) -> u64 {
        self.queues
    }

    /// The offset of a `dpmcp`'s portal; it gets one at its first mention. `None` when
    /// the window is full.
    pub(crate) fn portal_of(&mut self, dpmcp: ObjectId) -> Option<u64> {
        let mine =
            |(slot, owner): (&u64, &Option<ObjectId>)| (*owner == Some(dpmcp)).then_some(*slot);
        let slot = match self.portal_owners.iter().find_map(mine) {
            Some(slot) => slot,
            None => {
                let mut slots = 0..CONTROL_OFFSET / PORTAL_STRIDE;
                let free = slots.find(|slot| !self.portal_owners.contains_key(slot))?;
                self.portal_owners.insert(free, Some(dpmcp));
                free
            }
        };
        Some(slot * PORTAL_STRIDE)
    }

    /// The offset of a region in the window of software portals, if it has a place.
    pub(crate) fn region_of(&self, object: ObjectId, index: u8) -> Option<u64> {
        self.regions.get(&(object, index)).map(|range| range.offset)
    }

    /// Finds a place for a region; `None` when the window is full.
    pub(crate) fn place(&mut self, object: ObjectId, index: u8, size: u64) -> Option<u64> {
        let size = size.max(1).checked_next_multiple_of(PORTAL_STRIDE)?;
        let mut taken: Vec<Range> = self.regions.values().copied().collect();
        taken.sort_by_key(|range| range.offset);
        let mut offset = 0;
        for range in taken {
            if range.offset - offset >= size {
                break;
            }
            offset = range.offset + range.size;
        }
        if offset.checked_add(size)? > WINDOW_SIZE {
            return None;
        }
        self.regions.insert((object, index), Range { offset, size });
        Some(offset)
    }

    /// Takes a region's place away again.
    pub(crate) fn displace(&mut self, object: ObjectId, index: u8) {
        self.regions.remove(&(object, index));
    }

    /// Forgets an object; gives the number of its command portal, if it had one.
    pub(crate) fn forget(&mut self, object: ObjectId) -> Option<u64> {
        self.regions.retain(|(owner, _), _| *owner != object);
        let slot = self.portal_owners.iter().find(|(_, owner)| **owner == Some(object));
        let slot = slot.map(|(slot, _)| *slot)?;
        self.portal_owners.remove(&slot);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mc_abi::ObjectType;

    fn windows() -> Windows {
        Windows::new(0x1000_0000, 0x1400_0000).unwrap()
    }

    #[test]
    fn windows_are_aligned_and_apart() {
        assert!(Windows::new(0x1000_0000, 0x1000_0000).is_none());
        assert!(Windows::new(0x1001_0000, 0x1400_0000).is_none());
        assert!(Windows::new(u64::MAX - WINDOW_SIZE + 1, 0).is_none());
    }

    #[test]
    fn portals_are_found_again_and_reused() {
        let mut windows = windows();
        let dpmcp = |id| ObjectId::new(ObjectType::Dpmcp, id);
        assert_eq!(windows.portal_of(dpmcp(9)), Some(0x1_0000));
        assert_eq!(windows.portal_of(dpmcp(4)), Some(0x2_0000));
        assert_eq!(windows.portal_of(dpmcp(9)), Some(0x1_0000));
        assert_eq!(windows.forget(dpmcp(9)), Some(1));
        assert_eq!(windows.portal_of(dpmcp(5)), Some(0x1_0000));
        // All but the container's own, the two above, and those where the control
        // registers are.
        for id in 100..100 + 1017 {
            let offset = windows.portal_of(dpmcp(id)).unwrap();
            assert!(offset < CONTROL_OFFSET);
        }
        assert_eq!(windows.portal_of(dpmcp(5000)), None);
    }

    #[test]
    fn regions_do_not_overlap_and_places_are_reused() {
        let mut windows = windows();
        let dpio = |id| ObjectId::new(ObjectType::Dpio, id);
        assert_eq!(windows.place(dpio(1), 0, 0x1000), Some(0));
        assert_eq!(windows.place(dpio(1), 1, 0x1_0001), Some(0x1_0000));
        assert_eq!(windows.place(dpio(2), 0, 0x1_0000), Some(0x3_0000));
        windows.forget(dpio(1));
        assert_eq!(windows.place(dpio(3), 0, 0x2_0000), Some(0));
        assert_eq!(windows.place(dpio(3), 1, 0x2_0000), Some(0x4_0000));
        assert_eq!(windows.place(dpio(3), 2, 0x1_0000), Some(0x2_0000));
        assert_eq!(windows.place(dpio(4), 0, WINDOW_SIZE), None);
        assert_eq!(windows.place(dpio(4), 0, u64::MAX), None);
    }
}
