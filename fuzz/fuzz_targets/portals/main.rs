// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Software portals: whatever bytes two containers put into their rings,
//! registers and memory, nothing panics, every call returns, and a third
//! container finds its frames, buffers and notifications as it left them.
#![no_main]

#[path = "../memory.rs"]
mod memory;
mod settings;
mod steps;

use arbitrary::{Arbitrary, Unstructured};
use board::{
    fabric::{Dma, Message, Pass},
    host::{NoLines, PortalMemory},
    qbman::{
        CI_OFFSET, ChannelConfig, Config, Consumer, GroupConfig, NotificationConfig, PORTAL_STRIDE,
        PoolConfig, PortalConfig, Qbman, QueueConfig, Unit, Version,
    },
    smmu::Smmu,
};
use libfuzzer_sys::fuzz_target;
use memory::Bytes;
use qbman_abi::{Fd, Rings};
use std::sync::Arc;
use steps::Step;

const STEPS: usize = 120;

/// The first portal, queue, channel, pool, group and record are the victim's.
const PORTALS: u32 = 3;
const QUEUES: u32 = 8;
const CHANNELS: u32 = 8;
const POOLS: u32 = 4;
const GROUPS: u32 = 3;
const RECORDS: u32 = 3;

const RAM: usize = 0x1_0000;

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
            let config = ChannelConfig { icid, priorities: 8, notifies: true, notification };
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
