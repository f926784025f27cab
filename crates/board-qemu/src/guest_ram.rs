// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's RAM, shared with QEMU through the memory files that arrive with
//! the DMA maps of a vfio-user connection.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use board::host::{BusError, GuestMemory};
use vm_memory::{
    Address, Bytes, GuestAddress, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryBackend,
    GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
};

use crate::error::RamError;
use crate::shared_memory::map_shared;

/// The RAM that QEMU has handed to the board. Empty until QEMU connects.
pub struct GuestRam {
    memory: GuestMemoryAtomic<GuestMemoryMmap<()>>,
}

impl Default for GuestRam {
    fn default() -> Self {
        Self { memory: GuestMemoryAtomic::new(GuestMemoryMmap::new()) }
    }
}

impl GuestRam {
    /// Adds `size` bytes of `file` from `offset` on at guest physical `address`.
    ///
    /// # Errors
    /// Where the file is too short, the host has no address space left, or the
    /// range overlaps RAM that is there already.
    pub fn map(&self, address: u64, size: u64, file: File, offset: u64) -> Result<(), RamError> {
        let refused = |reason: String| RamError { address, size, reason };
        let mapping = map_shared(file, offset, size).map_err(|e| refused(e.to_string()))?;
        let region = GuestRegionMmap::new(mapping, GuestAddress(address))
            .ok_or_else(|| refused("the range ends past the last address".into()))?;
        self.change(|memory| {
            memory.insert_region(Arc::new(region)).map_err(|e| refused(e.to_string()))
        })
    }

    /// Removes all RAM.
    pub fn unmap_all(&self) {
        let emptied: Result<(), RamError> = self.change(|_| Ok(GuestMemoryMmap::new()));
        // Nothing in that can fail.
        debug_assert!(emptied.is_ok());
    }

    /// Removes the RAM that [`GuestRam::map`] added with the same address and
    /// size. A range that isn't RAM is left alone: QEMU also unmaps what it
    /// announced without a file.
    pub fn unmap(&self, address: u64, size: u64) {
        let removed = self.change(|memory| {
            memory.remove_region(GuestAddress(address), size).map(|(left, _)| left)
        });
        if removed.is_err() {
            tracing::trace!(
                address = format_args!("{address:#x}"),
                size,
                "unmap of what is not RAM"
            );
        }
    }

    fn change<E>(
        &self,
        edit: impl FnOnce(&GuestMemoryMmap<()>) -> Result<GuestMemoryMmap<()>, E>,
    ) -> Result<(), E> {
        // The value behind the lock is replaced as a whole, so a panic of
        // another holder leaves it consistent.
        let exclusive = self.memory.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let edited = edit(&self.memory.memory())?;
        exclusive.replace(edited);
        Ok(())
    }
}

impl GuestMemory for GuestRam {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        let length = buf.len();
        self.memory
            .memory()
            .read_slice(buf, GuestAddress(address))
            .map_err(|_| BusError { address, length })
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        let length = data.len();
        self.memory
            .memory()
            .write_slice(data, GuestAddress(address))
            .map_err(|_| BusError { address, length })
    }

    fn copy(&self, from: u64, to: u64, length: usize) -> Result<(), BusError> {
        let memory = self.memory.memory();
        let mut done = 0;
        // A range may span regions; hardly one ever does.
        while done < length {
            let (from, to) = (from.wrapping_add(done as u64), to.wrapping_add(done as u64));
            let left = length - done;
            let slice = |address| {
                let inside =
                    memory.to_region_addr(GuestAddress(address)).and_then(|(region, at)| {
                        let rest = region.len() - at.raw_value();
                        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(left);
                        region.get_slice(at, length).ok()
                    });
                inside.ok_or(BusError { address, length: left })
            };
            let (source, target) = (slice(from)?, slice(to)?);
            source.copy_to_volatile_slice(target);
            done += source.len().min(target.len());
        }
        Ok(())
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        // Acquire: what the guest wrote before it published a table entry is
        // seen by whoever follows that entry.
        self.memory
            .memory()
            .load::<u64>(GuestAddress(address), Ordering::Acquire)
            .map(u64::from_le)
            .map_err(|_| BusError { address, length: 8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn file(size: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        file
    }

    #[test]
    fn board_and_file_see_each_other() {
        let ram = GuestRam::default();
        let backing = file(0x3000);
        ram.map(0x4000_0000, 0x2000, backing.try_clone().unwrap(), 0x1000).unwrap();
        ram.write(0x4000_0ffc, b"abcdefgh").unwrap();
        let mut seen = [0; 8];
        backing.read_exact_at(&mut seen, 0x1ffc).unwrap();
        assert_eq!(&seen, b"abcdefgh");
        backing.write_all_at(&0x1122_3344_5566_7788u64.to_le_bytes(), 0x1008).unwrap();
        assert_eq!(ram.read_u64(0x4000_0008), Ok(0x1122_3344_5566_7788));
    }

    #[test]
    fn an_access_may_span_adjacent_ranges_but_no_hole() {
        let ram = GuestRam::default();
        ram.map(0x1000, 0x1000, file(0x1000), 0).unwrap();
        ram.map(0x2000, 0x1000, file(0x1000), 0).unwrap();
        ram.map(0x4000, 0x1000, file(0x1000), 0).unwrap();
        ram.write(0x1ffe, b"span").unwrap();
        let mut buf = [0; 4];
        ram.read(0x1ffe, &mut buf).unwrap();
        assert_eq!(&buf, b"span");
        assert_eq!(ram.write(0x2ffe, b"hole"), Err(BusError { address: 0x2ffe, length: 4 }));
        ram.read(0x4000, &mut buf).unwrap();
        assert_eq!(buf, [0; 4], "nothing lands past the hole");
        assert!(ram.read(0x0, &mut buf).is_err());
        assert!(ram.read(u64::MAX - 1, &mut buf).is_err());
    }

    #[test]
    fn copies_go_from_range_to_range_up_to_a_hole() {
        let ram = GuestRam::default();
        ram.map(0x1000, 0x1000, file(0x1000), 0).unwrap();
        ram.map(0x2000, 0x1000, file(0x1000), 0).unwrap();
        ram.map(0x8000, 0x1000, file(0x1000), 0).unwrap();
        ram.write(0x1ffc, b"abcdefgh").unwrap();
        ram.copy(0x1ffc, 0x8ff8, 8).unwrap();
        let mut seen = [0; 8];
        ram.read(0x8ff8, &mut seen).unwrap();
        assert_eq!(&seen, b"abcdefgh");
        assert_eq!(ram.copy(0x8ff8, 0x2ffc, 8), Err(BusError { address: 0x3000, length: 4 }));
        assert_eq!(ram.copy(0x8ffc, 0x2000, 8), Err(BusError { address: 0x9000, length: 4 }));
        ram.read(0x2ffc, &mut seen[..4]).unwrap();
        assert_eq!(&seen[..4], b"abcd", "what came before the hole");
        assert_eq!(ram.copy(0x9000, 0x2000, 0), Ok(()));
        assert!(ram.copy(u64::MAX, 0x2000, 2).is_err());
    }

    #[test]
    fn table_reads_are_aligned_and_inside_ram() {
        let ram = GuestRam::default();
        ram.map(0x1000, 0x1000, file(0x1000), 0).unwrap();
        assert_eq!(ram.read_u64(0x1ff8), Ok(0));
        assert_eq!(ram.read_u64(0x1004), Err(BusError { address: 0x1004, length: 8 }));
        assert_eq!(ram.read_u64(0x2000), Err(BusError { address: 0x2000, length: 8 }));
    }

    #[test]
    fn ram_goes_away_and_comes_back() {
        let ram = GuestRam::default();
        ram.map(0x1000, 0x1000, file(0x1000), 0).unwrap();
        let overlap = ram.map(0x1800, 0x1000, file(0x1000), 0).unwrap_err();
        assert!(overlap.to_string().contains("0x1800"), "{overlap}");
        ram.unmap(0x9000, 0x1000);
        assert!(ram.read_u64(0x1000).is_ok());
        ram.unmap(0x1000, 0x1000);
        assert!(ram.read_u64(0x1000).is_err());
        ram.map(0x1800, 0x1000, file(0x1000), 0).unwrap();
        ram.unmap_all();
        assert!(ram.read_u64(0x1800).is_err());
    }

    #[test]
    fn a_short_file_is_refused() {
        let error = GuestRam::default().map(0x1000, 0x2000, file(0x1000), 0).unwrap_err();
        assert!(error.to_string().contains("0x2000"), "{error}");
    }
}
