// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A driver of a software portal, in the ways of Linux and DPDK. It has its own
//! offsets and layouts, so that those of the board are judged by others.

mod layouts;

pub use layouts::{Dequeued, Descriptor, From, frame};

use crate::host::TestQbman;

/// The ways in which a portal is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Memory-backed rings, free entries from the register.
    LinuxMemory,
    /// Memory-backed rings, free entries from the copy in memory.
    DpdkMemory,
    /// Rings in the portal, through the cache-inhibited area.
    LinuxDirect,
    /// Rings in the portal, through the cache-enabled area.
    DpdkDirect,
}

pub const WAYS: [Way; 4] = [Way::LinuxMemory, Way::DpdkMemory, Way::LinuxDirect, Way::DpdkDirect];

impl Way {
    pub fn in_memory(self) -> bool {
        matches!(self, Self::LinuxMemory | Self::DpdkMemory)
    }
}

/// Offset of the cache-inhibited area, and of a portal in each.
const CINH: u64 = 0x400_0000;
const STRIDE: u64 = 0x1_0000;

/// A portal's driver.
#[derive(Clone)]
pub struct Client<'a> {
    pub test: &'a TestQbman,
    pub portal: u32,
    pub way: Way,
    pi: u32,
    pi_vb: u8,
    ci: u32,
    available: u32,
    command_vb: u8,
    answer_vb: u8,
    pull_vb: u8,
    next: u32,
    next_vb: u8,
}

impl<'a> Client<'a> {
    /// Sets a portal up that is as after power-on.
    pub fn new(test: &'a TestQbman, portal: u32, way: Way) -> Self {
        let mut client = Self {
            test,
            portal,
            way,
            pi: 0,
            pi_vb: 0,
            ci: 0,
            available: 0,
            command_vb: 0x80,
            answer_vb: 0x80,
            pull_vb: 0x80,
            next: 0,
            next_vb: 0x80,
        };
        if way.in_memory() {
            test.portals.write(u64::from(portal) * STRIDE, &[0; STRIDE as usize]);
        }
        let wn = u32::from(matches!(way, Way::LinuxMemory | Way::LinuxDirect));
        let epm = if way.in_memory() { 0 } else { 2 };
        let mut cfg = 8 << 20 | wn << 14 | 3 << 12 | 2 << 10 | epm << 8 | 0x38;
        if way.in_memory() {
            cfg |= 1 << 15 | 1 << 7 | 1 << 6;
        }
        client.write(0xd00, cfg);
        assert_ne!(client.read(0xd00), 0, "the portal is not enabled");
        if way.in_memory() {
            client.write(0x800, 0x100);
            client.write(0xc00, 0x100);
        }
        assert_eq!(client.read(0xa00) & 0xf, 0, "the portal is not clean");
        client.write(0xb00, 0);
        let pi = client.read(0x800);
        client.pi = pi & client.full_mask();
        client.pi_vb = pi as u8 & 0x80;
        client.ci = client.read(0x840) & client.full_mask();
        assert_eq!((client.pi, client.ci), (0, 0), "the portal is not clean");
        client.available = client.ring_size();
        client.write(0xa80, 7);
        client.write(0xf40, 0);
        client
    }

    /// Goes on as Linux does, which takes notifications.
    pub fn with_interrupts(self) -> Self {
        self.write(0xe40, 4);
        self.write(0xe00, u32::MAX);
        self.push_from(1);
        self
    }

    /// Lets channels push; bit 0 is the portal's own.
    pub fn push_from(&self, channels: u16) {
        let sdqcr = 1 << 24 | 1 << 29 | 0xbb << 16 | u32::from(channels);
        self.write(0xb00, if channels == 0 { 0 } else { sdqcr });
    }

    fn ring_size(&self) -> u32 {
        if self.way.in_memory() { 32 } else { 8 }
    }

    fn full_mask(&self) -> u32 {
        2 * self.ring_size() - 1
    }

    pub fn read(&self, register: u64) -> u32 {
        let mut bytes = [0xff; 4];
        self.test.qbman.read(CINH + u64::from(self.portal) * STRIDE + register, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    pub fn write(&self, register: u64, value: u32) {
        let at = CINH + u64::from(self.portal) * STRIDE + register;
        self.test.pass(|qbman, pass| qbman.write(at, &value.to_le_bytes(), pass));
    }

    /// Where the ring area is in the window.
    fn window(&self) -> u64 {
        let area = if self.way == Way::LinuxDirect { CINH } else { 0 };
        area + u64::from(self.portal) * STRIDE
    }

    /// Stores into the ring area. Direct, each store is an access of its own.
    fn store(&self, at: u64, bytes: &[u8]) {
        if self.way.in_memory() {
            self.test.portals.write(u64::from(self.portal) * STRIDE + at, bytes);
            return;
        }
        let mut at = self.window() + at;
        for piece in bytes.chunks(8) {
            self.test.pass(|qbman, pass| qbman.write(at, piece, pass));
            at += piece.len() as u64;
        }
    }

    fn load(&self, at: u64) -> [u8; 64] {
        let mut bytes = [0; 64];
        if self.way.in_memory() {
            self.test.portals.read(u64::from(self.portal) * STRIDE + at, &mut bytes);
        } else {
            for (n, piece) in bytes.chunks_mut(4).enumerate() {
                self.test.qbman.read(self.window() + at + 4 * n as u64, piece);
            }
        }
        bytes
    }

    fn offset(&self, memory: u64, direct: u64) -> u64 {
        if self.way.in_memory() { memory } else { direct }
    }

    /// Free entries of the enqueue ring, looked up when none is known.
    fn look_for_room(&mut self) -> u32 {
        if self.available == 0 {
            let before = self.ci;
            let ci = match self.way {
                Way::LinuxMemory | Way::LinuxDirect => self.read(0x840),
                Way::DpdkMemory => u32::from_le_bytes(self.load(0x1840)[..4].try_into().unwrap()),
                Way::DpdkDirect => {
                    let mut bytes = [0; 4];
                    self.test.qbman.read(self.window() + 0x840, &mut bytes);
                    u32::from_le_bytes(bytes)
                }
            };
            self.ci = ci & self.full_mask();
            self.available = match before <= self.ci {
                true => self.ci - before,
                false => 2 * self.ring_size() - (before - self.ci),
            };
        }
        self.available
    }

    /// Enqueues as many frames as the ring has room for; how many.
    pub fn enqueue(&mut self, commands: &[(Descriptor, [u8; 32])]) -> usize {
        let count = self.look_for_room().min(commands.len() as u32);
        self.available -= count;
        let half_mask = self.full_mask() >> 1;
        let commands = &commands[..count as usize];
        let place = |n: u32| u64::from((self.pi + n) & half_mask) * 64;
        for (n, (descriptor, fd)) in (0..).zip(commands) {
            self.store(place(n) + 4, &descriptor.bytes()[4..]);
            self.store(place(n) + 32, fd);
        }
        let mut vb = self.pi_vb;
        for (n, (descriptor, _)) in (0..).zip(commands) {
            let mut word = descriptor.bytes();
            word[0] |= vb;
            // As Linux and DPDK: the verb's word without the consumption, then
            // that byte.
            let dca = std::mem::take(&mut word[1]);
            self.store(place(n), &word[..4]);
            if dca != 0 {
                self.store(place(n) + 1, &[dca]);
            }
            if (self.pi + n + 1) & half_mask == 0 {
                vb ^= 0x80;
            }
        }
        self.pi_vb = vb;
        self.pi = (self.pi + count) & self.full_mask();
        if self.way.in_memory() {
            self.write(0x800, 0x100 | self.pi | u32::from(vb));
        }
        count as usize
    }

    /// Enqueues frames one by one, told apart by their addresses.
    pub fn send(&mut self, fqid: u32, addresses: impl IntoIterator<Item = u64>) {
        for address in addresses {
            let command = (Descriptor::to_queue(fqid), frame(address, 64));
            assert_eq!(self.enqueue(&[command]), 1, "the ring is full");
        }
    }

    /// Releases up to seven buffers; `false`: no entry was free.
    pub fn release(&self, bpid: u16, buffers: &[u64]) -> bool {
        let rar = self.read(0xcc0);
        if rar & 0x100 == 0 {
            return false;
        }
        let index = u64::from(rar & 7);
        let at = self.offset(0x1400, 0x400) + index * 64;
        for (n, buffer) in (0..).zip(buffers) {
            self.store(at + 8 + 8 * n, &buffer.to_le_bytes());
        }
        let verb = 0x20 | (rar & 0x80) as u8 | buffers.len() as u8;
        let [low, high] = bpid.to_le_bytes();
        self.store(at, &[verb, 0, low, high]);
        if self.way.in_memory() {
            self.write(0x9c0 + index * 4, 0x100);
        }
        true
    }

    /// A management command; its answer must be there at once.
    pub fn command(&mut self, verb: u8, fields: &[(u64, &[u8])]) -> [u8; 64] {
        let at = self.offset(0x1600, 0x600);
        for (offset, bytes) in fields {
            self.store(at + offset, bytes);
        }
        let answer = if self.way.in_memory() {
            // Linux never changes the valid bit of commands.
            let vb = if self.way == Way::LinuxMemory { 0x80 } else { self.answer_vb };
            self.store(at, &[verb | vb]);
            self.write(0x900, 0x100);
            let answer = self.load(0x1680);
            assert_eq!(answer[0] & 0x80, self.answer_vb, "no answer to {verb:#x}");
            self.answer_vb ^= 0x80;
            answer
        } else {
            self.store(at, &[verb | self.command_vb]);
            let answer = self.load(0x700 + u64::from(self.command_vb >> 1));
            self.command_vb ^= 0x80;
            answer
        };
        assert_eq!(answer[0] & 0x7f, verb, "no answer to {verb:#x}");
        answer
    }

    /// Acquires buffers; the result code where that fails.
    pub fn acquire(&mut self, bpid: u16, count: u8) -> Result<Vec<u64>, u8> {
        let answer = self.command(0x30, &[(2, &bpid.to_le_bytes()), (4, &[count])]);
        if answer[1] != 0xf0 {
            return Err(answer[1]);
        }
        let buffers = answer[8..].chunks(8).take(answer[4].into());
        Ok(buffers.map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect())
    }

    /// Arms a channel's data notification with a context, or disarms it.
    pub fn notify(&mut self, channel: u32, enable: bool, context: Option<u64>) -> u8 {
        let we = 1 | if context.is_some() { 4 } else { 0 };
        let channel = (channel as u16).to_le_bytes();
        let fields: [(u64, &[u8]); 3] =
            [(2, &channel), (4, &[we, u8::from(enable)]), (8, &context.unwrap_or(0).to_le_bytes())];
        self.command(0x46, &fields)[1]
    }

    /// A command on a queue: result, and the answer.
    pub fn on_queue(&mut self, verb: u8, fqid: u32) -> (u8, [u8; 64]) {
        let answer = self.command(verb, &[(4, &fqid.to_le_bytes())]);
        (answer[1], answer)
    }

    /// Frames and bytes of a queue, as a query tells.
    pub fn query(&mut self, fqid: u32) -> Result<(u32, u32), u8> {
        let (result, answer) = self.on_queue(0x45, fqid);
        let word = |at: usize| u32::from_le_bytes(answer[at..at + 4].try_into().unwrap());
        if result == 0xf0 { Ok((word(24) & 0xff_ffff, word(28))) } else { Err(result) }
    }

    fn pull(&mut self, from: From, count: u8, storage: Option<u64>) {
        let (kind, source) = match from {
            From::Channel(channel) => (0, channel),
            From::WorkQueue(queue) => (1, queue),
            From::Queue(queue) => (2, queue),
        };
        let to_memory = if storage.is_some() { 1 << 4 | 1 << 5 } else { 0 };
        let verb = 1 | kind << 2 | to_memory;
        let at = self.offset(0x1780, 0x780);
        self.store(at + 4, &source.to_le_bytes());
        self.store(at + 8, &storage.unwrap_or(0).to_le_bytes());
        let token = self.portal as u8 + 1;
        self.store(at, &[verb | self.pull_vb, count - 1, token, 0]);
        self.pull_vb ^= 0x80;
        if self.way.in_memory() {
            self.write(0x940, 0x100);
        }
    }

    /// A volatile dequeue to memory: its entries, the last of which must say so.
    pub fn dequeue(&mut self, from: From, count: u8) -> Vec<Dequeued> {
        let storage = 0x2_0000 + 0x1000 * u64::from(self.portal);
        self.test.ram.store(storage, &[0; 33 * 64]);
        self.pull(from, count, Some(storage));
        let mut entries = Vec::new();
        for n in 0.. {
            let entry = Dequeued(self.test.ram.load(storage + 64 * n));
            assert_eq!(entry.token(), self.portal as u8 + 1, "entry {n} is not there");
            assert_eq!((entry.verb(), entry.stat() & 2), (0x60, 2), "entry {n}");
            entries.push(entry);
            if entry.is_last() {
                break;
            }
        }
        assert!(entries.len() <= count.into(), "{} entries", entries.len());
        let beyond: [u8; 64] = self.test.ram.load(storage + 64 * entries.len() as u64);
        assert_eq!(beyond, [0; 64], "written past the last entry");
        entries
    }

    /// The frames of a volatile dequeue, by their addresses.
    pub fn receive(&mut self, from: From, count: u8) -> Vec<u64> {
        let entries = self.dequeue(from, count);
        entries.iter().filter(|e| e.has_frame()).map(Dequeued::address).collect()
    }

    /// A volatile dequeue to the dequeue ring.
    pub fn pull_to_ring(&mut self, from: From, count: u8) {
        self.pull(from, count, None);
    }

    /// The next entry of the dequeue ring, and its index.
    pub fn next(&mut self) -> Option<(Dequeued, u32)> {
        let index = self.next;
        let entry = self.load(self.offset(0x800, 0x200) + u64::from(index) * 64);
        if entry[0] & 0x80 != self.next_vb {
            return None;
        }
        self.next = (index + 1) % 8;
        if self.next == 0 {
            self.next_vb ^= 0x80;
        }
        Some((Dequeued(entry), index))
    }

    /// The next entry of the dequeue ring, consumed.
    pub fn take(&mut self) -> Option<Dequeued> {
        let (entry, index) = self.next()?;
        self.consume(index);
        Some(entry)
    }

    pub fn consume(&self, index: u32) {
        self.write(0xac0, index);
    }
}
