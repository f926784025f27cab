// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the SMMU tells about itself for traces and tests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::streams::{StreamMapping, StreamTarget};

/// Events since power-on, read at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Translations that the cache answered.
    pub hits: u64,
    /// Translations that walked the tables.
    pub walks: u64,
    /// Transactions that passed untranslated.
    pub bypasses: u64,
    /// TLB invalidation registers written.
    pub invalidations: u64,
    /// Transactions terminated with a global fault.
    pub global_faults: u64,
    /// Transactions terminated with a context fault.
    pub context_faults: u64,
}

/// The counters as they are counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) hits: AtomicU64,
    pub(super) walks: AtomicU64,
    pub(super) bypasses: AtomicU64,
    pub(super) invalidations: AtomicU64,
    pub(super) global_faults: AtomicU64,
    pub(super) context_faults: AtomicU64,
}

impl Counts {
    pub(super) fn read(&self) -> Counters {
        Counters {
            hits: self.hits.load(Ordering::Relaxed),
            walks: self.walks.load(Ordering::Relaxed),
            bypasses: self.bypasses.load(Ordering::Relaxed),
            invalidations: self.invalidations.load(Ordering::Relaxed),
            global_faults: self.global_faults.load(Ordering::Relaxed),
            context_faults: self.context_faults.load(Ordering::Relaxed),
        }
    }

    pub(super) fn reset(&self) {
        for counter in [
            &self.hits,
            &self.walks,
            &self.bypasses,
            &self.invalidations,
            &self.global_faults,
            &self.context_faults,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// A picture of the SMMU's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// `sCR0`.
    pub control: u32,
    /// `sCR0.CLIENTPD`: all streams pass untranslated.
    pub disabled: bool,
    /// `sGFSR`.
    pub global_fault_status: u32,
    /// The valid stream mappings.
    pub streams: Vec<StreamMapping>,
    /// The context banks that translate, that a stream mapping leads to, or
    /// that have a fault recorded.
    pub banks: Vec<BankDump>,
    /// Level of the interrupt line.
    pub interrupt: bool,
    /// Events so far.
    pub counters: Counters,
}

/// A context bank in a [`Dump`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankDump {
    /// Number of the bank.
    pub index: usize,
    /// `SCTLR`.
    pub control: u32,
    /// `TCR`.
    pub translation_control: u32,
    /// `TCR2`.
    pub translation_control2: u32,
    /// `TTBR0` and `TTBR1`, with the ASID.
    pub tables: [u64; 2],
    /// `CBAR`.
    pub attributes: u32,
    /// `CBA2R`.
    pub attributes2: u32,
    /// `FSR`.
    pub fault_status: u32,
    /// `FAR`.
    pub fault_address: u64,
    /// `FSYNR0`.
    pub fault_syndrome: u32,
    /// `CBFRSYNRA`: stream id of the recorded fault.
    pub fault_stream: u32,
    /// Pages and blocks in the translation cache.
    pub cached: usize,
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SMMU {}: sCR0 {:#010x}, sGFSR {:#x}, interrupt {}",
            if self.disabled { "off (all streams bypass)" } else { "on" },
            self.control,
            self.global_fault_status,
            if self.interrupt { "asserted" } else { "idle" },
        )?;
        for s in &self.streams {
            write!(f, "\n  SMR{} stream {:#x}", s.index, s.id)?;
            if s.mask != 0 {
                write!(f, " mask {:#x}", s.mask)?;
            }
            match s.target {
                StreamTarget::Bank(bank) => write!(f, " -> context bank {bank}")?,
                StreamTarget::Bypass => write!(f, " -> bypass")?,
                StreamTarget::Fault => write!(f, " -> fault")?,
            }
        }
        for b in &self.banks {
            write!(
                f,
                "\n  CB{} SCTLR {:#x} TCR {:#x} TCR2 {:#x} TTBR0 {:#x} TTBR1 {:#x} CBAR {:#x} \
                 CBA2R {:#x}, {} cached",
                b.index,
                b.control,
                b.translation_control,
                b.translation_control2,
                b.tables[0],
                b.tables[1],
                b.attributes,
                b.attributes2,
                b.cached,
            )?;
            if b.fault_status != 0 {
                write!(
                    f,
                    "; FSR {:#x} FAR {:#x} FSYNR0 {:#x} stream {:#x}",
                    b.fault_status, b.fault_address, b.fault_syndrome, b.fault_stream
                )?;
            }
        }
        let c = &self.counters;
        write!(
            f,
            "\n  {} hits, {} walks, {} bypasses, {} invalidations, {} global and {} context faults",
            c.hits, c.walks, c.bypasses, c.invalidations, c.global_faults, c.context_faults
        )
    }
}
