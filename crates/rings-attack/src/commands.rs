// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is put into rings: commands with some sense in them, and without.

use crate::addresses::Addresses;
use mc_attack::Random;
use qbman_abi::management::verbs;
use qbman_abi::{
    EnqueueCommand, Entry, Fd, Format, ReleaseCommand, SgEntry, Source, Target, VALID,
    VolatileDequeue,
};

/// Numbers in hardware of what the container has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub queues: Vec<u32>,
    pub destinations: Vec<Target>,
    pub pools: Vec<u16>,
    pub channels: Vec<u16>,
}

/// Bytes of a scatter/gather table.
const TABLE: usize = 16 * SgEntry::SIZE;

/// Verbs of management commands that mean something.
const VERBS: [u8; 16] = [
    verbs::ACQUIRE,
    verbs::POOL_QUERY,
    verbs::QUEUE_QUERY,
    verbs::QUEUE_STATE_QUERY,
    verbs::CHANNEL_CONFIGURE,
    verbs::CHANNEL_QUERY,
    verbs::QUEUE_SCHEDULE,
    verbs::QUEUE_FORCE,
    verbs::QUEUE_XON,
    verbs::QUEUE_XOFF,
    verbs::GROUP_CONFIGURE,
    verbs::GROUP_QUERY,
    verbs::EARLY_DROP_CONFIGURE,
    verbs::EARLY_DROP_QUERY,
    verbs::GROUP_COUNTS_QUERY,
    verbs::GROUP_COUNTS_QUERY_CLEAR,
];

/// Makes commands.
#[derive(Debug)]
pub(crate) struct Maker {
    pub random: Random,
    pub known: Known,
    pub addresses: Addresses,
}

impl Maker {
    /// Random bytes.
    pub fn bytes(&mut self) -> Entry {
        let mut entry = [0; 64];
        for word in entry.chunks_mut(8) {
            word.copy_from_slice(&self.random.word().to_le_bytes());
        }
        entry
    }

    /// An enqueue command without its valid bit, and tables that its frame refers to, each
    /// with its address.
    pub fn enqueue(&mut self, tables: &mut Vec<(u64, Vec<u8>)>) -> Entry {
        if self.random.one_in(10) {
            return self.bytes();
        }
        let fd = self.frame(tables);
        let target = self.target();
        let mut command = EnqueueCommand::plain(target, fd);
        if self.random.one_in(3) {
            // Another completion, order restoration, an interrupt.
            command.verb ^= self.random.word() as u8 & 0x0f;
            command.sequence_word = self.random.word() as u16;
            command.record = self.random.below(16) as u16;
            command.response = self.addresses.any(&mut self.random);
            command.token = self.random.word() as u8;
            command.tag = self.random.word() as u32;
        }
        if self.random.one_in(6) {
            command.dca = self.random.word() as u8;
        }
        let mut entry = command.to_bytes();
        if self.random.one_in(8) {
            // All but the two addresses, which `Addresses` chooses.
            let at = self.random.below(64);
            if !(24..40).contains(&at) {
                entry[at] ^= 1 << self.random.below(8);
            }
        }
        entry[0] &= !VALID;
        entry
    }

    fn target(&mut self) -> Target {
        let known = &self.known;
        match self.random.below(8) {
            0..=3 if !known.destinations.is_empty() => self.random.pick(&known.destinations),
            4 => Target::Destination {
                id: self.random.below(64) as u32,
                bin: self.random.word() as u16,
                priority: self.random.word() as u8,
            },
            _ => Target::Queue(self.queue()),
        }
    }

    /// A queue: an own one, one near that, or any.
    pub fn queue(&mut self) -> u32 {
        let near = match self.known.queues.is_empty() {
            true => 0,
            false => self.random.pick(&self.known.queues),
        };
        match self.random.below(4) {
            0 | 1 => near,
            2 => near.wrapping_add(self.random.below(256) as u32).wrapping_sub(128) & 0x00ff_ffff,
            _ => self.random.word() as u32 & 0x00ff_ffff,
        }
    }

    /// A pool; whether it is an own one.
    pub fn pool(&mut self) -> (u16, bool) {
        let any = self.random.below(80) as u16;
        let pool = match self.known.pools.is_empty() || self.random.one_in(3) {
            true => any,
            false => self.random.pick(&self.known.pools),
        };
        (pool, self.known.pools.contains(&pool))
    }

    pub fn channel(&mut self) -> u16 {
        match self.known.channels.is_empty() || self.random.one_in(3) {
            true => self.random.word() as u16 & 0xfff,
            false => self.random.pick(&self.known.channels),
        }
    }

    fn length(&mut self) -> u32 {
        match self.random.below(6) {
            0..=2 => 60 + self.random.below(1455) as u32,
            3 => self.random.pick(&[0, 1, 13, 59, 9600, 0xffff, 0x3_ffff, u32::MAX]),
            4 => self.random.below(1 << 16) as u32,
            _ => self.random.word() as u32,
        }
    }

    /// A frame descriptor.
    fn frame(&mut self, tables: &mut Vec<(u64, Vec<u8>)>) -> Fd {
        let format = match self.random.below(8) {
            0..=4 => Format::Single,
            5 | 6 => Format::ScatterGather,
            _ => self.random.pick(&[Format::List, Format::Reserved]),
        };
        let offset = self.random.pick(&[0, 0, 64, 128, 256, 0xfff]);
        let pool = if self.random.one_in(4) { None } else { Some(self.pool().0) };
        let fd = Fd {
            address: self.addresses.any(&mut self.random),
            length_word: self.length(),
            ..Fd::default()
        };
        let mut fd = fd.with_layout(offset, format).with_pool(pool);
        if self.random.one_in(2) {
            fd.frc = self.random.word() as u32;
            fd.ctrl = self.random.word() as u32;
            fd.flc = self.random.word();
        }
        if format == Format::ScatterGather && !self.random.one_in(3) {
            fd.address = self.addresses.inside(&mut self.random, 256);
            let at = fd.address + u64::from(offset);
            if at + TABLE as u64 <= self.addresses.own.end {
                tables.push((at, self.table(at)));
            }
        }
        fd
    }

    /// A scatter/gather table at an address: it refers to data, to itself, or to anything, and
    /// may have no end.
    fn table(&mut self, at: u64) -> Vec<u8> {
        let last = if self.random.one_in(4) { None } else { Some(self.random.below(16)) };
        let mut table = Vec::new();
        for n in 0..TABLE / SgEntry::SIZE {
            let address = match self.random.below(4) {
                0 => at,
                _ => self.addresses.any(&mut self.random),
            };
            let (length, pool) = (self.length(), self.pool().0);
            let offset = self.random.word() as u16;
            let mut entry = SgEntry::new(address, offset, length, pool, last == Some(n));
            if self.random.one_in(3) {
                // A further table, a part of this buffer, or what means nothing.
                entry.format_word ^= (self.random.word() as u16 & 0x3) << 12;
            }
            if self.random.one_in(8) {
                entry.pool_word = self.random.word() as u16;
            }
            table.extend(entry.to_bytes());
        }
        table
    }

    /// A release command.
    pub fn release(&mut self) -> Entry {
        if self.random.one_in(10) {
            return self.bytes();
        }
        let mut buffers = [0; ReleaseCommand::MOST];
        for buffer in &mut buffers {
            *buffer = self.addresses.any(&mut self.random);
        }
        let (pool, count) = (self.pool().0, self.random.below(8) as u8);
        let interrupt = self.random.one_in(8);
        ReleaseCommand { pool, buffers, count, interrupt }.to_bytes(0)
    }

    /// A volatile dequeue command.
    pub fn dequeue(&mut self) -> Entry {
        if self.random.one_in(10) {
            return self.bytes();
        }
        let source = match self.random.below(4) {
            0 => Source::Channel(self.channel().into()),
            1 => Source::WorkQueue {
                channel: self.channel().into(),
                queue: self.random.word() as u8,
            },
            _ => Source::Queue(self.queue()),
        };
        let (count, token) = (self.random.word() as u8, self.random.word() as u8);
        let response = self.addresses.any(&mut self.random);
        let Some(command) = VolatileDequeue::new(source, count, token, response) else {
            return self.bytes();
        };
        let mut entry = command.to_bytes();
        if self.random.one_in(3) {
            // Another kind, to the ring, rescheduled.
            entry[0] ^= self.random.word() as u8 & 0x7f;
        }
        entry[0] &= !VALID;
        entry
    }

    /// A management command.
    pub fn manage(&mut self) -> Entry {
        let mut entry = self.bytes();
        if !self.random.one_in(4) {
            entry[0] = self.random.pick(&VERBS);
            let id = match entry[0] {
                verbs::ACQUIRE | verbs::POOL_QUERY => self.pool().0,
                verbs::CHANNEL_CONFIGURE | verbs::CHANNEL_QUERY => self.channel(),
                _ => self.random.below(64) as u16,
            };
            entry[2..4].copy_from_slice(&id.to_le_bytes());
            match entry[0] {
                verbs::ACQUIRE => entry[4] = self.random.below(9) as u8,
                verbs::CHANNEL_CONFIGURE | verbs::CHANNEL_QUERY => {}
                verbs::QUEUE_QUERY..=verbs::QUEUE_XOFF => {
                    entry[4..8].copy_from_slice(&self.queue().to_le_bytes());
                }
                _ => {}
            }
        }
        entry[0] &= !VALID;
        entry
    }
}
