// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tables as commands write them to guest memory: a header and entries (`struct
//! dump_table_header`, `struct dump_table_entry` of the reference headers).

use super::{State, memory};
use crate::mc::refusal::{Because, Refusal};
use crate::wriop::MAX_KEY_SIZE;
use mc_abi::{ObjectId, Status};

const HEADER: usize = 32;

/// How the entries of a family's tables are laid out: the structures say the same
/// fields, one of them with alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Results lie right behind the action (`dpsw`).
    Bytes,
    /// They lie at an even place (`dpni`).
    Words,
}

impl Packing {
    /// Bytes of an entry.
    fn size(self) -> usize {
        match self {
            Self::Bytes => 140,
            Self::Words => 142,
        }
    }
}

/// An entry of a table.
pub(crate) struct Entry {
    key: [u8; MAX_KEY_SIZE],
    mask: [u8; MAX_KEY_SIZE],
    action: u8,
    results: [u16; 3],
}

impl Entry {
    /// One that compares all bits of its key.
    pub fn exact(key: &[u8], action: u8, results: [u16; 3]) -> Self {
        let mask = [0xff; MAX_KEY_SIZE];
        Self::ternary(key, mask.get(..key.len()).unwrap_or(&mask), action, results)
    }

    /// One with a mask.
    pub fn ternary(key: &[u8], mask: &[u8], action: u8, results: [u16; 3]) -> Self {
        let padded = |bytes: &[u8]| {
            let mut padded = [0; MAX_KEY_SIZE];
            padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            padded
        };
        Self { key: padded(key), mask: padded(mask), action, results }
    }
}

/// A table.
pub(crate) struct Dump {
    pub entries: Vec<Entry>,
    /// Most entries.
    pub most: u16,
    /// What frames meet that match none.
    pub default_action: u8,
    /// Whether entries have masks.
    pub ternary: bool,
}

impl Dump {
    /// Writes the table to memory of `owner`'s container, as far as it fits; how
    /// many entries.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where not even the header fits,
    /// [`Status::DmaError`] where memory cannot be written.
    pub fn write(
        &self,
        state: &State,
        owner: ObjectId,
        table: u16,
        iova: u64,
        size: u32,
        packing: Packing,
    ) -> Result<u16, Refusal> {
        let room = (size as usize).checked_sub(HEADER).ok_or_else(|| {
            Status::ConfigurationError.because(format!("the header alone has {HEADER} bytes"))
        })?;
        let count = self.entries.len().min(room / packing.size());
        let mut bytes = Vec::with_capacity(HEADER + count * packing.size());
        for number in [table, self.entries.len() as u16, self.most] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([self.default_action, u8::from(self.ternary)]);
        bytes.resize(HEADER, 0);
        for entry in self.entries.iter().take(count) {
            let start = bytes.len();
            bytes.extend(entry.key);
            bytes.extend(entry.mask);
            bytes.push(entry.action);
            if packing == Packing::Words {
                bytes.push(0);
            }
            for result in entry.results {
                bytes.extend(result.to_le_bytes());
            }
            bytes.resize(start + packing.size(), 0);
        }
        memory::write(state, owner, iova, &bytes)?;
        // Tables are far smaller than the number.
        Ok(count as u16)
    }
}
