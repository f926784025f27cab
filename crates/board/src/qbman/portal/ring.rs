// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Indices of a ring that software fills.
//!
//! Software uses it in one of two ways. As a ring, it counts a producer index
//! twice around the entries. As an array, a read of the allocation register
//! gives it an entry, and a doorbell or the entry's valid bit gives that back.

use qbman_abi::registers::{ALLOCATED, READ_TRIGGER};

/// The valid bit, as in registers.
pub(super) const VALID: u32 = 0x80;
/// Bits of a producer index register that exist.
const REGISTER: u32 = READ_TRIGGER | VALID | 0x3f;

/// Indices, as after power-on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ring {
    /// The producer index register.
    producer: u32,
    /// Twice around the entries.
    consumer: u32,
    /// Entries that were allocated, twice around; and which of them are in use.
    allocated: u32,
    in_use: u32,
}

impl Ring {
    /// The producer index register.
    pub fn producer(&self) -> u32 {
        self.producer
    }

    /// The consumer index register.
    pub fn consumer(&self) -> u32 {
        self.consumer
    }

    /// Writes the producer index: the entries that it hands over, from the
    /// consumer index on. `None` where that is more than the ring has.
    pub fn produce(&mut self, value: u32, entries: u32) -> Option<(u32, u32)> {
        self.producer = value & REGISTER;
        let ahead = value.wrapping_sub(self.consumer) & (2 * entries - 1);
        (ahead <= entries).then_some((self.consumer & (entries - 1), ahead))
    }

    /// So many entries are consumed.
    pub fn consume(&mut self, count: u32, entries: u32) {
        self.consumer = (self.consumer + count) & (2 * entries - 1);
    }

    /// The next entry to consume, and the valid bit that it has once software
    /// has filled it: as the producer index register shows it at first, the
    /// other one each time around.
    pub fn expected(&self, entries: u32) -> (u32, u8) {
        let lap = self.consumer & entries != 0;
        (self.consumer & (entries - 1), if lap { VALID as u8 } else { 0 })
    }

    /// A read of the allocation register: the next entry, with the valid bit
    /// that software is to give it (set in the first lap); zero where it is in
    /// use.
    pub fn allocate(&mut self, entries: u32) -> u32 {
        let index = self.allocated & (entries - 1);
        if self.in_use >> index & 1 != 0 {
            return 0;
        }
        let valid = if self.allocated & entries == 0 { VALID } else { 0 };
        self.in_use |= 1 << index;
        self.allocated = (self.allocated + 1) & (2 * entries - 1);
        ALLOCATED | valid | index
    }

    /// An allocated entry is handed over; `false` where it was not allocated.
    pub fn deallocate(&mut self, index: u32) -> bool {
        let bit = 1u32.checked_shl(index).unwrap_or(0);
        let used = self.in_use & bit != 0;
        self.in_use &= !bit;
        used
    }

    /// The valid bit of an entry that is in use, as it was given out.
    pub fn allocated_valid(&self, index: u32, entries: u32) -> Option<u8> {
        let used = self.in_use >> index & 1 != 0;
        // Entries before the next one were given out in this lap, the others in
        // the one before.
        let next = self.allocated & (entries - 1);
        let lap = (self.allocated & entries != 0) ^ (index >= next);
        used.then_some(if lap { 0 } else { VALID as u8 })
    }
}
