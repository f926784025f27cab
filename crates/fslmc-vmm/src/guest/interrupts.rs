// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where interrupts go: KVM's table of routes.

use crate::layout::{MOST_DISKS, UART_SPI, disk_interrupt};
use crate::routes::{Message, Routes, Switchboard};
use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_MSI_VALID_DEVID, KvmIrqRouting,
    kvm_irq_routing_entry, kvm_irq_routing_irqchip, kvm_irq_routing_msi, kvm_msi,
};
use kvm_ioctls::VmFd;
use std::collections::BTreeMap;
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// The table with the interrupts of the console and of disks.
pub struct Interrupts {
    routes: Routes<Arc<VmFd>>,
}

impl Interrupts {
    /// A table without messages.
    pub fn new(vm: Arc<VmFd>) -> Result<Self, kvm_ioctls::Error> {
        Ok(Self { routes: Routes::new(vm)? })
    }

    /// The messages in it.
    pub fn routes(&mut self) -> &mut Routes<Arc<VmFd>> {
        &mut self.routes
    }

    /// A line of a device of the VMM's own, by its shared peripheral interrupt.
    pub fn shared(&self, interrupt: u32) -> Result<EventFd, kvm_ioctls::Error> {
        let line = EventFd::new(0)?;
        self.routes.switchboard.register_irqfd(&line, interrupt)?;
        Ok(line)
    }

    /// Sends a message.
    pub fn send(&self, message: Message) -> Result<(), kvm_ioctls::Error> {
        let (low, high) = halves(message.msi.address);
        let sent = self.routes.switchboard.signal_msi(kvm_msi {
            address_lo: low,
            address_hi: high,
            data: message.msi.data,
            flags: KVM_MSI_VALID_DEVID,
            devid: message.device,
            ..Default::default()
        });
        match sent {
            Ok(_) => Ok(()),
            // The guest's ITS is off. Hardware loses the message as well.
            Err(error) if error.errno() == libc::EBUSY => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Switchboard for Arc<VmFd> {
    fn set(&self, messages: &BTreeMap<u32, Message>) -> Result<(), kvm_ioctls::Error> {
        let disks = (0..MOST_DISKS).map(disk_interrupt);
        let mut entries: Vec<_> = std::iter::once(UART_SPI).chain(disks).map(shared).collect();
        entries.extend(messages.iter().map(|(line, message)| entry(*line, *message)));
        let table = KvmIrqRouting::from_entries(&entries);
        let table = table.map_err(|_| kvm_ioctls::Error::new(libc::ENOMEM))?;
        self.set_gsi_routing(&table)
    }

    fn listen(&self, events: &EventFd, line: u32) -> Result<(), kvm_ioctls::Error> {
        self.register_irqfd(events, line)
    }

    fn leave(&self, events: &EventFd, line: u32) -> Result<(), kvm_ioctls::Error> {
        self.unregister_irqfd(events, line)
    }
}

fn shared(gsi: u32) -> kvm_irq_routing_entry {
    let mut entry =
        kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_IRQCHIP, ..Default::default() };
    entry.u.irqchip = kvm_irq_routing_irqchip { irqchip: 0, pin: gsi };
    entry
}

fn entry(gsi: u32, message: Message) -> kvm_irq_routing_entry {
    let (address_lo, address_hi) = halves(message.msi.address);
    let mut msi = kvm_irq_routing_msi {
        address_lo,
        address_hi,
        data: message.msi.data,
        ..Default::default()
    };
    msi.__bindgen_anon_1.devid = message.device;
    let mut entry = kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_MSI,
        flags: KVM_MSI_VALID_DEVID,
        ..Default::default()
    };
    entry.u.msi = msi;
    entry
}

fn halves(address: u64) -> (u32, u32) {
    (address as u32, (address >> 32) as u32)
}
