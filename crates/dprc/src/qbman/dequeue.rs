// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Volatile dequeues: up to so many frames, once, into memory.

use super::portal::Portal;
use super::rings::Mode;
use super::{DequeueEntry, Source, Status};
use crate::error::{Error, Result};
use fsl_mc_linux::dma_fence;
use qbman_abi::{Entry, VALID, VolatileDequeue, registers};
use std::time::Instant;

/// Comes back in each entry; not 0, which is what the storage is cleared to.
const TOKEN: u8 = 1;
/// The first word of an entry, as large as all that says that the entry is there.
const FIRST_WORD: usize = 8;

impl Portal {
    /// Takes up to `most` frames (1 to [`Portal::most`]) out of a queue, or out of the
    /// queues of a channel, and appends them to `into`; how many. Their buffers belong to
    /// the program from then on. None is a normal answer.
    ///
    /// # Errors
    /// [`Error::Argument`], [`Error::PortalSilent`] where no answer comes, and
    /// [`Error::PortalLost`] after that.
    pub fn dequeue(
        &mut self,
        source: Source,
        most: u8,
        into: &mut Vec<DequeueEntry>,
    ) -> Result<usize> {
        self.check()?;
        if !(1..=self.most()).contains(&most) {
            let problem = match self.areas.mode {
                Mode::MemoryBacked => "is no number of frames to dequeue: 1 to 32 are",
                Mode::Direct => "is no number of frames to dequeue from this portal: 1 to 16 are",
            };
            return Err(Error::Argument { what: "the number", value: most.into(), problem });
        }
        let command = VolatileDequeue::new(source, most, TOKEN, self.storage.iova());
        let command = command.ok_or(Error::Argument {
            what: "the source's kind",
            value: 3,
            problem: "means nothing: name a channel, a work queue or a queue",
        })?;
        for index in 0..usize::from(most) {
            self.storage.store(64 * index, 0_u64);
        }
        self.pull(&command)?;
        let before = into.len();
        for index in 0..usize::from(most) {
            let entry = self.wait_for(index)?;
            if entry.status.has(Status::VALID_FRAME) {
                into.push(entry);
            }
            if entry.status.has(Status::EXPIRED) {
                break;
            }
        }
        Ok(into.len() - before)
    }

    fn pull(&mut self, command: &VolatileDequeue) -> Result<()> {
        let mut entry = command.to_bytes();
        entry[0] |= self.pull_valid;
        self.pull_valid ^= VALID;
        let at = self.areas.rings().vdqcr;
        self.areas.fill(at, &entry)?;
        dma_fence();
        self.areas.hand_over(at, &entry)?;
        self.areas.ring(registers::VDQCR_RT, 0)
    }

    /// The entry with this number, once it is there: its token is written last.
    fn wait_for(&mut self, index: usize) -> Result<DequeueEntry> {
        let at = 64 * index;
        let mut start = None;
        let outside = || Error::Argument {
            what: "the entry",
            value: index as u64,
            problem: "is outside of the portal's storage",
        };
        loop {
            let word: u64 = self.storage.load(at).ok_or_else(outside)?;
            let word = word.to_le_bytes();
            if word[DequeueEntry::TOKEN] == TOKEN {
                dma_fence();
                let mut entry: Entry = [0; 64];
                self.storage.read(at, &mut entry).ok_or_else(outside)?;
                entry[..FIRST_WORD].copy_from_slice(&word);
                return DequeueEntry::from_bytes(&entry).ok_or_else(|| Error::PortalState {
                    portal: self.name.clone(),
                    what: format!("a dequeue wrote an entry with the verb {:#04x}", entry[0]),
                });
            }
            // The clock is not looked at where the entry is there already.
            let since = *start.get_or_insert_with(Instant::now);
            if since.elapsed() > self.patience {
                return Err(self.silent("a volatile dequeue"));
            }
            std::hint::spin_loop();
        }
    }
}
