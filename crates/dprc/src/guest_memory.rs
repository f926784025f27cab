// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory of a guest, which somebody else has allocated, for DMA.

use crate::container::Space;
use crate::dma::{Access, check_pages, not_mapped};
use crate::error::{Error, Result};
use crate::ioctl;
use rustix::fd::AsFd;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress};

/// Guest memory that devices reach at its guest physical addresses. Keeps the memory, the VFIO
/// container and the group that is in it; unmapped when dropped.
#[derive(Debug)]
pub struct MappedMemory<M> {
    space: Space,
    /// Guest physical address and bytes of what is mapped.
    ranges: Vec<(u64, u64)>,
    memory: Option<M>,
}

impl<M: GuestMemoryBackend + Clone> MappedMemory<M> {
    pub(crate) fn map(space: Space, memory: &M, access: Access) -> Result<Self> {
        let mut mapped = Self { space, ranges: Vec::new(), memory: Some(memory.clone()) };
        for region in memory.iter() {
            let (iova, size) = (region.start_addr().raw_value(), region.len());
            check_pages("the guest physical address", iova)?;
            check_pages("the size of guest memory", size)?;
            let host = region
                .get_host_address(MemoryRegionAddress(0))
                .map_err(|_| Error::NoHostAddress { address: iova })?;
            mapped.add(host, iova, size, access)?;
        }
        Ok(mapped)
    }

    #[allow(unsafe_code)]
    fn add(&mut self, host: *mut u8, iova: u64, size: u64, access: Access) -> Result<()> {
        let address = host.expose_provenance() as u64;
        // SAFETY: the range is a region of `memory`, of which `self` holds a clone: it
        // stays mapped until it is unmapped below; when that fails the clone is leaked.
        // A region of guest memory is shared with a guest anyway: there is no reference
        // to it, all access is volatile.
        unsafe { ioctl::map_dma(self.space.as_fd(), access.flags(), address, iova, size) }
            .map_err(not_mapped(iova, size))?;
        self.ranges.push((iova, size));
        Ok(())
    }
}

impl<M> MappedMemory<M> {
    /// How many bytes devices reach.
    pub fn size(&self) -> u64 {
        self.ranges.iter().map(|(_, size)| size).sum()
    }
}

impl<M> Drop for MappedMemory<M> {
    fn drop(&mut self) {
        for (iova, size) in &self.ranges {
            let unmapped = ioctl::unmap_dma(self.space.as_fd(), *iova, *size);
            if unmapped != Ok(*size) {
                // Devices may still reach it: it is never reused.
                std::mem::forget(self.memory.take());
            }
        }
    }
}
