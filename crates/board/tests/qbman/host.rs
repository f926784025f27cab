// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A queue manager with memory around it, and nothing else of a board.

use board::{
    fabric::{Dma, Engine, Message, Pass},
    host::{BusError, GuestMemory, NoLines, PortalMemory},
    qbman::{
        ChannelConfig, Config, Consumer, NotificationConfig, PORTAL_STRIDE, PoolConfig,
        PortalConfig, Qbman, QueueConfig, Version,
    },
    smmu::Smmu,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
use vm_memory::MmapRegion;

/// The isolation id of most of what tests make.
pub const ICID: u16 = 5;
/// Somebody else's.
pub const OTHER: u16 = 6;

pub const PORTALS: u32 = 4;
const RAM: usize = 1 << 20;

/// Guest memory from address 0 on.
pub struct Ram(Box<dyn PortalMemory>);

impl Ram {
    pub fn load<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read(address, &mut bytes);
        bytes
    }

    pub fn store(&self, address: u64, bytes: &[u8]) {
        self.0.write(address, bytes);
    }
}

impl GuestMemory for Ram {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        check(address, buf.len())?;
        self.0.read(address, buf);
        Ok(())
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        check(address, data.len())?;
        self.0.write(address, data);
        Ok(())
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        check(address, 8)?;
        Ok(u64::from_le_bytes(self.load(address)))
    }
}

fn check(address: u64, length: usize) -> Result<(), BusError> {
    let end = address.checked_add(length as u64);
    match end {
        Some(end) if end <= RAM as u64 => Ok(()),
        _ => Err(BusError { address, length }),
    }
}

/// A queue manager, its memory, and what came out of it.
pub struct TestQbman {
    pub qbman: Qbman,
    pub portals: Arc<dyn PortalMemory>,
    pub ram: Arc<Ram>,
    pub now: AtomicU64,
    interrupts: Mutex<Vec<Message>>,
    engines: Mutex<Vec<Engine>>,
}

impl TestQbman {
    pub fn new(version: Version) -> Self {
        let ram = Arc::new(Ram(Box::new(memory(RAM))));
        let bytes = PORTAL_STRIDE as usize * PORTALS as usize;
        let portals: Arc<dyn PortalMemory> = Arc::new(memory(bytes));
        // After power-on, all streams pass untranslated.
        let dma = Dma::new(Arc::new(Smmu::new(ram.clone(), Arc::new(NoLines))));
        let config = Config {
            portals: PORTALS,
            queues: 64,
            channels: 32,
            pools: 8,
            groups: 4,
            destinations: 4,
            records: 4,
            version,
            // A unit of the hold-off time is a microsecond.
            clock: 256_000_000,
        };
        let qbman = Qbman::new(config, portals.clone(), dma);
        let this = Self {
            qbman,
            portals,
            ram,
            now: AtomicU64::new(0),
            interrupts: Mutex::default(),
            engines: Mutex::default(),
        };
        for portal in 0..PORTALS {
            this.give_portal(portal, ICID, [None; 16]);
        }
        this
    }

    /// Calls something that needs a pass.
    pub fn pass<T>(&self, work: impl FnOnce(&Qbman, &mut Pass) -> T) -> T {
        let mut pass = Pass::at(self.now.load(Ordering::Relaxed));
        let result = work(&self.qbman, &mut pass);
        self.interrupts.lock().unwrap().extend(pass.take_messages());
        while let Some(engine) = pass.next_engine() {
            self.engines.lock().unwrap().push(engine);
        }
        result
    }

    /// The interrupts since the last call, by their values.
    pub fn interrupts(&self) -> Vec<u32> {
        self.interrupts.lock().unwrap().drain(..).map(|message| message.value).collect()
    }

    pub fn engines(&self) -> Vec<Engine> {
        std::mem::take(&mut self.engines.lock().unwrap())
    }

    /// A portal with its own channel (number 16 and on) and static ones. Its
    /// interrupt's value is 100 and its number.
    pub fn give_portal(&self, portal: u32, icid: u16, static_channels: [Option<u32>; 16]) {
        let message = Message { icid, address: 0x1_0000, value: 100 + portal };
        let config = PortalConfig {
            icid,
            own_channel: Some(own_channel(portal)),
            static_channels,
            message: Some(message),
        };
        self.pass(|qbman, pass| qbman.configure_portal(portal, Some(config), pass));
    }

    pub fn give_queue(&self, fqid: u32, consumer: Consumer) {
        // As Linux, whose context is a pointer.
        let config = QueueConfig { context: context(fqid), ..QueueConfig::new(ICID, consumer) };
        self.give_queue_with(fqid, config);
    }

    pub fn give_queue_with(&self, fqid: u32, config: QueueConfig) {
        self.pass(|qbman, pass| qbman.configure_queue(fqid, Some(config), pass));
    }

    /// A channel whose data notifications go to a portal.
    pub fn give_channel(&self, channel: u32, notify: Option<u32>) {
        let notification =
            notify.map(|portal| NotificationConfig { portal, priority: 1, context: 0 });
        let config = ChannelConfig { icid: ICID, priorities: 8, notifies: true, notification };
        self.pass(|qbman, pass| qbman.configure_channel(channel, Some(config), pass));
    }

    pub fn give_pool(&self, bpid: u32) {
        let config = PoolConfig::new(ICID);
        self.pass(|qbman, pass| qbman.configure_pool(bpid, Some(config), pass));
    }
}

fn memory(bytes: usize) -> MmapRegion {
    MmapRegion::new(bytes).expect("there is that much memory")
}

pub fn own_channel(portal: u32) -> u32 {
    16 + portal
}

/// The context of a queue.
pub fn context(fqid: u32) -> u64 {
    0xffff_0000_0000_0000 | u64::from(fqid)
}
