// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where interrupts go: KVM's table of routes, of which this is the only writer.

use crate::layout::{MOST_DISKS, UART_SPI, disk_interrupt};
use dprc_assign::Msi;
use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_MSI_VALID_DEVID, KvmIrqRouting,
    kvm_irq_routing_entry, kvm_irq_routing_irqchip, kvm_irq_routing_msi, kvm_msi,
};
use kvm_ioctls::VmFd;
use std::collections::BTreeMap;
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// Numbers of lines that are messages start behind those of the interrupt controller.
const FIRST_MESSAGE: u32 = 1024;

/// A message with the device that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub msi: Msi,
    /// Who sends it, as the guest's interrupt controller knows it.
    pub device: u32,
}

/// The table.
pub struct Routes {
    vm: Arc<VmFd>,
    messages: BTreeMap<u32, Message>,
}

impl Routes {
    /// A table with the interrupts of the console and of disks.
    pub fn new(vm: Arc<VmFd>) -> Result<Self, kvm_ioctls::Error> {
        let routes = Self { vm, messages: BTreeMap::new() };
        routes.write()?;
        Ok(routes)
    }

    /// A line of a device of the VMM's own, by its shared peripheral interrupt.
    pub fn shared(&self, interrupt: u32) -> Result<EventFd, kvm_ioctls::Error> {
        let line = EventFd::new(0)?;
        self.vm.register_irqfd(&line, interrupt)?;
        Ok(line)
    }

    /// Connects an eventfd with a message; again, with another one. Gives the line's
    /// number.
    pub fn connect(
        &mut self,
        known: Option<u32>,
        events: &EventFd,
        message: Message,
    ) -> Result<u32, kvm_ioctls::Error> {
        let free = || (FIRST_MESSAGE..).find(|line| !self.messages.contains_key(line));
        let line = known.or_else(free).unwrap_or(FIRST_MESSAGE);
        let before = self.messages.insert(line, message);
        let done = self.write().and_then(|()| {
            if before.is_none() { self.vm.register_irqfd(events, line) } else { Ok(()) }
        });
        if done.is_err() && before.is_none() {
            self.messages.remove(&line);
        }
        done.map(|()| line)
    }

    /// Undoes a connection.
    pub fn disconnect(&mut self, line: u32, events: &EventFd) {
        if self.messages.remove(&line).is_some() {
            // The guest may be gone; and a route too many does no harm.
            let _ = self.vm.unregister_irqfd(events, line);
            let _ = self.write();
        }
    }

    /// Sends a message.
    pub fn send(&self, message: Message) -> Result<(), kvm_ioctls::Error> {
        let (low, high) = halves(message.msi.address);
        let sent = self.vm.signal_msi(kvm_msi {
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

    fn write(&self) -> Result<(), kvm_ioctls::Error> {
        let disks = (0..MOST_DISKS).map(disk_interrupt);
        let mut entries: Vec<_> = std::iter::once(UART_SPI).chain(disks).map(shared).collect();
        entries.extend(self.messages.iter().map(|(line, message)| entry(*line, *message)));
        let table = KvmIrqRouting::from_entries(&entries);
        let table = table.map_err(|_| kvm_ioctls::Error::new(libc::ENOMEM))?;
        self.vm.set_gsi_routing(&table)
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
