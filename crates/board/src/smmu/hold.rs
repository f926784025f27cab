// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Several accesses as one transaction.

use super::access::{Access, Mapped};
use super::fault::{DmaError, Fault};
use super::reader_lock::{self, ReadGuard, Slot};
use super::streams::Route;
use super::tlb::Entries;
use super::{Smmu, bus_error};
use std::cell::Cell;
use std::fmt;
use std::ops::Range;

/// A transaction under way: see [`Smmu::hold`].
#[must_use = "the transaction ends when this is dropped"]
pub struct Hold<'a> {
    smmu: &'a Smmu,
    /// There until the drop.
    guard: Option<ReadGuard<'a>>,
}

impl<'a> Hold<'a> {
    #[inline]
    pub(super) fn new(smmu: &'a Smmu) -> Self {
        Self { smmu, guard: Some(smmu.lock.read()) }
    }

    /// Memory as the bus master `id` sees it, for accesses of this transaction.
    #[inline]
    pub fn stream(&self, id: u16) -> HeldStream<'_> {
        HeldStream { hold: self, slot: self.slot(), id, way: Cell::new(self.smmu.way(id)) }
    }

    /// The slot of the thread, if it has one.
    #[inline]
    fn slot(&self) -> Option<&Slot> {
        self.guard.as_ref().and_then(ReadGuard::slot)
    }
}

impl Drop for Hold<'_> {
    #[inline]
    fn drop(&mut self) {
        let inner = self.guard.take().is_some_and(|guard| guard.is_inner());
        if !inner {
            self.smmu.settle();
        }
    }
}

impl fmt::Debug for Hold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

/// Memory as one bus master sees it during one transaction: where its stream goes is
/// looked up once, since no register changes meanwhile.
pub struct HeldStream<'h> {
    hold: &'h Hold<'h>,
    /// Where hits are counted.
    slot: Option<&'h Slot>,
    id: u16,
    way: Cell<Way<'h>>,
}

/// Where the data accesses of a stream go.
#[derive(Clone, Copy)]
enum Way<'h> {
    /// Only the state knows.
    Unknown,
    Bypass,
    Bank {
        entries: Entries<'h>,
        privileged: bool,
    },
}

impl Smmu {
    /// Where a stream goes, as far as that is known without a look at the state.
    #[inline]
    fn way(&self, id: u16) -> Way<'_> {
        match self.routes.find(id, Access::READ) {
            Some(Route::Bypass) => Way::Bypass,
            Some(Route::Bank(bank, Access { privileged, .. })) => {
                let entries = self.tlbs.get(bank).and_then(|tlb| tlb.entries());
                entries.map_or(Way::Unknown, |entries| Way::Bank { entries, privileged })
            }
            None => Way::Unknown,
        }
    }
}

impl HeldStream<'_> {
    /// Reads `buf.len()` bytes at I/O virtual address `iova`.
    ///
    /// # Errors
    /// [`DmaError`] with the address of the part that failed; `buf` holds what
    /// came before it.
    #[inline]
    pub fn read(&self, iova: u64, buf: &mut [u8]) -> Result<(), DmaError> {
        self.pieces(iova, 0..buf.len(), Access::READ, |range, address| {
            let Some(part) = buf.get_mut(range.clone()) else { return Ok(()) };
            let read = self.hold.smmu.memory.read(address, part);
            read.map_err(|source| bus_error(self.id, iova, &range, source))
        })
    }

    /// Writes `data` at I/O virtual address `iova`.
    ///
    /// # Errors
    /// [`DmaError`] with the address of the part that failed; what came before
    /// it is written.
    #[inline]
    pub fn write(&self, iova: u64, data: &[u8]) -> Result<(), DmaError> {
        self.pieces(iova, 0..data.len(), Access::WRITE, |range, address| {
            let Some(part) = data.get(range.clone()) else { return Ok(()) };
            let written = self.hold.smmu.memory.write(address, part);
            written.map_err(|source| bus_error(self.id, iova, &range, source))
        })
    }

    /// Writes several parts (I/O virtual address, bytes), in their order: those that lie
    /// behind the first one in the same page are translated with it.
    ///
    /// # Errors
    /// [`DmaError`] with the address of what failed; what came before it is written.
    #[inline]
    pub fn write_parts<const N: usize>(&self, parts: [(u64, &[u8]); N]) -> Result<(), DmaError> {
        let mut page: Option<(u64, Mapped)> = None;
        for (iova, data) in parts {
            let fits = |(start, mapped): &(u64, Mapped)| {
                iova.wrapping_sub(*start).saturating_add(data.len() as u64) <= mapped.length
            };
            let (start, mapped) = match page.filter(fits) {
                Some(known) => known,
                None => *page.insert((iova, self.map(iova, Access::WRITE)?)),
            };
            if fits(&(start, mapped)) {
                let address = mapped.address + iova.wrapping_sub(start);
                let written = self.hold.smmu.memory.write(address, data);
                written.map_err(|source| bus_error(self.id, iova, &(0..data.len()), source))?;
            } else {
                self.write(iova, data)?;
            }
        }
        Ok(())
    }

    /// Calls `visit` for each piece of a range of offsets from `iova` that lies in one
    /// page: with its offsets and the physical address of its first byte.
    #[inline]
    pub(super) fn pieces(
        &self,
        iova: u64,
        Range { start, end }: Range<usize>,
        access: Access,
        mut visit: impl FnMut(Range<usize>, u64) -> Result<(), DmaError>,
    ) -> Result<(), DmaError> {
        let mut done = start;
        while done < end {
            let mapped = self.map(iova.wrapping_add(done as u64), access)?;
            let piece = mapped.piece(end - done);
            visit(done..done + piece, mapped.address)?;
            done += piece;
        }
        Ok(())
    }

    /// Translates; `access` is [`Access::READ`] or [`Access::WRITE`]. Of what is known
    /// the length ends with the 4 KiB page.
    #[inline(always)]
    pub(super) fn map(&self, iova: u64, access: Access) -> Result<Mapped, Fault> {
        let (slot, smmu) = (self.slot, self.hold.smmu);
        match self.way.get() {
            Way::Bypass => {
                reader_lock::count(slot.map(|slot| &slot.bypasses), &smmu.counts.bypasses);
                return Ok(Mapped::flat(iova));
            }
            Way::Bank { entries, privileged } => {
                if let Some(mapped) = entries.find(iova, Access { privileged, ..access }) {
                    reader_lock::count(slot.map(|slot| &slot.hits), &smmu.counts.hits);
                    return Ok(mapped);
                }
            }
            Way::Unknown => {}
        }
        let mapped = smmu.miss(self.id, iova, access);
        self.way.set(smmu.way(self.id));
        mapped
    }
}

impl fmt::Debug for HeldStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldStream").field("id", &self.id).finish_non_exhaustive()
    }
}
