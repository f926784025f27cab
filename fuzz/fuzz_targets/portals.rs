// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Software portals: whatever bytes two containers put into their rings,
//! registers and memory, nothing panics, every call returns, and a third
//! container finds its frames, buffers and notifications as it left them.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use board::{
    fabric::{Dma, Engine, Message, Pass},
    host::{BusError, GuestMemory, IrqLines, PortalMemory},
    qbman::{
        CI_OFFSET, ChannelConfig, Config, Consumer, DestinationConfig, GroupConfig, Hysteresis,
        LateArrivals, MemoryNotification, NotificationConfig, OrderConfig, PORTAL_STRIDE,
        PoolConfig, PoolMessage, PortalConfig, Qbman, QueueConfig, TailDrop, Unit, Version,
        WorkQueueNotification,
    },
    smmu::Smmu,
};
use libfuzzer_sys::fuzz_target;
use qbman_abi::{Fd, Rings, management::EarlyDrop};
use std::sync::{Arc, Mutex};

const STEPS: usize = 120;

/// The first portal, queue, channel, pool, group and record are the victim's.
const PORTALS: u32 = 3;
const QUEUES: u32 = 8;
const CHANNELS: u32 = 8;
const POOLS: u32 = 4;
const GROUPS: u32 = 3;
const RECORDS: u32 = 3;

const RAM: usize = 0x1_0000;

struct Bytes(Mutex<Vec<u8>>);

impl Bytes {
    fn new(bytes: usize) -> Self {
        Self(Mutex::new(vec![0; bytes]))
    }

    fn with(&self, at: u64, length: usize, work: impl FnOnce(&mut [u8])) -> bool {
        let mut bytes = self.0.lock().expect("nobody panics here");
        let place =
            usize::try_from(at).ok().and_then(|at| bytes.get_mut(at..at.checked_add(length)?));
        place.map(work).is_some()
    }
}

impl PortalMemory for Bytes {
    fn read(&self, offset: u64, buf: &mut [u8]) {
        assert!(self.with(offset, buf.len(), |bytes| buf.copy_from_slice(bytes)), "{offset:#x}");
    }

    fn write(&self, offset: u64, data: &[u8]) {
        assert!(self.with(offset, data.len(), |bytes| bytes.copy_from_slice(data)), "{offset:#x}");
    }

    fn publish(&self, offset: u64, byte: u8) {
        PortalMemory::write(self, offset, &[byte]);
    }
}

impl GuestMemory for Bytes {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        let length = buf.len();
        let read = self.with(address, length, |bytes| buf.copy_from_slice(bytes));
        if read { Ok(()) } else { Err(BusError { address, length }) }
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        let written = self.with(address, data.len(), |bytes| bytes.copy_from_slice(data));
        if written { Ok(()) } else { Err(BusError { address, length: data.len() }) }
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        let mut bytes = [0; 8];
        GuestMemory::read(self, address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

struct NoLines;

impl IrqLines for NoLines {
    fn message(&self, _: u16, _: u64, _: u32) {}

    fn smmu(&self, _: bool) {}
}

#[derive(Debug, Arbitrary)]
enum Step {
    Write {
        portal: bool,
        register: Register,
        value: Value,
        wide: bool,
    },
    Read {
        portal: bool,
        register: Register,
        length: u8,
    },
    Store {
        portal: bool,
        area: u8,
        at: u16,
        bytes: Vec<u8>,
    },
    Load {
        portal: bool,
        cache_inhibited: bool,
        at: u16,
        length: u8,
    },
    /// Commands with some sense in them, and their doorbells.
    Enqueue {
        portal: bool,
        entry: u8,
        head: [u8; 24],
        response: u16,
        length: u16,
    },
    Manage {
        portal: bool,
        verb: u8,
        id: u8,
        queue: bool,
        fields: [u8; 40],
    },
    Dequeue {
        portal: bool,
        verb: u8,
        count: u8,
        source: u16,
        response: u16,
    },
    Release {
        portal: bool,
        pool: u8,
        count: u8,
    },
    Consume {
        portal: bool,
        index: u8,
    },
    Engine {
        what: u8,
        number: u8,
        count: u8,
    },
    Configure {
        what: Configure,
        number: u8,
        gone: bool,
    },
    Reset {
        portal: bool,
    },
    Tick {
        by: u32,
    },
}

#[derive(Debug, Arbitrary)]
enum Register {
    Known(u8),
    Any(u16),
}

/// Registers of the cache-inhibited area.
const REGISTERS: [u64; 19] = [
    0x800, 0x840, 0x8c0, 0x900, 0x940, 0x980, 0x9c0, 0xa00, 0xa80, 0xac0, 0xb00, 0xb40, 0xc00,
    0xcc0, 0xd00, 0xe00, 0xe40, 0xe80, 0xf40,
];

impl Register {
    fn offset(&self) -> u64 {
        match *self {
            Self::Known(n) => REGISTERS[usize::from(n) % REGISTERS.len()] + u64::from(n >> 5) * 4,
            Self::Any(at) => at.into(),
        }
    }
}

#[derive(Debug, Arbitrary)]
enum Value {
    Any(u32),
    /// Of a doorbell or an index.
    Small(u8),
    /// Of the configuration: rings in memory or not, array mode or not.
    Modes(u8),
    /// Of the static dequeue command.
    Push(u16),
}

impl Value {
    fn bits(&self) -> u32 {
        match *self {
            Self::Any(value) => value,
            Self::Small(value) => 0x100 | u32::from(value),
            Self::Modes(bits) => {
                u32::from(bits & 0xf) << 20
                    | u32::from(bits >> 4 & 1) << 15
                    | u32::from(bits >> 5 & 1) * 3 << 8
                    | u32::from(bits >> 6 & 1) * 3 << 12
            }
            Self::Push(channels) => 1 << 24 | 1 << 29 | 0xbb << 16 | u32::from(channels),
        }
    }
}

#[derive(Debug, Arbitrary)]
enum Configure {
    Portal {
        own: Option<u8>,
        channels: [Option<u8>; 4],
        message: bool,
    },
    Queue {
        consumer: u8,
        to: u8,
        priority: u8,
        group: Option<u8>,
        order: Option<u8>,
        flags: u8,
        limit: u16,
    },
    Channel {
        priorities: u8,
        enabled: bool,
        notify: Option<u8>,
    },
    Pool {
        depletion: u8,
        surplus: u8,
        message: Option<u16>,
    },
    Group {
        flags: u8,
        enter: u8,
        exit: u8,
        drop: u8,
        address: u16,
        to: u8,
        curve: u32,
    },
    Destination {
        queues: Vec<Vec<u8>>,
    },
    Order {
        window: u16,
        flags: u8,
        late: u16,
    },
}

struct World {
    qbman: Qbman,
    portals: Arc<Bytes>,
    pass: Pass,
}

fn icid(portal: u32) -> u16 {
    5 + portal as u16
}

/// An attacker's portal.
fn attacker(second: bool) -> u32 {
    1 + u32::from(second)
}

/// A number of something that is not the victim's.
fn not_first(number: u8, count: u32) -> u32 {
    1 + u32::from(number) % (count - 1)
}

impl World {
    fn new(version: Version) -> Self {
        let ram = Arc::new(Bytes::new(RAM));
        let portals = Arc::new(Bytes::new(PORTALS as usize * PORTAL_STRIDE as usize));
        let dma = Dma::new(Arc::new(Smmu::new(ram.clone(), Arc::new(NoLines))));
        let config = Config {
            portals: PORTALS,
            queues: QUEUES,
            channels: CHANNELS,
            pools: POOLS,
            groups: GROUPS,
            destinations: 2,
            records: RECORDS,
            version,
            clock: 700_000_000,
        };
        let qbman = Qbman::new(config, portals.clone(), dma);
        let mut world = Self { qbman, portals, pass: Pass::default() };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        let pass = &mut self.pass;
        for portal in 0..PORTALS {
            let icid = icid(portal);
            let config = PortalConfig {
                icid,
                own_channel: Some(CHANNELS - 1 - portal),
                static_channels: std::array::from_fn(|n| (n == 1).then_some(portal)),
                message: Some(Message { icid, address: 0, value: portal }),
            };
            self.qbman.configure_portal(portal, Some(config), pass);
            let notification = Some(NotificationConfig { portal, priority: 1, context: 77 });
            let config = ChannelConfig { icid, priorities: 8, enabled: true, notification };
            self.qbman.configure_channel(portal, Some(config), pass);
            self.qbman.configure_pool(portal, Some(PoolConfig::new(icid)), pass);
            let consumer = Consumer::Channel { channel: portal, priority: 0 };
            let config =
                QueueConfig { congestion_group: Some(portal), ..QueueConfig::new(icid, consumer) };
            let group = GroupConfig::new(icid, Unit::Frames);
            self.qbman.configure_group(portal, Some(group), pass);
            self.qbman.configure_queue(portal, Some(config), pass);
        }
        for n in 0..20 {
            let fd = Fd { address: n, length_word: 64, ..Fd::default() };
            self.qbman.enqueue(0, &fd, pass).expect("there is room");
        }
        self.qbman.release(icid(0), 0, &[1, 2, 3], pass);
        // The victim waits for data, and takes notifications.
        self.register(0, 0xd00, 8 << 20 | 1 << 15);
        self.register(0, 0xb00, 1 << 24 | 1 << 29 | 1);
    }

    fn register(&mut self, portal: u32, register: u64, value: u32) {
        let at = CI_OFFSET + u64::from(portal) * PORTAL_STRIDE + register;
        self.qbman.write(at, &value.to_le_bytes(), &mut self.pass);
    }

    /// Stores a command where the mode has it, and rings.
    fn command(&mut self, portal: u32, memory: u64, direct: u64, bytes: &[u8; 64], doorbell: u64) {
        let base = u64::from(portal) * PORTAL_STRIDE;
        PortalMemory::write(&*self.portals, base + memory, bytes);
        self.register(portal, doorbell, 0x100);
        self.qbman.write(base + direct + 1, &bytes[1..], &mut self.pass);
        self.qbman.write(base + direct, &bytes[..1], &mut self.pass);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write { portal, register, value, wide } => {
                let at =
                    CI_OFFSET + u64::from(attacker(portal)) * PORTAL_STRIDE + register.offset();
                let value = u64::from(value.bits()).to_le_bytes();
                self.qbman.write(at, &value[..if wide { 8 } else { 4 }], &mut self.pass);
            }
            Step::Read { portal, register, length } => {
                let at =
                    CI_OFFSET + u64::from(attacker(portal)) * PORTAL_STRIDE + register.offset();
                self.qbman.read(at, &mut vec![0; usize::from(length % 17)]);
            }
            Step::Store { portal, area, at, bytes } => {
                let base = u64::from(attacker(portal)) * PORTAL_STRIDE;
                let bytes = &bytes[..bytes.len().min(256)];
                match area % 3 {
                    0 => PortalMemory::write(&*self.portals, base + u64::from(at & 0x7fff), bytes),
                    1 => self.qbman.write(base + u64::from(at & 0xfff), bytes, &mut self.pass),
                    _ => {
                        let at = CI_OFFSET + base + u64::from(at);
                        self.qbman.write(at, bytes, &mut self.pass);
                    }
                }
            }
            Step::Load { portal, cache_inhibited, at, length } => {
                let base = u64::from(attacker(portal)) * PORTAL_STRIDE;
                let area = if cache_inhibited { CI_OFFSET } else { 0 };
                self.qbman.read(area + base + u64::from(at), &mut vec![0; length.into()]);
            }
            Step::Enqueue { portal, entry, head, response, length } => {
                let mut bytes = [0; 64];
                bytes[..24].copy_from_slice(&head);
                bytes[8..12].copy_from_slice(&(u32::from(head[8]) % (QUEUES + 1)).to_le_bytes());
                bytes[4] %= 4;
                bytes[5] = 0;
                bytes[24..26].copy_from_slice(&response.to_le_bytes());
                bytes[40..42].copy_from_slice(&length.to_le_bytes());
                let (portal, entry) = (attacker(portal), u64::from(entry));
                let ring = Rings::MEMORY_BACKED.eqcr + entry % 32 * 64;
                self.command(portal, ring, entry % 8 * 64, &bytes, 0x980 + entry % 16 * 4);
            }
            Step::Manage { portal, verb, id, queue, fields } => {
                let mut bytes = [0; 64];
                bytes[0] = verb;
                bytes[4..44].copy_from_slice(&fields);
                match queue {
                    true => bytes[4..8].copy_from_slice(&(u32::from(id) % 12).to_le_bytes()),
                    false => bytes[2] = id % 12,
                }
                self.command(attacker(portal), 0x1600, 0x600, &bytes, 0x900);
            }
            Step::Dequeue { portal, verb, count, source, response } => {
                let mut bytes = [0; 64];
                (bytes[0], bytes[1], bytes[2]) = (verb, count, 1);
                bytes[4..6].copy_from_slice(&(source % 80).to_le_bytes());
                bytes[8..10].copy_from_slice(&response.to_le_bytes());
                self.command(attacker(portal), 0x1780, 0x780, &bytes, 0x940);
            }
            Step::Release { portal, pool, count } => {
                let mut bytes = [0; 64];
                (bytes[0], bytes[2]) = (0x20 | count & 0xc7, pool % 6);
                self.command(attacker(portal), 0x1400, 0x400, &bytes, 0x9c0);
            }
            Step::Consume { portal, index } => {
                self.register(attacker(portal), 0xac0, index.into());
            }
            Step::Engine { what, number, count } => self.engine(what, number, count),
            Step::Configure { what, number, gone } => self.configure(what, number, gone),
            Step::Reset { portal } => {
                self.qbman.reset_portal(attacker(portal), &mut self.pass);
            }
            Step::Tick { by } => {
                let now = self.pass.now() + u64::from(by);
                self.pass.restart(now);
                self.qbman.tick(&mut self.pass);
                assert!(self.qbman.deadline().is_none_or(|deadline| deadline > now));
            }
        }
        self.pass.take_messages().for_each(drop);
    }

    fn engine(&mut self, what: u8, number: u8, count: u8) {
        let queue = not_first(number, QUEUES);
        let pool = not_first(number, POOLS);
        let owner = 5 + u16::from(number % 4);
        let owner = if owner == icid(0) { 1 } else { owner };
        match what % 4 {
            0 => {
                let fd =
                    Fd { length_word: count.into(), ctrl: u32::from(what) << 22, ..Fd::default() };
                let _ = self.qbman.enqueue(queue, &fd, &mut self.pass);
            }
            1 => {
                let mut frames = vec![Fd::default(); count.into()];
                self.qbman.dequeue_many(queue, &mut frames);
            }
            2 => {
                self.qbman.acquire(owner, pool, &mut vec![0; count.into()]);
            }
            _ => {
                self.qbman.release(owner, pool, &vec![7; count.into()], &mut self.pass);
            }
        }
        while self.pass.next_engine().is_some() {}
    }

    fn configure(&mut self, what: Configure, number: u8, gone: bool) {
        let pass = &mut self.pass;
        let owner = icid(1 + u32::from(number >> 7));
        // The victim's channel takes nothing of others, but they may point there.
        let channel = |n: u8| u32::from(n) % (CHANNELS + 1);
        match what {
            Configure::Portal { own, channels, message } => {
                let portal = not_first(number, PORTALS);
                let own_channel = own.map(|n| not_first(n, CHANNELS - 1));
                let static_channels = std::array::from_fn(|n| {
                    channels.get(n).copied().flatten().map(|n| not_first(n, CHANNELS - 1))
                });
                let icid = icid(portal);
                let message = message.then_some(Message { icid, address: 0, value: 1 });
                let config = PortalConfig { icid, own_channel, static_channels, message };
                self.qbman.configure_portal(portal, (!gone).then_some(config), pass);
            }
            Configure::Queue { consumer, to, priority, group, order, flags, limit } => {
                let consumer = match consumer % 4 {
                    0 => Consumer::Parked,
                    1 => Consumer::Channel { channel: channel(to), priority },
                    2 => Consumer::Notify { channel: not_first(to, CHANNELS - 1), priority },
                    _ => Consumer::Engine(Engine::Interface(to.into())),
                };
                let unit = if flags & 1 != 0 { Unit::Frames } else { Unit::Bytes };
                let threshold = limit.into();
                let limit = TailDrop { unit, threshold, overhead: i16::from(flags as i8) };
                let config = QueueConfig {
                    peer: (flags & 2 != 0).then_some(6),
                    congestion_group: group.map(|n| not_first(n, GROUPS)),
                    order: order.map(|n| u32::from(n) % (RECORDS + 1)).map(|n| n.max(1)),
                    tail_drop: (flags & 4 != 0).then_some(limit),
                    hold_active: flags & 8 != 0,
                    rejects: (flags & 16 != 0).then_some(not_first(to, QUEUES)),
                    flow_context: (flags & 32 != 0).then_some(9),
                    ..QueueConfig::new(owner, consumer)
                };
                let fqid = not_first(number, QUEUES);
                self.qbman.configure_queue(fqid, (!gone).then_some(config), pass);
            }
            Configure::Channel { priorities, enabled, notify } => {
                let notification = notify.map(|n| NotificationConfig {
                    portal: u32::from(n) % (PORTALS + 1),
                    priority: n,
                    context: 1,
                });
                // A notification in the victim's ring would be the MC's mistake.
                let notification = notification.filter(|to| to.portal != 0);
                let config = ChannelConfig { icid: owner, priorities, enabled, notification };
                let channel = not_first(number, CHANNELS - 1);
                self.qbman.configure_channel(channel, (!gone).then_some(config), pass);
            }
            Configure::Pool { depletion, surplus, message } => {
                let limit = |n: u8| {
                    (n != 0).then_some(Hysteresis { enter: n.into(), exit: u32::from(n) + 2 })
                };
                let message = message.map(|at| PoolMessage { address: at.into(), context: 1 });
                let (depletion, surplus) = (limit(depletion), limit(surplus));
                let config = PoolConfig { icid: owner, depletion, surplus, message };
                self.qbman.configure_pool(
                    not_first(number, POOLS),
                    (!gone).then_some(config),
                    pass,
                );
            }
            Configure::Group { flags, enter, exit, drop, address, to, curve } => {
                let unit = if flags & 1 != 0 { Unit::Frames } else { Unit::Bytes };
                let (on_entry, on_exit) = (flags & 2 != 0, flags & 4 != 0);
                let memory = MemoryNotification { address: address.into(), on_entry, on_exit };
                let channel = not_first(to, CHANNELS - 1);
                let work_queue = WorkQueueNotification { channel, priority: to, on_entry, on_exit };
                let config = GroupConfig {
                    overhead: i16::from(flags as i8),
                    enter: (enter != 0).then_some(enter.into()),
                    exit: exit.into(),
                    tail_drop: (flags & 8 != 0).then_some(drop.into()),
                    early_drop: [(flags & 16 != 0).then(|| EarlyDrop::from_bits(curve)); 7],
                    memory: (flags & 32 != 0).then_some(memory),
                    work_queue: (flags & 64 != 0).then_some(work_queue),
                    ..GroupConfig::new(owner, unit)
                };
                let group = not_first(number, GROUPS);
                self.qbman.configure_group(group, (!gone).then_some(config), pass);
            }
            Configure::Destination { queues } => {
                let queues = queues
                    .into_iter()
                    .take(8)
                    .map(|bins| bins.into_iter().take(16).map(|n| not_first(n, QUEUES)).collect());
                let config = DestinationConfig { icid: owner, queues: queues.collect() };
                self.qbman.configure_destination(1, (!gone).then_some(config));
            }
            Configure::Order { window, flags, late } => {
                let late = match flags & 3 {
                    0 => LateArrivals::Accepted,
                    1 => LateArrivals::Within(late),
                    _ => LateArrivals::Rejected,
                };
                let config = OrderConfig {
                    auto_advance: flags & 4 != 0,
                    late,
                    exhaustion_advances: flags & 8 != 0,
                    loose: flags & 16 != 0,
                    ..OrderConfig::new(owner, window)
                };
                self.qbman.configure_order(not_first(number, RECORDS), (!gone).then_some(config));
            }
        }
    }

    /// The victim's things are as they were, and it can go on.
    fn check(mut self) {
        assert_eq!(self.qbman.queue_state(0), (20, 20 * 64));
        assert_eq!(self.qbman.group_state(0).frames, 20);
        assert_eq!(self.qbman.free_buffers(0), 3);
        assert_eq!(self.qbman.portal_counters(0), Default::default());
        let load = |world: &Self, at: u64| {
            let mut bytes = [0; 64];
            PortalMemory::read(&*world.portals, at, &mut bytes);
            bytes
        };
        assert_eq!(load(&self, 0x800), [0; 64], "nobody has armed the notification");
        let mut command = [0; 64];
        (command[0], command[4], command[5]) = (0x46, 1, 1);
        PortalMemory::write(&*self.portals, 0x1600, &command);
        self.register(0, 0x900, 0x100);
        assert_eq!(load(&self, 0x1680)[..2], [0xc6, 0xf0]);
        let notice = load(&self, 0x800);
        assert_eq!((notice[0], notice[4], notice[8]), (0xa6, 0, 77));
        for n in 0..20 {
            assert_eq!(self.qbman.dequeue(0).map(|fd| fd.address), Some(n));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let Ok(memory_backed) = bool::arbitrary(&mut input) else { return };
    // The victim's rings are in memory in any case: it needs the newer one.
    let mut world = World::new(Version::V5);
    for portal in 1..PORTALS {
        world.register(portal, 0xd00, 8 << 20 | u32::from(memory_backed) << 15 | 3 << 12);
    }
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        world.step(step);
    }
    world.check();
});
