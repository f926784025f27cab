// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Translation tables built from the sizes that the architecture manual lists,
//! rather than from shifts as the walker computes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::host::{RAM, RAM_SIZE, Ram};

const K: u64 = 1 << 10;
const M: u64 = 1 << 20;
const G: u64 = 1 << 30;
const T: u64 = 1 << 40;

/// Readable, writable and accessed, unprivileged, not global, never executed:
/// what Linux writes for DMA.
pub const READ_WRITE: u64 = 1 << 6 | 1 << 10 | 1 << 11 | 1 << 53 | 1 << 54;
pub const READ_ONLY: u64 = READ_WRITE | 1 << 7;
pub const ACCESSED: u64 = 1 << 10;
pub const NOT_GLOBAL: u64 = 1 << 11;

/// A granule as the tests describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granule {
    pub page: u64,
    /// What a descriptor covers at levels 0 to 3. 0: there is no such level.
    pub sizes: [u64; 4],
    /// Levels that can map memory.
    pub leaves: &'static [usize],
    pub entries: u64,
    /// `TCR.TG0` and `TCR.TG1`.
    tg: [u32; 2],
}

pub const K4: Granule = Granule {
    page: 4 * K,
    sizes: [512 * G, G, 2 * M, 4 * K],
    leaves: &[1, 2, 3],
    entries: 512,
    tg: [0b00, 0b10],
};
pub const K16: Granule = Granule {
    page: 16 * K,
    sizes: [128 * T, 64 * G, 32 * M, 16 * K],
    leaves: &[2, 3],
    entries: 2048,
    tg: [0b10, 0b01],
};
pub const K64: Granule = Granule {
    page: 64 * K,
    sizes: [0, 4 * T, 512 * M, 64 * K],
    leaves: &[2, 3],
    entries: 8192,
    tg: [0b01, 0b11],
};

/// Hands out zeroed, aligned pieces of RAM.
pub struct Allocator {
    ram: Arc<Ram>,
    next: AtomicU64,
}

impl Allocator {
    pub fn new(ram: &Arc<Ram>) -> Arc<Self> {
        Arc::new(Self { ram: ram.clone(), next: AtomicU64::new(RAM) })
    }

    pub fn page(&self, size: u64) -> u64 {
        let step = |next: u64| Some(next.next_multiple_of(size) + size);
        let before = self.next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).unwrap();
        let page = before.next_multiple_of(size);
        assert!(page + size <= RAM + RAM_SIZE, "the test is out of RAM");
        for at in (page..page + size).step_by(8) {
            self.ram.store(at, 0);
        }
        page
    }
}

/// Tables of one address space.
pub struct Tables {
    ram: Arc<Ram>,
    memory: Arc<Allocator>,
    pub granule: Granule,
    pub bits: u32,
    /// In the upper half of the address space, through TTBR1.
    pub upper: bool,
    root: u64,
}

impl Tables {
    pub fn new(ram: &Arc<Ram>, memory: &Arc<Allocator>, granule: Granule, bits: u32) -> Self {
        let root = memory.page(granule.page);
        Self { ram: ram.clone(), memory: memory.clone(), granule, bits, upper: false, root }
    }

    pub fn root(&self) -> u64 {
        self.root
    }

    /// `TCR` with the other half disabled, as Linux sets it.
    pub fn tcr(&self) -> u32 {
        let size = 64 - self.bits;
        if self.upper {
            1 << 7 | size << 16 | self.granule.tg[1] << 30
        } else {
            1 << 23 | size | self.granule.tg[0] << 14
        }
    }

    /// First level: the one whose descriptors no longer cover everything.
    pub fn first_level(&self) -> usize {
        let all = 1u64 << self.bits;
        self.granule.sizes.iter().position(|size| (1..all).contains(size)).unwrap()
    }

    /// The lowest and the highest address that the tables can map.
    pub fn base(&self) -> u64 {
        if self.upper { u64::MAX << self.bits } else { 0 }
    }

    /// Address of the descriptor for `iova` at `level`, making tables on the
    /// way.
    pub fn descriptor(&self, iova: u64, level: usize) -> u64 {
        let offset = iova - self.base();
        let slot = |table: u64, level: usize| {
            let index = offset / self.granule.sizes[level];
            // The first table may be smaller than a granule, never larger.
            table + index % self.granule.entries * 8
        };
        let mut table = self.root;
        for above in self.first_level()..level {
            let at = slot(table, above);
            let entry = self.ram.load(at);
            table = if entry & 0b11 == 0b11 {
                entry & 0xffff_ffff_f000
            } else {
                let new = self.memory.page(self.granule.page);
                self.ram.store(at, new | 0b11);
                new
            };
        }
        slot(table, level)
    }

    /// Maps one page or block of the size of `level`.
    pub fn map(&self, iova: u64, physical: u64, level: usize, attributes: u64) {
        let size = self.granule.sizes[level];
        assert!(iova.is_multiple_of(size) && physical.is_multiple_of(size));
        let kind = if level == 3 { 0b11 } else { 0b01 };
        self.ram.store(self.descriptor(iova, level), physical | attributes | kind);
    }

    /// Removes what `map` wrote; the caller invalidates.
    pub fn unmap(&self, iova: u64, level: usize) {
        self.ram.store(self.descriptor(iova, level), 0);
    }
}
