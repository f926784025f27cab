// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Two interfaces, their memory, and the plainest queues that there can be.

use crate::{
    fabric::{Dma, Engine, Pass},
    host::{NoLines, Wires, testing::TestMemory},
    smmu::Smmu,
    wriop::{fixtures, *},
};
use parking_lot::Mutex;
use qbman_abi::{Fd, Format, SgEntry};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Where the tests' memory starts, so that nobody takes zero for an address.
pub const RAM: u64 = 0x10_0000;
const RAM_END: usize = 0x20_0000;
/// Isolation id of both interfaces.
pub const ICID: u16 = 23;
/// Of somebody else.
pub const OTHER_ICID: u16 = 24;

/// Queue numbers of interface `id`.
pub const fn tx(id: u32) -> u32 {
    id * 100 + 1
}
pub const fn confirm(id: u32) -> u32 {
    id * 100 + 2
}
pub const fn rx(id: u32) -> u32 {
    id * 100 + 3
}
pub const fn rx_err(id: u32) -> u32 {
    id * 100 + 4
}

/// Address of interface `id`.
pub const fn mac(id: u32) -> [u8; 6] {
    [2, 0, 0, 0, 0, id as u8]
}

/// Queues without limits but one, and pools that know their owner.
#[derive(Default)]
pub struct PlainQueues {
    frames: Mutex<HashMap<u32, VecDeque<Fd>>>,
    pools: Mutex<HashMap<u16, (u16, VecDeque<u64>)>>,
    /// Queues that refuse frames.
    pub full: Mutex<Vec<u32>>,
}

impl Queues for PlainQueues {
    fn enqueue_many(
        &self,
        fqid: u32,
        fds: &[Fd],
        _pass: &mut Pass,
        refused: &mut impl FnMut(usize),
    ) {
        if self.full.lock().contains(&fqid) {
            return (0..fds.len()).for_each(refused);
        }
        self.frames.lock().entry(fqid).or_default().extend(fds);
    }

    fn dequeue_many(&self, fqid: u32, out: &mut [Fd]) -> usize {
        let mut frames = self.frames.lock();
        let Some(queue) = frames.get_mut(&fqid) else { return 0 };
        let taken = out.len().min(queue.len());
        out.iter_mut().zip(queue.drain(..taken)).for_each(|(slot, fd)| *slot = fd);
        taken
    }

    fn acquire(&self, icid: u16, bpid: u16, buffers: &mut [u64]) -> usize {
        let mut pools = self.pools.lock();
        let Some((_, pool)) = pools.get_mut(&bpid).filter(|pool| pool.0 == icid) else { return 0 };
        let taken = buffers.len().min(pool.len());
        buffers.iter_mut().zip(pool.drain(..taken)).for_each(|(slot, buffer)| *slot = buffer);
        taken
    }

    fn release(&self, icid: u16, bpid: u16, buffers: &[u64], _pass: &mut Pass) {
        if let Some((_, pool)) = self.pools.lock().get_mut(&bpid).filter(|pool| pool.0 == icid) {
            pool.extend(buffers);
        }
    }
}

/// What has left over wires, by the number of the port.
#[derive(Default)]
pub struct TestWires(pub Mutex<Vec<(u32, Vec<u8>)>>);

impl Wires for TestWires {
    fn send(&self, dpmac: u32, frame: &[u8]) {
        self.0.lock().push((dpmac, frame.to_vec()));
    }
}

/// The interfaces 1 and 2, connected, with one pool each of their own number.
pub struct TestWriop {
    pub wriop: Wriop,
    pub wires: Arc<TestWires>,
    pub queues: PlainQueues,
    pub memory: Dma,
    pub pass: Pass,
    pub capture: Arc<TestCapture>,
}

/// Looks at the frames of interface 1 and port 7.
#[derive(Default)]
pub struct TestCapture(pub Mutex<Vec<Captured>>);

/// What it got: the object, whether it received, the frame, the descriptor, bytes
/// of the annotation.
pub type Captured = (String, bool, Vec<u8>, Option<Fd>, Vec<u8>);

impl Capture for TestCapture {
    fn wants(&self, object: ObjectId) -> bool {
        ["dpni.1", "dpmac.7"].contains(&&*object.to_string())
    }

    fn passes(&self, passing: &Passing<'_>) {
        let Passing { object, received, frame, fd, annotation } = *passing;
        let captured = (object.to_string(), received, frame.into(), fd.copied(), annotation.into());
        self.0.lock().push(captured);
    }
}

/// Bytes of a buffer of the pools.
pub const BUFFER: u16 = 2048;
/// Buffers of a pool.
pub const BUFFERS: u64 = 8;

/// An interface that takes all frames and confirms what it sends.
pub fn interface(id: u32, peer: u32) -> InterfaceConfig {
    InterfaceConfig {
        icid: ICID,
        enabled: true,
        peer: Some(Endpoint::Interface(peer)),
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
            // What Linux sets up.
            layout: Layout {
                private: 0,
                head_room: 128,
                tail_room: 0,
                align: 64,
                timestamp: true,
                parse_result: true,
                status: true,
            },
            pools: vec![Pool { bpid: id as u16, size: BUFFER, backup: false, selector: 0 }],
            classes: vec![ReceiveClass {
                queues: vec![ReceiveQueue { fqid: rx(id), flow_context: 0 }],
                ..ReceiveClass::default()
            }],
            error_queue: rx_err(id),
            max_length: 10_240,
            macs: fixtures::promiscuous(mac(id)),
            ..ReceiveConfig::default()
        },
    }
}

impl TestWriop {
    pub fn new() -> Self {
        let memory = Arc::new(TestMemory::new(RAM_END));
        let smmu = Arc::new(Smmu::new(memory, Arc::new(NoLines)));
        let wires = Arc::new(TestWires::default());
        let capture = Arc::new(TestCapture::default());
        let mut test = Self {
            wires: wires.clone(),
            wriop: Wriop::new(wires.clone(), capture.clone()),
            queues: PlainQueues::default(),
            memory: Dma::new(smmu),
            pass: Pass::at(0x1234),
            capture,
        };
        test.configure(1, interface(1, 2));
        test.configure(2, interface(2, 1));
        for id in [1, 2] {
            test.make_pool(id, ICID, (0..BUFFERS).map(|index| buffer(id, index)));
        }
        test
    }

    pub fn configure(&mut self, id: u32, config: InterfaceConfig) {
        self.wriop.configure_interface(id, Some(config));
    }

    /// Changes the configuration that [`interface`] gives.
    pub fn change(&mut self, id: u32, change: impl FnOnce(&mut InterfaceConfig)) {
        let mut config = interface(id, 3 - id);
        change(&mut config);
        self.configure(id, config);
    }

    pub fn make_pool(&mut self, bpid: u16, icid: u16, buffers: impl IntoIterator<Item = u64>) {
        self.queues.pools.lock().insert(bpid, (icid, buffers.into_iter().collect()));
    }

    /// The buffers in a pool.
    pub fn pool(&self, bpid: u16) -> Vec<u64> {
        self.queues
            .pools
            .lock()
            .get(&bpid)
            .map_or(Vec::new(), |pool| pool.1.iter().copied().collect())
    }

    /// Puts a frame into memory as Linux does: data at 192 of a buffer that
    /// belongs to no pool, `CTRL_PTA` set.
    pub fn frame(&self, address: u64, bytes: &[u8]) -> Fd {
        self.memory.write(ICID, address + 192, bytes).expect("there is memory");
        let fd =
            Fd { address, length_word: bytes.len() as u32, ctrl: Fd::CTRL_PTA, ..Fd::default() };
        fd.with_layout(192, Format::Single)
    }

    /// Sends descriptors through an interface.
    pub fn send(&mut self, id: u32, fds: &[Fd]) {
        for fd in fds {
            assert!(self.queues.enqueue(tx(id), fd, &mut self.pass));
        }
        self.transmit(id);
    }

    /// A frame comes over the wire of a port.
    pub fn receive(&mut self, port: u32, frame: &[u8]) {
        self.wriop.receive(port, frame, &self.queues, &self.memory, &mut self.pass);
    }

    pub fn transmit(&mut self, id: u32) {
        self.wriop.transmit(id, &self.queues, &self.memory, &mut self.pass);
        while let Some(Engine::Interface(id)) = self.pass.next_engine() {
            self.wriop.transmit(id, &self.queues, &self.memory, &mut self.pass);
        }
    }

    /// The descriptors in a queue, which is empty then.
    pub fn take(&self, fqid: u32) -> Vec<Fd> {
        std::iter::from_fn(|| self.queues.dequeue(fqid)).collect()
    }

    /// The frame that a descriptor describes.
    pub fn bytes(&self, fd: &Fd) -> Vec<u8> {
        let at = fd.address + u64::from(fd.offset());
        match fd.format() {
            Format::Single => self.read(at, fd.length() as usize),
            Format::ScatterGather => self
                .entries(fd)
                .iter()
                .flat_map(|entry| {
                    self.read(entry.address + u64::from(entry.offset()), entry.length() as usize)
                })
                .collect(),
            other => panic!("a received frame is no {other:?}"),
        }
    }

    /// The entries of a received frame's table.
    pub fn entries(&self, fd: &Fd) -> Vec<SgEntry> {
        let mut entries = Vec::new();
        for index in 0.. {
            let at = fd.address + u64::from(fd.offset()) + index * 16;
            let entry = SgEntry::from_bytes(&self.read(at, 16).try_into().expect("16 bytes"));
            entries.push(entry);
            if entry.is_final() {
                break;
            }
        }
        entries
    }

    pub fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read(ICID, at, &mut bytes).expect("there is memory");
        bytes
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write(ICID, at, bytes).expect("there is memory");
    }
}

/// A buffer of a pool.
pub fn buffer(bpid: u16, index: u64) -> u64 {
    RAM + u64::from(bpid) * 0x1_0000 + index * 0x1000
}

/// A place in memory that belongs to no pool.
pub const fn free(index: u64) -> u64 {
    RAM + 0x8_0000 + index * 0x4000
}

/// A frame of `length` bytes from `from` to `to`, of no known Ethernet type.
pub fn ethernet(to: [u8; 6], from: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = to.iter().chain(&from).chain(&[0x88, 0xb5]).copied().collect();
    frame.extend((frame.len()..length).map(|index| index as u8));
    frame
}
