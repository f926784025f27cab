// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Bus masters at work while the driver unmaps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use board::smmu::Access;

use super::driver::{
    CR0, FSR, GFSR, SCTLR, SCTLR_LINUX, TLBIALL, TLBIASID, TLBIVA, TLBIVAA, TTBR0, TestSmmu, bank,
    s2cr, smr,
};
use super::tables::{Allocator, K4, READ_WRITE, Tables};

const STREAM: u16 = 7;
const ASID: u16 = 1;
const IOVA: u64 = 0x1000;

/// Lets `masters` run until `driver` returns.
fn beside(masters: &[&(dyn Fn() + Sync)], driver: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for master in masters {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    master();
                }
            });
        }
        // Also on a panic, or the others would run for ever.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _stop = Stop(&stop);
        driver();
    });
}

/// Numbers for as long as the masters have not done `enough`, and for `least`
/// rounds at least; fails when that takes a minute.
fn rounds(masters: &AtomicU64, least: u64, enough: u64) -> impl Iterator<Item = u64> {
    let start = Instant::now();
    (1..).take_while(move |n| {
        let done = masters.load(Ordering::SeqCst);
        assert!(start.elapsed() < Duration::from_secs(60), "only {done} of {enough} in a minute");
        *n <= least || done < enough
    })
}

/// Once TLBI and sync have returned, no translation leads to the old page.
/// Even epochs have page `epoch` mapped, odd ones nothing, and 0 in between
/// says that anything may be seen.
#[test]
fn no_translation_outlives_its_invalidation() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 48);
    test.attach(0, STREAM, ASID, &tables);
    let epoch = AtomicU64::new(0);
    let looked = AtomicU64::new(0);
    let look = || {
        let before = epoch.load(Ordering::SeqCst);
        let seen = test.smmu.translate(STREAM, IOVA, Access::READ);
        if before == 0 || epoch.load(Ordering::SeqCst) != before {
            return;
        }
        looked.fetch_add(1, Ordering::SeqCst);
        match (before % 2, seen) {
            (0, Ok(mapped)) => assert_eq!(mapped.address, before << 12, "a stale page"),
            (1, Err(_)) => {}
            (_, seen) => panic!("epoch {before}: {seen:?}"),
        }
    };
    beside(&[&look, &look], || {
        for n in rounds(&looked, 200, 2000).map(|n| 2 * n) {
            tables.map(IOVA, n << 12, 3, READ_WRITE);
            epoch.store(n, Ordering::SeqCst);
            thread::yield_now();
            epoch.store(0, Ordering::SeqCst);
            tables.unmap(IOVA, 3);
            test.invalidate(0, ASID, IOVA);
            epoch.store(n + 1, Ordering::SeqCst);
            thread::yield_now();
            epoch.store(0, Ordering::SeqCst);
        }
    });
}

/// Once TLBI and sync have returned, the page can be given to someone else:
/// no transfer that was under way still writes to it.
#[test]
fn no_transfer_outlives_its_invalidation() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 48);
    test.attach(0, STREAM, ASID, &tables);
    let page = memory.page(0x1000);
    let written = AtomicU64::new(0);
    let write = || {
        if test.smmu.dma_write(STREAM, IOVA, &[0xdd; 256]).is_ok() {
            written.fetch_add(1, Ordering::SeqCst);
        }
    };
    beside(&[&write, &write], || {
        for _ in rounds(&written, 200, 500) {
            tables.map(IOVA, page, 3, READ_WRITE);
            thread::yield_now();
            tables.unmap(IOVA, 3);
            test.invalidate(0, ASID, IOVA);
            for at in (page..page + 256).step_by(8) {
                test.ram.store(at, 0x1111);
            }
            thread::yield_now();
            for at in (page..page + 256).step_by(8) {
                assert_eq!(test.ram.load(at), 0x1111, "written after the sync");
            }
        }
    });
}

/// A way to take a page from a stream.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The page's address, in one ASID or in all.
    Address(u64),
    Asid,
    Vmid,
    Everything,
    /// The stream's mapping is cleared, or leads to a fault, or elsewhere.
    StreamMatch,
    StreamToFault,
    StreamToOtherBank,
    /// The bank gets other tables, or none.
    Tables,
    SwitchedOff,
    Reset,
}

impl Way {
    /// What is still in the tables can be found again.
    fn forgets_only(self) -> bool {
        matches!(self, Self::Address(_) | Self::Asid | Self::Vmid | Self::Everything)
    }
}

const WAYS: [Way; 11] = [
    Way::Address(TLBIVA),
    Way::Address(TLBIVAA),
    Way::Asid,
    Way::Vmid,
    Way::Everything,
    Way::StreamMatch,
    Way::StreamToFault,
    Way::StreamToOtherBank,
    Way::Tables,
    Way::SwitchedOff,
    Way::Reset,
];

/// Many bus masters that write, copy and do several things in one transaction,
/// through whatever they have found before, against every way to take their page
/// away: as soon as the register write has returned, the page is the test's own.
/// Pages and blocks, which are kept in different ways.
#[test]
fn no_transfer_outlives_any_way_to_end_it() {
    const SOURCE: u16 = 8;
    const BLOCK: u64 = 2 << 20;
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let space = || Tables::new(&test.ram, &memory, K4, 48);
    let (tables, empty, source) = (space(), space(), space());
    source.map(0, memory.page(0x1000), 3, READ_WRITE);
    let leaves = [(IOVA, 3, memory.page(0x1000)), (BLOCK, 2, memory.page(BLOCK))];
    let set_up = || {
        test.attach(0, STREAM, ASID, &tables);
        test.set_up_bank(1, ASID + 1, &empty);
        test.attach(2, SOURCE, ASID + 2, &source);
    };
    set_up();
    let done = AtomicU64::new(0);
    // Offsets into the block make the masters use more than one of its pages.
    let iovas = [IOVA, BLOCK, BLOCK + 0x1040];
    let stream = test.smmu.stream(STREAM);
    let count = |success: bool| {
        if success {
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    let write = || iovas.iter().for_each(|iova| count(stream.write(*iova, &[0xdd; 64]).is_ok()));
    let copy = || {
        let source = test.smmu.stream(SOURCE);
        iovas.iter().for_each(|iova| count(source.copy(0x20, stream, *iova, 64).is_ok()));
    };
    let several = || {
        let _hold = test.smmu.hold();
        for _ in 0..3 {
            write();
        }
    };
    let mut hits = 0;
    beside(&[&write, &copy, &several, &write, &several, &copy], || {
        let mut ways = WAYS.iter().cycle();
        for _ in rounds(&done, 4 * WAYS.len() as u64, 1000) {
            for (iova, level, page) in leaves {
                tables.map(iova, page, level, READ_WRITE);
            }
            let before = done.load(Ordering::SeqCst);
            let start = Instant::now();
            while done.load(Ordering::SeqCst) < before + 8 {
                assert!(start.elapsed() < Duration::from_secs(60), "no transfer in a minute");
                thread::yield_now();
            }
            hits += test.smmu.counters().hits;
            let way = *ways.next().unwrap();
            let unmap = || leaves.iter().for_each(|(iova, level, _)| tables.unmap(*iova, *level));
            if way.forgets_only() {
                unmap();
            }
            let at = bank(0);
            match way {
                Way::Address(register) => {
                    for (iova, ..) in leaves {
                        let asid = u64::from(ASID) << 48;
                        test.write_wide(at + register, iova >> 12 | asid);
                    }
                }
                Way::Asid => test.write(at + TLBIASID, ASID.into()),
                Way::Vmid => test.write(at + TLBIALL, 0),
                Way::Everything => test.write(0x68, 0),
                Way::StreamMatch => test.write(smr(0), 0),
                Way::StreamToFault => test.write(s2cr(0), 0b10 << 16),
                Way::StreamToOtherBank => test.write(s2cr(0), 1),
                Way::Tables => {
                    let root = empty.root() | u64::from(ASID) << 48;
                    test.write_wide(at + TTBR0, root);
                }
                Way::SwitchedOff => test.write(at + SCTLR, 0),
                Way::Reset => {
                    test.smmu.reset();
                    // Out of the reset everything passes, to where no RAM is.
                }
            }
            let words = || {
                iovas.iter().flat_map(|iova| {
                    let leaf = leaves.iter().rev().find(|leaf| leaf.0 <= *iova).unwrap();
                    let start = leaf.2 + (iova - leaf.0);
                    (start..start + 64).step_by(8)
                })
            };
            words().for_each(|at| test.ram.store(at, 0x1111));
            thread::yield_now();
            words().for_each(|at| assert_eq!(test.ram.load(at), 0x1111, "after {way:?}"));
            unmap();
            if matches!(way, Way::Reset) {
                test.switch_on();
            }
            set_up();
        }
    });
    assert!(hits > 0, "nothing that was kept was ever used");
}

/// The same for a bank that is switched off under its stream's feet.
#[test]
fn no_translation_outlives_its_bank() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let spaces = [1u64, 2].map(|n| {
        let tables = Tables::new(&test.ram, &memory, K4, 48);
        tables.map(IOVA, n << 12, 3, READ_WRITE);
        tables
    });
    test.attach(0, STREAM, ASID, &spaces[0]);
    let epoch = AtomicU64::new(0);
    let looked = AtomicU64::new(0);
    let look = || {
        let before = epoch.load(Ordering::SeqCst);
        let seen = test.address(STREAM, IOVA);
        if before != 0 && epoch.load(Ordering::SeqCst) == before {
            assert_eq!(seen, Ok((1 + before % 2) << 12));
            looked.fetch_add(1, Ordering::SeqCst);
        }
    };
    beside(&[&look, &look], || {
        for n in rounds(&looked, 200, 500) {
            test.write(bank(0) + SCTLR, 0);
            test.set_up_bank(0, ASID, &spaces[(n % 2) as usize]);
            epoch.store(n, Ordering::SeqCst);
            thread::yield_now();
            epoch.store(0, Ordering::SeqCst);
        }
    });
}

/// Faults from several streams and a driver that clears and masks them: the
/// line follows every change and ends at the level of the registers.
#[test]
fn interrupt_level_settles() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    for n in 0..3 {
        let tables = Tables::new(&test.ram, &memory, K4, 48);
        test.attach(n, n as u16, ASID, &tables);
    }
    let faults = AtomicU64::new(0);
    let fault = |stream: u16| {
        let test = &test;
        let faults = &faults;
        move || {
            assert!(test.address(stream, 0).is_err());
            faults.fetch_add(1, Ordering::SeqCst);
        }
    };
    beside(&[&fault(0), &fault(1), &fault(0x99)], || {
        let control = test.read(CR0);
        for n in rounds(&faults, 200, 500) {
            let masked = n % 2 == 0;
            let (global, context) = if masked { (0, 0) } else { (1 << 2, 1 << 6) };
            test.write(CR0, control & !(1 << 2) | global);
            for n in 0..3 {
                test.write(bank(n) + SCTLR, SCTLR_LINUX & !(1 << 6) | context);
            }
            // The masters never stop, so that the line gets to either level.
            let start = Instant::now();
            while test.lines.level() == masked {
                assert!(start.elapsed() < Duration::from_secs(60), "masked {masked}: no change");
                thread::yield_now();
            }
            test.write(bank(n as usize % 3) + FSR, u32::MAX);
            test.write(GFSR, u32::MAX);
        }
    });
    for n in 0..3 {
        test.write(bank(n) + FSR, u32::MAX);
    }
    test.write(GFSR, u32::MAX);
    assert!(!test.lines.level());
    test.write(bank(0) + SCTLR, SCTLR_LINUX);
    fault(0)();
    assert!(test.lines.level());
}
