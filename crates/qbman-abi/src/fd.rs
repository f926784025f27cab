// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frame descriptors and scatter/gather entries.
//!
//! Layouts: Linux `include/soc/fsl/dpaa2-fd.h`, DPDK
//! `drivers/bus/fslmc/portal/dpaa2_hw_pvt.h`.

/// How a frame descriptor or a scatter/gather entry refers to its data
/// (two bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One contiguous buffer.
    Single,
    /// A list of frame descriptors, as the DMA engine and the accelerators take
    /// them.
    List,
    /// A table of scatter/gather entries.
    ScatterGather,
    /// The fourth code, which means nothing.
    Reserved,
}

impl Format {
    #[inline]
    const fn from_bits(bits: u16) -> Self {
        match bits & 0b11 {
            0 => Self::Single,
            1 => Self::List,
            2 => Self::ScatterGather,
            _ => Self::Reserved,
        }
    }

    #[inline]
    const fn bits(self) -> u16 {
        match self {
            Self::Single => 0,
            Self::List => 1,
            Self::ScatterGather => 2,
            Self::Reserved => 3,
        }
    }
}

const BPID: u16 = 0x3fff;
const IVP: u16 = 1 << 14;
const BMT: u16 = 1 << 15;
const OFFSET: u16 = 0x0fff;
const FORMAT_SHIFT: u32 = 12;
const SHORT_LENGTH: u16 = 1 << 14;
const FINAL: u16 = 1 << 15;
/// Bits of a descriptor's length word that count where the length is short (Linux
/// `FD_SHORT_LEN_MASK`).
const SHORT_LENGTH_MASK: u32 = 0x3_ffff;
/// The same of an entry of a table (`SG_SHORT_LEN_MASK`).
const SHORT_ENTRY_LENGTH_MASK: u32 = 0x1_ffff;

/// A frame descriptor, 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fd {
    /// I/O virtual address of the buffer (or table) that holds the frame.
    pub address: u64,
    /// The length word; see [`Fd::length`].
    pub length_word: u32,
    /// Buffer pool id (bits 13..0), invalid-pool bit 14, bypass bit 15.
    pub pool_word: u16,
    /// Offset of the data (bits 11..0), format (13..12), short length (14).
    pub format_word: u16,
    /// Frame context: what hardware says of a received frame, what software
    /// asks for one to be sent.
    pub frc: u32,
    /// Control and error bits.
    pub ctrl: u32,
    /// Flow context.
    pub flc: u64,
}

impl Fd {
    /// Bytes of a descriptor.
    pub const SIZE: usize = 32;

    /// `FD_CTRL_PTA` (Linux `dpaa2-eth.h`): the buffer starts with a
    /// pass-through annotation of software's.
    pub const CTRL_PTA: u32 = 0x0080_0000;
    /// `FD_CTRL_ASAL`: bits 19..16 of the control word, the length of the
    /// hardware annotation in units of 64 bytes.
    pub const CTRL_ASAL: u32 = 0x000f_0000;

    /// Reads a descriptor.
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, p0, p1, o0, o1, rest @ ..] = *bytes;
        let [r0, r1, r2, r3, c0, c1, c2, c3, flc @ ..] = rest;
        Self {
            address: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            length_word: u32::from_le_bytes([l0, l1, l2, l3]),
            pool_word: u16::from_le_bytes([p0, p1]),
            format_word: u16::from_le_bytes([o0, o1]),
            frc: u32::from_le_bytes([r0, r1, r2, r3]),
            ctrl: u32::from_le_bytes([c0, c1, c2, c3]),
            flc: u64::from_le_bytes(flc),
        }
    }

    /// The descriptor's bytes.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..16].copy_from_slice(&self.place_bytes());
        bytes[16..20].copy_from_slice(&self.frc.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.ctrl.to_le_bytes());
        bytes[24..].copy_from_slice(&self.flc.to_le_bytes());
        bytes
    }

    /// The descriptor that sends a received frame on as it is: what the hardware said of it
    /// is cleared, since for a frame to be sent the same fields ask for something. The
    /// buffer goes back to its pool when the frame has been sent.
    #[inline]
    #[must_use]
    pub fn to_send_on(mut self) -> Self {
        (self.frc, self.ctrl, self.flc) = (0, 0, 0);
        self
    }

    /// The same descriptor with this offset (its lower 12 bits) and format.
    #[inline]
    pub fn with_layout(mut self, offset: u16, format: Format) -> Self {
        let rest = self.format_word & !(OFFSET | 0b11 << FORMAT_SHIFT);
        self.format_word = rest | offset & OFFSET | format.bits() << FORMAT_SHIFT;
        self
    }

    /// The same descriptor with a buffer of this pool (its lower 14 bits), or of
    /// none.
    #[inline]
    pub fn with_pool(mut self, pool: Option<u16>) -> Self {
        let rest = self.pool_word & BMT;
        self.pool_word = rest | pool.map_or(IVP, |pool| pool & BPID);
        self
    }
}

/// What a frame descriptor and an entry of a scatter/gather table start with: where data
/// lies, and how much of it.
macro_rules! placed {
    ($($name:ident $short_mask:ident $bits:literal;)*) => {
        $( impl $name {
            #[doc = concat!("Bytes of data: the length word, or its lower ", $bits, " bits where")]
            /// the format word says that the length is short.
            #[inline]
            pub fn length(&self) -> u32 {
                match self.format_word & SHORT_LENGTH {
                    0 => self.length_word,
                    _ => self.length_word & $short_mask,
                }
            }

            /// Where the data starts in the buffer, or the table in its buffer, bytes.
            #[inline]
            pub fn offset(&self) -> u16 {
                self.format_word & OFFSET
            }

            /// What the address refers to. In an entry of a table: a buffer; a part of the
            /// buffer that holds the table (list); or a further table, whose entries follow
            /// (scatter/gather).
            #[inline]
            pub fn format(&self) -> Format {
                Format::from_bits(self.format_word >> FORMAT_SHIFT)
            }

            /// The buffer pool that the buffer belongs to; `None` where the pool word says
            /// that it belongs to none (`IVP`).
            #[inline]
            pub fn pool(&self) -> Option<u16> {
                (self.pool_word & IVP == 0).then_some(self.pool_word & BPID)
            }

            #[inline]
            fn place_bytes(&self) -> [u8; 16] {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&self.address.to_le_bytes());
                bytes[8..12].copy_from_slice(&self.length_word.to_le_bytes());
                bytes[12..14].copy_from_slice(&self.pool_word.to_le_bytes());
                bytes[14..].copy_from_slice(&self.format_word.to_le_bytes());
                bytes
            }
        } )*
    };
}

placed! {
    Fd SHORT_LENGTH_MASK 18;
    SgEntry SHORT_ENTRY_LENGTH_MASK 17;
}

/// An entry of a scatter/gather table, 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SgEntry {
    /// I/O virtual address of the buffer.
    pub address: u64,
    /// The length word; see [`SgEntry::length`].
    pub length_word: u32,
    /// As in a frame descriptor.
    pub pool_word: u16,
    /// Offset (bits 11..0), format (13..12), short length (14), last entry (15).
    pub format_word: u16,
}

impl SgEntry {
    /// Bytes of an entry.
    pub const SIZE: usize = 16;

    /// Reads an entry.
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, p0, p1, o0, o1] = *bytes;
        Self {
            address: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            length_word: u32::from_le_bytes([l0, l1, l2, l3]),
            pool_word: u16::from_le_bytes([p0, p1]),
            format_word: u16::from_le_bytes([o0, o1]),
        }
    }

    /// The entry's bytes.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        self.place_bytes()
    }

    /// Whether no entry follows.
    #[inline]
    pub fn is_final(&self) -> bool {
        self.format_word & FINAL != 0
    }

    /// An entry of `length` bytes at `offset` of a buffer of `pool`.
    #[inline]
    pub fn new(address: u64, offset: u16, length: u32, pool: u16, last: bool) -> Self {
        Self {
            address,
            length_word: length,
            pool_word: pool & BPID,
            format_word: offset & OFFSET | if last { FINAL } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes put down by hand after `struct dpaa2_fd` of Linux.
    #[test]
    fn fields_are_where_linux_puts_them() {
        let mut bytes = [0; Fd::SIZE];
        bytes[..8].copy_from_slice(&0x0011_2233_4455_6680u64.to_le_bytes());
        bytes[8..12].copy_from_slice(&1514u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&[0x07, 0x00, 0xc0, 0x20]);
        bytes[16..20].copy_from_slice(&0x8000u32.to_le_bytes());
        bytes[20..24].copy_from_slice(&Fd::CTRL_PTA.to_le_bytes());
        bytes[24..].copy_from_slice(&0xabcdu64.to_le_bytes());
        let fd = Fd::from_bytes(&bytes);
        assert_eq!((fd.address, fd.length(), fd.pool()), (0x0011_2233_4455_6680, 1514, Some(7)));
        assert_eq!((fd.offset(), fd.format()), (192, Format::ScatterGather));
        assert_eq!((fd.frc, fd.ctrl, fd.flc), (0x8000, 0x0080_0000, 0xabcd));
        assert_eq!(fd.to_bytes(), bytes);
    }

    #[test]
    fn a_short_length_has_18_bits() {
        let fd = Fd { length_word: 0xfffc_0040, ..Fd::default() };
        assert_eq!(fd.length(), 0xfffc_0040);
        let fd = Fd { format_word: 1 << 14, ..fd };
        assert_eq!(fd.length(), 0x40);
        assert_eq!(Fd { length_word: u32::MAX, ..fd }.length(), 0x3_ffff);
    }

    #[test]
    fn a_short_length_of_an_entry_has_17_bits() {
        let entry = SgEntry { length_word: u32::MAX, ..SgEntry::default() };
        assert_eq!(entry.length(), u32::MAX);
        assert_eq!(SgEntry { format_word: 1 << 14, ..entry }.length(), 0x1_ffff);
    }

    #[test]
    fn a_frame_is_sent_on_without_what_was_said_of_it() {
        let fd = Fd { address: 0x1000, length_word: 60, frc: 1, ctrl: 2, flc: 3, ..Fd::default() };
        let fd = fd.with_layout(192, Format::Single).with_pool(Some(7));
        let sent = fd.to_send_on();
        assert_eq!((sent.frc, sent.ctrl, sent.flc), (0, 0, 0));
        assert_eq!(sent.to_bytes()[..16], fd.to_bytes()[..16]);
    }

    #[test]
    fn a_buffer_may_belong_to_no_pool() {
        let fd = Fd::default().with_pool(None);
        assert_eq!(fd.pool_word, 0x4000);
        assert_eq!(fd.with_pool(Some(63)).pool(), Some(63));
    }

    proptest! {
        #[test]
        fn descriptors_keep_their_bytes(bytes: [u8; 32]) {
            prop_assert_eq!(Fd::from_bytes(&bytes).to_bytes(), bytes);
        }

        #[test]
        fn entries_keep_their_bytes(bytes: [u8; 16]) {
            prop_assert_eq!(SgEntry::from_bytes(&bytes).to_bytes(), bytes);
        }
    }
}
