// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's memory slots: what each covers stays mapped as long as the slot is there.
#![allow(unsafe_code)]
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use dprc::MappedRegion;
use dprc_assign::PortalPage;
use std::collections::BTreeMap;
use std::sync::Arc;
use vm_memory::{
    Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress,
};
use vmm_sys_util::errno::Error;

/// A range of the guest's physical addresses, and where this process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    pub at: u64,
    pub host: u64,
    /// Bytes. A slot of none is one that the guest does not reach any more.
    pub size: u64,
    /// The guest's stores leave it.
    pub read_only: bool,
}

impl Range {
    fn overlaps(&self, other: &Self) -> bool {
        self.at < other.at + other.size && other.at < self.at + self.size
    }
}

/// What has memory slots.
pub trait Hypervisor {
    /// Sets the memory slot of this number.
    ///
    /// # Safety
    /// The range is mapped until the slot is set again or the guest is gone, and the process
    /// has no reference to it.
    ///
    /// # Errors
    /// The kernel's.
    unsafe fn set_slot(&self, number: u32, range: Range) -> Result<(), Error>;
}

/// Slots of a guest. The guest's memory has the first ones.
pub struct Slots<H> {
    hypervisor: H,
    taken: BTreeMap<u32, Slot>,
    _memory: GuestMemoryMmap,
}

struct Slot {
    range: Range,
    /// Kept while the guest may reach it.
    memory: Memory,
}

/// What a slot covers.
enum Memory {
    /// A part of the guest's own, which is kept until all slots are gone.
    OfGuest,
    Region(Arc<MappedRegion>),
    /// Memory where a region was.
    Gone {
        _kept: Arc<MappedRegion>,
    },
    Page {
        _kept: Arc<PortalPage>,
    },
}

impl<H: Hypervisor> Slots<H> {
    /// Gives a guest its memory.
    pub fn new(hypervisor: H, memory: &GuestMemoryMmap) -> Result<Self, Error> {
        let mut slots = Self { hypervisor, taken: BTreeMap::new(), _memory: memory.clone() };
        for region in memory.iter() {
            let at = region.start_addr().raw_value();
            let host = region.get_host_address(MemoryRegionAddress(0));
            let host = host.map_err(|_| Error::new(libc::EFAULT))?;
            let host = host.expose_provenance() as u64;
            let range = Range { at, host, size: region.len(), read_only: false };
            slots.set(range, Memory::OfGuest)?;
        }
        Ok(slots)
    }

    /// Lets the guest reach a region.
    ///
    /// # Errors
    /// KVM's: EINVAL for cacheable memory of a device where the processor lacks
    /// FEAT_S2FWB or CTR_EL0.DIC and the driver does not map it in another way.
    pub fn map(&mut self, at: u64, region: Arc<MappedRegion>) -> Result<(), Error> {
        let (host, size) = (region.address(), region.size() as u64);
        self.set(Range { at, host, size, read_only: false }, Memory::Region(region))
    }

    /// Lets the guest load from a page; its stores leave it.
    ///
    /// # Errors
    /// KVM's.
    pub fn map_page(&mut self, at: u64, page: Arc<PortalPage>) -> Result<(), Error> {
        let (host, size) = (page.address(), page.size());
        self.set(Range { at, host, size, read_only: true }, Memory::Page { _kept: page })
    }

    /// Takes what is at an address away from the guest.
    ///
    /// Where that was a region, memory stays in its place until the place is used again: a
    /// guest may be in the middle of using an object that the host takes away, and KVM cannot
    /// make an exit of each instruction that drivers use there, such as a store of two
    /// registers (KVM_RUN fails with ENOSYS; Linux arch/arm64/kvm/mmio.c, io_mem_abort).
    pub fn unmap(&mut self, at: u64) {
        let found = self.taken.iter_mut().find(|(_, slot)| slot.range.at == at);
        let Some((number, slot)) = found else { return };
        match &slot.memory {
            Memory::Region(region) if region.replace_by_memory().is_ok() => {
                slot.memory = Memory::Gone { _kept: Arc::clone(region) };
            }
            // Nothing is there already.
            Memory::Gone { .. } => {}
            _ => {
                let number = *number;
                self.remove(number);
            }
        }
    }

    fn remove(&mut self, number: u32) {
        // SAFETY: the guest reaches nothing by a slot of no size.
        if unsafe { self.hypervisor.set_slot(number, Range::default()) }.is_ok() {
            self.taken.remove(&number);
        }
    }

    fn set(&mut self, range: Range, kept: Memory) -> Result<(), Error> {
        self.make_room(&range);
        let number = (0..).find(|number| !self.taken.contains_key(number)).unwrap_or(0);
        // SAFETY: the range is mapped: it belongs to the guest's memory or to `kept`, which
        // are there until the slot, or the guest with all its slots, is gone. The process has
        // no reference to it; all its access is volatile.
        unsafe { self.hypervisor.set_slot(number, range) }?;
        self.taken.insert(number, Slot { range, memory: kept });
        Ok(())
    }

    /// Takes away what is left of regions in a place that is used again.
    fn make_room(&mut self, range: &Range) {
        let left = |(_, slot): &(&u32, &Slot)| {
            matches!(slot.memory, Memory::Gone { .. }) && slot.range.overlaps(range)
        };
        let left: Vec<u32> = self.taken.iter().filter(left).map(|(number, _)| *number).collect();
        left.into_iter().for_each(|number| self.remove(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fsl_mc_linux::Mapping;
    use std::sync::Mutex;
    use vm_memory::GuestAddress;

    /// Slots with the rules of KVM (Linux virt/kvm/kvm_main.c, kvm_set_memory_region).
    #[derive(Default)]
    struct Kvm(Mutex<BTreeMap<u32, Range>>);

    impl Hypervisor for &Kvm {
        unsafe fn set_slot(&self, number: u32, range: Range) -> Result<(), Error> {
            let mut slots = self.0.lock().unwrap();
            if range.size == 0 {
                let gone = slots.remove(&number);
                return gone.map(drop).ok_or(Error::new(libc::EINVAL));
            }
            // Neither size nor place in the process change.
            if slots.contains_key(&number) {
                return Err(Error::new(libc::EINVAL));
            }
            if slots.values().any(|slot| slot.overlaps(&range)) {
                return Err(Error::new(libc::EEXIST));
            }
            slots.insert(number, range);
            Ok(())
        }
    }

    impl Kvm {
        /// Where there are slots besides that of the guest's memory, and their bytes.
        fn places(&self) -> Vec<(u64, u64)> {
            let mut places: Vec<_> =
                self.0.lock().unwrap().values().map(|slot| (slot.at, slot.size)).collect();
            places.sort_unstable();
            assert_eq!(places.pop(), Some((RAM, 0x1_0000)));
            places
        }
    }

    const RAM: u64 = 0x4000_0000;
    const WINDOW: u64 = 0x1000_0000;

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(RAM), 0x1_0000)]).unwrap()
    }

    fn region(size: usize) -> Arc<MappedRegion> {
        let mapping = Mapping::anonymous(size).unwrap();
        let region = MappedRegion::of_mapping("dpio.1", 0, mapping);
        region.store(0, 7_u64).unwrap();
        Arc::new(region)
    }

    #[test]
    fn a_guest_finds_memory_where_a_region_was() {
        let kvm = Kvm::default();
        let mut slots = Slots::new(&kvm, &memory()).unwrap();
        let (first, second) = (region(0x1_0000), region(0x1_0000));
        slots.map(WINDOW, Arc::clone(&first)).unwrap();
        slots.map(WINDOW + 0x1_0000, Arc::clone(&second)).unwrap();
        let both = [(WINDOW, 0x1_0000), (WINDOW + 0x1_0000, 0x1_0000)];
        assert_eq!(kvm.places(), both);
        slots.unmap(WINDOW);
        slots.unmap(WINDOW);
        // The region's content is not there any more, and the other's is.
        assert_eq!(kvm.places(), both);
        assert_eq!((first.load::<u64>(0).unwrap(), second.load::<u64>(0).unwrap()), (0, 7));
        slots.unmap(WINDOW + 0x10_0000);
        assert_eq!(kvm.places(), both);
    }

    #[test]
    fn places_are_used_again() {
        let kvm = Kvm::default();
        let mut slots = Slots::new(&kvm, &memory()).unwrap();
        for at in [WINDOW, WINDOW + 0x1_0000, WINDOW + 0x2_0000] {
            slots.map(at, region(0x1_0000)).unwrap();
        }
        // Two that are gone make room for a larger one, and what is there stays.
        slots.unmap(WINDOW);
        slots.unmap(WINDOW + 0x1_0000);
        slots.map(WINDOW, region(0x2_0000)).unwrap();
        assert_eq!(kvm.places(), [(WINDOW, 0x2_0000), (WINDOW + 0x2_0000, 0x1_0000)]);
        assert!(slots.map(WINDOW + 0x1_0000, region(0x1_0000)).is_err());
        for _ in 0..100 {
            slots.unmap(WINDOW);
            slots.map(WINDOW, region(0x2_0000)).unwrap();
        }
        assert_eq!(kvm.places(), [(WINDOW, 0x2_0000), (WINDOW + 0x2_0000, 0x1_0000)]);
    }
}
