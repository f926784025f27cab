// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A switch, two interfaces of a container that does not behave, a port that one of them
//! may be at, and two interfaces of somebody else.

use crate::{memory::Bytes, settings::Settings};
use board::{
    fabric::{Dma, Engine, Pass},
    host::{GuestMemory, NoCapture, NoLines, NoWires},
    qbman::{Config, Consumer, PoolConfig, Qbman, QueueConfig, Version},
    smmu::Smmu,
    wriop::{
        Endpoint, InterfaceConfig, Layout, Pool, PortConfig, ReceiveClass, ReceiveConfig,
        ReceiveQueue, TransmitConfig, TransmitQueue, Wriop, fixtures,
    },
};
use mc_abi::MacAddr;
use qbman_abi::{Fd, Format};
use std::{ops::Range, sync::Arc};

/// Isolation ids.
const BYSTANDER: u16 = 5;
pub const ATTACKER: u16 = 6;

/// Numbers of the bystander's interfaces and of the attacker's.
const BYSTANDERS: [u32; 2] = [1, 2];
pub const ATTACKERS: [u32; 2] = [3, 4];
pub const SWITCH: u32 = 7;
pub const PORT: u32 = 1;

/// The bystander's pool, and the attacker's.
const POOL: u16 = 1;
pub const OWN_POOLS: [u16; 2] = [3, 4];

/// Guest memory: the bystander's, with the SMMU's tables for the attacker at its end, and
/// the attacker's, which it sees at the same addresses.
const RAM: usize = 0x1_0000;
pub const OWN_MEMORY: Range<u64> = 0x8000..RAM as u64;
const TABLES: u64 = 0x6000;

/// Bytes of the attacker's buffers, and how many each of its pools has to begin with.
pub const BUFFER: u16 = 0x400;
const BUFFERS: u64 = 6;

/// The bystander's frame that is sent, and the buffer that it comes in.
const SENT: u64 = 0x1000;
const RECEIVED: u64 = 0x3000;

/// More passes of engines than the frames that can be in the queues take.
const MOST_PASSES: u32 = 10_000;

pub const fn tx(id: u32) -> u32 {
    id * 4
}

pub const fn rx(id: u32) -> u32 {
    id * 4 + 1
}

pub const fn confirm(id: u32) -> u32 {
    id * 4 + 2
}

pub const fn errors(id: u32) -> u32 {
    id * 4 + 3
}

pub const fn mac(id: u32) -> [u8; 6] {
    [2, 0, 0, 0, 0, id as u8]
}

pub struct World {
    qbman: Qbman,
    wriop: Wriop,
    memory: Dma,
    ram: Arc<Bytes>,
    pass: Pass,
    /// The bystander's memory, as it is to be.
    expected: Vec<u8>,
}

impl World {
    pub fn new() -> Self {
        let ram = Arc::new(Bytes::new(RAM));
        let smmu = Arc::new(Smmu::new(ram.clone(), Arc::new(NoLines)));
        confine(&smmu, &ram);
        let memory = Dma::new(smmu);
        let config = Config {
            portals: 1,
            queues: 32,
            channels: 2,
            pools: 8,
            groups: 1,
            destinations: 1,
            records: 1,
            version: Version::V5,
            clock: 700_000_000,
        };
        let portals = Arc::new(Bytes::new(board::qbman::PORTAL_STRIDE as usize));
        let qbman = Qbman::new(config, portals, memory.clone());
        let wriop = Wriop::new(Arc::new(NoWires), Arc::new(NoCapture));
        let mut world =
            Self { qbman, wriop, memory, ram, pass: Pass::default(), expected: Vec::new() };
        for id in BYSTANDERS.into_iter().chain(ATTACKERS) {
            world.make_queues(id);
        }
        let pools = [(POOL, BYSTANDER), (OWN_POOLS[0], ATTACKER), (OWN_POOLS[1], ATTACKER)];
        for (pool, owner) in pools {
            let config = Some(PoolConfig::new(owner));
            world.qbman.configure_pool(pool.into(), config, &mut world.pass);
        }
        for id in BYSTANDERS {
            world.wriop.configure_interface(id, Some(bystander(id)));
        }
        let peer = Some(Endpoint::Interface(ATTACKERS[1]));
        let address = MacAddr([2, 0, 0, 0, 0, 7]);
        let (obeys_pause, asks_to_pause) = (true, true);
        let port = PortConfig { peer, address, rate: 10_000, obeys_pause, asks_to_pause };
        world.wriop.configure_port(PORT, Some(port));
        // The bystander's interfaces in VLAN 1, the attacker's in VLAN 2.
        let switch = fixtures::switch_of_two_vlans(BYSTANDER);
        world.wriop.configure_switch(SWITCH, Some(switch));
        world.qbman.release(BYSTANDER, POOL.into(), &[RECEIVED], &mut world.pass);
        for (pool, place) in OWN_POOLS.into_iter().zip(0..) {
            let start = OWN_MEMORY.start + place * BUFFERS * u64::from(BUFFER);
            let buffers = (0..BUFFERS).map(|index| start + index * u64::from(BUFFER));
            world.release(pool, &buffers.collect::<Vec<_>>());
        }
        let frame: Vec<u8> =
            [mac(2), mac(1)].concat().into_iter().chain([0x88, 0xb5]).chain(0..80).collect();
        world.memory.write(BYSTANDER, SENT, &frame).expect("there is memory");
        world.expected = world.bystanders_memory();
        world
    }

    fn make_queues(&mut self, id: u32) {
        let icid = if ATTACKERS.contains(&id) { ATTACKER } else { BYSTANDER };
        let sending = Consumer::Engine(Engine::Interface(id));
        for (fqid, consumer) in [
            (tx(id), sending),
            (rx(id), Consumer::Parked),
            (confirm(id), Consumer::Parked),
            (errors(id), Consumer::Parked),
        ] {
            let config = Some(QueueConfig::new(icid, consumer));
            self.qbman.configure_queue(fqid, config, &mut self.pass);
        }
    }

    /// Sets an interface of the attacker's up.
    pub fn set_up(&mut self, id: u32, settings: &Settings) {
        self.wriop.configure_interface(id, Some(settings.config(id)));
        // What has waited goes now.
        self.pass.wake(Engine::Interface(id));
        self.run();
    }

    /// The attacker's processor writes its memory.
    pub fn store(&self, at: u64, bytes: &[u8]) {
        let room = OWN_MEMORY.end.saturating_sub(at) as usize;
        let bytes = &bytes[..bytes.len().min(room)];
        if !bytes.is_empty() {
            GuestMemory::write(&*self.ram, at, bytes).expect("it is there");
        }
    }

    pub fn send(&mut self, fqid: u32, fds: &[Fd]) {
        for fd in fds {
            // A queue may be full.
            let _ = self.qbman.enqueue(fqid, fd, &mut self.pass);
        }
        self.run();
    }

    pub fn release(&mut self, pool: u16, buffers: &[u64]) {
        self.qbman.release(ATTACKER, pool.into(), buffers, &mut self.pass);
    }

    /// All that is in a queue.
    pub fn take(&self, fqid: u32) -> Vec<Fd> {
        std::iter::from_fn(|| self.qbman.dequeue(fqid)).collect()
    }

    /// A frame comes over the wire of a port.
    pub fn arrive(&mut self, port: u32, frame: &[u8]) {
        self.wriop.receive(port, frame, &self.qbman, &self.memory, &mut self.pass);
        self.run();
    }

    pub fn wait(&mut self, nanoseconds: u64) {
        let now = self.pass.now() + nanoseconds;
        self.pass.restart(now);
        self.qbman.tick(&mut self.pass);
        self.wriop.tick(&mut self.pass);
        self.run();
    }

    fn run(&mut self) {
        for _ in 0..MOST_PASSES {
            match self.pass.next_engine() {
                Some(Engine::Interface(id)) => {
                    self.wriop.transmit(id, &self.qbman, &self.memory, &mut self.pass);
                }
                Some(engine) => panic!("{engine:?} has been woken"),
                None => return,
            }
        }
        panic!("frames go round for ever");
    }

    /// The bystander sends a frame to its other interface, which gets it as it was.
    pub fn bystander(&mut self) {
        let fd = Fd { address: SENT, length_word: 94, ..Fd::default() };
        let fd = fd.with_layout(0, Format::Single).with_pool(None);
        self.send(tx(1), &[fd]);
        let [received] = self.take(rx(2))[..] else { panic!("one frame arrives") };
        assert_eq!(received.length(), 94);
        let mut bytes = [[0; 94]; 2];
        let [sent, got] = &mut bytes;
        let at = received.address + u64::from(received.offset());
        self.memory.read(BYSTANDER, SENT, sent).expect("there is memory");
        self.memory.read(BYSTANDER, at, got).expect("there is memory");
        assert_eq!(sent, got);
        assert_eq!(self.take(confirm(1)).len(), 1);
        self.qbman.release(BYSTANDER, POOL.into(), &[received.address], &mut self.pass);
        // The buffer's contents are its own business.
        self.expected = self.bystanders_memory();
    }

    /// The bystander has lost nothing, has got nothing that was not for it, and can go on.
    pub fn check(mut self) {
        assert!(self.bystanders_memory() == self.expected, "somebody has written there");
        assert_eq!(self.qbman.free_buffers(POOL.into()), 1);
        for id in BYSTANDERS {
            for fqid in [tx(id), rx(id), confirm(id), errors(id)] {
                assert_eq!(self.qbman.queue_state(fqid), (0, 0), "queue {fqid}");
            }
        }
        self.bystander();
    }

    fn bystanders_memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; OWN_MEMORY.start as usize];
        GuestMemory::read(&*self.ram, 0, &mut bytes).expect("it is there");
        bytes
    }
}

/// The attacker reaches its own memory only: one stage of translation in bank 0, 4 KiB
/// granules, 25 bits of addresses. Others are not translated.
fn confine(smmu: &Smmu, ram: &Bytes) {
    const BANK: u64 = 0x8_0000;
    let entry = |at: u64, value: u64| {
        GuestMemory::write(ram, at, &value.to_le_bytes()).expect("it is there");
    };
    let pages = TABLES + 0x1000;
    // A table, and pages that are accessed, shareable, for all to read and write.
    entry(TABLES, pages | 3);
    for page in OWN_MEMORY.step_by(0x1000) {
        entry(pages + page / 0x1000 * 8, page | 1 << 10 | 3 << 8 | 1 << 6 | 3);
    }
    let write = |offset: u64, value: u32| smmu.write(offset, &value.to_le_bytes());
    write(0x800, 1 << 31 | u32::from(ATTACKER));
    write(0xc00, 0);
    write(0x1000, 1 << 16);
    write(0x1800, 1);
    // The second half of the addresses is not walked.
    write(BANK + 0x30, 1 << 23 | 39);
    smmu.write(BANK + 0x20, &TABLES.to_le_bytes());
    write(BANK, 0x61);
    write(0, 0);
}

/// An interface that takes all frames and confirms what it sends.
fn bystander(id: u32) -> InterfaceConfig {
    InterfaceConfig {
        icid: BYSTANDER,
        enabled: true,
        peer: Some(Endpoint::Switch { id: SWITCH, port: id as u16 }),
        transmit: TransmitConfig {
            queues: vec![TransmitQueue {
                fqid: tx(id),
                channel: 0,
                class: 0,
                confirmation: Some(confirm(id)),
            }],
            ..TransmitConfig::default()
        },
        receive: ReceiveConfig {
            layout: Layout {
                status: true,
                timestamp: true,
                parse_result: true,
                ..Layout::default()
            },
            pools: vec![Pool { bpid: POOL, size: 2048, backup: false, selector: 0 }],
            classes: vec![ReceiveClass {
                queues: vec![ReceiveQueue { fqid: rx(id), flow_context: 0 }],
                ..ReceiveClass::default()
            }],
            error_queue: errors(id),
            max_length: 10_240,
            macs: fixtures::promiscuous(mac(id)),
            ..ReceiveConfig::default()
        },
    }
}
