// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's disks, a thread each.

use super::kvm::Vm;
use crate::error::Error;
use crate::layout::{disk, disk_interrupt};
use crate::virtio::block::Disk;
use crate::virtio::mmio::Port;
use std::sync::Arc;
use std::thread::JoinHandle;
use virtio_bindings::virtio_mmio::VIRTIO_MMIO_QUEUE_NOTIFY;
use vm_memory::GuestMemoryMmap;

/// A disk as the guest's processors reach it.
pub type DiskPort = Arc<Port<Disk>>;

/// Disks whose threads run until this is dropped.
#[derive(Default)]
pub struct Disks {
    running: Vec<(DiskPort, JoinHandle<()>)>,
}

impl Disks {
    /// Starts the threads of disks.
    ///
    /// # Errors
    /// KVM's, or the system's.
    pub fn start(vm: &Vm, of: &[Arc<Disk>], memory: &GuestMemoryMmap) -> Result<Self, Error> {
        let mut disks = Self::default();
        for (index, opened) in of.iter().enumerate() {
            let failed = |reason| Error::System { what: "starting a disk", reason };
            let line = vm.interrupt(disk_interrupt(index))?;
            let port = Arc::new(Port::new(Arc::clone(opened), line).map_err(failed)?);
            vm.ring_at(disk(index) + u64::from(VIRTIO_MMIO_QUEUE_NOTIFY), port.bell())?;
            let (worker, memory) = (Arc::clone(&port), memory.clone());
            let thread = std::thread::Builder::new()
                .name(format!("disk {index}"))
                .spawn(move || worker.serve(&memory));
            disks.running.push((port, thread.map_err(failed)?));
        }
        Ok(disks)
    }

    /// For the bus.
    pub fn ports(&self) -> Vec<DiskPort> {
        self.running.iter().map(|(port, _)| Arc::clone(port)).collect()
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for (port, thread) in self.running.drain(..) {
            port.end();
            // A panic in it is a defect, which its message has told.
            let _ = thread.join();
        }
    }
}
