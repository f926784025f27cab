// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The query of buffer pools.

use super::{PoolThreshold, answer, results, verbs};
use crate::fields::{Entry, put_u16, put_u32, put_u64};

/// State of a buffer pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolState {
    /// State bits, as in a [`crate::Notice`].
    pub state: u8,
    /// Free buffers.
    pub free: u32,
    /// Isolation id.
    pub icid: u16,
    /// Thresholds: depletion entry and exit for software, for hardware, surplus
    /// entry and exit.
    pub thresholds: [PoolThreshold; 6],
    /// Where the state change is written, I/O virtual address.
    pub message: u64,
    /// What the notification carries.
    pub context: u64,
    /// How often depletion was entered.
    pub depletions: u8,
    /// How often surplus was entered.
    pub surpluses: u8,
}

impl PoolState {
    /// The answer's bytes, without a valid bit.
    pub fn to_bytes(&self, pool: u16) -> Entry {
        let mut entry = answer(verbs::POOL_QUERY, results::OK);
        entry[7] = self.state;
        put_u32(&mut entry, 8, self.free);
        for (n, threshold) in self.thresholds.iter().enumerate() {
            put_u16(&mut entry, 16 + 2 * n, threshold.bits());
        }
        put_u16(&mut entry, 28, pool);
        put_u16(&mut entry, 30, self.icid & 0x7fff);
        put_u64(&mut entry, 32, self.message);
        put_u64(&mut entry, 40, self.context);
        entry[52] = self.depletions;
        entry[54] = self.surpluses;
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct qbman_bp_query_rslt`: state at 7, fill 8, swdet 16 and on, vbpid
    /// 28, icid 30, bpscn_addr 32, bpscn_ctx 40, sdcnt 52, sscnt 54.
    #[test]
    fn pools_are_written_as_dpdk_reads_them() {
        let thresholds = [1, 2, 3, 4, 5, 6].map(|value| PoolThreshold::from_value(value, false));
        let state = PoolState {
            state: 2,
            free: 3,
            icid: 4,
            thresholds,
            message: 5,
            context: 6,
            depletions: 8,
            surpluses: 9,
        };
        let bytes = state.to_bytes(7);
        assert_eq!((bytes[0], bytes[1], bytes[7], bytes[8]), (0x32, 0xf0, 2, 3));
        assert_eq!((bytes[16], bytes[18], bytes[26]), (1, 2, 6));
        assert_eq!((bytes[28], bytes[30], bytes[32], bytes[40]), (7, 4, 5, 6));
        assert_eq!((bytes[52], bytes[54]), (8, 9));
    }
}
