// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Physical memory: what the board's bus masters reach behind the SMMU. It consists of the
//! buffers that are mapped, each at an address of its own, and of translation tables.

use board::host::{BusError, GuestMemory};
use fsl_mc_linux::Mapping;
use parking_lot::RwLock;
use std::{collections::BTreeMap, sync::Arc};

/// Where tables are.
pub const TABLES: u64 = 0x4000_0000;
/// Where buffers start; they are never put where others have been.
const BUFFERS: u64 = 0x1_0000_0000;
/// Distance of buffers, and alignment.
const PAGE: u64 = 4096;

/// Physical memory by its first addresses.
pub struct Physical {
    places: RwLock<Places>,
}

struct Places {
    by_address: BTreeMap<u64, Arc<Mapping>>,
    next: u64,
}

impl Physical {
    /// No memory but the tables'.
    pub fn new(tables: Arc<Mapping>) -> Self {
        let by_address = BTreeMap::from([(TABLES, tables)]);
        Self { places: RwLock::new(Places { by_address, next: BUFFERS }) }
    }

    /// Adds a buffer; its address.
    pub fn add(&self, memory: &Arc<Mapping>) -> u64 {
        let mut places = self.places.write();
        let address = places.next;
        // A page between two, so that who goes past the end of one meets nothing.
        let size = (memory.length() as u64).next_multiple_of(PAGE) + PAGE;
        places.next += size;
        places.by_address.insert(address, memory.clone());
        address
    }

    /// Removes what was added at an address.
    pub fn remove(&self, address: u64) {
        self.places.write().by_address.remove(&address);
    }

    fn with<T>(
        &self,
        address: u64,
        length: usize,
        access: impl FnOnce(&Mapping, usize) -> Option<T>,
    ) -> Result<T, BusError> {
        let places = self.places.read();
        let found = places.by_address.range(..=address).next_back();
        found
            .and_then(|(start, memory)| {
                let offset = usize::try_from(address - start).ok()?;
                access(memory, offset)
            })
            .ok_or(BusError { address, length })
    }
}

impl GuestMemory for Physical {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        self.with(address, buf.len(), |memory, offset| memory.read(offset, buf))
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        self.with(address, data.len(), |memory, offset| {
            // The first word last: who sees it sees the rest.
            let (first, rest) = data.split_at(data.len().min(8));
            memory.write(offset + first.len(), rest)?;
            fsl_mc_linux::dma_fence();
            memory.write(offset, first)
        })
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        self.with(address, 8, |memory, offset| memory.load(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(size: usize) -> Arc<Mapping> {
        Arc::new(Mapping::anonymous(size).unwrap())
    }

    #[test]
    fn buffers_are_apart_and_gone_when_removed() {
        let physical = Physical::new(memory(4096));
        let (one, other) = (physical.add(&memory(4096)), physical.add(&memory(8192)));
        physical.write(one + 4090, &[1; 6]).unwrap();
        let error = physical.write(one + 4090, &[2; 7]).unwrap_err();
        assert_eq!(error, BusError { address: one + 4090, length: 7 });
        physical.write(other, &[3; 8]).unwrap();
        assert_eq!(physical.read_u64(other), Ok(0x0303_0303_0303_0303));
        let mut bytes = [0; 6];
        physical.read(one + 4090, &mut bytes).unwrap();
        assert_eq!(bytes, [1; 6]);
        physical.remove(one);
        assert!(physical.read(one, &mut bytes).is_err());
        assert!(physical.read_u64(other + 8192).is_err() && physical.read_u64(0).is_err());
    }
}
