// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands on congestion groups.

use super::{GroupThreshold, answer, results};
use crate::fields::{Entry, get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};

/// Fields of a congestion group, as a query tells them and a command sets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupFields {
    /// State changes go to a work queue: bit 0 on entry, 1 on exit.
    pub to_work_queue: u8,
    /// Overhead accounting length.
    pub overhead: u16,
    /// What is counted: bits 1..0, 0 bytes, 1 frames, 2 memory.
    pub mode: u8,
    /// State changes go to memory: bit 0 on entry, 1 on exit.
    pub to_memory: u8,
    /// Bit 0: tail drop is on.
    pub tail_drop_on: u8,
    /// The group is congested above this count.
    pub enter: GroupThreshold,
    /// And no longer below this one.
    pub exit: GroupThreshold,
    /// Frames are dropped above this count.
    pub tail_drop: GroupThreshold,
    /// Work queue for state changes: channel times eight plus priority.
    pub work_queue: u16,
    /// The group's number as its owner knows it.
    pub number: u16,
    /// Isolation id of writes to memory.
    pub icid: u16,
    /// Where state changes are written, I/O virtual address.
    pub address: u64,
    /// What they carry.
    pub context: u64,
    /// Count now.
    pub count: u64,
    /// Average count.
    pub average: u64,
}

/// The fields that a command writes, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupWrite(pub u16);

impl GroupWrite {
    /// [`GroupFields::to_work_queue`].
    pub const TO_WORK_QUEUE: Self = Self(1 << 0);
    /// [`GroupFields::mode`].
    pub const MODE: Self = Self(1 << 1);
    /// [`GroupFields::to_memory`].
    pub const TO_MEMORY: Self = Self(1 << 2);
    /// [`GroupFields::tail_drop_on`].
    pub const TAIL_DROP_ON: Self = Self(1 << 4);
    /// [`GroupFields::enter`].
    pub const ENTER: Self = Self(1 << 5);
    /// [`GroupFields::exit`].
    pub const EXIT: Self = Self(1 << 6);
    /// [`GroupFields::tail_drop`].
    pub const TAIL_DROP: Self = Self(1 << 7);
    /// [`GroupFields::address`].
    pub const ADDRESS: Self = Self(1 << 12);
    /// [`GroupFields::context`].
    pub const CONTEXT: Self = Self(1 << 13);

    /// Reads it from a command.
    pub fn from_bytes(command: &Entry) -> Self {
        Self(get_u16(command, 6))
    }

    /// Whether the field of this bit is written.
    pub const fn has(self, field: Self) -> bool {
        self.0 & field.0 != 0
    }

    /// The fields without these.
    #[must_use]
    pub const fn without(self, fields: Self) -> Self {
        Self(self.0 & !fields.0)
    }

    /// These fields and those.
    #[must_use]
    pub const fn with(self, fields: Self) -> Self {
        Self(self.0 | fields.0)
    }
}

impl GroupFields {
    /// Reads the fields of a command.
    pub fn from_bytes(command: &Entry) -> Self {
        Self {
            to_work_queue: command[8],
            overhead: get_u16(command, 10),
            mode: command[14],
            to_memory: command[15],
            tail_drop_on: command[17],
            enter: GroupThreshold::from_bits(get_u16(command, 18)),
            exit: GroupThreshold::from_bits(get_u16(command, 20)),
            tail_drop: GroupThreshold::from_bits(get_u16(command, 22)),
            work_queue: get_u16(command, 26),
            number: get_u16(command, 28),
            icid: get_u16(command, 30),
            address: get_u64(command, 32),
            context: get_u64(command, 40),
            count: get_u64(command, 48),
            average: get_u64(command, 56),
        }
    }

    /// The answer's bytes to a query, without a valid bit.
    pub fn to_bytes(&self, verb: u8) -> Entry {
        let mut entry = answer(verb, results::OK);
        entry[8] = self.to_work_queue;
        put_u16(&mut entry, 10, self.overhead);
        entry[14] = self.mode;
        entry[15] = self.to_memory;
        entry[17] = self.tail_drop_on;
        put_u16(&mut entry, 18, self.enter.bits());
        put_u16(&mut entry, 20, self.exit.bits());
        put_u16(&mut entry, 22, self.tail_drop.bits());
        put_u16(&mut entry, 26, self.work_queue);
        put_u16(&mut entry, 28, self.number);
        put_u16(&mut entry, 30, self.icid & 0x7fff);
        put_u64(&mut entry, 32, self.address);
        put_u64(&mut entry, 40, self.context);
        put_u64(&mut entry, 48, self.count);
        put_u64(&mut entry, 56, self.average);
        entry
    }
}

/// The curve of one drop priority: none is dropped up to `min`, all are above
/// `max`, and in between the more the nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyDrop {
    /// Count up to which no frame is dropped.
    pub min: u64,
    /// Count above which every frame is dropped.
    pub max: u64,
    /// Probability of a drop at `max`, in steps of 1/64, 1 to 64.
    pub probability: u8,
}

impl EarlyDrop {
    /// Drop priorities that have a curve.
    pub const PRIORITIES: usize = 7;

    /// Reads a curve (DPDK `qbman_cgr_attr_wred_dp_decompose`).
    pub fn from_bits(bits: u32) -> Self {
        let scaled = |mantissa: u32, exponent: u32| match exponent {
            0 => u64::from(mantissa),
            _ => (u64::from(mantissa) + 256) << (exponent - 1),
        };
        let max = scaled(bits >> 24, bits >> 19 & 0x1f);
        let step = scaled(bits >> 11 & 0xff, bits >> 6 & 0x1f);
        Self { min: max.saturating_sub(step), max, probability: (bits & 0x3f) as u8 + 1 }
    }

    /// The curve's bits: thresholds lose what nine bits do not hold.
    pub fn bits(&self) -> u32 {
        let scaled = |value: u64| -> (u32, u32) {
            let exponent = (u64::BITS - value.leading_zeros()).saturating_sub(8).min(0x1f);
            match exponent {
                0 => (value as u32, 0),
                _ => ((value >> (exponent - 1)).min(511) as u32 - 256, exponent),
            }
        };
        let (max, max_exponent) = scaled(self.max);
        let (step, step_exponent) = scaled(self.max.saturating_sub(self.min));
        let probability = u32::from(self.probability.clamp(1, 64)) - 1;
        max << 24 | max_exponent << 19 | step << 11 | step_exponent << 6 | probability
    }

    /// Reads the curves that a command sets: for each drop priority whether it
    /// is on, and its curve, where these are written.
    pub fn from_bytes(command: &Entry) -> [(Option<bool>, Option<Self>); Self::PRIORITIES] {
        let written = get_u16(command, 6);
        core::array::from_fn(|n| {
            let on = (written >> (2 * n) & 1 != 0).then_some(command[8 + n] & 1 != 0);
            let curve = || Self::from_bits(get_u32(command, 16 + 4 * n));
            (on, (written >> (2 * n + 1) & 1 != 0).then(curve))
        })
    }

    /// The answer's bytes to a query of curves, without a valid bit.
    pub fn to_bytes(verb: u8, curves: &[(bool, Self); Self::PRIORITIES]) -> Entry {
        let mut entry = answer(verb, results::OK);
        for (n, (on, curve)) in curves.iter().enumerate() {
            entry[8 + n] = u8::from(*on);
            put_u32(&mut entry, 16 + 4 * n, curve.bits());
        }
        entry
    }
}

/// What a congestion group has rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupCounts {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

impl GroupCounts {
    /// The answer's bytes, without a valid bit: 40 bits each.
    pub fn to_bytes(&self, verb: u8) -> Entry {
        let mut entry = answer(verb, results::OK);
        put_u64(&mut entry, 16, self.frames & 0xff_ffff_ffff);
        put_u64(&mut entry, 24, self.bytes & 0xff_ffff_ffff);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes put down by hand after `struct qbman_cgr_query_rslt` of DPDK.
    #[test]
    fn groups_are_written_as_dpdk_reads_them() {
        let mut bytes = [0; 64];
        bytes[..2].copy_from_slice(&[0x51, 0xf0]);
        (bytes[8], bytes[10], bytes[14], bytes[15], bytes[17]) = (3, 24, 1, 2, 1);
        bytes[18..24].copy_from_slice(&[0x21, 0, 0x42, 0, 0x63, 0]);
        bytes[26..32].copy_from_slice(&[9, 0, 7, 0, 5, 0]);
        (bytes[32], bytes[40], bytes[48], bytes[56]) = (0x10, 0x20, 0x30, 0x40);
        let fields = GroupFields::from_bytes(&bytes);
        assert_eq!(
            (fields.enter.value(), fields.exit.value(), fields.tail_drop.value()),
            (2, 8, 24)
        );
        assert_eq!((fields.mode, fields.to_memory, fields.tail_drop_on), (1, 2, 1));
        assert_eq!((fields.work_queue, fields.number, fields.icid), (9, 7, 5));
        assert_eq!(
            (fields.address, fields.context, fields.count, fields.average),
            (16, 32, 48, 64)
        );
        assert_eq!(fields.to_bytes(0x51), bytes);
    }

    /// By hand: (256 + 64) * 2^2 and a step of (256 + 0) * 2^1.
    #[test]
    fn curves_are_written_as_dpdk_reads_them() {
        let bits = 64 << 24 | 3 << 19 | 2 << 6 | 15;
        let curve = EarlyDrop { min: 1280 - 512, max: 1280, probability: 16 };
        assert_eq!(EarlyDrop::from_bits(bits), curve);
        assert_eq!(curve.bits(), bits);
        let small = EarlyDrop { min: 10, max: 200, probability: 64 };
        assert_eq!(small.bits(), 200 << 24 | 190 << 11 | 63);
        let mut command = [0; 64];
        command[6] = 0b0110;
        command[9] = 1;
        command[16..20].copy_from_slice(&bits.to_le_bytes());
        let curves = EarlyDrop::from_bytes(&command);
        assert_eq!(curves[..3], [(None, Some(curve)), (Some(true), None), (None, None)]);
        let answer = EarlyDrop::to_bytes(0x54, &[(true, curve); 7]);
        assert_eq!((answer[0], answer[8], answer[14], answer[15]), (0x54, 1, 1, 0));
        assert_eq!(answer[40..44], bits.to_le_bytes());
    }

    /// Counts at 16 and 24, as in DPDK's statistics query.
    #[test]
    fn counts_are_written_as_dpdk_reads_them() {
        let bytes = GroupCounts { frames: 3, bytes: 1 << 40 | 5 }.to_bytes(0x55);
        assert_eq!((bytes[0], bytes[16], bytes[24], bytes[29]), (0x55, 3, 5, 0));
    }

    proptest! {
        #[test]
        fn curves_lose_little(min in 0u64..1 << 38, length in 0u64..1 << 37, probability in 1u8..=64) {
            let curve = EarlyDrop { min, max: min + length, probability };
            let back = EarlyDrop::from_bits(curve.bits());
            prop_assert!(curve.max - back.max <= curve.max / 256);
            prop_assert_eq!(back.probability, probability);
            prop_assert_eq!(EarlyDrop::from_bits(back.bits()), back);
        }

        #[test]
        fn any_bits_are_a_curve(bits: u32) {
            let curve = EarlyDrop::from_bits(bits);
            prop_assert!(curve.min <= curve.max);
        }
    }
}
