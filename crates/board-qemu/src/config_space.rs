// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The PCI configuration space of the board's functions.
//!
//! QEMU emulates what it needs itself (BARs, the MSI-X control bits) on top of
//! these bytes; the guest never reads them, because its device tree disables
//! the PCI host.

use crate::memory_map::{MSIX_PENDING, VECTORS};

/// Offset of the command register.
pub const COMMAND: u16 = 0x04;
/// Command register: decode memory, be bus master.
pub const COMMAND_MEMORY_MASTER: u16 = 0x0006;
/// Offset of BAR 0; the others follow every four bytes.
pub const BAR0: u16 = 0x10;
/// The BAR that carries the MSI-X table and pending bits.
pub const MSIX_BAR: u8 = 4;
/// Offset of the MSI-X control register.
pub const MSIX_CONTROL: u16 = MSIX_CAPABILITY + 2;
/// MSI-X control register: enabled. (The table size bits are read-only.)
pub const MSIX_ENABLE: u16 = 0x8000;

const MSIX_CAPABILITY: u16 = 0x40;
const SIZE: usize = 256;

/// How a function interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupts {
    /// Not at all.
    None,
    /// By its INTA pin.
    Pin,
    /// By [`VECTORS`] MSI-X vectors in BAR [`MSIX_BAR`].
    Msix,
}

/// The 256 bytes of one function.
pub struct ConfigSpace {
    bytes: [u8; SIZE],
    writable: [u8; SIZE],
}

impl ConfigSpace {
    /// The configuration space of a function after reset.
    pub fn new(device: u16, interrupts: Interrupts, multifunction: bool) -> Self {
        let mut space = Self { bytes: [0; SIZE], writable: [0; SIZE] };
        // Vendor 0x1957 is Freescale. No such PCI device exists; the device
        // numbers only tell the functions apart in QEMU's `info pci`.
        space.set(0x00, &0x1957u16.to_le_bytes());
        space.set(0x02, &device.to_le_bytes());
        space.set(0x08, &[0x01]);
        // Class: unassigned.
        space.set(0x0b, &[0xff]);
        space.set(0x0e, &[if multifunction { 0x80 } else { 0 }]);
        space.set(0x2c, &0x1957u16.to_le_bytes());
        space.set(0x2e, &device.to_le_bytes());
        space.allow(COMMAND as usize, &0x0406u16.to_le_bytes());
        space.allow(0x3c, &[0xff]);
        match interrupts {
            Interrupts::None => {}
            Interrupts::Pin => space.set(0x3d, &[1]),
            Interrupts::Msix => space.add_msix(),
        }
        space
    }

    fn add_msix(&mut self) {
        let base = MSIX_CAPABILITY as usize;
        // Status: has capabilities.
        self.set(0x06, &0x0010u16.to_le_bytes());
        self.set(0x34, &[MSIX_CAPABILITY as u8]);
        self.set(base, &[0x11, 0]);
        self.set(base + 2, &(VECTORS - 1).to_le_bytes());
        self.allow(base + 2, &0xc000u16.to_le_bytes());
        self.set(base + 4, &u32::from(MSIX_BAR).to_le_bytes());
        self.set(base + 8, &(MSIX_PENDING as u32 | u32::from(MSIX_BAR)).to_le_bytes());
    }

    /// Reads; bytes past the end are zero.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        let start = position(offset);
        for (index, byte) in buf.iter_mut().enumerate() {
            *byte = self.bytes.get(start.saturating_add(index)).copied().unwrap_or(0);
        }
    }

    /// Writes the bits that are writable; others keep their value.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let start = position(offset);
        for (index, value) in data.iter().enumerate() {
            let at = start.saturating_add(index);
            let (Some(byte), Some(mask)) = (self.bytes.get_mut(at), self.writable.get(at)) else {
                return;
            };
            *byte = (*byte & !mask) | (value & mask);
        }
    }

    fn set(&mut self, at: usize, data: &[u8]) {
        self.bytes[at..at + data.len()].copy_from_slice(data);
    }

    fn allow(&mut self, at: usize, mask: &[u8]) {
        self.writable[at..at + mask.len()].copy_from_slice(mask);
    }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(space: &ConfigSpace, at: u64) -> u16 {
        let mut buf = [0; 2];
        space.read(at, &mut buf);
        u16::from_le_bytes(buf)
    }

    fn long(space: &ConfigSpace, at: u64) -> u32 {
        let mut buf = [0; 4];
        space.read(at, &mut buf);
        u32::from_le_bytes(buf)
    }

    #[test]
    fn the_capability_list_holds_msix_alone() {
        let space = ConfigSpace::new(0x80c0, Interrupts::Msix, true);
        assert_eq!(long(&space, 0), 0x80c0_1957);
        assert_eq!(word(&space, 0x0e) & 0xff, 0x80);
        assert_eq!(word(&space, 0x06) & 0x10, 0x10);
        assert_eq!(word(&space, 0x34) & 0xff, 0x40);
        assert_eq!(word(&space, 0x40), 0x0011);
        assert_eq!(word(&space, 0x42), 255, "table size is one less");
        assert_eq!(long(&space, 0x44), 4);
        assert_eq!(long(&space, 0x48), 0x8004);
        assert_eq!(word(&space, 0x3c), 0, "no pin");
    }

    #[test]
    fn pin_function_has_no_capabilities() {
        let space = ConfigSpace::new(0x80c1, Interrupts::Pin, false);
        assert_eq!(word(&space, 0x06), 0);
        assert_eq!(word(&space, 0x3c), 0x0100);
        assert_eq!(word(&space, 0x0e), 0);
    }

    #[test]
    fn writes_reach_only_what_is_writable() {
        let mut space = ConfigSpace::new(0x80c0, Interrupts::Msix, false);
        space.write(0, &[0xff; 256]);
        assert_eq!(long(&space, 0), 0x80c0_1957);
        assert_eq!(word(&space, 4), 0x0406);
        assert_eq!(word(&space, 0x42), 0xc0ff);
        space.write(0x42, &0x8000u16.to_le_bytes());
        assert_eq!(word(&space, 0x42), 0x80ff);
    }

    #[test]
    fn accesses_past_the_end_do_nothing() {
        let mut space = ConfigSpace::new(0x80c0, Interrupts::None, false);
        let mut buf = [0xaa; 8];
        space.read(252, &mut buf);
        assert_eq!(buf, [0; 8]);
        space.write(254, &[0xff; 8]);
        space.read(u64::MAX, &mut buf);
        space.write(u64::MAX, &buf);
    }
}
