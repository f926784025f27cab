// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A host for tests within the crate.

use super::{BusError, GuestMemory};
use parking_lot::Mutex;

/// Memory from address 0 on, zero at first.
#[derive(Debug)]
pub(crate) struct TestMemory(Mutex<Vec<u8>>);

impl TestMemory {
    /// So many bytes.
    pub fn new(size: usize) -> Self {
        Self(Mutex::new(vec![0; size]))
    }

    fn with<T>(
        &self,
        address: u64,
        length: usize,
        access: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, BusError> {
        let mut bytes = self.0.lock();
        let range =
            usize::try_from(address).ok().and_then(|start| Some(start..start.checked_add(length)?));
        let part = range.and_then(|range| bytes.get_mut(range));
        part.map(access).ok_or(BusError { address, length })
    }
}

impl GuestMemory for TestMemory {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        self.with(address, buf.len(), |part| buf.copy_from_slice(part))
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        self.with(address, data.len(), |part| part.copy_from_slice(data))
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
