// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Stores of the guest's that KVM keeps in a ring instead of leaving the guest for each
//! (KVM_REGISTER_COALESCED_MMIO; Linux Documentation/virt/kvm/api.rst, 4.116). One ring is
//! for all processors of the guest.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use fsl_mc_linux::Mapping;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Mutex, PoisonError};

/// The ring's page (Linux include/uapi/linux/kvm.h, struct kvm_coalesced_mmio_ring): the index
/// of the oldest entry, which its reader sets, that of the next entry, which KVM sets, and
/// entries.
const FIRST: usize = 0;
const LAST: usize = 4;
const ENTRIES: usize = 8;

/// An entry (struct kvm_coalesced_mmio): address, bytes, and up to eight of them.
const ENTRY_SIZE: usize = 24;
const ADDRESS: usize = 0;
const LENGTH: usize = 8;
const DATA: usize = 16;

/// Stores that have not been carried out yet.
pub struct LateStores {
    ring: Mutex<Mapping>,
    /// How many the ring has place for.
    entries: u32,
}

impl LateStores {
    /// Over the ring's page.
    pub fn new(ring: Mapping) -> Self {
        let entries = ring.length().saturating_sub(ENTRIES) / ENTRY_SIZE;
        Self { ring: Mutex::new(ring), entries: u32::try_from(entries).unwrap_or(u32::MAX) }
    }

    /// Carries out, in order, the stores that are in the ring now. When this returns they have
    /// been carried out, whichever thread did it: who handles what a processor did after its
    /// stores calls this first.
    ///
    /// Those that come meanwhile stay for the next time, so that no processor of the guest
    /// keeps the thread of another one here.
    pub fn carry_out(&self, mut store: impl FnMut(u64, &[u8])) {
        // Held to the end: what another thread has taken out of the ring it has carried out,
        // too, when this one finds it gone.
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let last = ring.load::<u32>(LAST).unwrap_or(0);
        // KVM writes the entries before it says that they are there.
        fence(Ordering::Acquire);
        let mut next = ring.load::<u32>(FIRST).unwrap_or(0);
        // Only a ring that is not one has other indices.
        if last >= self.entries || next >= self.entries {
            return;
        }
        while next != last {
            carry_out(&ring, next, &mut store);
            next = (next + 1) % self.entries;
            // The entry is read before KVM may fill it again.
            fence(Ordering::Release);
            ring.store(FIRST, next);
        }
    }
}

fn carry_out(ring: &Mapping, entry: u32, store: &mut impl FnMut(u64, &[u8])) {
    let at = ENTRIES + ENTRY_SIZE * entry as usize;
    let (address, length) = (ring.load::<u64>(at + ADDRESS), ring.load::<u32>(at + LENGTH));
    let data = ring.load::<u64>(at + DATA).map(u64::to_le_bytes);
    if let (Some(address), Some(length), Some(data)) = (address, length, data) {
        store(address, data.get(..length as usize).unwrap_or(&data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    /// What KVM does with the ring (Linux virt/kvm/coalesced_mmio.c).
    struct Kvm {
        ring: Mapping,
        entries: u32,
    }

    impl Kvm {
        fn keep(&self, address: u64, bytes: &[u8]) -> bool {
            let [first, last] = [FIRST, LAST].map(|at| self.ring.load::<u32>(at).unwrap());
            let next = (last + 1) % self.entries;
            if next == first {
                return false;
            }
            let at = ENTRIES + ENTRY_SIZE * last as usize;
            self.ring.store(at + ADDRESS, address).unwrap();
            self.ring.store(at + LENGTH, bytes.len() as u32).unwrap();
            self.ring.write(at + DATA, bytes).unwrap();
            fence(Ordering::Release);
            self.ring.store(LAST, next).unwrap();
            true
        }
    }

    fn ends() -> (Kvm, LateStores) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let map = || Mapping::of_device(file.as_fd(), 0, 4096, true).unwrap();
        let late = LateStores::new(map());
        (Kvm { ring: map(), entries: late.entries }, late)
    }

    #[test]
    fn stores_come_in_order_with_their_bytes_and_once() {
        let (kvm, late) = ends();
        // Several times around.
        for round in 0..100_u64 {
            let stores: Vec<(u64, Vec<u8>)> = (0..round % 30)
                .map(|n| (round * 1000 + n, vec![n as u8; [1, 2, 4, 8][n as usize % 4]]))
                .collect();
            assert!(stores.iter().all(|(address, bytes)| kvm.keep(*address, bytes)));
            let mut came = Vec::new();
            late.carry_out(|address, bytes| came.push((address, bytes.to_vec())));
            assert_eq!(came, stores);
        }
        late.carry_out(|_, _| panic!("there is none"));
    }

    #[test]
    fn a_full_ring_holds_what_kvm_has_room_for() {
        // 4096 bytes less the two indices, by 24 (KVM_COALESCED_MMIO_MAX); one stays free.
        let (kvm, late) = ends();
        let kept = (0..1000).take_while(|n| kvm.keep(*n, &[0; 8])).count();
        assert_eq!(kept, 169);
        let mut came = 0;
        late.carry_out(|address, _| {
            assert_eq!(address, came);
            came += 1;
            // What comes meanwhile does not keep the reader here.
            kvm.keep(5000, &[1]);
        });
        assert_eq!(came, 169);
    }

    #[test]
    fn who_finds_stores_gone_finds_them_carried_out() {
        let (kvm, late) = ends();
        let carried_out = std::sync::atomic::AtomicU64::new(0);
        for _ in 0..200 {
            carried_out.store(0, Ordering::SeqCst);
            (1..=20).for_each(|n| assert!(kvm.keep(n, &[0; 8])));
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        late.carry_out(|address, _| carried_out.store(address, Ordering::SeqCst));
                        assert_eq!(carried_out.load(Ordering::SeqCst), 20);
                    });
                }
            });
        }
    }

    #[test]
    fn what_is_no_ring_has_no_stores() {
        for (place, index) in [(FIRST, 170), (LAST, 170), (LAST, u32::MAX)] {
            let (kvm, late) = ends();
            kvm.ring.store(place, index).unwrap();
            late.carry_out(|_, _| panic!("there is none"));
        }
    }
}
