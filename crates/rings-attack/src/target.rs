// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A software portal: its memory and its registers, and where the attacker thinks that its rings
//! stand.

use dprc::{Backend, Error, MappedRegion, Result};
use fsl_mc_linux::dma_fence;
use mc_abi::ObjectId;
use qbman_abi::{Entry, Rings, VALID, registers};
use std::time::{Duration, Instant};

const RINGS: Rings = Rings::MEMORY_BACKED;
/// Regions of a dpio: registers, and rings in memory.
const REGISTERS: u32 = 1;
const MEMORY: u32 = 2;
/// What Linux sets besides the names of [`registers`].
const CFG_AS_LINUX: u32 = 1 << 14 | 2 << 10 | 0x38 | 1 << 7 | 1 << 6;

/// How long an answer is waited for that may not come at all.
const MOMENT: Duration = Duration::from_millis(1);
/// And how long one that has to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an entry's doorbell is: the ring's index, or one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doorbells {
    Index,
    Array,
}

/// A software portal.
#[derive(Debug)]
pub(crate) struct Portal {
    pub object: ObjectId,
    pub memory: MappedRegion,
    pub registers: MappedRegion,
    doorbells: Doorbells,
    produced: u32,
    answer_valid: u8,
    pull_valid: u8,
}

impl Portal {
    pub fn open(backend: &dyn Backend, object: ObjectId) -> Result<Self> {
        Ok(Self {
            object,
            memory: backend.map_region(object, MEMORY)?,
            registers: backend.map_region(object, REGISTERS)?,
            doorbells: Doorbells::Index,
            produced: 0,
            answer_valid: VALID,
            pull_valid: VALID,
        })
    }

    /// Sets a portal up that has just been reset and enabled.
    pub fn set_up(&mut self, doorbells: Doorbells) -> Result<()> {
        for at in (0..self.memory.size()).step_by(8) {
            self.memory.store(at, 0_u64)?;
        }
        dma_fence();
        let array = if doorbells == Doorbells::Array { registers::CFG_ARRAY_MODE } else { 0 };
        let cfg = 8 << registers::CFG_DQRR_FILL_SHIFT
            | registers::CFG_ARRAY_MODE << registers::CFG_RPM_SHIFT
            | array << registers::CFG_EPM_SHIFT
            | registers::CFG_MEMORY_BACKED
            | CFG_AS_LINUX;
        self.set(registers::CFG, cfg)?;
        self.set(registers::EQCR_PI, registers::READ_TRIGGER)?;
        self.set(registers::RCR_PI, registers::READ_TRIGGER)?;
        self.set(registers::SDQCR, 0)?;
        self.doorbells = doorbells;
        self.produced = 0;
        self.answer_valid = VALID;
        self.pull_valid = VALID;
        Ok(())
    }

    pub fn set(&self, register: u64, value: u32) -> Result<()> {
        self.registers.store(register as usize, value)
    }

    pub fn get(&self, register: u64) -> Result<u32> {
        self.registers.load(register as usize)
    }

    /// Puts an entry where it goes, its verb last.
    pub fn put(&self, at: u64, entry: &Entry) -> Result<()> {
        for (n, word) in entry.chunks_exact(8).enumerate().skip(1) {
            self.memory.store(at as usize + 8 * n, word_of(word))?;
        }
        dma_fence();
        self.memory.store(at as usize, word_of(&entry[..8]))?;
        dma_fence();
        Ok(())
    }

    /// Puts entries into the enqueue ring and rings.
    pub fn enqueue(&mut self, entries: &[Entry]) -> Result<()> {
        for entry in entries {
            let (index, valid) = match self.doorbells {
                Doorbells::Index => (self.produced % RINGS.eqcr_entries, self.valid()),
                Doorbells::Array => {
                    let allocated = self.get(registers::EQAR)?;
                    (allocated % RINGS.eqcr_entries, allocated as u8 & VALID)
                }
            };
            let mut entry = *entry;
            entry[0] = entry[0] & !VALID | valid;
            self.put(Rings::entry(RINGS.eqcr, index), &entry)?;
            match self.doorbells {
                Doorbells::Index => self.produced = (self.produced + 1) % (2 * RINGS.eqcr_entries),
                Doorbells::Array => {
                    let index = u64::from(index);
                    let doorbell = match index {
                        0..16 => registers::EQCR_AM_RT + 4 * index,
                        _ => registers::EQCR_AM_RT2 + 4 * (index - 16),
                    };
                    self.set(doorbell, registers::READ_TRIGGER)?;
                }
            }
        }
        if self.doorbells == Doorbells::Index {
            let value = registers::READ_TRIGGER | self.produced | u32::from(self.valid());
            self.set(registers::EQCR_PI, value)?;
        }
        Ok(())
    }

    /// Valid bit of the next entry of the enqueue ring.
    fn valid(&self) -> u8 {
        if self.produced < RINGS.eqcr_entries { VALID } else { 0 }
    }

    pub fn release(&mut self, entry: &Entry) -> Result<()> {
        let allocated = self.get(registers::RAR)?;
        let index = allocated & 0x7;
        let mut entry = *entry;
        entry[0] = entry[0] & !VALID | allocated as u8 & VALID;
        self.put(Rings::entry(RINGS.rcr, index), &entry)?;
        self.set(registers::RCR_AM_RT + 4 * u64::from(index), registers::READ_TRIGGER)
    }

    pub fn dequeue(&mut self, entry: &Entry) -> Result<()> {
        let mut entry = *entry;
        entry[0] = entry[0] & !VALID | self.pull_valid;
        self.pull_valid ^= VALID;
        self.put(RINGS.vdqcr, &entry)?;
        self.set(registers::VDQCR_RT, registers::READ_TRIGGER)
    }

    /// A management command; its answer, if one comes.
    pub fn manage(&mut self, entry: &Entry) -> Result<Option<Entry>> {
        self.manage_within(entry, MOMENT)
    }

    /// A management command that has to be answered.
    pub fn ask(&mut self, entry: &Entry) -> Result<Entry> {
        self.manage_within(entry, PATIENCE)?.ok_or_else(|| Error::PortalSilent {
            portal: self.object.to_string(),
            command: "a management command after a reset",
            waited: PATIENCE,
        })
    }

    fn manage_within(&mut self, entry: &Entry, patience: Duration) -> Result<Option<Entry>> {
        let mut entry = *entry;
        entry[0] = entry[0] & !VALID | self.answer_valid;
        self.put(RINGS.cr, &entry)?;
        self.set(registers::CR_RT, registers::READ_TRIGGER)?;
        let [at, _] = RINGS.rr;
        let start = Instant::now();
        loop {
            let word: u64 = self.memory.load(at as usize)?;
            if word.to_le_bytes()[0] == entry[0] {
                dma_fence();
                self.answer_valid ^= VALID;
                let mut answer = [0; 64];
                for (n, place) in answer.chunks_exact_mut(8).enumerate() {
                    let word: u64 = self.memory.load(at as usize + 8 * n)?;
                    place.copy_from_slice(&word.to_le_bytes());
                }
                return Ok(Some(answer));
            }
            if start.elapsed() > patience {
                return Ok(None);
            }
        }
    }
}

fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (place, byte) in word.iter_mut().zip(bytes) {
        *place = *byte;
    }
    u64::from_le_bytes(word)
}
