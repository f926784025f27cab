// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Any registers and any tables: no panic, no long walk, no address outside
//! what the SMMU can put out.

use std::sync::atomic::Ordering;

use board::smmu::{Access, AccessKind};
use proptest::prelude::*;

use super::driver::{SCTLR, TCR, TCR2, TTBR0, TTBR1, TestSmmu, bank, cba2r, cbar, s2cr, smr};
use super::host::RAM;

/// Descriptors that lead somewhere often enough to be interesting.
fn descriptor() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => any::<u64>(),
        4 => (0..16u64, any::<u64>()).prop_map(|(page, attributes)| {
            (RAM + page * 0x1000) | attributes & 0xffff_0000_0000_0fff | 0b11
        }),
        1 => any::<u64>().prop_map(|d| d & !0b10 | 1 | 1 << 10),
        1 => Just(0),
    ]
}

fn offset() -> impl Strategy<Value = u64> {
    let register = prop::sample::select(vec![
        0x0, 0x4, 0x8, 0x10, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x50, 0x58, 0x5c, 0x60, 0x600,
        0x608, 0x610, 0x618, 0x620, 0x7f0,
    ]);
    prop_oneof![
        4 => (0..3usize, register).prop_map(|(n, register)| bank(n) + register),
        2 => (0..3usize).prop_flat_map(|n| {
            prop::sample::select(vec![smr(n), s2cr(n), cbar(n), cba2r(n)])
        }),
        1 => (0..0x80u64).prop_map(|n| n & !3),
        1 => any::<u64>(),
        1 => 0..0x10_0000u64,
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Write { offset: u64, data: Vec<u8> },
    Read { offset: u64, length: usize },
    Transaction { stream: u16, iova: u64, kind: AccessKind, privileged: bool, length: usize },
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![6 => Just(4usize), 3 => Just(8), 1 => 0..20usize];
    let data = length.clone().prop_flat_map(|n| prop::collection::vec(any::<u8>(), n));
    let kind = prop::sample::select(vec![AccessKind::Read, AccessKind::Write, AccessKind::Fetch]);
    let iova = prop_oneof![any::<u64>(), 0..0x1_0000u64, any::<u32>().prop_map(|n| !u64::from(n))];
    prop_oneof![
        40 => (offset(), data).prop_map(|(offset, data)| Step::Write { offset, data }),
        10 => (offset(), length).prop_map(|(offset, length)| Step::Read { offset, length }),
        40 => (0..4u16, iova, kind, any::<bool>(), 0..0x3000usize).prop_map(
            |(stream, iova, kind, privileged, length)| {
                Step::Transaction { stream, iova, kind, privileged, length }
            }
        ),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn registers_and_tables(
        words in prop::collection::vec(descriptor(), 256),
        tcr in any::<[u32; 3]>(),
        root in any::<[u16; 3]>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let test = TestSmmu::on();
        // Every word of the 16 table pages is one of the descriptors.
        for n in 0..16 * 512u64 {
            let word = words[(n.wrapping_mul(0x9e37_79b9) >> 7) as usize % words.len()];
            test.ram.store(RAM + 8 * n, word);
        }
        for n in 0..3 {
            test.map_stream(n, n as u16, n);
            test.write(cbar(n), 1 << 16);
            test.write(cba2r(n), 1);
            // Sizes that are valid, with everything else at random.
            let size = 16 + tcr[n] % 24;
            test.write(bank(n) + TCR, tcr[n] & !0x003f_003f | size | size << 16);
            test.write(bank(n) + TCR2, tcr[n].rotate_left(16));
            test.write_wide(bank(n) + TTBR0, RAM + u64::from(root[n]));
            test.write_wide(bank(n) + TTBR1, RAM + u64::from(root[n].rotate_left(8)));
            test.write(bank(n) + SCTLR, 0x63 | tcr[n] & 0x10);
        }
        for step in &steps {
            match step {
                Step::Write { offset, data } => test.smmu.write(*offset, data),
                Step::Read { offset, length } => {
                    test.smmu.read(*offset, &mut vec![0; *length]);
                }
                Step::Transaction { stream, iova, kind, privileged, length } => {
                    let walked = |test: &TestSmmu| {
                        (test.ram.table_reads.load(Ordering::SeqCst), test.smmu.counters().walks)
                    };
                    let (reads, walks) = walked(&test);
                    let access = Access { kind: *kind, privileged: *privileged };
                    let mapped = test.smmu.translate(*stream, *iova, access);
                    let (reads_after, walks_after) = walked(&test);
                    prop_assert!(reads_after - reads <= 4 * (walks_after - walks));
                    if let Ok(mapped) = mapped {
                        prop_assert!(mapped.length > 0);
                        if walks_after > walks {
                            prop_assert!(mapped.address >> 48 == 0);
                        }
                        // The page offset survives translation.
                        prop_assert_eq!(mapped.address & 0xfff, iova & 0xfff);
                    }
                    let _ = test.smmu.dma_read(*stream, *iova, &mut vec![0; *length]);
                    let _ = test.smmu.dma_write(*stream, *iova, &vec![0x5a; *length]);
                }
                Step::Reset => test.smmu.reset(),
            }
            prop_assert_eq!(test.lines.level(), test.smmu.dump().interrupt);
        }
        let _ = test.smmu.dump().to_string();
    }
}
