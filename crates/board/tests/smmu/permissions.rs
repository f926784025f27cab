// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Access permissions of pages, of the tables above them, and of streams.

use board::smmu::{Access, AccessKind, ContextCause, Fault};

use super::driver::{TestSmmu, s2cr};
use super::tables::{ACCESSED, Allocator, K4, NOT_GLOBAL, Tables};

const IOVA: u64 = 0x40_0000_0000;

/// A page with the given attributes, under a level 2 table entry with others.
fn page(attributes: u64, table: u64) -> TestSmmu {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 48);
    test.attach(0, 5, 1, &tables);
    tables.map(IOVA, 0x1000, 3, attributes | ACCESSED | NOT_GLOBAL);
    let above = tables.descriptor(IOVA, 2);
    test.ram.store(above, test.ram.load(above) | table);
    test
}

/// Whether (unprivileged read, write, privileged read, write) are allowed.
fn allowed(test: &TestSmmu) -> [bool; 4] {
    [
        (false, AccessKind::Read),
        (false, AccessKind::Write),
        (true, AccessKind::Read),
        (true, AccessKind::Write),
    ]
    .map(|(privileged, kind)| {
        match test.smmu.translate(5, IOVA, Access { kind, privileged }) {
            Ok(_) => true,
            Err(Fault::Context { cause: ContextCause::Permission, level: 3, .. }) => false,
            Err(fault) => panic!("{fault}"),
        }
    })
}

#[test]
fn of_a_page() {
    assert_eq!(allowed(&page(0b00 << 6, 0)), [false, false, true, true]);
    assert_eq!(allowed(&page(0b01 << 6, 0)), [true, true, true, true]);
    assert_eq!(allowed(&page(0b10 << 6, 0)), [false, false, true, false]);
    assert_eq!(allowed(&page(0b11 << 6, 0)), [true, false, true, false]);
}

#[test]
fn of_the_tables_above() {
    let read_write = 0b01 << 6;
    assert_eq!(allowed(&page(read_write, 0b01 << 61)), [false, false, true, true]);
    assert_eq!(allowed(&page(read_write, 0b10 << 61)), [true, false, true, false]);
    assert_eq!(allowed(&page(read_write, 0b11 << 61)), [false, false, true, false]);
}

/// `S2CR.PRIVCFG` overrides what the bus master says.
#[test]
fn of_the_stream() {
    let test = page(0b00 << 6, 0);
    test.write(s2cr(0), 0b11 << 24);
    assert_eq!(allowed(&test), [true, true, true, true]);
    test.write(s2cr(0), 0b10 << 24);
    assert_eq!(allowed(&test), [false, false, false, false]);
}

#[test]
fn of_instruction_fetches() {
    let fetch = |test: &TestSmmu, privileged| {
        test.smmu.translate(5, IOVA, Access { kind: AccessKind::Fetch, privileged }).is_ok()
    };
    for (attributes, table, unprivileged, privileged) in [
        (0, 0, true, true),
        (1 << 53, 0, true, false),
        (1 << 54, 0, false, true),
        (0, 1 << 59, true, false),
        (0, 1 << 60, false, true),
    ] {
        let test = page(0b01 << 6 | attributes, table);
        assert_eq!(fetch(&test, false), unprivileged, "{attributes:#x} {table:#x}");
        assert_eq!(fetch(&test, true), privileged, "{attributes:#x} {table:#x}");
    }
}
