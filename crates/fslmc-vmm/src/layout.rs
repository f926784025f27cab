// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where things are in the guest's physical address space, and how many there may be.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use dprc_assign::{WINDOW_SIZE, Windows};

/// Interrupt controller: distributor, then ITS, then redistributors.
pub const GIC_DISTRIBUTOR: u64 = 0x0800_0000;
pub const GIC_DISTRIBUTOR_SIZE: u64 = 0x1_0000;
pub const ITS: u64 = 0x0808_0000;
pub const ITS_SIZE: u64 = 0x2_0000;
pub const GIC_REDISTRIBUTORS: u64 = 0x080a_0000;
pub const GIC_REDISTRIBUTOR_SIZE: u64 = 0x2_0000;

/// Serial console, and its shared peripheral interrupt.
pub const UART: u64 = 0x0900_0000;
pub const UART_SIZE: u64 = 0x1000;
pub const UART_SPI: u32 = 0;

/// Registers of the first disk, and its shared peripheral interrupt; the next ones follow.
const DISKS: u64 = 0x0a00_0000;
const DISK_SPI: u32 = 1;
pub const DISK_SIZE: u64 = 0x1000;

/// The windows of the first assigned container; the next ones follow.
const WINDOWS: u64 = 0x1000_0000;

/// Memory.
pub const RAM: u64 = 0x4000_0000;
pub const LEAST_MEMORY: u64 = 96 << 20;
pub const MOST_MEMORY: u64 = 64 << 30;

/// As many as the redistributors have room for before the console.
pub const MOST_CPUS: u8 = 32;
/// As many as there is room for before the memory.
pub const MOST_CONTAINERS: usize = 6;
/// As many as the shared interrupts below would allow, several times over.
pub const MOST_DISKS: usize = 8;

/// Interrupts of the distributor: private ones, and 64 shared ones.
pub const INTERRUPTS: u32 = 96;

/// Room for the device tree, at the end of memory; Linux wants it within 2 MiB, and this puts it
/// on a border of as many.
const DEVICE_TREE_ROOM: u64 = 2 << 20;

/// Linux frees the initial file system by pages.
const PAGE: u64 = 4096;

/// Where what the guest starts with is in its memory, behind the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// The initial file system.
    pub initramfs: u64,
    /// The device tree.
    pub device_tree: u64,
}

/// Places in a guest's memory for an initial file system of so many bytes and the device tree
/// behind a kernel that occupies so many.
///
/// # Errors
/// The bytes of memory that it takes, where these are too few.
pub fn places(memory: u64, kernel: u64, initramfs: u64) -> Result<Places, u64> {
    let at = || {
        let device_tree = (RAM + memory).checked_sub(DEVICE_TREE_ROOM)? & !(DEVICE_TREE_ROOM - 1);
        let initramfs = device_tree.checked_sub(initramfs)? & !(PAGE - 1);
        (initramfs >= RAM.checked_add(kernel)?).then_some(Places { initramfs, device_tree })
    };
    at().ok_or_else(|| {
        let rounded = |bytes: u64, to| bytes.checked_next_multiple_of(to).unwrap_or(u64::MAX);
        let images = kernel.saturating_add(rounded(initramfs, PAGE));
        rounded(images, DEVICE_TREE_ROOM).saturating_add(DEVICE_TREE_ROOM)
    })
}

/// The windows of an assigned container.
pub fn windows(index: usize) -> Option<Windows> {
    let base = WINDOWS + 2 * WINDOW_SIZE * index as u64;
    Windows::new(base, base + WINDOW_SIZE)
}

/// Where a disk's registers are.
pub fn disk(index: usize) -> u64 {
    DISKS + DISK_SIZE * index as u64
}

/// A disk's shared peripheral interrupt.
pub fn disk_interrupt(index: usize) -> u32 {
    DISK_SPI + index as u32
}

/// The isolation id that a container's guest is told, and the device id of its
/// interrupts: any number will do, as nothing else uses them.
pub fn isolation_id(index: usize) -> u16 {
    index as u16 + 1
}

const _: () = {
    let redistributors = GIC_REDISTRIBUTOR_SIZE * MOST_CPUS as u64;
    assert!(GIC_REDISTRIBUTORS + redistributors <= UART);
    assert!(UART + UART_SIZE <= DISKS && DISKS + DISK_SIZE * MOST_DISKS as u64 <= WINDOWS);
    assert!(DISK_SPI > UART_SPI && DISK_SPI + MOST_DISKS as u32 <= INTERRUPTS - 32);
    assert!(WINDOWS + 2 * WINDOW_SIZE * MOST_CONTAINERS as u64 <= RAM);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_put_into_the_kernel() {
        const MIB: u64 = 1 << 20;
        // An odd number of MiB has one less for them: the device tree is on a border of two.
        let (kernel, initramfs) = (50 * MIB, 44 * MIB + MIB / 2);
        assert_eq!(places(97 * MIB, kernel, initramfs), Err(98 * MIB));
        let places_98 = Places { initramfs: RAM + 51 * MIB + MIB / 2, device_tree: RAM + 96 * MIB };
        assert_eq!(places(98 * MIB, kernel, initramfs), Ok(places_98));
        for memory in (96..110).map(|mib| mib * MIB) {
            for initramfs in (0..memory).step_by(MIB as usize / 4 + 1) {
                match places(memory, kernel, initramfs) {
                    Ok(Places { initramfs: at, device_tree }) => {
                        assert!(at >= RAM + kernel && at + initramfs <= device_tree);
                        assert!(device_tree + DEVICE_TREE_ROOM <= RAM + memory);
                    }
                    // What is asked for is enough, and what one MiB less has is not.
                    Err(least) => {
                        assert!(least > memory && places(least, kernel, initramfs).is_ok());
                        assert!(places(least - MIB, kernel, initramfs).is_err());
                    }
                }
            }
        }
        // The sizes of a file that says anything.
        for huge in [u64::MAX, u64::MAX - RAM, 1 << 63] {
            assert!(places(96 * MIB, huge, 0).is_err() && places(96 * MIB, 0, huge).is_err());
        }
    }

    #[test]
    fn each_container_has_windows_and_an_id() {
        for index in 0..MOST_CONTAINERS {
            let windows = windows(index).unwrap();
            assert!(windows.queues() + WINDOW_SIZE <= RAM);
            assert_ne!(isolation_id(index), 0);
        }
    }
}
