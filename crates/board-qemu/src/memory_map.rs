// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where the board sits in the address space of QEMU's `virt` machine.
//!
//! Everything lives in the low PCI memory window of the machine
//! (0x1000_0000..0x3eff_0000), because the board arrives as PCI functions. The
//! guest never sees the PCI bus: its device tree names these addresses.

use crate::hardware::Window;

/// First byte of the machine's low PCI memory window.
pub const PCI_WINDOW: u64 = 0x1000_0000;
/// First byte past the machine's low PCI memory window.
pub const PCI_WINDOW_END: u64 = 0x3eff_0000;

/// The MC portals, 64 KiB each. Linux masks the base with `!0x3ff_ffff`, so it
/// is aligned to 64 MiB.
pub const MC_PORTALS: Area = Area { base: 0x1000_0000, size: 0x400_0000 };
/// The MC control registers (`reg` entry 1 of the MC's node).
pub const MC_CONTROL: Area = Area { base: 0x1400_0000, size: 0x4_0000 };
/// The MMU-500's registers: 128 global and 128 context bank pages of 4 KiB.
pub const SMMU: Area = Area { base: 0x1500_0000, size: 0x10_0000 };
/// The MSI-X tables, one [`MSIX_STRIDE`] for each ICID.
pub const MSIX: Area = Area { base: 0x1600_0000, size: MSIX_STRIDE * MAX_ICIDS as u64 };
/// The cache-enabled and cache-inhibited QBMan portals, whose accesses are trapped.
pub const QBMAN_TRAPPED: Area = Area { base: 0x1800_0000, size: 0x800_0000 };
/// The memory-backed QBMan portals: plain memory, mapped into guest and board.
/// Follows [`QBMAN_TRAPPED`] so that both are one `ranges` window of the MC.
pub const QBMAN_MEMORY: Area = Area { base: 0x2000_0000, size: 0x400_0000 };

/// Size of one function's MSI-X area.
pub const MSIX_STRIDE: u64 = 0x1_0000;
/// Where the pending bits lie in a function's MSI-X area.
pub const MSIX_PENDING: u64 = 0x8000;
/// Vectors of a function. Linux reserves 256 events for a container.
pub const VECTORS: u16 = 256;

/// `GITS_TRANSLATER` of the machine's interrupt translation service: the
/// address of every message-signalled interrupt.
pub const GITS_TRANSLATER: u64 = 0x0809_0040;

/// PCI slot of the function that carries the SMMU's registers.
pub const SMMU_SLOT: u8 = 2;
/// PCI slot of the function that carries the QBMan portals.
pub const QBMAN_SLOT: u8 = 3;
/// PCI slot of the first ICID's function; the others follow, eight to a slot.
pub const ICID_SLOT: u8 = 4;
/// PCI slot of the bridge to a bus that the guest does see, where it has virtio interfaces.
pub const VIRTIO_BUS_SLOT: u8 = 1;
/// The first and the last number of that bus and those behind it.
pub const VIRTIO_BUSES: (u8, u8) = (0x80, 0x8f);
/// What the guest gives addresses to there.
pub const VIRTIO_WINDOW: Area = Area { base: 0x3000_0000, size: 0x100_0000 };
/// Most ICIDs that fit: slots 4 to 31.
pub const MAX_ICIDS: u16 = (32 - ICID_SLOT as u16) * 8;

/// Shared peripheral interrupt of PCI pin A in slot 0; the pins of the
/// following slots rotate through four lines.
const PCI_INTERRUPTS: u32 = 3;

/// The shared peripheral interrupt that the SMMU's function drives with INTA.
pub const SMMU_INTERRUPT: u32 = PCI_INTERRUPTS + SMMU_SLOT as u32 % 4;

/// A range of guest physical addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// First address.
    pub base: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Area {
    /// First address past the area.
    pub const fn end(&self) -> u64 {
        self.base + self.size
    }
}

/// Requester id (bus 0) of the function that sends ICID number `index`'s
/// interrupts, which the ITS takes as DeviceID.
pub const fn requester_id(index: u16) -> u16 {
    (ICID_SLOT as u16) * 8 + index
}

/// Address of the MSI-X table of ICID number `index`.
pub const fn msix_table(index: u16) -> u64 {
    MSIX.base + index as u64 * MSIX_STRIDE
}

/// The area in which the guest sees a window of the board.
pub const fn area_of(window: Window) -> Area {
    match window {
        Window::McPortals => MC_PORTALS,
        Window::McControl => MC_CONTROL,
        Window::Qbman => QBMAN_TRAPPED,
        Window::Smmu => SMMU,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_aligned_disjoint_and_inside_the_pci_window() {
        let areas =
            [MC_PORTALS, MC_CONTROL, SMMU, MSIX, QBMAN_TRAPPED, QBMAN_MEMORY, VIRTIO_WINDOW];
        for (i, area) in areas.iter().enumerate() {
            assert!(area.base >= PCI_WINDOW && area.end() <= PCI_WINDOW_END, "{area:x?}");
            let alignment = if *area == MSIX { MSIX_STRIDE } else { area.size };
            assert_eq!(area.base % alignment, 0, "{area:x?}: a BAR is aligned to its size");
            for other in &areas[i + 1..] {
                assert!(
                    area.end() <= other.base || other.end() <= area.base,
                    "{area:x?} {other:x?}"
                );
            }
        }
        assert_eq!(QBMAN_TRAPPED.end(), QBMAN_MEMORY.base);
        assert_eq!(QBMAN_TRAPPED.size, board::qbman::WINDOW_SIZE);
        assert_eq!(QBMAN_MEMORY.size, board::qbman::MEMORY_SIZE);
        assert_eq!(SMMU.size, board::smmu::FRAME_SIZE);
    }

    #[test]
    fn the_last_icid_has_the_last_function_of_bus_0() {
        assert_eq!(requester_id(0), 0x20);
        assert_eq!(requester_id(MAX_ICIDS - 1), 0xff);
        assert_eq!(msix_table(MAX_ICIDS - 1) + MSIX_STRIDE, MSIX.end());
    }
}
