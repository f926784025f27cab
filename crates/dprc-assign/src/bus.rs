// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The window of command portals on a bus of rust-vmm's `vm-device`.

use crate::assignment::Assignment;
use crate::emulation::Emulation;
use crate::host::Host;
use crate::vfio::Vm;
use crate::windows::{WINDOW_SIZE, Windows};
use vm_device::bus::{MmioAddress, MmioAddressOffset, MmioRange};
use vm_device::{DeviceMmio, MutDeviceMmio};
use vm_memory::GuestMemoryBackend;

impl Windows {
    /// The window of command portals as a range of an MMIO bus, at which the
    /// [`Assignment`] is registered.
    pub fn portal_range(&self) -> MmioRange {
        // The size is not 0, and `Windows::new` has seen to it that the end is an address.
        MmioRange::new(MmioAddress(self.portals()), WINDOW_SIZE).expect("a window of 64 MiB")
    }
}

impl<V: Vm + Send + 'static, M: GuestMemoryBackend + Clone> DeviceMmio for Assignment<V, M> {
    fn mmio_read(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        self.load(offset, data);
    }

    fn mmio_write(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        self.store(offset, data);
    }
}

impl<H: Host> MutDeviceMmio for Emulation<H> {
    fn mmio_read(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        self.load(offset, data);
    }

    fn mmio_write(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        self.store(offset, data);
    }
}
