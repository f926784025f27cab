// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Context faults: causes, levels, what the registers remember, the interrupt.

use std::sync::Arc;

use board::smmu::{Access, AccessKind, ContextCause, Fault};

use super::driver::{
    FAR, FSR, FSRRESTORE, FSYNR0, SCTLR, SCTLR_LINUX, TCR, TCR2, TTBR0, TestSmmu, bank, cbfrsynra,
};
use super::tables::{Allocator, K4, K16, K64, READ_WRITE, Tables};

const BANK: usize = 2;
const STREAM: u16 = 0x30;
const IOVA: u64 = 0x1234_5678_9000;

fn set_up(granule: super::tables::Granule) -> (TestSmmu, Tables) {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, granule, 48);
    test.attach(BANK, STREAM, 1, &tables);
    (test, tables)
}

fn fault(test: &TestSmmu, iova: u64) -> (ContextCause, u8) {
    match test.smmu.translate(STREAM, iova, Access::READ) {
        Err(Fault::Context { cause, level, bank, .. }) if usize::from(bank) == BANK => {
            assert_eq!(test.read(bank_register(FSYNR0)) & 0b11, u32::from(level));
            test.write(bank_register(FSR), u32::MAX);
            (cause, level)
        }
        other => panic!("{other:?}"),
    }
}

fn bank_register(register: u64) -> u64 {
    bank(BANK) + register
}

/// An invalid descriptor, and one of a kind that its level does not have, at
/// each level of each granule.
#[test]
fn translation_at_every_level() {
    for granule in [K4, K16, K64] {
        let (test, tables) = set_up(granule);
        for level in tables.first_level()..=3 {
            let at = tables.descriptor(IOVA, level);
            let expected = (ContextCause::Translation, level as u8);
            assert_eq!(fault(&test, IOVA), expected, "{granule:?}");
            // Not valid, whatever else it says.
            test.ram.store(at, READ_WRITE | 0b10);
            assert_eq!(fault(&test, IOVA), expected, "{granule:?}");
            let block = level < 3 && granule.leaves.contains(&level);
            if !block {
                test.ram.store(at, READ_WRITE | 0b01);
                assert_eq!(fault(&test, IOVA), expected, "{granule:?}");
            }
            test.ram.store(at, 0);
        }
    }
}

#[test]
fn access_flag() {
    let (test, tables) = set_up(K4);
    for level in [1, 2, 3] {
        let iova = IOVA & !(K4.sizes[level] - 1);
        tables.map(iova, 0, level, READ_WRITE & !(1 << 10));
        assert_eq!(fault(&test, iova), (ContextCause::AccessFlag, level as u8));
        // SCTLR.AFFD switches the check off.
        test.write(bank_register(SCTLR), SCTLR_LINUX | 1 << 3);
        assert_eq!(test.address(STREAM, iova), Ok(0));
        test.write(bank_register(SCTLR), SCTLR_LINUX);
        assert_eq!(fault(&test, iova), (ContextCause::AccessFlag, level as u8));
        tables.unmap(iova, level);
    }
}

/// Tables where no memory is.
#[test]
fn external_abort_of_the_walk() {
    let (test, tables) = set_up(K4);
    for level in [2, 1, 0] {
        test.ram.store(tables.descriptor(IOVA, level), 0x10_0000 | 0b11);
        assert_eq!(fault(&test, IOVA), (ContextCause::External, level as u8 + 1));
    }
    test.write_wide(bank_register(TTBR0), 0x10_0000);
    assert_eq!(fault(&test, IOVA), (ContextCause::External, 0));
}

/// Addresses wider than TCR2.PASIZE, of a page, of a table, of the first table.
#[test]
fn address_size() {
    let (test, tables) = set_up(K4);
    let pa_size = |code: u32| test.write(bank_register(TCR2), code | 0b111 << 15 | 1 << 4);
    for (code, bits) in [(0, 32), (1, 36), (2, 40), (3, 42), (4, 44)] {
        pa_size(code);
        tables.map(IOVA, 1 << bits, 3, READ_WRITE);
        assert_eq!(fault(&test, IOVA), (ContextCause::AddressSize, 3));
        tables.map(IOVA, 1 << (bits - 1), 3, READ_WRITE);
        assert_eq!(test.address(STREAM, IOVA), Ok(1 << (bits - 1)));
        test.smmu.write(bank_register(super::driver::TLBIALL), &[0; 4]);
    }
    pa_size(2);
    test.ram.store(tables.descriptor(IOVA, 1), 1 << 40 | 0b11);
    assert_eq!(fault(&test, IOVA), (ContextCause::AddressSize, 1));
    test.write_wide(bank_register(TTBR0), 1 << 40);
    assert_eq!(fault(&test, IOVA), (ContextCause::AddressSize, 0));
}

/// A TCR that describes no tables.
#[test]
fn no_valid_translation_control() {
    let (test, tables) = set_up(K4);
    tables.map(0, 0x1000, 3, READ_WRITE);
    assert_eq!(test.address(STREAM, 0), Ok(0x1000));
    let tcr = tables.tcr();
    for (what, tcr) in [
        ("EPD0", tcr | 1 << 7),
        ("reserved granule", tcr | 0b11 << 14),
        ("T0SZ too small", tcr & !0x3f | 15),
        ("T0SZ too large", tcr & !0x3f | 40),
    ] {
        test.write(bank_register(TCR), tcr);
        assert_eq!(fault(&test, 0), (ContextCause::Translation, 0), "{what}");
    }
}

/// The first fault is kept, a second one only noted.
#[test]
fn are_recorded_once() {
    let (test, tables) = set_up(K4);
    tables.map(0x1000, 0x2000, 3, READ_WRITE | 1 << 7);
    assert!(test.smmu.translate(STREAM, 0x1ff8, Access::WRITE).is_err());
    let recorded = |test: &TestSmmu| {
        [FSYNR0, FAR].map(|r| test.read(bank_register(r))).into_iter().collect::<Vec<_>>()
    };
    // PF, and the format of AArch64 tables; FSYNR0 has S1CBNDX, WNR, PLVL.
    assert_eq!(test.read(bank_register(FSR)), 0b10 << 9 | 1 << 3);
    assert_eq!(recorded(&test), [2 << 16 | 1 << 4 | 3, 0x1ff8]);
    assert_eq!(test.read(cbfrsynra(BANK)), u32::from(STREAM));

    let privileged = Access { kind: AccessKind::Read, privileged: true };
    assert!(test.smmu.translate(STREAM, IOVA, privileged).is_err());
    assert_eq!(test.read(bank_register(FSR)), 1 << 31 | 0b10 << 9 | 1 << 3);
    assert_eq!(recorded(&test), [2 << 16 | 1 << 4 | 3, 0x1ff8]);

    // Linux writes back what it read.
    test.write(bank_register(FSR), test.read(bank_register(FSR)));
    assert_eq!(test.read(bank_register(FSR)), 0);
    assert!(test.smmu.translate(STREAM, IOVA, privileged).is_err());
    assert_eq!(test.read(bank_register(FSR)), 0b10 << 9 | 1 << 1);
    assert_eq!(test.read_wide(bank_register(FAR)), IOVA);
    assert_eq!(test.read(bank_register(FSYNR0)), 2 << 16 | 1 << 5);
    // Only what is written as one is cleared, and other banks stay clean.
    test.write(bank_register(FSR), !(1 << 1));
    assert_eq!(test.read(bank_register(FSR)), 0b10 << 9 | 1 << 1);
    assert_eq!(test.read(bank(BANK + 1) + FSR), 0);
    assert_eq!(test.smmu.counters().context_faults, 3);
}

#[test]
fn raise_the_interrupt_until_cleared() {
    let (test, _) = set_up(K4);
    assert_eq!(test.lines.changes(), 0);
    assert!(test.address(STREAM, 0).is_err());
    assert!(test.address(STREAM, 0).is_err());
    assert!(test.lines.level());
    assert_eq!(test.lines.changes(), 1);
    // SCTLR.CFIE masks it without clearing it.
    test.write(bank_register(SCTLR), SCTLR_LINUX & !(1 << 6));
    assert!(!test.lines.level());
    test.write(bank_register(SCTLR), SCTLR_LINUX);
    assert!(test.lines.level());
    // One status at a time: it stays while MULTI is set.
    test.write(bank_register(FSR), 1 << 1);
    assert!(test.lines.level());
    test.write(bank_register(FSR), 1 << 31);
    assert!(!test.lines.level());
    // FSRRESTORE makes a fault of no transaction.
    test.write(bank_register(FSRRESTORE), 1 << 1);
    assert!(test.lines.level());
    test.smmu.reset();
    assert!(!test.lines.level());
    assert_eq!(test.read(bank_register(FSR)), 0);
}

/// Transfers record faults like translations do.
#[test]
fn of_transfers() {
    let (test, _) = set_up(K4);
    let error = test.smmu.dma_write(STREAM, 0x7004, &[1, 2, 3, 4]).unwrap_err();
    assert!(error.to_string().contains("IOVA 0x7004"), "{error}");
    assert!(test.lines.level());
    assert_eq!(test.read(bank_register(FAR)), 0x7004);
    assert_eq!(test.read(bank_register(FSYNR0)) >> 4 & 1, 1);
    assert!(test.smmu.dma_read(STREAM, 0x7004, &mut []).is_ok());
}

/// The interrupt callback may use the SMMU.
#[test]
fn callbacks_may_call_back() {
    let (test, _) = set_up(K4);
    test.lines.nosy.set(Arc::downgrade(&test.smmu)).unwrap();
    assert!(test.address(STREAM, 0).is_err());
    test.write(bank_register(FSR), u32::MAX);
    assert!(test.smmu.dma_read(STREAM, 0, &mut [0]).is_err());
    assert_eq!(*test.lines.levels.lock().unwrap(), [true, false, true]);
}

#[test]
fn big_endian_tables() {
    let (test, tables) = set_up(K4);
    tables.map(IOVA, 0x7000, 3, READ_WRITE);
    for level in 0..=3 {
        // Found from the bottom, while the tables above still read little-endian.
        let at = tables.descriptor(IOVA, 3 - level);
        test.ram.store(at, test.ram.load(at).swap_bytes());
    }
    assert_eq!(fault(&test, IOVA).0, ContextCause::Translation);
    test.write(bank_register(SCTLR), SCTLR_LINUX | 1 << 4);
    assert_eq!(test.address(STREAM, IOVA), Ok(0x7000));
}
