// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory and interrupt lines under the tests' control.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, Weak};

use board::host::{BusError, GuestMemory, IrqLines};
use board::smmu::Smmu;

/// Physical address of the first byte of RAM.
pub const RAM: u64 = 0x8000_0000;
/// Bytes of RAM.
pub const RAM_SIZE: u64 = 16 << 20;

/// RAM that several threads may use, with a count of table reads.
pub struct Ram {
    words: Vec<AtomicU64>,
    pub table_reads: AtomicU64,
}

impl Ram {
    pub fn new() -> Self {
        Self {
            words: (0..RAM_SIZE / 8).map(|_| AtomicU64::new(0)).collect(),
            table_reads: AtomicU64::new(0),
        }
    }

    fn word(&self, address: u64) -> Option<&AtomicU64> {
        self.words.get(usize::try_from(address.checked_sub(RAM)? / 8).ok()?)
    }

    /// Stores a word as the CPU does: `address` is aligned and in RAM.
    pub fn store(&self, address: u64, value: u64) {
        assert_eq!(address % 8, 0, "misaligned store at {address:#x}");
        self.word(address).expect("store outside RAM").store(value, Ordering::SeqCst);
    }

    /// Loads a word as the CPU does.
    pub fn load(&self, address: u64) -> u64 {
        self.word(address).expect("load outside RAM").load(Ordering::SeqCst)
    }
}

impl GuestMemory for Ram {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        let length = buf.len();
        for (at, byte) in buf.iter_mut().enumerate() {
            let at = address.wrapping_add(at as u64);
            let word = self.word(at).ok_or(BusError { address, length })?;
            *byte = word.load(Ordering::SeqCst).to_le_bytes()[(at % 8) as usize];
        }
        Ok(())
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        for (at, byte) in data.iter().enumerate() {
            let at = address.wrapping_add(at as u64);
            let error = BusError { address, length: data.len() };
            let word = self.word(at).ok_or(error)?;
            let shift = at % 8 * 8;
            word.fetch_and(!(0xff << shift), Ordering::SeqCst);
            word.fetch_or(u64::from(*byte) << shift, Ordering::SeqCst);
        }
        Ok(())
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        self.table_reads.fetch_add(1, Ordering::SeqCst);
        assert_eq!(address % 8, 0, "misaligned table read at {address:#x}");
        let word = self.word(address).ok_or(BusError { address, length: 8 })?;
        Ok(word.load(Ordering::SeqCst))
    }
}

/// Interrupt lines that record their levels.
#[derive(Default)]
pub struct Lines {
    pub levels: Mutex<Vec<bool>>,
    pub messages: Mutex<Vec<(u16, u64, u32)>>,
    talking: AtomicBool,
    /// An SMMU to call back into from the interrupt callback.
    pub nosy: OnceLock<Weak<Smmu>>,
}

impl Lines {
    /// The level of the SMMU's line now.
    pub fn level(&self) -> bool {
        self.levels.lock().unwrap().last().copied().unwrap_or(false)
    }

    /// How often the line changed.
    pub fn changes(&self) -> usize {
        self.levels.lock().unwrap().len()
    }
}

impl IrqLines for Lines {
    fn message(&self, icid: u16, address: u64, value: u32) {
        self.messages.lock().unwrap().push((icid, address, value));
    }

    fn smmu(&self, asserted: bool) {
        assert!(!self.talking.swap(true, Ordering::SeqCst), "two threads drive the line");
        std::thread::yield_now();
        if let Some(smmu) = self.nosy.get().and_then(Weak::upgrade) {
            let mut status = [0; 4];
            smmu.read(0x48, &mut status);
            smmu.write(0x70, &[0; 4]);
            let _ = smmu.dump();
        }
        let mut levels = self.levels.lock().unwrap();
        assert_ne!(levels.last().copied().unwrap_or(false), asserted, "level did not change");
        levels.push(asserted);
        self.talking.store(false, Ordering::SeqCst);
    }
}
