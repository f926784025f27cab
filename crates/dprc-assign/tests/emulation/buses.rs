// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The emulation behind the MMIO buses of other VMMs: a guest's command gets the same answer
//! through each.

use crate::board_host::{BoardHost, Scene};
use dprc_assign::{Emulation, PORTAL_STRIDE};
use mc_abi::{Message, ObjectType, Status};
use std::sync::{Arc, Barrier, Mutex};
use vm_device::bus::MmioAddress;
use vm_device::device_manager::{IoManager, MmioManager};

/// What a bus does for a guest: stores and loads at offsets into the window.
trait Bus {
    fn store(&mut self, offset: u64, bytes: &[u8]);
    fn load(&mut self, offset: u64, bytes: &mut [u8]);
}

/// The answers to commands through portals of the window, by stores and loads as Linux makes
/// them.
fn answers(bus: &mut dyn Bus, messages: &[(u64, Message)]) -> Vec<Message> {
    let mut exchange = |slot: u64, message: &Message| {
        let base = slot * PORTAL_STRIDE;
        for (word, bytes) in message.to_bytes().chunks(8).enumerate().rev() {
            bus.store(base + 8 * word as u64, bytes);
        }
        let mut answer = [0; Message::SIZE];
        for (word, place) in answer.chunks_mut(8).enumerate() {
            bus.load(base + 8 * word as u64, place);
        }
        Message::from_bytes(&answer)
    };
    messages.iter().map(|(slot, message)| exchange(*slot, message)).collect()
}

/// The emulation itself.
impl Bus for Emulation<BoardHost> {
    fn store(&mut self, offset: u64, bytes: &[u8]) {
        Self::store(self, offset, bytes);
    }

    fn load(&mut self, offset: u64, bytes: &mut [u8]) {
        Self::load(self, offset, bytes);
    }
}

/// rust-vmm's `vm-device`, as published.
struct RustVmm {
    manager: IoManager,
    portals: u64,
}

impl RustVmm {
    fn new(emulation: Emulation<BoardHost>) -> Self {
        let (range, portals) = (emulation.windows().portal_range(), emulation.windows().portals());
        let mut manager = IoManager::new();
        manager.register_mmio(range, Arc::new(Mutex::new(emulation))).expect("a free range");
        Self { manager, portals }
    }
}

impl Bus for RustVmm {
    fn store(&mut self, offset: u64, bytes: &[u8]) {
        let address = MmioAddress(self.portals + offset);
        self.manager.mmio_write(address, bytes).expect("a device is there");
    }

    fn load(&mut self, offset: u64, bytes: &mut [u8]) {
        let address = MmioAddress(self.portals + offset);
        self.manager.mmio_read(address, bytes).expect("a device is there");
    }
}

/// The shape of crosvm's `BusDevice` (devices/src/bus.rs).
mod crosvm {
    use super::*;

    #[derive(Clone, Copy)]
    pub struct BusAccessInfo {
        pub offset: u64,
        #[expect(dead_code, reason = "the shape of crosvm's")]
        pub address: u64,
    }

    pub trait BusDevice: Send {
        fn read(&mut self, info: BusAccessInfo, data: &mut [u8]);
        fn write(&mut self, info: BusAccessInfo, data: &[u8]);
    }

    struct Portals(Emulation<BoardHost>);

    impl BusDevice for Portals {
        fn read(&mut self, info: BusAccessInfo, data: &mut [u8]) {
            self.0.load(info.offset, data);
        }

        fn write(&mut self, info: BusAccessInfo, data: &[u8]) {
            self.0.store(info.offset, data);
        }
    }

    pub fn on_bus(emulation: Emulation<BoardHost>) -> Box<dyn BusDevice> {
        Box::new(Portals(emulation))
    }

    impl Bus for Box<dyn BusDevice> {
        fn store(&mut self, offset: u64, bytes: &[u8]) {
            self.write(BusAccessInfo { offset, address: offset }, bytes);
        }

        fn load(&mut self, offset: u64, bytes: &mut [u8]) {
            self.read(BusAccessInfo { offset, address: offset }, bytes);
        }
    }
}

/// The shape of cloud-hypervisor's `BusDevice` (vm-device/src/bus.rs).
mod cloud_hypervisor {
    use super::*;

    pub trait BusDevice: Send {
        fn read(&mut self, base: u64, offset: u64, data: &mut [u8]);
        fn write(&mut self, base: u64, offset: u64, data: &[u8]) -> Option<Arc<Barrier>>;
    }

    struct Portals(Emulation<BoardHost>);

    impl BusDevice for Portals {
        fn read(&mut self, _base: u64, offset: u64, data: &mut [u8]) {
            self.0.load(offset, data);
        }

        fn write(&mut self, _base: u64, offset: u64, data: &[u8]) -> Option<Arc<Barrier>> {
            self.0.store(offset, data);
            None
        }
    }

    pub fn on_bus(emulation: Emulation<BoardHost>) -> Box<dyn BusDevice> {
        Box::new(Portals(emulation))
    }

    impl Bus for Box<dyn BusDevice> {
        fn store(&mut self, offset: u64, bytes: &[u8]) {
            assert!(self.write(0, offset, bytes).is_none(), "no other processor is to wait");
        }

        fn load(&mut self, offset: u64, bytes: &mut [u8]) {
            self.read(0, offset, bytes);
        }
    }
}

#[test]
fn each_bus_brings_the_same_answers() {
    let by = |bus: fn(Emulation<BoardHost>) -> Box<dyn Bus>| {
        // A board of its own: tokens are the board's.
        let mut scene = Scene::new();
        let interface = scene.member(ObjectType::Dpni);
        // Another container's is not there.
        let foreign = scene.foreign(ObjectType::Dpni);
        let messages = [scene.guest.object, interface, foreign].map(|id| (0, Message::open(id)));
        answers(&mut *bus(scene.emulation()), &messages)
    };
    let expected = by(|emulation| Box::new(emulation));
    let works = |answer: &Message| answer.header.status() == Status::Ok;
    let worked: Vec<bool> = expected.iter().map(works).collect();
    assert_eq!(worked, [true, true, false]);
    assert_eq!(by(|emulation| Box::new(RustVmm::new(emulation))), expected);
    assert_eq!(by(|emulation| Box::new(crosvm::on_bus(emulation))), expected);
    assert_eq!(by(|emulation| Box::new(cloud_hypervisor::on_bus(emulation))), expected);
}
