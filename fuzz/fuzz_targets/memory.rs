// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory of portals and of the guest.

use board::host::{BusError, GuestMemory, PortalMemory};
use std::sync::Mutex;

pub struct Bytes(Mutex<Vec<u8>>);

impl Bytes {
    pub fn new(bytes: usize) -> Self {
        Self(Mutex::new(vec![0; bytes]))
    }

    fn with(&self, at: u64, length: usize, work: impl FnOnce(&mut [u8])) -> bool {
        let mut bytes = self.0.lock().expect("nobody panics here");
        let place =
            usize::try_from(at).ok().and_then(|at| bytes.get_mut(at..at.checked_add(length)?));
        place.map(work).is_some()
    }
}

impl PortalMemory for Bytes {
    fn read(&self, offset: u64, buf: &mut [u8]) {
        assert!(self.with(offset, buf.len(), |bytes| buf.copy_from_slice(bytes)), "{offset:#x}");
    }

    fn write(&self, offset: u64, data: &[u8]) {
        assert!(self.with(offset, data.len(), |bytes| bytes.copy_from_slice(data)), "{offset:#x}");
    }

    fn publish(&self, offset: u64, byte: u8) {
        PortalMemory::write(self, offset, &[byte]);
    }
}

impl GuestMemory for Bytes {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        let length = buf.len();
        let read = self.with(address, length, |bytes| buf.copy_from_slice(bytes));
        if read { Ok(()) } else { Err(BusError { address, length }) }
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        let written = self.with(address, data.len(), |bytes| bytes.copy_from_slice(data));
        if written { Ok(()) } else { Err(BusError { address, length: data.len() }) }
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        let mut bytes = [0; 8];
        GuestMemory::read(self, address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
