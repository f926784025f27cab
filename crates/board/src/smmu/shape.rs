// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How large the SMMU is, and what its identification registers say about it.

/// Size of the whole register frame in bytes: global space in the lower half,
/// translation context banks in the upper half.
pub const FRAME_SIZE: u64 = 1 << 20;

/// Size of one register page in bytes. `IDR1.PAGESIZE` is 0 (4 KiB).
pub(super) const PAGE_SIZE: u64 = 0x1000;

/// Offset of context bank 0.
pub(super) const BANKS_AT: u64 = FRAME_SIZE / 2;

/// `IDR1.NUMPAGENDXB`: the frame has `2 * 2^(NUMPAGENDXB + 1)` pages.
const NUMPAGENDXB: u32 = 6;

/// Width of a stream id that an SMR can match, in bits (`IDR0.NUMSIDB`).
const STREAM_ID_BITS: u32 = 15;

/// Width of output and intermediate addresses in bits.
pub(super) const ADDRESS_BITS: u32 = 48;

/// Encoding of 48 bits in the size fields of `IDR2`. The bus towards the SMMU
/// (`UBS`) uses the same code for 48 bits and a sign bit.
const SIZE_48_BITS: u32 = 5;

/// Number of context banks and of stream mapping register groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    context_banks: u8,
    stream_maps: u8,
}

/// A [`Shape`] that the register layout cannot express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an SMMU with {context_banks} context banks and {stream_maps} stream mapping groups cannot be \
     described by its registers: choose 1 to {max} of each",
    max = Shape::MAX
)]
pub struct ShapeError {
    context_banks: u8,
    stream_maps: u8,
}

impl Default for Shape {
    /// 32 context banks and 64 stream mapping groups: as many containers at
    /// once as the board has isolation ids, with room for other masters.
    fn default() -> Self {
        Self { context_banks: 32, stream_maps: 64 }
    }
}

impl Shape {
    /// The most context banks, and the most stream mapping groups, that the
    /// register frame has room for.
    pub const MAX: u8 = 128;

    /// An SMMU with `context_banks` banks and `stream_maps` SMR/S2CR pairs.
    ///
    /// # Errors
    /// [`ShapeError`] where either is 0 or above [`Shape::MAX`].
    pub fn new(context_banks: u8, stream_maps: u8) -> Result<Self, ShapeError> {
        let fits = |n: u8| (1..=Self::MAX).contains(&n);
        if fits(context_banks) && fits(stream_maps) {
            Ok(Self { context_banks, stream_maps })
        } else {
            Err(ShapeError { context_banks, stream_maps })
        }
    }

    /// Number of translation context banks. Linux wants one context interrupt
    /// in the device tree for each.
    pub fn context_banks(self) -> usize {
        usize::from(self.context_banks)
    }

    /// Number of stream mapping register groups.
    pub fn stream_maps(self) -> usize {
        usize::from(self.stream_maps)
    }

    /// Value of identification register `n`, 0 to 7.
    ///
    /// Bit positions as Linux reads them (`arm-smmu.h`). Offered are stage 1
    /// only, stream matching, coherent walks, AArch64 tables of all three
    /// granules, and neither address translation operations, AArch32 formats,
    /// extended stream ids nor 16-bit VMIDs.
    pub(super) fn identification(self, n: usize) -> u32 {
        let banks = u32::from(self.context_banks);
        match n {
            0 => {
                let stage1 = 1 << 30;
                let stream_matching = 1 << 27;
                let no_translation_operations = 1 << 26;
                let no_aarch32 = 0b11 << 24;
                let context_interrupts = banks << 16;
                let coherent_walk = 1 << 14;
                stage1
                    | stream_matching
                    | no_translation_operations
                    | no_aarch32
                    | context_interrupts
                    | coherent_walk
                    | STREAM_ID_BITS << 9
                    | u32::from(self.stream_maps)
            }
            1 => NUMPAGENDXB << 28 | banks,
            2 => {
                let granules_4k_16k_64k = 0b111 << 12;
                granules_4k_16k_64k | SIZE_48_BITS << 8 | SIZE_48_BITS << 4 | SIZE_48_BITS
            }
            // MMU-500 r2p1: from r2 on, sACR.CACHE_LOCK guards the ACTLRs.
            7 => 0x21,
            _ => 0,
        }
    }
}
