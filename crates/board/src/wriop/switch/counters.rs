// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Counters of the interfaces of switches and demultiplexers: `enum dpsw_counter`,
//! whose first eleven `enum dpdmux_counter_type` has too.

use crate::wriop::counters::Cast;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many counters an interface has.
const COUNT: usize = 13;

/// Numbers of `enum dpsw_counter`.
pub(in crate::wriop) mod counter {
    pub const ING_FRAME: usize = 0;
    pub const ING_BYTE: usize = 1;
    pub const ING_FILTERED: usize = 2;
    pub const ING_DISCARDED: usize = 3;
    pub const ING_MULTICAST: usize = 4;
    pub const ING_MULTICAST_BYTE: usize = 5;
    pub const ING_BROADCAST: usize = 6;
    pub const ING_BROADCAST_BYTE: usize = 7;
    pub const EGR_FRAME: usize = 8;
    pub const EGR_BYTE: usize = 9;
    pub const EGR_DISCARDED: usize = 10;
    pub const EGR_STP_DISCARDED: usize = 11;
    pub const ING_NO_BUFFER: usize = 12;
}

/// Counters of an interface.
#[derive(Debug, Default)]
pub(in crate::wriop) struct PortCounters([AtomicU64; COUNT]);

impl PortCounters {
    pub fn get(&self, number: usize) -> Option<u64> {
        self.0.get(number).map(|counter| counter.load(Relaxed))
    }

    pub fn set(&self, number: usize, value: u64) {
        if let Some(counter) = self.0.get(number) {
            counter.store(value, Relaxed);
        }
    }

    pub fn reset(&self) {
        self.0.iter().for_each(|counter| counter.store(0, Relaxed));
    }

    pub fn add(&self, number: usize, amount: u64) {
        if let Some(counter) = self.0.get(number) {
            counter.fetch_add(amount, Relaxed);
        }
    }

    /// A frame has come in.
    pub fn received(&self, frame: &[u8]) {
        let length = frame.len() as u64;
        self.add(counter::ING_FRAME, 1);
        self.add(counter::ING_BYTE, length);
        let (frames, bytes) = match Cast::of(frame) {
            Cast::Unicast => return,
            Cast::Multicast => (counter::ING_MULTICAST, counter::ING_MULTICAST_BYTE),
            Cast::Broadcast => (counter::ING_BROADCAST, counter::ING_BROADCAST_BYTE),
        };
        self.add(frames, 1);
        self.add(bytes, length);
    }

    /// A frame goes out, or does not.
    pub fn sent(&self, length: usize, sent: bool) {
        if !sent {
            return self.add(counter::EGR_DISCARDED, 1);
        }
        self.add(counter::EGR_FRAME, 1);
        self.add(counter::EGR_BYTE, length as u64);
    }
}
