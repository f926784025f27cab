// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! From stream ids to contexts.

use board::smmu::{Access, Fault, GlobalCause, Shape, StreamTarget};

use super::driver::{Bench, CR0, GFAR, GFSR, GFSYNR0, GFSYNR1, bank, cba2r, cbar, s2cr, smr};
use super::tables::{Allocator, K4, READ_WRITE, Tables};

fn cause(bench: &Bench, stream: u16) -> GlobalCause {
    match bench.address(stream, 0x1000) {
        Err(Fault::Global { cause, stream: of, iova: 0x1000 }) if of == stream => cause,
        other => panic!("{other:?}"),
    }
}

/// Twelve streams with a bank each see their own pages and no others.
#[test]
fn are_isolated_from_each_other() {
    let bench = Bench::on();
    let memory = Allocator::new(&bench.ram);
    let spaces: Vec<(u16, Tables)> = (0..12u16)
        .map(|n| {
            let tables = Tables::new(&bench.ram, &memory, K4, 48);
            let at = u64::from(n) << 12;
            tables.map(at, 0x10_0000 + at, 3, READ_WRITE);
            tables.map(0x80_0000, 0x20_0000 + at, 3, READ_WRITE);
            (n, tables)
        })
        .collect();
    for (n, tables) in &spaces {
        bench.attach(usize::from(*n), 23 + n, n + 1, tables);
    }
    for _ in 0..2 {
        for n in 0..12u16 {
            for other in 0..12u16 {
                let at = u64::from(other) << 12;
                let seen = bench.address(23 + n, at);
                assert_eq!(seen.is_ok(), n == other, "stream {n} at {at:#x}: {seen:?}");
            }
            let own = 0x20_0000 + (u64::from(n) << 12);
            assert_eq!(bench.address(23 + n, 0x80_0000), Ok(own));
        }
    }
}

#[test]
fn match_by_id_and_mask() {
    let bench = Bench::on();
    bench.write(s2cr(7), 0b01 << 16);
    bench.write(smr(7), 1 << 31 | 0x0f0 << 16 | 0x1203);
    for stream in [0x1203, 0x1213, 0x12f3] {
        assert_eq!(bench.address(stream, 0x1000), Ok(0x1000));
    }
    // The id has 15 bits: the sixteenth is no part of the match, it fails it.
    for stream in [0x1202, 0x1303, 0x9203] {
        assert_eq!(cause(&bench, stream), GlobalCause::UnidentifiedStream);
    }
}

#[test]
fn without_a_mapping_pass_or_fault() {
    let bench = Bench::on();
    assert_eq!(cause(&bench, 9), GlobalCause::UnidentifiedStream);
    assert_eq!(bench.read(GFSR), 1 << 1);
    bench.write(CR0, bench.read(CR0) & !(1 << 10));
    let mapped = bench.smmu.translate(9, 0x1000, Access::WRITE).unwrap();
    assert_eq!((mapped.address, mapped.length), (0x1000, (1 << 48) - 0x1000));
    assert_eq!(bench.smmu.counters().bypasses, 1);
}

#[test]
fn pass_while_the_smmu_is_off() {
    let bench = Bench::off();
    bench.write(smr(0), 1 << 31 | 9);
    bench.write(s2cr(0), 0b10 << 16);
    assert_eq!(bench.address(9, 0x1000), Ok(0x1000));
    assert_eq!(bench.address(9, u64::MAX), Ok(u64::MAX));
    assert!(bench.smmu.dma_read(9, u64::MAX, &mut [0; 2]).is_err());
    bench.write(CR0, 0);
    assert_eq!(cause(&bench, 9), GlobalCause::InvalidContext);
}

#[test]
fn matched_twice_fault() {
    let bench = Bench::on();
    for n in [3, 40] {
        bench.write(s2cr(n), 0b01 << 16);
        bench.write(smr(n), 1 << 31 | 9);
    }
    assert_eq!(cause(&bench, 9), GlobalCause::StreamMatchConflict);
    assert_eq!(bench.read(GFSR), 1 << 2);
    bench.write(smr(40), 9);
    assert_eq!(bench.address(9, 0x1000), Ok(0x1000));
}

#[test]
fn led_to_no_usable_bank_fault() {
    let bench = Bench::on();
    bench.map_stream(0, 9, Shape::default().context_banks());
    assert_eq!(cause(&bench, 9), GlobalCause::UnimplementedBank);
    // A bank set up for stage 2, for nested stages, or for AArch32 tables.
    bench.map_stream(0, 9, 4);
    for (kind, va64, usable) in
        [(0, 1, false), (1, 1, true), (2, 1, false), (3, 1, false), (1, 0, false)]
    {
        bench.write(cbar(4), kind << 16);
        bench.write(cba2r(4), va64);
        bench.write(bank(4), 1);
        let fault = bench.address(9, 0x1000).unwrap_err();
        let context = matches!(fault, Fault::Context { .. });
        assert_eq!(context, usable, "CBAR type {kind}, VA64 {va64}: {fault}");
    }
}

/// `SCTLR.M` clear: addresses pass unchanged, as far as there are any.
#[test]
fn pass_through_a_disabled_bank() {
    let bench = Bench::on();
    bench.map_stream(0, 9, 4);
    bench.write(cbar(4), 1 << 16);
    assert_eq!(bench.address(9, 0x1234_5678), Ok(0x1234_5678));
    assert!(matches!(bench.address(9, 1 << 48), Err(Fault::Context { bank: 4, .. })));
}

#[test]
fn global_faults_are_recorded() {
    let bench = Bench::on();
    assert!(!bench.lines.level());
    let at = 0xffff_8765_4321;
    assert!(bench.smmu.translate(0x7777, at, Access::WRITE).is_err());
    assert!(bench.lines.level());
    assert_eq!(bench.read_wide(GFAR), at);
    assert_eq!(bench.read(GFSYNR0), 1 << 1);
    assert_eq!(bench.read(GFSYNR1), 0x7777);
    assert!(bench.address(0x7778, 0).is_err());
    assert_eq!(bench.read(GFSR), 1 << 31 | 1 << 1);
    assert_eq!(bench.read(GFSYNR1), 0x7777);
    bench.write(GFSR, bench.read(GFSR));
    assert_eq!(bench.read(GFSR), 0);
    assert!(!bench.lines.level());
    // Masked by sCR0.GFIE.
    bench.write(CR0, bench.read(CR0) & !(1 << 2));
    assert!(bench.address(0x7778, 0).is_err());
    assert!(!bench.lines.level());
    bench.write(CR0, bench.read(CR0) | 1 << 2);
    assert!(bench.lines.level());
    assert_eq!(bench.smmu.counters().global_faults, 3);
}

#[test]
fn messages_are_translated() {
    let bench = Bench::on();
    let memory = Allocator::new(&bench.ram);
    let tables = Tables::new(&bench.ram, &memory, K4, 48);
    bench.attach(0, 24, 1, &tables);
    tables.map(0x800_0000, 0x808_0000 + 0x1_0000, 3, READ_WRITE);
    bench.smmu.message(24, 0x800_0040, 17).unwrap();
    assert_eq!(*bench.lines.messages.lock().unwrap(), [(24, 0x809_0040, 17)]);
    assert!(bench.smmu.message(25, 0x800_0040, 17).is_err());
    assert!(bench.smmu.message(24, 0x900_0040, 17).is_err());
    assert_eq!(bench.lines.messages.lock().unwrap().len(), 1);
}

#[test]
fn show_in_the_dump() {
    let bench = Bench::on();
    let memory = Allocator::new(&bench.ram);
    let tables = Tables::new(&bench.ram, &memory, K4, 48);
    bench.attach(6, 24, 1, &tables);
    bench.write(s2cr(9), 0b01 << 16);
    bench.write(smr(9), 1 << 31 | 0x3 << 16 | 0x40);
    assert!(bench.address(24, 0x5000).is_err());
    let dump = bench.smmu.dump();
    assert_eq!(dump.streams.len(), 2);
    assert_eq!(dump.streams[0].target, StreamTarget::Bank(6));
    assert_eq!(dump.banks.len(), 1);
    assert!(dump.interrupt && !dump.disabled);
    let text = dump.to_string();
    for part in ["stream 0x18 -> context bank 6", "mask 0x3 -> bypass", "FAR 0x5000", "CB6"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}
