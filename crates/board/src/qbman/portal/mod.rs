// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One software portal: two sides with a lock each, since others push into the
//! dequeue ring while software works on the other rings.

mod commands;
mod consumer;
mod interrupts;
mod management;
mod producer;
mod ring;
mod volatile;
mod window;

use super::{
    PORTAL_STRIDE, Qbman,
    config::{PortalConfig, Version},
    kicks::Kicks,
    memory::InnerMemory,
};
use crate::{fabric::Pass, host::PortalMemory};
use consumer::Consumer;
use parking_lot::Mutex;
use producer::Producer;
use qbman_abi::{Entry, Rings, registers};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the rings inside a portal.
const INSIDE: usize = 0x800;

/// Nobody's portal, or one without a channel of its own.
const NONE: u64 = u64::MAX;

/// What went wrong at a portal, counted since power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortalCounters {
    /// Frames that were rejected, for whatever reason.
    pub rejected: u64,
    /// Frames that are lost: rejected without anybody to tell, or dequeued to
    /// memory that is not there.
    pub lost: u64,
    /// Buffers that are lost, since their pool did not take them.
    pub lost_buffers: u64,
    /// Commands that mean nothing, or what the portal may not touch.
    pub refused: u64,
    /// Answers whose memory is not there.
    pub faults: u64,
}

/// The counters as they count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    rejected: AtomicU64,
    lost: AtomicU64,
    lost_buffers: AtomicU64,
    refused: AtomicU64,
    faults: AtomicU64,
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

/// A software portal.
pub(super) struct Portal {
    number: u32,
    version: Version,
    consumer: Mutex<Consumer>,
    producer: Mutex<Producer>,
    /// Isolation id and number of its own channel, 32 bits each.
    own_channel: AtomicU64,
    inside: InnerMemory,
    counters: Counters,
}

/// A portal's rings, wherever they are.
#[derive(Clone, Copy)]
struct Memory<'a> {
    rings: &'static Rings,
    memory: &'a dyn PortalMemory,
    base: u64,
}

impl Memory<'_> {
    fn read(&self, offset: u64) -> Entry {
        let mut entry = [0; 64];
        self.memory.read(self.base + offset, &mut entry);
        entry
    }

    fn read_many(&self, offset: u64, bytes: &mut [u8]) {
        self.memory.read(self.base + offset, bytes);
    }

    /// Writes an entry, its first byte last.
    fn write(&self, offset: u64, entry: &Entry) {
        let at = self.base + offset;
        // The first word without its first byte would be three writes.
        self.memory.write(at + 8, &entry[8..]);
        self.memory.write(at + 1, &entry[1..8]);
        self.memory.publish(at, entry[0]);
    }

    fn write_u32(&self, offset: u64, value: u32) {
        self.memory.write(self.base + offset, &value.to_le_bytes());
    }
}

impl Portal {
    /// A portal after power-on.
    pub fn new(number: u32, version: Version) -> Self {
        Self {
            number,
            version,
            consumer: Mutex::default(),
            producer: Mutex::default(),
            own_channel: AtomicU64::new(NONE),
            inside: InnerMemory::new(INSIDE),
            counters: Counters::default(),
        }
    }

    /// Whose the portal is, and the channel in which its notifications arrive.
    pub fn own_channel(&self) -> Option<(u16, u32)> {
        let both = self.own_channel.load(Ordering::Acquire);
        (both != NONE).then_some(((both >> 32) as u16, both as u32))
    }

    /// See [`Qbman::reset_portal`].
    pub fn reset(&self, qbman: &Qbman, pass: &mut Pass) -> Kicks {
        let mut consumer = self.consumer.lock();
        let mut producer = self.producer.lock();
        consumer.reset();
        let kicks = producer.reset(qbman, self.number, pass);
        self.inside.write(0, &[0; INSIDE]);
        let base = u64::from(self.number) * PORTAL_STRIDE;
        for page in 0..16 {
            qbman.memory.write(base + page * 4096, &[0; 4096]);
        }
        kicks
    }

    /// See [`Qbman::configure_portal`].
    pub fn configure(&self, qbman: &Qbman, config: Option<PortalConfig>, pass: &mut Pass) -> Kicks {
        let mut consumer = self.consumer.lock();
        let mut producer = self.producer.lock();
        consumer.icid = config.map(|config| config.icid);
        let own = config.and_then(|config| Some((config.icid, config.own_channel?)));
        let both = own.map(|(icid, channel)| u64::from(icid) << 32 | u64::from(channel));
        self.own_channel.store(both.unwrap_or(NONE), Ordering::Release);
        producer.configure(qbman, self.number, config, pass);
        Kicks::NONE.with(self.number)
    }

    /// Pushes what there is into the dequeue ring.
    pub fn fill(&self, qbman: &Qbman, pass: &mut Pass) -> Kicks {
        self.producer.lock().fill(&mut self.producer_side(qbman, pass))
    }

    /// Looks at the hold-off timer.
    pub fn tick(&self, qbman: &Qbman, pass: &mut Pass) {
        self.producer.lock().tick(&mut self.producer_side(qbman, pass));
    }

    fn producer_side<'a>(&'a self, qbman: &'a Qbman, pass: &'a mut Pass) -> producer::Side<'a> {
        producer::Side { qbman, portal: self, pass }
    }

    /// Where the rings are under a configuration.
    fn memory<'a>(&'a self, qbman: &'a Qbman, cfg: u32) -> Memory<'a> {
        if self.version == Version::V5 && cfg & registers::CFG_MEMORY_BACKED != 0 {
            let base = u64::from(self.number) * PORTAL_STRIDE;
            Memory { rings: &Rings::MEMORY_BACKED, memory: &*qbman.memory, base }
        } else {
            Memory { rings: &Rings::DIRECT, memory: &self.inside, base: 0 }
        }
    }

    /// What went wrong here.
    pub fn counters(&self) -> PortalCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PortalCounters {
            rejected: read(&self.counters.rejected),
            lost: read(&self.counters.lost),
            lost_buffers: read(&self.counters.lost_buffers),
            refused: read(&self.counters.refused),
            faults: read(&self.counters.faults),
        }
    }
}
