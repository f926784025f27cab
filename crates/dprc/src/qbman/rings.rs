// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The two areas of a portal: its rings and commands in memory, and its registers.

use crate::error::Result;
use crate::memory::MappedRegion;
use qbman_abi::Entry;

/// The areas of a memory-backed portal.
#[derive(Debug)]
pub(super) struct Areas {
    /// Rings, commands and answers: plain memory that the portal shares.
    pub memory: MappedRegion,
    /// Registers, 32 bits each.
    pub registers: MappedRegion,
}

/// Bytes of the words that entries are copied by.
const WORD: usize = 8;

impl Areas {
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
