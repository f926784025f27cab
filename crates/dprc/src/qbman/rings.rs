// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The two areas of a portal: its rings and commands, and its registers.

use crate::error::Result;
use crate::memory::MappedRegion;
use qbman_abi::{Entry, Rings, VALID, registers};

/// Where a portal has its rings and commands, and how it learns of what is new in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// In memory; a doorbell makes the portal read it. Since QMan 5.0.
    MemoryBacked,
    /// In the portal, which sees the verb come. Before QMan 5.0.
    Direct,
}

impl Mode {
    /// Most frames of one volatile dequeue of any portal.
    pub const MOST: u8 = 32;

    /// Most frames of one volatile dequeue: 16 (Linux `qbman_pull_desc_set_numframes`), and 32
    /// with queue managers since 5.0, which DPDK uses on the LX2160A alone
    /// (`drivers/net/dpaa2/dpaa2_rxtx.c`).
    pub const fn most(self) -> u8 {
        match self {
            Self::MemoryBacked => Self::MOST,
            Self::Direct => 16,
        }
    }
}

/// The areas of a portal.
#[derive(Debug)]
pub(super) struct Areas {
    pub mode: Mode,
    /// Rings, commands and answers: plain memory that the portal shares, or the portal's own.
    pub memory: MappedRegion,
    /// Registers, 32 bits each.
    pub registers: MappedRegion,
}

/// Bytes of the words that entries are copied by.
const WORD: usize = 8;

impl Areas {
    /// Where rings and commands are in the first area.
    pub const fn rings(&self) -> &'static Rings {
        match self.mode {
            Mode::MemoryBacked => &Rings::MEMORY_BACKED,
            Mode::Direct => &Rings::DIRECT,
        }
    }

    /// Indices of the enqueue ring count modulo this plus one, which is twice its entries.
    pub const fn full_mask(&self) -> u32 {
        2 * self.rings().eqcr_entries - 1
    }

    /// How many entries of the enqueue ring the portal has consumed, modulo twice their
    /// number.
    pub fn consumed(&self) -> Result<u32> {
        let index: u32 = match self.mode {
            Mode::MemoryBacked => self.memory.load(self.rings().eqcr_ci as usize)?,
            Mode::Direct => self.register(registers::EQCR_CI)?,
        };
        Ok(index & self.full_mask())
    }

    /// Where the answer to a command with this valid bit comes.
    pub const fn answer(&self, valid: u8) -> u64 {
        self.rings().rr[(valid & VALID != 0) as usize]
    }

    /// Lets the portal know of what was handed over; where it sees that, nothing happens.
    pub fn ring(&self, doorbell: u64, value: u32) -> Result<()> {
        match self.mode {
            Mode::MemoryBacked => {
                fsl_mc_linux::dma_fence();
                self.set_register(doorbell, registers::READ_TRIGGER | value)
            }
            Mode::Direct => Ok(()),
        }
    }

    /// The first word of an entry: verb, and what else decides whether it is valid.
    pub fn first_word(&self, at: u64) -> Result<u64> {
        self.memory.load(at as usize)
    }

    /// An entry of a ring, or an answer.
    pub fn entry(&self, at: u64) -> Result<Entry> {
        let mut entry = [0; 64];
        for (index, word) in entry.chunks_exact_mut(WORD).enumerate() {
            let value: u64 = self.memory.load(at as usize + WORD * index)?;
            word.copy_from_slice(&value.to_le_bytes());
        }
        Ok(entry)
    }

    /// Writes all of an entry but its first word.
    pub fn fill(&self, at: u64, entry: &Entry) -> Result<()> {
        for index in 1..entry.len() / WORD {
            self.memory.store(at as usize + WORD * index, word_of(entry, index))?;
        }
        Ok(())
    }

    /// Writes the first word of an entry, whose verb hands the entry over. What was
    /// filled in has to be fenced off before.
    pub fn hand_over(&self, at: u64, entry: &Entry) -> Result<()> {
        self.memory.store(at as usize, word_of(entry, 0))
    }

    pub fn register(&self, register: u64) -> Result<u32> {
        self.registers.load(register as usize)
    }

    pub fn set_register(&self, register: u64, value: u32) -> Result<()> {
        self.registers.store(register as usize, value)
    }
}

fn word_of(entry: &Entry, index: usize) -> u64 {
    let mut word = [0; WORD];
    word.copy_from_slice(&entry[WORD * index..WORD * (index + 1)]);
    u64::from_le_bytes(word)
}
