// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Faults: what a terminated transaction reports, and the registers that
//! remember the first of them.

use super::access::{Access, AccessKind};
use crate::host::BusError;

/// Why the SMMU terminated a transaction.
///
/// Whether the bus master sees an abort or reads zeros (`SCTLR.CFRE`,
/// `sCR0.GFRE`) is left to the caller: the transaction reached no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No context bank could be found for the stream.
    #[error("SMMU global fault: stream {stream:#x} at IOVA {iova:#x}: {cause}")]
    Global {
        /// What was wrong.
        cause: GlobalCause,
        /// Stream id of the transaction.
        stream: u16,
        /// Address of the transaction.
        iova: u64,
    },
    /// The context bank of the stream has no such mapping.
    #[error(
        "SMMU context fault: stream {stream:#x} at IOVA {iova:#x}: {cause} at level {level} of the \
         tables of context bank {bank}"
    )]
    Context {
        /// What was wrong.
        cause: ContextCause,
        /// The context bank that recorded the fault.
        bank: u8,
        /// Stream id of the transaction.
        stream: u16,
        /// Address of the transaction.
        iova: u64,
        /// Level of the translation table at which the walk ended, 0 to 3.
        level: u8,
    },
}

/// Causes of [`Fault::Global`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GlobalCause {
    /// ICF: the stream maps to a faulting S2CR or to a bank of an unsupported kind.
    #[error("its stream mapping leads to no usable context")]
    InvalidContext,
    /// USF: no SMR matches and `sCR0.USFCFG` forbids bypass.
    #[error("no stream mapping matches and unidentified streams are not let through")]
    UnidentifiedStream,
    /// SMCF: more than one valid SMR matches.
    #[error("more than one stream mapping matches")]
    StreamMatchConflict,
    /// UCBF: S2CR names a context bank that is not there.
    #[error("its stream mapping names a context bank that is not implemented")]
    UnimplementedBank,
}

/// Causes of [`Fault::Context`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContextCause {
    /// TF: no valid descriptor, or an address that no table covers.
    #[error("translation fault (nothing mapped)")]
    Translation,
    /// AFF: the descriptor's access flag is clear.
    #[error("access flag fault")]
    AccessFlag,
    /// PF: mapped, but not for this kind of access.
    #[error("permission fault")]
    Permission,
    /// EF: the table itself could not be read.
    #[error("external abort on the table walk")]
    External,
    /// ASF: an address in a table or in TTBR exceeds the output size.
    #[error("address size fault")]
    AddressSize,
}

/// Why a transfer through a stream did not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DmaError {
    /// The SMMU terminated it (and recorded the fault).
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It was translated, but there is no memory behind the mapping.
    #[error("stream {stream:#x} at IOVA {iova:#x}: {source}")]
    Bus {
        /// Stream id of the transaction.
        stream: u16,
        /// Address of the part that failed, before translation.
        iova: u64,
        /// The physical access that failed.
        source: BusError,
    },
}

impl GlobalCause {
    /// Bit of `sGFSR`.
    fn bit(self) -> u32 {
        match self {
            Self::InvalidContext => 1 << 0,
            Self::UnidentifiedStream => 1 << 1,
            Self::StreamMatchConflict => 1 << 2,
            Self::UnimplementedBank => 1 << 3,
        }
    }
}

impl ContextCause {
    /// Bit of a bank's `FSR`.
    fn bit(self) -> u32 {
        match self {
            Self::Translation => 1 << 1,
            Self::AccessFlag => 1 << 2,
            Self::Permission => 1 << 3,
            Self::External => 1 << 4,
            Self::AddressSize => 1 << 7,
        }
    }
}

/// `MULTI` of both fault status registers.
const MULTI: u32 = 1 << 31;

/// Every bit of `sGFSR`.
const GLOBAL_STATUS: u32 = MULTI | 0x1ff;
/// The bits of `sGFSR` about accesses to the SMMU's own registers (UCIF, CAF),
/// which `sCR0.GCFGFIE` turns into interrupts instead of `sCR0.GFIE`.
const CONFIGURATION_FAULTS: u32 = 1 << 4 | 1 << 5;

/// The fault bits of `FSR`: MULTI, SS, UUT, ASF, TLBLKF, TLBMCF, EF, PF, AFF, TF.
const CONTEXT_STATUS: u32 = MULTI | 1 << 30 | 0x1fe;
/// `FSR.FORMAT`: the fault was met with AArch64 tables.
const FORMAT_AARCH64: u32 = 0b10 << 9;

/// `sGFSR` and the registers that describe the fault in it.
#[derive(Debug, Clone, Default)]
pub(super) struct GlobalFaults {
    status: u32,
    pub(super) address: u64,
    pub(super) syndrome: [u32; 3],
}

impl GlobalFaults {
    pub(super) fn status(&self) -> u32 {
        self.status
    }

    /// A write to `sGFSR` clears the bits written as one.
    pub(super) fn clear(&mut self, bits: u32) {
        self.status &= !bits;
    }

    /// A write to `sGFSRRESTORE` sets the bits written as one.
    pub(super) fn restore(&mut self, bits: u32) {
        self.status |= bits & GLOBAL_STATUS;
    }

    /// Records a fault, or only that there was a further one.
    pub(super) fn record(&mut self, cause: GlobalCause, stream: u16, iova: u64, access: Access) {
        if self.status != 0 {
            self.status |= MULTI;
            return;
        }
        self.status = cause.bit();
        self.address = iova;
        let write = u32::from(access.kind == AccessKind::Write) << 1;
        let privileged = u32::from(access.privileged) << 2;
        let instruction = u32::from(access.kind == AccessKind::Fetch) << 3;
        self.syndrome = [write | privileged | instruction, u32::from(stream), 0];
    }

    /// Whether the global interrupt is asserted, given which kinds raise one.
    pub(super) fn interrupts(&self, transactions: bool, configuration: bool) -> bool {
        transactions && self.status & !CONFIGURATION_FAULTS != 0
            || configuration && self.status & CONFIGURATION_FAULTS != 0
    }
}

/// A bank's `FSR` and the registers that describe the fault in it.
#[derive(Debug, Clone, Default)]
pub(super) struct BankFaults {
    status: u32,
    pub(super) address: u64,
    pub(super) syndrome: [u32; 2],
    /// `CBFRSYNRA`: the stream that met the fault.
    pub(super) stream: u32,
}

impl BankFaults {
    pub(super) fn status(&self) -> u32 {
        self.status
    }

    /// A write to `FSR` clears the fault bits written as one.
    pub(super) fn clear(&mut self, bits: u32) {
        self.status &= !(bits & CONTEXT_STATUS);
        if self.status & CONTEXT_STATUS == 0 {
            self.status = 0;
        }
    }

    /// A write to `FSRRESTORE` sets the fault bits written as one.
    pub(super) fn restore(&mut self, bits: u32) {
        let bits = bits & CONTEXT_STATUS;
        if bits != 0 {
            self.status |= bits | FORMAT_AARCH64;
        }
    }

    /// Records a fault, or only that there was a further one.
    pub(super) fn record(
        &mut self,
        cause: ContextCause,
        bank: u8,
        level: u8,
        stream: u16,
        iova: u64,
        access: Access,
    ) {
        if self.status & CONTEXT_STATUS != 0 {
            self.status |= MULTI;
            return;
        }
        self.status = cause.bit() | FORMAT_AARCH64;
        self.address = iova;
        let level = u32::from(level) & 0b11;
        let write = u32::from(access.kind == AccessKind::Write) << 4;
        let privileged = u32::from(access.privileged) << 5;
        let instruction = u32::from(access.kind == AccessKind::Fetch) << 6;
        let stage1_bank = u32::from(bank) << 16;
        self.syndrome = [level | write | privileged | instruction | stage1_bank, 0];
        self.stream = u32::from(stream);
    }

    /// Whether there is anything for a context interrupt to report.
    pub(super) fn pending(&self) -> bool {
        self.status & CONTEXT_STATUS != 0
    }
}
