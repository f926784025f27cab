// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The memory that software portals share with software.

use crate::qbman;
use std::{io, sync::Arc, sync::atomic::Ordering};
use vm_memory::{Bytes, MmapRegion, VolatileMemory};

/// The memory of the memory-backed software portals (region 2 of a `dpio` since
/// QBMan 5.0), which software maps and reads and writes without a trap. Portal
/// `n` has the 64 KiB from `n * 0x1_0000` on.
///
/// Offsets past the end belong to no portal: they read as zero, and what is
/// written there is lost.
pub trait PortalMemory: Send + Sync {
    /// Copies `buf.len()` bytes from `offset`.
    fn read(&self, offset: u64, buf: &mut [u8]);

    /// Copies `data` to `offset`.
    fn write(&self, offset: u64, data: &[u8]);

    /// Stores one byte after everything that was written before: software that
    /// sees the byte sees the rest. This is how the first byte of an entry (the
    /// verb, with its valid bit) hands the entry over.
    fn publish(&self, offset: u64, byte: u8);
}

/// The memory of the software portals of a board without a guest, all zero.
///
/// # Errors
/// Where this process has no address space left.
pub fn private_portal_memory() -> io::Result<Arc<dyn PortalMemory>> {
    let region: MmapRegion =
        MmapRegion::new(qbman::MEMORY_SIZE as usize).map_err(io::Error::other)?;
    Ok(Arc::new(region))
}

/// Portal memory of a board whose software portals nobody reaches.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPortalMemory;

impl PortalMemory for NoPortalMemory {
    fn read(&self, _: u64, buf: &mut [u8]) {
        buf.fill(0);
    }

    fn write(&self, _: u64, _: &[u8]) {}

    fn publish(&self, _: u64, _: u8) {}
}

/// Mapped memory: shared with a guest, or anonymous where the board runs
/// without one.
impl PortalMemory for MmapRegion {
    fn read(&self, offset: u64, buf: &mut [u8]) {
        let inside = position(offset)
            .and_then(|at| self.as_volatile_slice().read(buf, at).ok())
            .unwrap_or(0);
        if let Some(rest) = buf.get_mut(inside..) {
            rest.fill(0);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let written = position(offset).and_then(|at| self.as_volatile_slice().write(data, at).ok());
        if written != Some(data.len()) {
            tracing::debug!(offset, length = data.len(), "write past the portals' memory");
        }
    }

    fn publish(&self, offset: u64, byte: u8) {
        let stored = position(offset)
            .and_then(|at| self.as_volatile_slice().store(byte, at, Ordering::Release).ok());
        if stored.is_none() {
            tracing::debug!(offset, "write past the portals' memory");
        }
    }
}

fn position(offset: u64) -> Option<usize> {
    usize::try_from(offset).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> MmapRegion {
        MmapRegion::new(0x2_0000).expect("there is that much memory")
    }

    #[test]
    fn what_is_written_and_published_is_read() {
        let memory = memory();
        memory.write(0x1_1681, &[0xf0, 1, 2]);
        memory.publish(0x1_1680, 0x80);
        let mut entry = [0xaa; 5];
        memory.read(0x1_1680, &mut entry);
        assert_eq!(entry, [0x80, 0xf0, 1, 2, 0]);
    }

    #[test]
    fn past_the_end_there_is_nothing() {
        let memory = memory();
        memory.write(0x1_fffe, &[1, 2, 3, 4]);
        let mut bytes = [0xaa; 4];
        memory.read(0x1_fffe, &mut bytes);
        assert_eq!(bytes, [1, 2, 0, 0]);
        for offset in [0x2_0000, u64::MAX] {
            memory.write(offset, &[1]);
            memory.publish(offset, 1);
            let mut bytes = [0xaa; 2];
            memory.read(offset, &mut bytes);
            assert_eq!(bytes, [0, 0]);
        }
    }
}
