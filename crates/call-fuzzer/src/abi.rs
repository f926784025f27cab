// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Values of the user API (`linux/vfio.h`), and the bytes of its structures.

use fsl_mc_linux::ioctl::vfio;
pub use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_PROBE, VFIO_DEVICE_FEATURE_SET,
    VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_DMA_UNMAP_FLAG_ALL,
    VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
    VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
    VFIO_REGION_INFO_FLAG_MMAP, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU,
};

/// The first number of VFIO that no file knows, with some space for newer kernels.
pub const LAST: u32 = vfio(24);

/// Where a region starts in a device file.
pub const fn region_offset(index: u64) -> u64 {
    index << 40
}

/// A structure on its way to the kernel.
#[derive(Clone, Copy)]
pub struct Bytes {
    data: [u8; Self::CAPACITY],
    length: usize,
}

impl Bytes {
    /// Longer than any structure here.
    pub const CAPACITY: usize = 256;

    /// No bytes.
    pub const fn new() -> Self {
        Self { data: [0; Self::CAPACITY], length: 0 }
    }

    /// These bytes; what does not fit is left out.
    pub fn of(bytes: &[u8]) -> Self {
        Self::new().bytes(bytes)
    }

    /// With 4 bytes more.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    /// With 8 bytes more.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    /// With these bytes more; what does not fit is left out.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        for (slot, byte) in self.data[self.length..].iter_mut().zip(bytes) {
            *slot = *byte;
            self.length += 1;
        }
        self
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.data[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_end_at_their_capacity() {
        let bytes = Bytes::new().u32(1).bytes(&[7; 300]);
        assert_eq!(bytes.as_slice().len(), Bytes::CAPACITY);
        assert_eq!(bytes.as_slice()[..5], [1, 0, 0, 0, 7]);
    }
}
