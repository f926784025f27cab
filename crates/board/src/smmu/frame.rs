// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where the registers are: from an offset in the frame to a register.
//!
//! Offsets: Linux's `arm-smmu.h`, and for what it does not name the Arm System
//! MMU Architecture Specification version 2 (IHI 0062).

use super::shape::{BANKS_AT, PAGE_SIZE, Shape};

/// A 32-bit register, or one half of a 64-bit one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Register {
    /// `sCR0`: what happens to streams and faults in general.
    Control,
    /// `sCR2`: VMID of bypassed streams.
    BypassVmid,
    /// `sACR`, defined by the MMU-500.
    Auxiliary,
    /// `IDRn`.
    Identification(usize),
    /// `sGFAR`.
    GlobalFaultAddress(Half),
    /// `sGFSR`.
    GlobalFaultStatus,
    /// `sGFSRRESTORE`.
    GlobalFaultRestore,
    /// `sGFSYNRn`.
    GlobalFaultSyndrome(usize),
    /// `TLBIVMID`.
    InvalidateVmid,
    /// `TLBIALLNSNH`.
    InvalidateAll,
    /// `TLBIALLH`, `TLBIVAH`: about hypervisor contexts, which are not there.
    InvalidateHypervisor,
    /// `sTLBGSYNC`, `TLBSYNC` of a bank.
    Sync,
    /// `sTLBGSTATUS`, `TLBSTATUS` of a bank, `ATSR`: nothing is ever pending.
    Idle,
    /// `SMRn`.
    StreamMatch(usize),
    /// `S2CRn`.
    StreamToContext(usize),
    /// `CBARn`.
    BankAttributes(usize),
    /// `CBFRSYNRAn`.
    BankFaultStream(usize),
    /// `CBA2Rn`.
    BankAttributes2(usize),
    /// A register of a context bank's own page.
    Bank(usize, BankRegister),
}

/// Registers in the page of a context bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BankRegister {
    /// `SCTLR`.
    Control,
    /// `ACTLR`, defined by the MMU-500.
    Auxiliary,
    /// `RESUME`: continues a stalled transaction; none ever stalls.
    Resume,
    /// `TCR2`.
    Translation2,
    /// `TTBRn`.
    Table(usize, Half),
    /// `TCR`.
    Translation,
    /// `CONTEXTIDR`.
    ContextId,
    /// `MAIRn`.
    MemoryAttributes(usize),
    /// `PAR`.
    PhysicalAddress(Half),
    /// `FSR`.
    FaultStatus,
    /// `FSRRESTORE`.
    FaultRestore,
    /// `FAR`.
    FaultAddress(Half),
    /// `FSYNRn`.
    FaultSyndrome(usize),
    /// `TLBIVA`, `TLBIVAL`: one address, one ASID.
    InvalidateAddress(Half),
    /// `TLBIVAA`, `TLBIVAAL`: one address, every ASID.
    InvalidateAddressAllAsids(Half),
    /// `TLBIASID`.
    InvalidateAsid,
    /// `TLBIALL`.
    InvalidateAll,
}

/// Which 32 bits of a 64-bit register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Low,
    High,
}

impl Half {
    /// These 32 bits of `value`.
    pub(super) fn of(self, value: u64) -> u32 {
        match self {
            Self::Low => value as u32,
            Self::High => (value >> 32) as u32,
        }
    }

    /// Replaces these 32 bits of `value`.
    pub(super) fn set(self, value: &mut u64, word: u32) {
        *value = match self {
            Self::Low => *value & !0xffff_ffff | u64::from(word),
            Self::High => *value & 0xffff_ffff | u64::from(word) << 32,
        };
    }
}

impl Register {
    /// The register at `offset` (a multiple of 4), or `None` where there is
    /// none. Indices in the result are within `shape`.
    pub(super) fn at(shape: Shape, offset: u64) -> Option<Self> {
        let (page, within) = (offset / PAGE_SIZE, offset % PAGE_SIZE);
        if offset >= BANKS_AT {
            let bank = usize::try_from((offset - BANKS_AT) / PAGE_SIZE).ok()?;
            let register = BankOrShared::at(within)?;
            return (bank < shape.context_banks()).then_some(match register {
                BankOrShared::Own(register) => Self::Bank(bank, register),
                BankOrShared::Shared(register) => register,
            });
        }
        match page {
            0 => Self::global_space_0(shape, within),
            1 => Self::global_space_1(shape, within),
            _ => None,
        }
    }

    fn global_space_0(shape: Shape, offset: u64) -> Option<Self> {
        Some(match offset {
            0x00 => Self::Control,
            0x08 => Self::BypassVmid,
            0x10 => Self::Auxiliary,
            0x20..0x40 => Self::Identification(element(offset, 0x20, 8)?),
            0x40 => Self::GlobalFaultAddress(Half::Low),
            0x44 => Self::GlobalFaultAddress(Half::High),
            0x48 => Self::GlobalFaultStatus,
            0x4c => Self::GlobalFaultRestore,
            0x50..0x5c => Self::GlobalFaultSyndrome(element(offset, 0x50, 3)?),
            0x64 => Self::InvalidateVmid,
            0x68 => Self::InvalidateAll,
            0x6c | 0x78 | 0x7c => Self::InvalidateHypervisor,
            0x70 => Self::Sync,
            0x74 => Self::Idle,
            0x800..0xc00 => Self::StreamMatch(element(offset, 0x800, shape.stream_maps())?),
            0xc00.. => Self::StreamToContext(element(offset, 0xc00, shape.stream_maps())?),
            _ => return None,
        })
    }

    fn global_space_1(shape: Shape, offset: u64) -> Option<Self> {
        let banks = shape.context_banks();
        Some(match offset {
            0x000..0x400 => Self::BankAttributes(element(offset, 0, banks)?),
            0x400..0x800 => Self::BankFaultStream(element(offset, 0x400, banks)?),
            0x800..0xc00 => Self::BankAttributes2(element(offset, 0x800, banks)?),
            _ => return None,
        })
    }
}

/// What is in a context bank's page: most is the bank's, some is the same in
/// every bank.
enum BankOrShared {
    Own(BankRegister),
    Shared(Register),
}

impl BankOrShared {
    fn at(offset: u64) -> Option<Self> {
        use BankRegister as R;
        let half = if offset & 4 == 0 { Half::Low } else { Half::High };
        Some(Self::Own(match offset {
            0x00 => R::Control,
            0x04 => R::Auxiliary,
            0x08 => R::Resume,
            0x10 => R::Translation2,
            0x20 | 0x24 => R::Table(0, half),
            0x28 | 0x2c => R::Table(1, half),
            0x30 => R::Translation,
            0x34 => R::ContextId,
            0x38 => R::MemoryAttributes(0),
            0x3c => R::MemoryAttributes(1),
            0x50 | 0x54 => R::PhysicalAddress(half),
            0x58 => R::FaultStatus,
            0x5c => R::FaultRestore,
            0x60 | 0x64 => R::FaultAddress(half),
            0x68 => R::FaultSyndrome(0),
            0x6c => R::FaultSyndrome(1),
            0x600 | 0x604 | 0x620 | 0x624 => R::InvalidateAddress(half),
            0x608 | 0x60c | 0x628 | 0x62c => R::InvalidateAddressAllAsids(half),
            0x610 => R::InvalidateAsid,
            0x618 => R::InvalidateAll,
            0x7f0 => return Some(Self::Shared(Register::Sync)),
            0x7f4 | 0x8f0 => return Some(Self::Shared(Register::Idle)),
            _ => return None,
        }))
    }
}

/// Index of the 32-bit element at `offset` of an array at `start`.
fn element(offset: u64, start: u64, count: usize) -> Option<usize> {
    let index = usize::try_from(offset.checked_sub(start)? / 4).ok()?;
    (index < count).then_some(index)
}
