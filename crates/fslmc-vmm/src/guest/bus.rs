// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the guest's exits reach.

use super::Container;
use super::console::Serial;
use super::disks::DiskPort;
use crate::late::LateStores;
use crate::layout::{DISK_SIZE, UART, UART_SIZE, disk};
use dprc_assign::WINDOW_SIZE;
use std::sync::Arc;

/// Devices by address.
pub struct Bus {
    /// The console.
    pub serial: Serial,
    /// Assigned containers.
    pub containers: Vec<Container>,
    /// Stores to their command portals that KVM has kept.
    pub late: Option<Arc<LateStores>>,
    /// Disks.
    pub disks: Vec<DiskPort>,
}

impl Bus {
    /// A load of the guest's; what is nobody's reads as ones.
    pub fn load(&self, address: u64, bytes: &mut [u8]) {
        if let Some(offset) = inside(address, UART, UART_SIZE) {
            self.serial.load(offset, bytes);
        } else if let Some((container, offset)) = self.container(address) {
            self.catch_up();
            container.load(offset, bytes);
        } else if let Some((disk, offset)) = self.disk(address) {
            disk.load(offset, bytes);
        } else {
            bytes.fill(0xff);
        }
    }

    /// A store of the guest's; what is nobody's goes nowhere.
    pub fn store(&self, address: u64, bytes: &[u8]) {
        if let Some(offset) = inside(address, UART, UART_SIZE) {
            self.serial.store(offset, bytes);
        } else if let Some((container, offset)) = self.container(address) {
            self.catch_up();
            container.store(offset, bytes);
        } else if let Some((disk, offset)) = self.disk(address) {
            disk.store(offset, bytes);
        }
    }

    /// The guest ends: no processor of it waits for the console or a disk.
    pub fn end(&self) {
        self.serial.end();
        self.disks.iter().for_each(|disk| disk.end());
    }

    /// What the guest has stored to its portals before this exit is in them from here on.
    /// Other devices have no stores that come late: nothing of theirs waits for a container.
    fn catch_up(&self) {
        let Some(late) = &self.late else { return };
        late.carry_out(|address, bytes| {
            if let Some((container, offset)) = self.container(address) {
                container.store(offset, bytes);
            }
        });
    }

    fn container(&self, address: u64) -> Option<(&Container, u64)> {
        self.containers.iter().find_map(|container| {
            inside(address, container.portals(), WINDOW_SIZE).map(|offset| (container, offset))
        })
    }

    fn disk(&self, address: u64) -> Option<(&DiskPort, u64)> {
        self.disks.iter().enumerate().find_map(|(index, port)| {
            inside(address, disk(index), DISK_SIZE).map(|offset| (port, offset))
        })
    }
}

fn inside(address: u64, base: u64, size: u64) -> Option<u64> {
    address.checked_sub(base).filter(|offset| *offset < size)
}
