// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The rings inside a portal, as direct mode has them.

use crate::host::PortalMemory;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a word.
const WORD: usize = 8;

/// Rings inside a portal: the same to who works on them as those in memory.
#[derive(Debug)]
pub(super) struct InnerMemory(Box<[AtomicU64]>);

impl InnerMemory {
    /// Memory of `bytes` bytes, all zero.
    pub fn new(bytes: usize) -> Self {
        Self((0..bytes.div_ceil(WORD)).map(|_| AtomicU64::new(0)).collect())
    }

    fn word(&self, offset: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(offset / WORD as u64).ok()?)
    }

    fn store_byte(&self, offset: u64, byte: u8, order: Ordering) {
        let Some(word) = self.word(offset) else { return };
        let shift = offset % WORD as u64 * 8;
        // It cannot fail: the function always gives a value.
        let _ = word.fetch_update(order, Ordering::Relaxed, |word| {
            Some(word & !(0xff << shift) | u64::from(byte) << shift)
        });
    }
}

impl PortalMemory for InnerMemory {
    fn read(&self, offset: u64, buf: &mut [u8]) {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let word = self.word(at).map_or(0, |word| word.load(Ordering::Acquire)).to_le_bytes();
            let from = (at % WORD as u64) as usize;
            let length = rest.len().min(WORD - from);
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(&word[from..from + length]);
            rest = later;
            at = at.saturating_add(length as u64);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let mut at = offset;
        let mut rest = data;
        while let Some(first) = rest.first() {
            match rest.first_chunk::<WORD>() {
                Some(word) if at.is_multiple_of(WORD as u64) => {
                    if let Some(place) = self.word(at) {
                        place.store(u64::from_le_bytes(*word), Ordering::Relaxed);
                    }
                    rest = &rest[WORD..];
                    at = at.saturating_add(WORD as u64);
                }
                _ => {
                    self.store_byte(at, *first, Ordering::Relaxed);
                    rest = &rest[1..];
                    at = at.saturating_add(1);
                }
            }
        }
    }

    fn publish(&self, offset: u64, byte: u8) {
        self.store_byte(offset, byte, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_at_any_offset() {
        let memory = InnerMemory::new(64);
        memory.write(3, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        memory.publish(4, 0xff);
        let mut bytes = [0xee; 20];
        memory.read(1, &mut bytes);
        assert_eq!(bytes, [0, 0, 1, 0xff, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_past_the_end_is_ignored() {
        let memory = InnerMemory::new(8);
        memory.write(6, &[1, 2, 3, 4]);
        memory.publish(u64::MAX, 1);
        let mut bytes = [0xee; 4];
        memory.read(6, &mut bytes);
        assert_eq!(bytes, [1, 2, 0, 0]);
    }
}
