// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's memory slots: what each covers stays mapped as long as the slot is there.
#![allow(unsafe_code)]

use dprc::MappedRegion;
use dprc_assign::PortalPage;
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;
use std::collections::BTreeMap;
use std::sync::Arc;
use vm_memory::{
    Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress,
};

/// Slots of a guest. The guest's memory has the first ones.
pub struct Slots {
    vm: Arc<VmFd>,
    taken: BTreeMap<u32, Slot>,
    _memory: GuestMemoryMmap,
}

struct Slot {
    at: u64,
    /// Kept while the guest may reach it.
    _memory: Memory,
}

/// What a slot covers.
enum Memory {
    /// A part of the guest's own, which is kept until all slots are gone.
    OfGuest,
    Region {
        _kept: Arc<MappedRegion>,
    },
    Page {
        _kept: Arc<PortalPage>,
    },
}

/// A range of the guest's physical addresses, and where this process has it.
struct Range {
    at: u64,
    host: u64,
    size: u64,
    flags: u32,
}

impl Slots {
    /// Gives a guest its memory.
    pub fn new(vm: Arc<VmFd>, memory: &GuestMemoryMmap) -> Result<Self, kvm_ioctls::Error> {
        let mut slots = Self { vm, taken: BTreeMap::new(), _memory: memory.clone() };
        for region in memory.iter() {
            let at = region.start_addr().raw_value();
            let host = region.get_host_address(MemoryRegionAddress(0));
            let host = host.map_err(|_| kvm_ioctls::Error::new(14))?;
            let host = host.expose_provenance() as u64;
            slots.set(Range { at, host, size: region.len(), flags: 0 }, Memory::OfGuest)?;
        }
        Ok(slots)
    }

    /// Lets the guest reach a region.
    ///
    /// # Errors
    /// KVM's: EINVAL for cacheable memory of a device where the processor lacks
    /// FEAT_S2FWB or CTR_EL0.DIC and the driver does not map it in another way.
    pub fn map(&mut self, at: u64, region: Arc<MappedRegion>) -> Result<(), kvm_ioctls::Error> {
        let (host, size) = (region.address(), region.size() as u64);
        self.set(Range { at, host, size, flags: 0 }, Memory::Region { _kept: region })
    }

    /// Lets the guest load from a page; its stores leave it.
    ///
    /// # Errors
    /// KVM's.
    pub fn map_page(&mut self, at: u64, page: Arc<PortalPage>) -> Result<(), kvm_ioctls::Error> {
        let (host, size) = (page.address(), page.size());
        let range = Range { at, host, size, flags: KVM_MEM_READONLY };
        self.set(range, Memory::Page { _kept: page })
    }

    /// Takes the slot at an address away.
    pub fn unmap(&mut self, at: u64) {
        let found = self.taken.iter().find(|(_, slot)| slot.at == at).map(|(number, _)| *number);
        let Some(number) = found else { return };
        let gone = kvm_userspace_memory_region { slot: number, ..Default::default() };
        // SAFETY: a slot of no size is one that the guest does not reach any more.
        if unsafe { self.vm.set_user_memory_region(gone) }.is_ok() {
            self.taken.remove(&number);
        }
    }

    fn set(&mut self, range: Range, kept: Memory) -> Result<(), kvm_ioctls::Error> {
        let slot = (0..).find(|number| !self.taken.contains_key(number)).unwrap_or(0);
        let memory = kvm_userspace_memory_region {
            slot,
            flags: range.flags,
            guest_phys_addr: range.at,
            memory_size: range.size,
            userspace_addr: range.host,
        };
        // SAFETY: the range is mapped: it belongs to the guest's memory or to `kept`, which
        // are there until the slot, or the guest with all its slots, is gone. The process has
        // no reference to it; all its access is volatile.
        unsafe { self.vm.set_user_memory_region(memory) }?;
        self.taken.insert(slot, Slot { at: range.at, _memory: kept });
        Ok(())
    }
}
