// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Bus masters at work while the driver unmaps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use board::smmu::Access;

use super::driver::{Bench, CR0, FSR, GFSR, SCTLR, SCTLR_LINUX, bank};
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

/// Numbers for as long as the masters have not done `enough`, and for 200
/// rounds at least; fails when that takes a minute.
fn rounds(masters: &AtomicU64, enough: u64) -> impl Iterator<Item = u64> {
    let start = Instant::now();
    (1..).take_while(move |n| {
        let done = masters.load(Ordering::SeqCst);
        assert!(start.elapsed() < Duration::from_secs(60), "only {done} of {enough} in a minute");
        *n <= 200 || done < enough
    })
}

/// Once TLBI and sync have returned, no translation leads to the old page.
/// Even epochs have page `epoch` mapped, odd ones nothing, and 0 in between
/// says that anything may be seen.
#[test]
fn no_translation_outlives_its_invalidation() {
    let bench = Bench::on();
    let memory = Allocator::new(&bench.ram);
    let tables = Tables::new(&bench.ram, &memory, K4, 48);
    bench.attach(0, STREAM, ASID, &tables);
    let epoch = AtomicU64::new(0);
    let looked = AtomicU64::new(0);
    let look = || {
        let before = epoch.load(Ordering::SeqCst);
        let seen = bench.smmu.translate(STREAM, IOVA, Access::READ);
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
        for n in rounds(&looked, 2000).map(|n| 2 * n) {
            tables.map(IOVA, n << 12, 3, READ_WRITE);
            epoch.store(n, Ordering::SeqCst);
            thread::yield_now();
            epoch.store(0, Ordering::SeqCst);
            tables.unmap(IOVA, 3);
            bench.invalidate(0, ASID, IOVA);
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
    let bench = Bench::on();
    let memory = Allocator::new(&bench.ram);
    let tables = Tables::new(&bench.ram, &memory, K4, 48);
    bench.attach(0, STREAM, ASID, &tables);
    let page = memory.page(0x1000);
    let written = AtomicU64::new(0);
    let write = || {
        if bench.smmu.dma_write(STREAM, IOVA, &[0xdd; 256]).is_ok() {
            written.fetch_add(1, Ordering::SeqCst);
        }
    };
    beside(&[&write, &write], || {
        for _ in rounds(&written, 500) {
            tables.map(IOVA, page, 3, READ_WRITE);
            thread::yield_now();
            tables.unmap(IOVA, 3);
            bench.invalidate(0, ASID, IOVA);
            for at in (page..page + 256).step_by(8) {
                bench.ram.store(at, 0x1111);
            }
            thread::yield_now();
            for at in (page..page + 256).step_by(8) {
                assert_eq!(bench.ram.load(at), 0x1111, "written after the sync");
            }
        }
    });
}

/// The same for a bank that is switched off under its stream's feet.
#[test]
fn no_translation_outlives_its_bank() {
    let bench = Bench::on();
    let memory = Allocator::new(&bench.ram);
    let spaces = [1u64, 2].map(|n| {
        let tables = Tables::new(&bench.ram, &memory, K4, 48);
        tables.map(IOVA, n << 12, 3, READ_WRITE);
        tables
    });
    bench.attach(0, STREAM, ASID, &spaces[0]);
    let epoch = AtomicU64::new(0);
    let looked = AtomicU64::new(0);
    let look = || {
        let before = epoch.load(Ordering::SeqCst);
        let seen = bench.address(STREAM, IOVA);
        if before != 0 && epoch.load(Ordering::SeqCst) == before {
            assert_eq!(seen, Ok((1 + before % 2) << 12));
            looked.fetch_add(1, Ordering::SeqCst);
        }
    };
    beside(&[&look, &look], || {
        for n in rounds(&looked, 500) {
            bench.write(bank(0) + SCTLR, 0);
            bench.set_up_bank(0, ASID, &spaces[(n % 2) as usize]);
            epoch.store(n, Ordering::SeqCst);
            thread::yield_now();
            epoch.store(0, Ordering::SeqCst);
        }
    });
}

/// Faults from several streams and a driver that clears and masks them: the
/// line is told of every change and ends at the level of the registers.
#[test]
fn interrupt_level_settles() {
    let bench = Bench::on();
    let memory = Allocator::new(&bench.ram);
    for n in 0..3 {
        let tables = Tables::new(&bench.ram, &memory, K4, 48);
        bench.attach(n, n as u16, ASID, &tables);
    }
    let faults = AtomicU64::new(0);
    let fault = |stream: u16| {
        let bench = &bench;
        let faults = &faults;
        move || {
            assert!(bench.address(stream, 0).is_err());
            faults.fetch_add(1, Ordering::SeqCst);
        }
    };
    beside(&[&fault(0), &fault(1), &fault(0x99)], || {
        let control = bench.read(CR0);
        for n in rounds(&faults, 500) {
            let masked = n % 2 == 0;
            let (global, context) = if masked { (0, 0) } else { (1 << 2, 1 << 6) };
            bench.write(CR0, control & !(1 << 2) | global);
            for n in 0..3 {
                bench.write(bank(n) + SCTLR, SCTLR_LINUX & !(1 << 6) | context);
            }
            // The masters never stop, so that the line gets to either level.
            let start = Instant::now();
            while bench.lines.level() == masked {
                assert!(start.elapsed() < Duration::from_secs(60), "masked {masked}: no change");
                thread::yield_now();
            }
            bench.write(bank(n as usize % 3) + FSR, u32::MAX);
            bench.write(GFSR, u32::MAX);
        }
    });
    for n in 0..3 {
        bench.write(bank(n) + FSR, u32::MAX);
    }
    bench.write(GFSR, u32::MAX);
    assert!(!bench.lines.level());
    bench.write(bank(0) + SCTLR, SCTLR_LINUX);
    fault(0)();
    assert!(bench.lines.level());
}
