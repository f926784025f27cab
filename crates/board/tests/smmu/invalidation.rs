// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What each invalidation forgets, and what it must leave.

use super::driver::{
    SCTLR, SCTLR_LINUX, TCR, TCR2, TLBIALL, TLBIASID, TLBIVA, TLBIVAA, TLBIVAL, TTBR0, TTBR1,
    TestSmmu, bank, cbar, smr,
};
use super::tables::{Allocator, K4, K16, K64, NOT_GLOBAL, READ_WRITE, Tables};

/// Bank n has stream 0x20 + n and ASID 0x100 + n, page 0 of each is not
/// global, page 1 is; a block lies at 1 GiB.
struct Warm {
    test: TestSmmu,
    spaces: Vec<Tables>,
}

const PAGE: u64 = 0x1000;
const GLOBAL_PAGE: u64 = 0x2000;
const BLOCK: u64 = 1 << 30;
const ALL: [u64; 3] = [PAGE, GLOBAL_PAGE, BLOCK];

fn stream(n: usize) -> u16 {
    0x20 + n as u16
}

fn asid(n: usize) -> u16 {
    0x100 + n as u16
}

impl Warm {
    fn new() -> Self {
        let test = TestSmmu::on();
        let memory = Allocator::new(&test.ram);
        let spaces: Vec<Tables> = (0..3)
            .map(|n| {
                let tables = Tables::new(&test.ram, &memory, K4, 48);
                test.attach(n, stream(n), asid(n), &tables);
                tables.map(PAGE, 0x1_0000, 3, READ_WRITE);
                tables.map(GLOBAL_PAGE, 0x2_0000, 3, READ_WRITE & !NOT_GLOBAL);
                tables.map(BLOCK, 0x20_0000, 2, READ_WRITE);
                tables
            })
            .collect();
        let warm = Self { test, spaces };
        warm.cached();
        warm
    }

    /// Which of bank n's three are served from the cache.
    fn cached(&self) -> [[bool; 3]; 3] {
        [0, 1, 2].map(|n| {
            ALL.map(|iova| {
                let before = self.test.smmu.counters();
                self.test.address(stream(n), iova).unwrap();
                let after = self.test.smmu.counters();
                assert_eq!(after.hits + after.walks, before.hits + before.walks + 1);
                after.hits > before.hits
            })
        })
    }

    /// What is cached after `offset` of bank 0 (or of the global space) gets a
    /// 32-bit write.
    fn after(&self, offset: u64, value: u32) -> [[bool; 3]; 3] {
        assert_eq!(self.cached(), [[true; 3]; 3], "not warm");
        self.test.write(offset, value);
        self.cached()
    }

    fn after_wide(&self, offset: u64, value: u64) -> [[bool; 3]; 3] {
        assert_eq!(self.cached(), [[true; 3]; 3], "not warm");
        self.test.write_wide(offset, value);
        self.cached()
    }
}

const KEPT: [bool; 3] = [true; 3];
const LOST: [bool; 3] = [false; 3];

#[test]
fn by_address() {
    let warm = Warm::new();
    let value = |iova: u64, asid: u16| iova >> 12 | u64::from(asid) << 48;
    for register in [TLBIVA, TLBIVAL] {
        let at = bank(0) + register;
        assert_eq!(warm.after_wide(at, value(PAGE, asid(0))), [[false, true, true], KEPT, KEPT]);
        // Any address in a block.
        let inside = BLOCK + 0x1_f000;
        assert_eq!(warm.after_wide(at, value(inside, asid(0))), [[true, true, false], KEPT, KEPT]);
        assert_eq!(warm.after_wide(at, value(BLOCK + (2 << 20), asid(0))), [KEPT; 3]);
        // Of another ASID only what is global, in all banks of the VMID.
        assert_eq!(warm.after_wide(at, value(PAGE, asid(9))), [KEPT; 3]);
        assert_eq!(warm.after_wide(at, value(GLOBAL_PAGE, asid(9))), [[true, false, true]; 3]);
        // Another bank's ASID, through this one.
        assert_eq!(warm.after_wide(at, value(PAGE, asid(1))), [KEPT, [false, true, true], KEPT]);
    }
    let all_asids = bank(0) + TLBIVAA;
    assert_eq!(warm.after_wide(all_asids, value(PAGE, 0)), [[false, true, true]; 3]);
}

/// Half a register names no address: everything goes rather than too little.
#[test]
fn by_half_an_address() {
    let warm = Warm::new();
    assert_eq!(warm.after(bank(0) + TLBIVA, 1), [LOST; 3]);
    assert_eq!(warm.after(bank(0) + TLBIVA + 4, 1), [LOST; 3]);
}

#[test]
fn by_asid() {
    let warm = Warm::new();
    let at = bank(0) + TLBIASID;
    let tagged_lost = [false, true, false];
    assert_eq!(warm.after(at, u32::from(asid(0))), [tagged_lost, KEPT, KEPT]);
    assert_eq!(warm.after(at, u32::from(asid(2))), [KEPT, KEPT, tagged_lost]);
    assert_eq!(warm.after(at, u32::from(asid(9))), [KEPT; 3]);
}

/// Without `TCR2.AS` an ASID has 8 bits; `TCR.A1` takes it from TTBR1.
#[test]
fn by_asid_of_the_bank() {
    let warm = Warm::new();
    let at = bank(0);
    let asid_1 = 0x2_33;
    warm.test.write_wide(at + TTBR1, asid_1 << 48);
    warm.test.write(at + TCR, warm.spaces[0].tcr() | 1 << 22);
    warm.cached();
    let tagged_lost = [[false, true, false], KEPT, KEPT];
    assert_eq!(warm.after(at + TLBIASID, u32::from(asid(0))), [KEPT; 3]);
    assert_eq!(warm.after(at + TLBIASID, 0x33), [KEPT; 3]);
    assert_eq!(warm.after(at + TLBIASID, 0x2_33), tagged_lost);
    warm.test.write(at + TCR2, 5 | 0b111 << 15);
    warm.cached();
    assert_eq!(warm.after(at + TLBIASID, 0x33), tagged_lost);
    assert_eq!(warm.after(at + TLBIASID, 0x34), [KEPT; 3]);
}

#[test]
fn by_vmid() {
    let warm = Warm::new();
    warm.test.write(cbar(1), 1 << 16 | 7);
    warm.cached();
    assert_eq!(warm.after(bank(0) + TLBIALL, 0), [LOST, KEPT, LOST]);
    assert_eq!(warm.after(bank(1) + TLBIALL, 0), [KEPT, LOST, KEPT]);
    assert_eq!(warm.after(0x64, 7), [KEPT, LOST, KEPT]);
    assert_eq!(warm.after(0x64, 8), [KEPT; 3]);
    // An ASID belongs to a VMID.
    assert_eq!(warm.after(bank(0) + TLBIASID, u32::from(asid(1))), [KEPT; 3]);
}

#[test]
fn of_everything() {
    let warm = Warm::new();
    assert_eq!(warm.after(0x68, 0), [LOST; 3]);
    // There are no hypervisor contexts to forget, and syncs forget nothing.
    assert_eq!(warm.after(0x6c, 0), [KEPT; 3]);
    assert_eq!(warm.after(0x70, 0), [KEPT; 3]);
    warm.test.sync(0);
    assert_eq!(warm.cached(), [KEPT; 3]);
}

#[test]
fn by_a_change_of_regime() {
    let warm = Warm::new();
    assert_eq!(warm.after(bank(0) + SCTLR, SCTLR_LINUX), [LOST, KEPT, KEPT]);
    let root = warm.spaces[1].root() | u64::from(asid(1)) << 48;
    assert_eq!(warm.after_wide(bank(1) + TTBR0, root), [KEPT, LOST, KEPT]);
    assert_eq!(warm.after(smr(30), 0), [LOST; 3]);
}

/// The cache is one: without an invalidation the old page is still found.
#[test]
fn is_needed() {
    let warm = Warm::new();
    for (level, iova) in [(3, PAGE), (2, BLOCK)] {
        let before = warm.test.address(stream(0), iova);
        warm.spaces[0].unmap(iova, level);
        assert_eq!(warm.test.address(stream(0), iova), before);
        warm.test.invalidate(0, asid(0), iova);
        assert!(warm.test.address(stream(0), iova).is_err());
    }
    assert_eq!(warm.test.smmu.counters().invalidations, 2 + 2);
}

/// Faults are never cached: a new mapping needs no invalidation.
#[test]
fn is_not_needed_for_new_mappings() {
    let warm = Warm::new();
    assert!(warm.test.address(stream(0), 0x9000).is_err());
    warm.spaces[0].map(0x9000, 0x9000, 3, READ_WRITE);
    assert_eq!(warm.test.address(stream(0), 0x9000), Ok(0x9000));
}

/// The address in the register counts 4 KiB pages whatever the granule, and
/// is sign-extended for the upper half.
#[test]
fn by_address_in_other_granules() {
    for granule in [K16, K64] {
        for upper in [false, true] {
            let test = TestSmmu::on();
            let memory = Allocator::new(&test.ram);
            let mut tables = Tables::new(&test.ram, &memory, granule, 42);
            tables.upper = upper;
            test.attach(0, 1, 1, &tables);
            let (first, second) = (tables.base() + granule.page, tables.base() + 2 * granule.page);
            tables.map(first, 0, 3, READ_WRITE);
            tables.map(second, granule.page, 3, READ_WRITE);
            let touch = || (test.address(1, first).is_ok(), test.address(1, second).is_ok());
            assert_eq!(touch(), (true, true));
            tables.unmap(first, 3);
            tables.unmap(second, 3);
            test.invalidate(0, 1, first + granule.page - 1);
            assert_eq!(touch(), (false, true), "{granule:?} upper {upper}");
        }
    }
}

/// More pages than the cache keeps are still translated right.
#[test]
fn beyond_the_capacity() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 48);
    test.attach(0, 1, 1, &tables);
    let pages = 20_000u64;
    for n in 0..pages {
        tables.map(n << 12, (pages - n) << 12, 3, READ_WRITE);
    }
    for _ in 0..2 {
        for n in 0..pages {
            assert_eq!(test.address(1, n << 12), Ok((pages - n) << 12));
        }
    }
    assert!(test.smmu.dump().banks[0].cached < 10_000);
}
