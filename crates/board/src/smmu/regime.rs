// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The translation regime of a context bank, decoded from its registers.

use super::shape::ADDRESS_BITS;

/// What a context bank does with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Regime {
    /// The bank is set up as something this SMMU does not have: stage 2, or
    /// AArch32 tables.
    Unsupported,
    /// `SCTLR.M` is clear: addresses pass unchanged.
    Flat,
    /// AArch64 stage 1 tables.
    Tables(Tables),
}

/// Stage 1 translation with up to two sets of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    /// Tables from TTBR0, for addresses whose sign bit is 0. `None` where
    /// TCR disables or does not validly describe them.
    low: Option<Space>,
    /// Tables from TTBR1, for addresses whose sign bit is 1.
    high: Option<Space>,
    /// The address bit that chooses between them (`TCR2.SEP`).
    sign_bit: u32,
    /// `TCR2.TBI0` and `TBI1`.
    ignore_top_byte: [bool; 2],
    /// Address space id, as wide as `TCR2.AS` makes it.
    pub(super) asid: u16,
    /// Mask of the ASID bits that take part in comparisons.
    pub(super) asid_mask: u16,
    /// Output addresses have this many bits (`TCR2.PASIZE`, at most 48).
    pub(super) output_bits: u32,
    /// `SCTLR.E`: descriptors are big-endian.
    pub(super) big_endian: bool,
    /// `SCTLR.AFFD`: clear access flags are no fault.
    pub(super) ignore_access_flag: bool,
}

/// One set of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    /// Physical address of the first table.
    pub(super) root: u64,
    pub(super) granule: Granule,
    /// Width of the input address in bits, 25 to 48.
    pub(super) input_bits: u32,
}

/// Size of the smallest page and of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Granule {
    K4,
    K16,
    K64,
}

/// The registers of a bank that decide its regime.
#[derive(Debug, Clone, Default)]
pub(super) struct RegimeRegisters {
    pub(super) sctlr: u32,
    pub(super) tcr: u32,
    pub(super) tcr2: u32,
    pub(super) ttbr: [u64; 2],
    pub(super) cbar: u32,
    pub(super) cba2r: u32,
}

/// `SCTLR.M`: translation enabled.
pub(super) const SCTLR_M: u32 = 1 << 0;
/// `SCTLR.AFFD`.
const SCTLR_AFFD: u32 = 1 << 3;
/// `SCTLR.E`.
const SCTLR_E: u32 = 1 << 4;
/// `CBAR.TYPE` of stage 1 with stage 2 bypass: the only kind of bank here.
const STAGE1_BYPASS_STAGE2: u32 = 0b01;
/// `CBA2R.VA64`: AArch64 tables.
const VA64: u32 = 1;

impl RegimeRegisters {
    pub(super) fn decode(&self) -> Regime {
        let kind = self.cbar >> 16 & 0b11;
        if kind != STAGE1_BYPASS_STAGE2 {
            Regime::Unsupported
        } else if self.sctlr & SCTLR_M == 0 {
            Regime::Flat
        } else if self.cba2r & VA64 == 0 {
            Regime::Unsupported
        } else {
            Regime::Tables(self.tables())
        }
    }

    fn tables(&self) -> Tables {
        let bit = |n: u32| self.tcr2 >> n & 1 != 0;
        // TCR.A1 says which of the two TTBRs holds the ASID in force.
        let ttbr = self.ttbr[usize::from(self.tcr >> 22 & 1 != 0)];
        let asid_mask = if bit(4) { 0xffff } else { 0xff };
        Tables {
            low: self.space(0),
            high: self.space(1),
            sign_bit: match self.tcr2 >> 15 & 0b111 {
                0 => 31,
                1 => 35,
                2 => 39,
                3 => 41,
                4 => 43,
                5 => 47,
                // 7 means the width of the upstream bus: 48 bits and the sign.
                _ => 48,
            },
            ignore_top_byte: [bit(5), bit(6)],
            asid: (ttbr >> 48) as u16 & asid_mask,
            asid_mask,
            output_bits: match self.tcr2 & 0b111 {
                0 => 32,
                1 => 36,
                2 => 40,
                3 => 42,
                4 => 44,
                _ => ADDRESS_BITS,
            },
            big_endian: self.sctlr & SCTLR_E != 0,
            ignore_access_flag: self.sctlr & SCTLR_AFFD != 0,
        }
    }

    /// The tables of TTBR `n`, if TCR enables and validly describes them.
    fn space(&self, n: usize) -> Option<Space> {
        let half = self.tcr >> (16 * n) & 0xffff;
        let disabled = half >> 7 & 1 != 0;
        // The granule field of TTBR1 is encoded differently from that of TTBR0.
        let granule = match (n, half >> 14) {
            (0, 0b00) | (1, 0b10) => Granule::K4,
            (0, 0b10) | (1, 0b01) => Granule::K16,
            (0, 0b01) | (1, 0b11) => Granule::K64,
            _ => return None,
        };
        // TnSZ from 16 to 39.
        let input_bits = 64 - (half & 0x3f);
        if disabled || !(25..=ADDRESS_BITS).contains(&input_bits) {
            return None;
        }
        let space = Space { root: 0, granule, input_bits };
        // A table is aligned to its own size; lower bits are not address bits.
        let index_bits = input_bits - space.shift(space.start_level());
        let alignment = 1u64 << (index_bits + 3);
        let root = self.ttbr[n] & ((1 << ADDRESS_BITS) - 1) & !(alignment - 1);
        Some(Space { root, ..space })
    }
}

impl Tables {
    /// The tables that translate `iova`, and the address as they know it.
    /// `None` where no table covers the address.
    pub(super) fn space(&self, iova: u64) -> Option<(Space, u64)> {
        let address = self.canonical(iova)?;
        let negative = address >> 63 != 0;
        let space = if negative { self.high } else { self.low }?;
        let above = address >> space.input_bits;
        let all_sign = if negative { u64::MAX >> space.input_bits } else { 0 };
        (above == all_sign).then_some((space, address))
    }

    /// The table level that holds the descriptor of a page or block of
    /// `1 << shift` bytes at `iova`.
    pub(super) fn level_of(&self, iova: u64, shift: u32) -> u32 {
        let granule = self.space(iova).map_or(Granule::K4, |(space, _)| space.granule);
        3 - (shift.saturating_sub(granule.shift()) / granule.stride()).min(3)
    }

    /// `iova` extended from the sign bit to 64 bits.
    ///
    /// A bus that ends at the sign bit would drop the bits above it. The model
    /// refuses addresses whose upper bits say something else, rather than let
    /// them alias others.
    fn canonical(&self, iova: u64) -> Option<u64> {
        let address = match (iova >> 55 & 1, self.ignore_top_byte) {
            (0, [true, _]) => iova & (u64::MAX >> 8),
            (1, [_, true]) => iova | !(u64::MAX >> 8),
            _ => iova,
        };
        let upper = u64::MAX << self.sign_bit;
        match address & upper {
            0 => Some(address),
            bits if bits == upper || bits == 1 << self.sign_bit => Some(address | upper),
            _ => None,
        }
    }
}

impl Space {
    /// Level of the first table: as few levels as cover the input address.
    pub(super) fn start_level(&self) -> u32 {
        let levels = (self.input_bits - self.granule.shift()).div_ceil(self.granule.stride());
        4 - levels
    }

    /// log2 of what one descriptor of table level `level` covers.
    pub(super) fn shift(&self, level: u32) -> u32 {
        self.granule.shift() + self.granule.stride() * (3 - level)
    }
}

impl Granule {
    /// log2 of the page size.
    pub(super) fn shift(self) -> u32 {
        match self {
            Self::K4 => 12,
            Self::K16 => 14,
            Self::K64 => 16,
        }
    }

    /// Address bits that one level resolves: a table fills one granule.
    pub(super) fn stride(self) -> u32 {
        self.shift() - 3
    }

    /// The lowest level that can hold block descriptors.
    pub(super) fn first_block_level(self) -> u32 {
        match self {
            Self::K4 => 1,
            Self::K16 | Self::K64 => 2,
        }
    }
}
