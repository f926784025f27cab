// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container's address space: translation tables and a context bank of the SMMU.
//!
//! Registers and descriptors are those of SMMUv2 (Linux `arm-smmu.h`) and of the format
//! VMSAv8-64: pages of 4 KiB, 48 bits, four levels.

use crate::physical::{Physical, TABLES};
use board::{Board, Window};
use dprc::{Access, AddressSpace, Error, Result};
use fsl_mc_linux::{Mapping, dma_fence};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::{collections::BTreeMap, fmt, sync::Arc};

const PAGE: u64 = 4096;
const BITS: u32 = 48;
/// Entries of a table.
const ENTRIES: u64 = 512;
/// Bytes of memory for the tables of all address spaces; pages that are not used cost nothing.
pub const TABLE_MEMORY: usize = 64 << 20;

/// A descriptor that leads to a table, or, at the last level, to a page.
const VALID: u64 = 0b11;
/// Accessed, unprivileged, not global, never executed: what Linux writes for DMA.
const READ_WRITE: u64 = 1 << 6 | 1 << 10 | 1 << 11 | 1 << 53 | 1 << 54;
const READ_ONLY: u64 = 1 << 7;
const ADDRESS: u64 = 0xffff_ffff_f000;

/// Register of the whole SMMU: translate, and let unknown streams meet a fault.
const CR0: (u64, u32) = (0, 1 << 21);

/// Where messages of interrupts go: the page that containers see it at, and what it is behind
/// the translation.
pub const DOORBELL: u64 = 0x0800_0000;

/// The tables of all address spaces.
pub struct Tables {
    memory: Arc<Mapping>,
    /// The next table that nobody has.
    next: Mutex<u64>,
}

impl Tables {
    pub fn new(memory: Arc<Mapping>) -> Self {
        Self { memory, next: Mutex::new(TABLES) }
    }

    /// A table of zeros; `None` when the memory is used up.
    fn take(&self) -> Option<u64> {
        let mut next = self.next.lock();
        let table = *next;
        (table + PAGE <= TABLES + self.memory.length() as u64).then(|| {
            *next += PAGE;
            table
        })
    }

    fn load(&self, at: u64) -> u64 {
        self.memory.load((at - TABLES) as usize).unwrap_or(0)
    }

    fn store(&self, at: u64, value: u64) {
        // Addresses are those of tables that were taken.
        let _ = self.memory.store((at - TABLES) as usize, value);
    }

    /// Where the descriptor of a page is; makes tables on the way.
    fn descriptor(&self, root: u64, iova: u64) -> Option<u64> {
        let slot = |table: u64, level: u32| table + (iova >> (39 - 9 * level)) % ENTRIES * 8;
        let mut table = root;
        for level in 0..3 {
            let at = slot(table, level);
            table = match self.load(at) {
                0 => {
                    let new = self.take()?;
                    self.store(at, new | VALID);
                    new
                }
                entry => entry & ADDRESS,
            };
        }
        Some(slot(table, 3))
    }
}

/// The address space of an isolation id.
pub struct Space {
    board: Arc<Board>,
    physical: Arc<Physical>,
    tables: Arc<Tables>,
    /// Number of its context bank, and of the address space in the TLB.
    bank: u16,
    root: u64,
    /// What is mapped: I/O virtual address to size in bytes and physical address.
    mapped: Mutex<BTreeMap<u64, (u64, u64)>>,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("bank", &self.bank).finish_non_exhaustive()
    }
}

impl Space {
    /// Gives an isolation id a context bank with empty tables. `None` where the SMMU has no
    /// bank left, or the tables have no memory.
    pub fn new(
        board: &Arc<Board>,
        physical: &Arc<Physical>,
        tables: &Arc<Tables>,
        bank: u16,
        icid: u16,
    ) -> Option<Self> {
        if usize::from(bank) >= board.smmu().shape().context_banks() {
            return None;
        }
        let root = tables.take()?;
        let (board, physical, tables) = (board.clone(), physical.clone(), tables.clone());
        let space = Self { board, physical, tables, bank, root, mapped: Mutex::default() };
        space.map_doorbell()?;
        dma_fence();
        space.enable(icid);
        Some(space)
    }

    fn map_doorbell(&self) -> Option<()> {
        let at = self.tables.descriptor(self.root, DOORBELL)?;
        self.tables.store(at, DOORBELL | READ_WRITE | VALID);
        Some(())
    }

    fn enable(&self, icid: u16) {
        let n = u64::from(self.bank);
        self.bank_register(0x30, 1 << 23 | (64 - BITS)); // TCR: lower half only
        self.bank_register(0x10, 0b101 | 1 << 4 | 0b111 << 15); // TCR2: 48 bits
        let root = (self.root | n << 48).to_le_bytes(); // TTBR0 with the ASID
        self.board.write(Window::Smmu, self.bank_offset(0x20), &root);
        self.bank_register(0, 0x1067); // SCTLR: on, with faults
        self.register(0x1000 + 4 * n, 1 << 16); // CBAR: stage 1
        self.register(0x1800 + 4 * n, 1); // CBA2R: AArch64
        self.register(0xc00 + 4 * n, n as u32); // S2CR: to this bank
        self.register(0x800 + 4 * n, 1 << 31 | u32::from(icid)); // SMR: valid
        self.register(CR0.0, CR0.1);
    }

    fn bank_offset(&self, register: u64) -> u64 {
        board::smmu::FRAME_SIZE / 2 + u64::from(self.bank) * 0x1000 + register
    }

    fn bank_register(&self, register: u64, value: u32) {
        self.register(self.bank_offset(register), value);
    }

    fn register(&self, register: u64, value: u32) {
        self.board.write(Window::Smmu, register, &value.to_le_bytes());
    }

    /// Forgets translations that the SMMU has cached.
    fn invalidate(&self) {
        dma_fence();
        self.bank_register(0x610, self.bank.into()); // TLBIASID
    }

    fn set(&self, iova: u64, size: u64, descriptor_of: impl Fn(u64) -> u64) -> Option<()> {
        for offset in (0..size).step_by(PAGE as usize) {
            let at = self.tables.descriptor(self.root, iova + offset)?;
            self.tables.store(at, descriptor_of(offset));
        }
        Some(())
    }
}

impl AddressSpace for Space {
    fn map(&self, memory: &Arc<Mapping>, iova: u64, access: Access) -> Result<()> {
        let size = memory.length() as u64;
        let refuse = |errno, advice| {
            let of = format!("IOVA {iova:#x}, {size:#x} bytes");
            Err(Error::Kernel { asked: "mapping for DMA", of, errno, advice })
        };
        let end = iova.checked_add(size).filter(|end| *end <= 1 << BITS);
        let (Some(end), true) =
            (end, iova.is_multiple_of(PAGE) && size.is_multiple_of(PAGE) && size > 0)
        else {
            return refuse(Errno::INVAL, "Whole pages below 2^48 can be mapped");
        };
        let mut mapped = self.mapped.lock();
        let before = mapped.range(..end).next_back();
        let taken = before.is_some_and(|(start, (size, _))| start + size > iova);
        if taken || (iova < DOORBELL + PAGE && end > DOORBELL) {
            return refuse(Errno::EXIST, "Something is mapped there already");
        }
        let physical = self.physical.add(memory);
        let attributes = match access {
            Access::Read => READ_WRITE | READ_ONLY,
            // The first stage has no pages that are written only.
            Access::Write | Access::ReadWrite => READ_WRITE,
        };
        if self.set(iova, size, |offset| (physical + offset) | attributes | VALID).is_none() {
            // As far as there are tables.
            let _ = self.set(iova, size, |_| 0);
            self.invalidate();
            self.physical.remove(physical);
            return refuse(Errno::NOMEM, "The tables have no memory left: map less at a time");
        }
        dma_fence();
        mapped.insert(iova, (size, physical));
        Ok(())
    }

    fn unmap(&self, iova: u64, size: u64) -> Result<()> {
        let mut mapped = self.mapped.lock();
        let Some((_, physical)) = mapped.get(&iova).copied().filter(|(found, _)| *found == size)
        else {
            let of = format!("IOVA {iova:#x}, {size:#x} bytes");
            let advice = "Nothing was mapped like that";
            return Err(Error::Kernel { asked: "unmapping", of, errno: Errno::INVAL, advice });
        };
        // The tables are there: `map` has made them.
        let _ = self.set(iova, size, |_| 0);
        self.invalidate();
        self.physical.remove(physical);
        mapped.remove(&iova);
        Ok(())
    }
}
