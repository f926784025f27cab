// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Thresholds as fields hold them: a mantissa of eight bits and an exponent.

/// A threshold of a congestion group or a frame queue: mantissa in bits 12..5,
/// exponent in 4..0 (DPDK `qbman_thresh_to_value`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupThreshold(u16);

impl GroupThreshold {
    const MASK: u16 = 0x1fff;

    /// From a field's bits.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::MASK)
    }

    /// The largest threshold that is not above a value.
    pub const fn from_value(value: u64) -> Self {
        let exponent = exponent(value);
        if exponent > 0x1f {
            return Self(Self::MASK);
        }
        Self(((value >> exponent) as u16) << 5 | exponent as u16)
    }

    /// The field's bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// What it stands for.
    pub const fn value(self) -> u64 {
        (self.0 as u64 >> 5) << (self.0 & 0x1f)
    }
}

/// A threshold of a buffer pool: exponent in bits 11..8, mantissa in 7..0 (DPDK
/// `qbman_bp_thresh_to_value`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolThreshold(u16);

impl PoolThreshold {
    /// The largest threshold that is not above a value, or (`up`) the smallest
    /// that is not below it.
    pub const fn from_value(value: u32, up: bool) -> Self {
        let value = value as u64;
        let exponent = exponent(value);
        let rest = value & ((1 << exponent) - 1);
        let mantissa = (value >> exponent) + (up && rest != 0) as u64;
        // Rounding up may carry into a ninth bit.
        let (mantissa, exponent) =
            if mantissa > 0xff { (mantissa >> 1, exponent + 1) } else { (mantissa, exponent) };
        if exponent > 0xf {
            return Self(0xfff);
        }
        Self((exponent as u16) << 8 | mantissa as u16)
    }

    /// The field's bits.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

/// How far a value is to be shifted so that eight bits hold it.
const fn exponent(value: u64) -> u32 {
    (u64::BITS - value.leading_zeros()).saturating_sub(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thresholds_are_written_as_dpdk_reads_them() {
        // 200 * 2^3 and 0xff * 2^0x1f, by hand.
        assert_eq!(GroupThreshold::from_value(1600).bits(), 200 << 5 | 3);
        assert_eq!(GroupThreshold::from_bits(0xff << 5 | 0x1f).value(), 0xff << 31);
        assert_eq!(GroupThreshold::from_value(u64::MAX).bits(), 0x1fff);
        assert_eq!(PoolThreshold::from_value(1600, false).bits(), 3 << 8 | 200);
        assert_eq!(PoolThreshold::from_value(1601, true).bits(), 3 << 8 | 201);
        assert_eq!(PoolThreshold::from_value(511, true).bits(), 2 << 8 | 128);
        assert_eq!(PoolThreshold::from_value(u32::MAX, true).bits(), 0xfff);
    }

    proptest! {
        #[test]
        fn group_thresholds_lose_less_than_a_hundredth(value in 0u64..0xff << 31) {
            let back = GroupThreshold::from_value(value).value();
            prop_assert!(back <= value && value - back <= value / 100);
        }

        #[test]
        fn pool_thresholds_lose_less_than_a_hundredth(value in 0u32..0x7f_8000, up: bool) {
            let bits = u32::from(PoolThreshold::from_value(value, up).bits());
            let back = (bits & 0xff) << (bits >> 8);
            prop_assert!(back.abs_diff(value) <= value / 100);
            let right_side = if up { back >= value } else { back <= value };
            prop_assert!(right_side);
        }
    }
}
