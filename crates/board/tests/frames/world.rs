// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A data plane with pairs of interfaces that reach each other, each pair in a container of
//! its own, whose program forwards what it receives: through its portal's doorbells, queues,
//! the SMMU's translations and buffer pools, as DPDK does it.

use crate::ram::{Lines, RAM, Ram};
use board::{
    fabric::{Fabric, Pass},
    host::{GuestMemory, NoCapture, NoWires, PortalMemory, SystemClock, private_portal_memory},
    qbman::{
        CI_OFFSET, ChannelConfig, Config, Consumer, PORTAL_STRIDE, PoolConfig, PortalConfig,
        QueueConfig, Version,
    },
    smmu::Smmu,
    wriop::{
        Distribution, Endpoint, InterfaceConfig, KeyProfile, Layout, MacFilter, Pool, ReceiveClass,
        ReceiveConfig, ReceiveQueue, Spread, TransmitConfig, TransmitQueue, Wriop,
    },
};
use qbman_abi::{DequeueEntry, EnqueueCommand, Fd, Format, Rings, VolatileDequeue, registers};
use std::sync::Arc;

/// Frames of a doorbell.
pub const BURST: usize = 32;
/// Bytes of a buffer, as DPDK's are.
pub const BUFFER: u64 = 2304;

const RAM_SIZE: usize = 96 << 20;
/// Where programs' dequeues go.
const STORAGE: u64 = RAM + (2 << 20);
const STORAGE_STRIDE: u64 = 0x1_0000;
/// Where buffers start.
const BUFFERS: u64 = RAM + (4 << 20);
const RINGS: Rings = Rings::MEMORY_BACKED;

/// How a container's pair of interfaces is made.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Queues of each interface, for what it receives and for what it sends.
    pub queues: u32,
    /// Buffers of each interface's pool.
    pub buffers: u64,
    /// Bytes of each frame.
    pub length: usize,
    /// Frames that are under way.
    pub frames: usize,
}

/// The data plane.
pub struct World {
    fabric: Arc<Fabric>,
    portals: Arc<dyn PortalMemory>,
    ram: Arc<Ram>,
    free: u64,
    pairs: u32,
}

/// The program of a container.
pub struct Program {
    fabric: Arc<Fabric>,
    portals: Arc<dyn PortalMemory>,
    ram: Arc<Ram>,
    /// Number of the pair, and of the portal.
    number: u32,
    queues: u32,
    produced: u32,
    entries: Vec<u8>,
    /// Frames that have been forwarded.
    pub forwarded: u64,
}

impl World {
    /// One without interfaces. Memory is mapped by pages of 2 MiB, or of 4 KiB.
    pub fn new(containers: u16, huge: bool) -> Self {
        let ram = Arc::new(Ram::new(RAM_SIZE));
        let smmu = Arc::new(translating(&ram, containers, huge));
        let portals = private_portal_memory().expect("there is that much memory");
        let config = Config {
            portals: containers.into(),
            queues: 8192,
            channels: 64,
            pools: 64,
            groups: 4,
            destinations: 4,
            records: 4,
            version: Version::V5,
            clock: 700_000_000,
        };
        let wriop = Wriop::new(Arc::new(NoWires), Arc::new(NoCapture));
        let clock = Arc::new(SystemClock::default());
        let fabric = Fabric::new(config, smmu, portals.clone(), clock, wriop);
        Self { fabric, portals, ram, free: BUFFERS, pairs: 0 }
    }

    /// Adds a container with two connected interfaces, and starts frames between them.
    pub fn add(&mut self, shape: Shape) -> Program {
        let number = self.pairs;
        self.pairs += 1;
        let icid = icid(number);
        let mut pass = Pass::at(0);
        let portal =
            PortalConfig { icid, own_channel: None, static_channels: [None; 16], message: None };
        let qbman = self.fabric.qbman();
        qbman.configure_portal(number, Some(portal), &mut pass);
        let place = u64::from(number) * PORTAL_STRIDE + CI_OFFSET;
        let cfg = 8 << 20 | registers::CFG_MEMORY_BACKED | 3 << 12;
        self.fabric.write(place + registers::CFG, &u32::to_le_bytes(cfg));
        for side in 0..2 {
            let interface = 2 * number + side;
            let pool = PoolConfig::new(icid);
            qbman.configure_pool(interface, Some(pool), &mut pass);
            let channel = ChannelConfig { icid, priorities: 8, notifies: true, notification: None };
            qbman.configure_channel(interface, Some(channel), &mut pass);
            for queue in 0..shape.queues {
                let consumer = Consumer::Channel { channel: interface, priority: 0 };
                let config = QueueConfig::new(icid, consumer);
                // The program finds the queue to send over in the context.
                let context = u64::from(transmit_queue(interface, queue));
                let config = QueueConfig { context, ..config };
                qbman.configure_queue(receive_queue(interface, queue), Some(config), &mut pass);
                let consumer = Consumer::Engine(board::fabric::Engine::Interface(interface));
                let config = QueueConfig::new(icid, consumer);
                qbman.configure_queue(transmit_queue(interface, queue), Some(config), &mut pass);
            }
            let config = interface_config(icid, interface, shape);
            self.fabric.wriop().configure_interface(interface, Some(config));
        }
        let buffers = |from: u64| (0..shape.buffers).map(move |n| from + n * BUFFER);
        for side in 0..2 {
            let all: Vec<u64> = buffers(self.free).collect();
            self.free += shape.buffers * BUFFER;
            assert!(self.free <= RAM + RAM_SIZE as u64, "too many buffers");
            let released = qbman.release(icid, 2 * number + side, &all, &mut pass);
            assert_eq!(released, all.len());
        }
        let mut program = Program {
            fabric: self.fabric.clone(),
            portals: self.portals.clone(),
            ram: self.ram.clone(),
            number,
            queues: shape.queues,
            produced: 0,
            entries: vec![0; 64 * BURST],
            forwarded: 0,
        };
        program.start(shape);
        program
    }
}

impl Program {
    /// Takes buffers out of the first interface's pool and sends frames in them, by bursts
    /// of one flow.
    fn start(&mut self, shape: Shape) {
        assert!(shape.frames < shape.buffers as usize, "frames need buffers to go on");
        let icid = icid(self.number);
        let interface = 2 * self.number;
        let mut buffers = vec![0; shape.frames];
        let taken = self.fabric.qbman().acquire(icid, interface, &mut buffers);
        assert_eq!(taken, shape.frames);
        for (flow, burst) in buffers.chunks(BURST).enumerate() {
            let mut frame = vec![0x5a; shape.length];
            frame[..6].copy_from_slice(&[2, 0, 0, 0, (flow >> 8) as u8, flow as u8]);
            frame[6..14].copy_from_slice(&[2, 0, 0, 0, 1, 0, 0x88, 0xb5]);
            let queue = flow as u32 % self.queues;
            for (n, &address) in burst.iter().enumerate() {
                self.ram.write(address + 256, &frame).expect("it is RAM");
                let fd = Fd { address, length_word: shape.length as u32, ..Fd::default() };
                let fd = fd.with_layout(256, Format::Single).with_pool(Some(interface as u16));
                self.put(n as u32, transmit_queue(interface, queue), &fd.to_bytes());
            }
            self.hand_over(burst.len() as u32);
        }
    }

    /// Forwards a burst at each interface; how many frames that were.
    pub fn step(&mut self) -> usize {
        let mut forwarded = 0;
        for side in [1, 0] {
            let count = self.dequeue(2 * self.number + side);
            let entries = std::mem::take(&mut self.entries);
            let mut sent = 0;
            for entry in entries.chunks_exact(64).take(count) {
                // Number 0: nothing was there.
                let context = u32::from_le_bytes([entry[24], entry[25], entry[26], entry[27]]);
                if entry[1] & 0x10 == 0 {
                    break;
                }
                self.put(sent, context, &entry[32..64]);
                sent += 1;
            }
            self.entries = entries;
            if sent > 0 {
                self.hand_over(sent);
            }
            forwarded += sent as usize;
        }
        self.forwarded += forwarded as u64;
        forwarded
    }

    /// Asks for a burst out of an interface's channel; entries that came.
    fn dequeue(&mut self, channel: u32) -> usize {
        let response = STORAGE + u64::from(self.number) * STORAGE_STRIDE;
        let verb = 1 | 1 << 4;
        let command = VolatileDequeue {
            verb,
            count_word: BURST as u8 - 1,
            token: 1,
            source_word: channel,
            response,
        };
        self.portals.write(self.place(RINGS.vdqcr), &command.to_bytes());
        self.doorbell(registers::VDQCR_RT, registers::READ_TRIGGER);
        self.ram.read(response, &mut self.entries).expect("it is RAM");
        // The last one says that it is: the command has expired.
        let last = self.entries.chunks_exact(64).position(|entry| entry[1] & 1 != 0);
        last.map_or(0, |last| last + 1)
    }

    /// Writes an enqueue command into the ring, `ahead` of what has been handed over.
    fn put(&self, ahead: u32, fqid: u32, fd: &[u8]) {
        let mut command = [0; 64];
        command[0] = 2;
        command[8..12].copy_from_slice(&fqid.to_le_bytes());
        command[32..].copy_from_slice(fd);
        let entry = (self.produced + ahead) % RINGS.eqcr_entries;
        self.portals.write(self.place(Rings::entry(RINGS.eqcr, entry)), &command);
    }

    fn hand_over(&mut self, count: u32) {
        self.produced = (self.produced + count) % (2 * RINGS.eqcr_entries);
        self.doorbell(registers::EQCR_PI, registers::READ_TRIGGER | self.produced);
    }

    fn place(&self, offset: u64) -> u64 {
        u64::from(self.number) * PORTAL_STRIDE + offset
    }

    fn doorbell(&self, register: u64, value: u32) {
        self.fabric.write(CI_OFFSET + self.place(register), &value.to_le_bytes());
    }

    /// Has a queue of the first interface send a frame of no bytes, as a program on another
    /// processor does.
    pub fn send_nothing(&self, queue: u32) {
        let mut pass = Pass::at(0);
        let fd = Fd::default().with_pool(None);
        let fqid = transmit_queue(2 * self.number, queue);
        self.fabric.qbman().enqueue(fqid, &fd, &mut pass).expect("there is room");
        self.fabric.run(&mut pass);
    }

    /// Frames that the first interface could not send, and those that wait in its first
    /// queues.
    pub fn not_sent(&self) -> (u64, u32) {
        let discarded = self.fabric.wriop().counters(2 * self.number).egress_discarded;
        let queues = (0..self.queues).map(|queue| transmit_queue(2 * self.number, queue));
        (discarded, queues.map(|fqid| self.fabric.qbman().queue_state(fqid).0).sum())
    }

    /// What the pair's interfaces have sent, and received.
    pub fn counted(&self) -> (u64, u64) {
        let of = |side| self.fabric.wriop().counters(2 * self.number + side);
        let (one, other) = (of(0), of(1));
        (one.egress_frames + other.egress_frames, one.ingress_frames + other.ingress_frames)
    }

    /// Free buffers of both pools.
    pub fn free_buffers(&self) -> u32 {
        let of = |side| self.fabric.qbman().free_buffers(2 * self.number + side);
        of(0) + of(1)
    }
}

fn icid(number: u32) -> u16 {
    16 + number as u16
}

fn receive_queue(interface: u32, queue: u32) -> u32 {
    1 + interface * 128 + queue
}

fn transmit_queue(interface: u32, queue: u32) -> u32 {
    receive_queue(interface, queue) + 64
}

fn interface_config(icid: u16, interface: u32, shape: Shape) -> InterfaceConfig {
    let transmit = |queue| TransmitQueue {
        fqid: transmit_queue(interface, queue),
        channel: 0,
        class: 0,
        confirmation: None,
    };
    let receive = |queue| ReceiveQueue { fqid: receive_queue(interface, queue), flow_context: 0 };
    // Spread by the destination's address.
    let mut key = [0; 32];
    key[0] = 1;
    (key[8], key[9], key[12]) = (2, 2, 1);
    let key = KeyProfile::parse(&key).expect("a key");
    let hash = Some(Spread { key, size: shape.queues as u16 });
    InterfaceConfig {
        icid,
        enabled: true,
        peer: Some(Endpoint::Interface(interface ^ 1)),
        transmit: TransmitConfig {
            queues: (0..shape.queues).map(transmit).collect(),
            ..TransmitConfig::default()
        },
        receive: ReceiveConfig {
            layout: Layout {
                private: 64,
                head_room: 128,
                parse_result: true,
                status: true,
                ..Layout::default()
            },
            pools: vec![Pool {
                bpid: interface as u16,
                size: BUFFER as u16,
                backup: false,
                selector: 0,
            }],
            classes: vec![ReceiveClass {
                queues: (0..shape.queues).map(receive).collect(),
                distribution: Distribution { steering: None, hash },
                ..ReceiveClass::default()
            }],
            max_length: 10_240,
            macs: MacFilter { all_unicast: true, ..MacFilter::default() },
            ..ReceiveConfig::default()
        },
    }
}

/// An SMMU that maps the memory for each container, where it is, through tables of its
/// first two megabytes.
fn translating(ram: &Arc<Ram>, containers: u16, huge: bool) -> Smmu {
    let entry = |table: u64, index: u64, value: u64| {
        let bytes = value.to_le_bytes();
        ram.write(RAM + table * 0x1000 + index * 8, &bytes).expect("it is RAM");
    };
    let table = |n: u64| (RAM + n * 0x1000) | 0b11;
    // Accessed, unprivileged, not global, never executed.
    let attributes = 1 << 6 | 1 << 10 | 1 << 11 | 1 << 53 | 1 << 54;
    entry(0, RAM >> 39, table(1));
    entry(1, RAM >> 30 & 0x1ff, table(2));
    for block in 0..(RAM_SIZE as u64) >> 21 {
        let address = RAM + (block << 21);
        let index = address >> 21 & 0x1ff;
        if huge {
            entry(2, index, address | attributes | 0b01);
            continue;
        }
        let leaf = 16 + block;
        entry(2, index, table(leaf));
        (0..512).for_each(|n| entry(leaf, n, (address + n * 0x1000) | attributes | 0b11));
    }
    let smmu = Smmu::new(ram.clone(), Arc::new(Lines));
    let write = |offset: u64, value: u32| smmu.write(offset, &value.to_le_bytes());
    for n in 0..u64::from(containers) {
        let bank = 0x8_0000 + n * 0x1000;
        write(0x800 + 4 * n, 1 << 31 | u32::from(icid(n as u32)));
        write(0xc00 + 4 * n, n as u32);
        write(0x1000 + 4 * n, 1 << 16);
        write(0x1800 + 4 * n, 1);
        write(bank + 0x10, 5 | 1 << 4 | 0b111 << 15);
        write(bank + 0x30, 1 << 23 | 16);
        smmu.write(bank + 0x20, &(RAM | n << 48).to_le_bytes());
        write(bank, 0x1067);
    }
    write(0, 1 << 21);
    smmu
}

/// Holds the layouts above against the descriptors' crate.
pub fn layouts_agree() {
    let fd = Fd { address: 0x1234, length_word: 64, ..Fd::default() };
    let mut command = EnqueueCommand::from_bytes(&[0; 64]);
    (command.verb, command.target_word, command.fd) = (2, 77, fd);
    let bytes = command.to_bytes();
    assert_eq!(
        (bytes[0], &bytes[8..12], &bytes[32..]),
        (2, &[77, 0, 0, 0][..], &fd.to_bytes()[..])
    );
    let mut entry = [0; 64];
    (entry[0], entry[1], entry[24]) = (DequeueEntry::VERB, 0x11, 9);
    let entry = DequeueEntry::from_bytes(&entry).expect("an entry");
    assert_eq!(entry.context, 9);
    assert!(entry.status.has(qbman_abi::Status::VALID_FRAME));
    assert!(entry.status.has(qbman_abi::Status::EXPIRED));
}
