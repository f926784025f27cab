// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A translation context bank: its registers, its regime and its cache.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use super::access::{Access, Mapped};
use super::cache::Cache;
use super::fault::{ContextCause, GlobalCause};
use super::regime::{Regime, RegimeRegisters, Tables};
use super::report::Counts;
use super::shape::ADDRESS_BITS;
use super::tlb::Tlb;
use super::walk::{Leaf, WalkFault, walk};
use crate::host::GuestMemory;

/// `SCTLR.CFIE`.
const FAULT_INTERRUPT: u32 = 1 << 6;
/// M, TRE, AFE, AFFD, E, CFRE, CFIE, HUPCF, WXN, UWXN, ASIDPNE and the memory
/// attributes of bypass. CFCFG (stall on a fault) stays zero: see `sCR0.STALLD`.
const CONTROL_WRITABLE: u32 = 0x3fff_f77f;
/// `ACTLR.CPRE` (prefetch) and `CMTLB`, both set at power-on.
const AUXILIARY_WRITABLE: u32 = 0b11;
/// IRPTNDX, TYPE, memory attributes and VMID.
const ATTRIBUTES_WRITABLE: u32 = 0xff03_ffff;
/// VA64 and MONC. There are no 16-bit VMIDs.
const ATTRIBUTES2_WRITABLE: u32 = 0b11;

/// One context bank.
#[derive(Debug)]
pub(super) struct Bank {
    registers: RegimeRegisters,
    regime: Regime,
    cache: RwLock<Cache>,
    /// What transactions look at first. Entries are made with the cache locked,
    /// and none is left of what the cache has forgotten.
    tlb: Arc<Tlb>,
    pub(super) auxiliary: u32,
    pub(super) context_id: u32,
    pub(super) memory_attributes: [u32; 2],
    pub(super) physical_address: u64,
}

/// Why a bank has no address for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Global(GlobalCause),
    Context(ContextCause, u8),
}

impl Bank {
    /// A bank at power-on, with an empty cache in front of it.
    pub(super) fn new(tlb: Arc<Tlb>) -> Self {
        tlb.clear();
        let registers = RegimeRegisters::default();
        Self {
            regime: registers.decode(),
            registers,
            cache: RwLock::default(),
            tlb,
            auxiliary: AUXILIARY_WRITABLE,
            context_id: 0,
            memory_attributes: [0; 2],
            physical_address: 0,
        }
    }

    /// The registers that decide the regime.
    pub(super) fn registers(&self) -> &RegimeRegisters {
        &self.registers
    }

    /// Changes such a register. The regime follows at once, and nothing that
    /// was cached under the old one survives.
    pub(super) fn reconfigure(&mut self, change: impl FnOnce(&mut RegimeRegisters)) {
        change(&mut self.registers);
        self.registers.sctlr &= CONTROL_WRITABLE;
        self.registers.cbar &= ATTRIBUTES_WRITABLE;
        self.registers.cba2r &= ATTRIBUTES2_WRITABLE;
        self.regime = self.registers.decode();
        self.forget_all();
    }

    pub(super) fn set_auxiliary(&mut self, value: u32) {
        self.auxiliary = value & AUXILIARY_WRITABLE;
    }

    /// `SCTLR.CFIE`: faults raise the interrupt.
    pub(super) fn fault_interrupt(&self) -> bool {
        self.registers.sctlr & FAULT_INTERRUPT != 0
    }

    /// `CBAR.VMID`.
    pub(super) fn vmid(&self) -> u8 {
        self.registers.cbar as u8
    }

    /// Number of cached leaves.
    pub(super) fn cached(&self) -> usize {
        self.cache.read().len()
    }

    /// Forgets all translations.
    pub(super) fn forget_all(&mut self) {
        self.cache.get_mut().clear();
        self.tlb.clear();
    }

    /// Forgets the translations of an ASID.
    pub(super) fn forget_asid(&mut self, asid: u16) {
        if self.has_asid(asid) {
            self.cache.get_mut().forget_not_global();
            self.tlb.clear();
        }
    }

    /// Forgets the translations of a (sign-extended) address, for one ASID or
    /// for all.
    pub(super) fn forget_address(&mut self, address: u64, asid: Option<u16>) {
        let tagged = asid.is_none_or(|asid| self.has_asid(asid));
        let tlb = &self.tlb;
        let forgotten = |leaf: Leaf| tlb.forget(leaf.input, leaf.shift);
        self.cache.get_mut().forget_address(address, tagged, forgotten);
    }

    fn has_asid(&self, asid: u16) -> bool {
        matches!(&self.regime, Regime::Tables(t) if asid & t.asid_mask == t.asid)
    }

    /// Translates an address.
    ///
    /// # Errors
    /// What the tables, or the bank's set-up, have against it.
    pub(super) fn translate(
        &self,
        iova: u64,
        access: Access,
        memory: &dyn GuestMemory,
        counts: &Counts,
    ) -> Result<Mapped, Refusal> {
        let tables = match &self.regime {
            Regime::Unsupported => return Err(Refusal::Global(GlobalCause::InvalidContext)),
            Regime::Flat if iova >> ADDRESS_BITS != 0 => {
                return Err(Refusal::Context(ContextCause::AddressSize, 0));
            }
            Regime::Flat => return Ok(Mapped::flat(iova)),
            Regime::Tables(tables) => tables,
        };
        let leaf = self
            .leaf(tables, iova, memory, counts)
            .map_err(|WalkFault { cause, level }| Refusal::Context(cause, level as u8))?;
        if !leaf.permissions.allow(access) {
            let level = tables.level_of(iova, leaf.shift);
            return Err(Refusal::Context(ContextCause::Permission, level as u8));
        }
        let offset = iova & ((1 << leaf.shift) - 1);
        Ok(Mapped { address: leaf.output | offset, length: (1 << leaf.shift) - offset })
    }

    /// The leaf that maps `iova`, from the cache or else from the tables.
    fn leaf(
        &self,
        tables: &Tables,
        iova: u64,
        memory: &dyn GuestMemory,
        counts: &Counts,
    ) -> Result<Leaf, WalkFault> {
        let address = tables.space(iova).map(|(_, address)| address);
        // An address that is read otherwise than it is written would be forgotten
        // under the one name and found under the other.
        let note = |leaf: &Leaf| {
            if address == Some(iova) {
                let offset = iova & ((1 << leaf.shift) - 1);
                self.tlb.insert(iova, leaf.output | offset, leaf.permissions);
            }
        };
        if let Some(address) = address {
            let cache = self.cache.read();
            if let Some(leaf) = cache.find(address) {
                counts.hits.fetch_add(1, Ordering::Relaxed);
                note(&leaf);
                return Ok(leaf);
            }
        }
        counts.walks.fetch_add(1, Ordering::Relaxed);
        let leaf = walk(tables, iova, memory)?;
        let mut cache = self.cache.write();
        if cache.insert(leaf) {
            self.tlb.clear();
        }
        note(&leaf);
        Ok(leaf)
    }
}
