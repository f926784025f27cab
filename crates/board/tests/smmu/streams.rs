// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! From stream ids to contexts.

use board::smmu::{Access, Fault, GlobalCause, Shape, StreamTarget};

use super::driver::{CR0, GFAR, GFSR, GFSYNR0, GFSYNR1, TestSmmu, bank, cba2r, cbar, s2cr, smr};
use super::tables::{Allocator, K4, READ_WRITE, Tables};

fn cause(test: &TestSmmu, stream: u16) -> GlobalCause {
    match test.address(stream, 0x1000) {
        Err(Fault::Global { cause, stream: of, iova: 0x1000 }) if of == stream => cause,
        other => panic!("{other:?}"),
    }
}

/// Twelve streams with a bank each see their own pages and no others.
#[test]
fn are_isolated_from_each_other() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let spaces: Vec<(u16, Tables)> = (0..12u16)
        .map(|n| {
            let tables = Tables::new(&test.ram, &memory, K4, 48);
            let at = u64::from(n) << 12;
            tables.map(at, 0x10_0000 + at, 3, READ_WRITE);
            tables.map(0x80_0000, 0x20_0000 + at, 3, READ_WRITE);
            (n, tables)
        })
        .collect();
    for (n, tables) in &spaces {
        test.attach(usize::from(*n), 23 + n, n + 1, tables);
    }
    for _ in 0..2 {
        for n in 0..12u16 {
            for other in 0..12u16 {
                let at = u64::from(other) << 12;
                let seen = test.address(23 + n, at);
                assert_eq!(seen.is_ok(), n == other, "stream {n} at {at:#x}: {seen:?}");
            }
            let own = 0x20_0000 + (u64::from(n) << 12);
            assert_eq!(test.address(23 + n, 0x80_0000), Ok(own));
        }
    }
}

#[test]
fn match_by_id_and_mask() {
    let test = TestSmmu::on();
    test.write(s2cr(7), 0b01 << 16);
    test.write(smr(7), 1 << 31 | 0x0f0 << 16 | 0x1203);
    for stream in [0x1203, 0x1213, 0x12f3] {
        assert_eq!(test.address(stream, 0x1000), Ok(0x1000));
    }
    // The id has 15 bits: the sixteenth is no part of the match, it fails it.
    for stream in [0x1202, 0x1303, 0x9203] {
        assert_eq!(cause(&test, stream), GlobalCause::UnidentifiedStream);
    }
}

#[test]
fn without_a_mapping_pass_or_fault() {
    let test = TestSmmu::on();
    assert_eq!(cause(&test, 9), GlobalCause::UnidentifiedStream);
    assert_eq!(test.read(GFSR), 1 << 1);
    test.write(CR0, test.read(CR0) & !(1 << 10));
    let mapped = test.smmu.translate(9, 0x1000, Access::WRITE).unwrap();
    assert_eq!((mapped.address, mapped.length), (0x1000, (1 << 48) - 0x1000));
    assert_eq!(test.smmu.counters().bypasses, 1);
}

#[test]
fn pass_while_the_smmu_is_off() {
    let test = TestSmmu::off();
    test.write(smr(0), 1 << 31 | 9);
    test.write(s2cr(0), 0b10 << 16);
    assert_eq!(test.address(9, 0x1000), Ok(0x1000));
    assert_eq!(test.address(9, u64::MAX), Ok(u64::MAX));
    assert!(test.smmu.dma_read(9, u64::MAX, &mut [0; 2]).is_err());
    test.write(CR0, 0);
    assert_eq!(cause(&test, 9), GlobalCause::InvalidContext);
}

#[test]
fn matched_twice_fault() {
    let test = TestSmmu::on();
    for n in [3, 40] {
        test.write(s2cr(n), 0b01 << 16);
        test.write(smr(n), 1 << 31 | 9);
    }
    assert_eq!(cause(&test, 9), GlobalCause::StreamMatchConflict);
    assert_eq!(test.read(GFSR), 1 << 2);
    test.write(smr(40), 9);
    assert_eq!(test.address(9, 0x1000), Ok(0x1000));
}

#[test]
fn led_to_no_usable_bank_fault() {
    let test = TestSmmu::on();
    test.map_stream(0, 9, Shape::default().context_banks());
    assert_eq!(cause(&test, 9), GlobalCause::UnimplementedBank);
    // A bank set up for stage 2, for nested stages, or for AArch32 tables.
    test.map_stream(0, 9, 4);
    for (kind, va64, usable) in
        [(0, 1, false), (1, 1, true), (2, 1, false), (3, 1, false), (1, 0, false)]
    {
        test.write(cbar(4), kind << 16);
        test.write(cba2r(4), va64);
        test.write(bank(4), 1);
        let fault = test.address(9, 0x1000).unwrap_err();
        let context = matches!(fault, Fault::Context { .. });
        assert_eq!(context, usable, "CBAR type {kind}, VA64 {va64}: {fault}");
    }
}

/// `SCTLR.M` clear: addresses pass unchanged, as far as there are any.
#[test]
fn pass_through_a_disabled_bank() {
    let test = TestSmmu::on();
    test.map_stream(0, 9, 4);
    test.write(cbar(4), 1 << 16);
    assert_eq!(test.address(9, 0x1234_5678), Ok(0x1234_5678));
    assert!(matches!(test.address(9, 1 << 48), Err(Fault::Context { bank: 4, .. })));
}

#[test]
fn global_faults_are_recorded() {
    let test = TestSmmu::on();
    assert!(!test.lines.level());
    let at = 0xffff_8765_4321;
    assert!(test.smmu.translate(0x7777, at, Access::WRITE).is_err());
    assert!(test.lines.level());
    assert_eq!(test.read_wide(GFAR), at);
    assert_eq!(test.read(GFSYNR0), 1 << 1);
    assert_eq!(test.read(GFSYNR1), 0x7777);
    assert!(test.address(0x7778, 0).is_err());
    assert_eq!(test.read(GFSR), 1 << 31 | 1 << 1);
    assert_eq!(test.read(GFSYNR1), 0x7777);
    test.write(GFSR, test.read(GFSR));
    assert_eq!(test.read(GFSR), 0);
    assert!(!test.lines.level());
    // Masked by sCR0.GFIE.
    test.write(CR0, test.read(CR0) & !(1 << 2));
    assert!(test.address(0x7778, 0).is_err());
    assert!(!test.lines.level());
    test.write(CR0, test.read(CR0) | 1 << 2);
    assert!(test.lines.level());
    assert_eq!(test.smmu.counters().global_faults, 3);
}

#[test]
fn messages_are_translated() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 48);
    test.attach(0, 24, 1, &tables);
    tables.map(0x800_0000, 0x808_0000 + 0x1_0000, 3, READ_WRITE);
    test.smmu.message(24, 0x800_0040, 17).unwrap();
    assert_eq!(*test.lines.messages.lock().unwrap(), [(24, 0x809_0040, 17)]);
    assert!(test.smmu.message(25, 0x800_0040, 17).is_err());
    assert!(test.smmu.message(24, 0x900_0040, 17).is_err());
    assert_eq!(test.lines.messages.lock().unwrap().len(), 1);
}

#[test]
fn show_in_the_dump() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 48);
    test.attach(6, 24, 1, &tables);
    test.write(s2cr(9), 0b01 << 16);
    test.write(smr(9), 1 << 31 | 0x3 << 16 | 0x40);
    assert!(test.address(24, 0x5000).is_err());
    let dump = test.smmu.dump();
    assert_eq!(dump.streams.len(), 2);
    assert_eq!(dump.streams[0].target, StreamTarget::Bank(6));
    assert_eq!(dump.banks.len(), 1);
    assert!(dump.interrupt && !dump.disabled);
    let text = dump.to_string();
    for part in ["stream 0x18 -> context bank 6", "mask 0x3 -> bypass", "FAR 0x5000", "CB6"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}
