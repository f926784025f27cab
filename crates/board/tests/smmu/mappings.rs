// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random sequences of maps and unmaps against a plain map of what is where.

use std::collections::BTreeMap;

use board::host::GuestMemory;
use board::smmu::{Access, ContextCause, Fault};
use proptest::prelude::*;

use super::driver::{TCR, TCR2, TTBR0, TTBR1, TestSmmu, bank};
use super::tables::{Allocator, Granule, K4, K16, K64, READ_ONLY, READ_WRITE, Tables};

const STREAM: u16 = 24;
const BANK: usize = 3;
const ASID: u16 = 0x1234;

#[derive(Debug, Clone)]
enum Step {
    /// Maps slot `place` with a leaf at the `size`th of the granule's levels.
    Map { size: usize, place: u64, output: u64, read_only: bool },
    /// Unmaps the `which`th of what is mapped.
    Unmap { which: usize },
    /// Looks an address up.
    Look { size: usize, place: u64, offset: u64, write: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let place = prop_oneof![0..6u64, Just(u64::MAX), any::<u64>()];
    prop_oneof![
        3 => (0..3usize, place.clone(), any::<u64>(), any::<bool>()).prop_map(
            |(size, place, output, read_only)| Step::Map { size, place, output, read_only }
        ),
        1 => any::<usize>().prop_map(|which| Step::Unmap { which }),
        4 => (0..3usize, place, any::<u64>(), any::<bool>()).prop_map(
            |(size, place, offset, write)| Step::Look { size, place, offset, write }
        ),
    ]
}

struct Leaf {
    output: u64,
    size: u64,
    level: usize,
    read_only: bool,
}

fn run(granule: Granule, bits: u32, upper: bool, steps: &[Step]) {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let mut tables = Tables::new(&test.ram, &memory, granule, bits);
    tables.upper = upper;
    test.attach(BANK, STREAM, ASID, &tables);
    let span = 1u64 << bits;
    // The last of the places is the end of the address space, the first few
    // are its start; the others are anywhere, but few tables' worth.
    let slot = |place: u64, size: u64| {
        let slots = span / size;
        tables.base()
            + if place < 6 { place } else { (slots - 1).saturating_sub(place % 3) } % slots * size
    };
    let levels: Vec<usize> = granule
        .leaves
        .iter()
        .copied()
        .filter(|level| *level >= tables.first_level() && granule.sizes[*level] < span)
        .collect();
    let level = |size: usize| levels[size % levels.len()];
    let mut model: BTreeMap<u64, Leaf> = BTreeMap::new();

    let look = |model: &BTreeMap<u64, Leaf>, iova: u64, write: bool| {
        let expected = model
            .range(..=iova)
            .next_back()
            .filter(|(start, leaf)| iova - **start < leaf.size)
            .map(|(start, leaf)| (leaf, iova - start));
        let access = if write { Access::WRITE } else { Access::READ };
        match (expected, test.smmu.translate(STREAM, iova, access)) {
            (Some((leaf, offset)), Ok(mapped)) => {
                assert!(!(write && leaf.read_only), "write allowed at {iova:#x}");
                assert_eq!(mapped.address, leaf.output + offset, "at {iova:#x}");
                assert_eq!(mapped.length, leaf.size - offset, "at {iova:#x}");
            }
            (Some((leaf, _)), Err(Fault::Context { cause, level, .. })) => {
                assert!(write && leaf.read_only, "{cause} at {iova:#x}");
                assert_eq!(cause, ContextCause::Permission);
                assert_eq!(usize::from(level), leaf.level);
            }
            (None, Err(Fault::Context { cause, bank, stream, iova: at, .. })) => {
                assert_eq!(cause, ContextCause::Translation, "at {iova:#x}");
                assert_eq!((usize::from(bank), stream, at), (BANK, STREAM, iova));
            }
            (expected, got) => {
                panic!("at {iova:#x}: mapped {}, got {got:?}", expected.is_some())
            }
        }
    };

    for step in steps {
        match *step {
            Step::Map { size, place, output, read_only } => {
                let level = level(size);
                let size = granule.sizes[level];
                let start = slot(place, size);
                let taken = model.iter().any(|(at, leaf)| {
                    let (a, b) = (u128::from(*at), u128::from(start));
                    a < b + u128::from(size) && b < a + u128::from(leaf.size)
                });
                if !taken {
                    let output = output % (1 << 48) / size * size;
                    let attributes = if read_only { READ_ONLY } else { READ_WRITE };
                    tables.map(start, output, level, attributes);
                    model.insert(start, Leaf { output, size, level, read_only });
                }
            }
            Step::Unmap { which } if !model.is_empty() => {
                let start = *model.keys().nth(which % model.len()).unwrap();
                let leaf = model.remove(&start).unwrap();
                tables.unmap(start, leaf.level);
                test.invalidate(BANK, ASID, start + which as u64 % leaf.size);
                look(&model, start, false);
            }
            Step::Unmap { .. } => {}
            Step::Look { size, place, offset, write } => {
                let size = granule.sizes[level(size)];
                look(&model, slot(place, size) + offset % size, write);
            }
        }
    }
    for (start, leaf) in &model {
        look(&model, *start, false);
        look(&model, start + (leaf.size - 1), false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn granule_4k(bits in 25..=48u32, upper: bool, steps in prop::collection::vec(step(), 1..80)) {
        run(K4, bits, upper, &steps);
    }

    #[test]
    fn granule_16k(bits in 25..=48u32, upper: bool, steps in prop::collection::vec(step(), 1..80)) {
        run(K16, bits, upper, &steps);
    }

    #[test]
    fn granule_64k(bits in 25..=48u32, upper: bool, steps in prop::collection::vec(step(), 1..40)) {
        run(K64, bits, upper, &steps);
    }
}

/// Addresses that no table covers: beyond TCR's size, in a disabled half, with
/// bits above the sign that do not repeat it.
#[test]
fn addresses_outside_the_tables() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 39);
    test.attach(BANK, STREAM, ASID, &tables);
    tables.map(0x1000, 0x5000, 3, READ_WRITE);
    assert_eq!(test.address(STREAM, 0x1234), Ok(0x5234));
    for iova in [
        1 << 39 | 0x1234,
        1 << 47 | 0x1234,
        1 << 48 | 0x1234,
        1 << 56 | 0x1234,
        1 << 63 | 0x1234,
        u64::MAX << 39 | 0x1234,
    ] {
        let fault = test.address(STREAM, iova).unwrap_err();
        assert!(
            matches!(fault, Fault::Context { cause: ContextCause::Translation, level: 0, .. }),
            "{iova:#x}: {fault}"
        );
    }
}

/// Both halves at once, and how an address is extended from the sign bit that
/// `TCR2.SEP` names, with and without the top byte ignored.
#[test]
fn both_halves() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let low = Tables::new(&test.ram, &memory, K4, 36);
    let mut high = Tables::new(&test.ram, &memory, K64, 40);
    high.upper = true;
    test.attach(BANK, STREAM, ASID, &low);
    test.write_wide(bank(BANK) + TTBR1, high.root());
    test.write(bank(BANK) + TCR, low.tcr() & 0xffff | high.tcr() & 0xffff_0000);
    low.map(0x1000, 0x5000, 3, READ_WRITE);
    high.map(u64::MAX << 16, 0x7_0000, 3, READ_WRITE);
    let (in_low, in_high) = (Some(0x5234), Some(0x7_f234));
    let top = u64::MAX << 12 | 0x234;
    let upstream = 0b111 << 15;
    let bit_39 = 0b010 << 15;
    let (ignore_low, ignore_high) = (1 << 5, 1 << 6);
    for (tcr2, iova, expected) in [
        (upstream, 0x1234, in_low),
        (upstream, top, in_high),
        // The bus has 49 bits; the last one is the sign.
        (upstream, top & (u64::MAX >> 15), in_high),
        (upstream, top & (u64::MAX >> 16), None),
        (upstream, 1 << 56 | 0x1234, None),
        (upstream, top & !(1 << 60), None),
        (upstream | ignore_low, 0xab << 56 | 0x1234, in_low),
        (upstream | ignore_low, top & (u64::MAX >> 8), None),
        (upstream | ignore_high, 0xab << 56 | 0x1234, None),
        (upstream | ignore_high, top & (u64::MAX >> 8), in_high),
        (bit_39, 0x1234, in_low),
        (bit_39, top & (u64::MAX >> 24), in_high),
        (bit_39, top & (u64::MAX >> 23), None),
        (bit_39, 1 << 40 | 0x1234, None),
    ] {
        test.write(bank(BANK) + TCR2, 5 | 1 << 4 | tcr2);
        // Once from the tables, once from the cache.
        for _ in 0..2 {
            assert_eq!(test.address(STREAM, iova).ok(), expected, "{tcr2:#x} {iova:#x}");
        }
    }
}

/// A first table smaller than a page needs only its own alignment, and the
/// bits below that are no part of its address.
#[test]
fn small_first_tables() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    for bits in 25..=48 {
        let tables = Tables::new(&test.ram, &memory, K4, bits);
        test.attach(BANK, STREAM, ASID, &tables);
        let last = (1u64 << bits) - 0x1000;
        tables.map(last, 0x5000, 3, READ_WRITE);
        let entries = (1u64 << bits) / K4.sizes[tables.first_level()];
        // Moved to the end of a page, as far as it is long.
        let bytes = entries * 8;
        let moved = memory.page(0x1000) + 0x1000 - bytes;
        for at in (0..bytes).step_by(8) {
            test.ram.store(moved + at, test.ram.load(tables.root() + at));
        }
        let asid = u64::from(ASID) << 48;
        test.write_wide(bank(BANK) + TTBR0, moved | (bytes - 1) & 0xfff | asid);
        assert_eq!(test.address(STREAM, last + 0x678), Ok(0x5678), "{bits} bits");
    }
}

/// Transfers run on over pages that lie apart in memory.
#[test]
fn transfers_cross_pages() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 48);
    test.attach(BANK, STREAM, ASID, &tables);
    let pages = [memory.page(0x1000), memory.page(0x4000), memory.page(0x1000)];
    for (n, page) in pages.iter().enumerate() {
        tables.map(0x7000 + 0x1000 * n as u64, *page, 3, READ_WRITE);
    }
    let data: Vec<u8> = (0..0x2100u32).map(|n| (n * 7).to_le_bytes()[1]).collect();
    test.smmu.dma_write(STREAM, 0x7f00, &data).unwrap();
    let mut back = vec![0; data.len()];
    test.smmu.dma_read(STREAM, 0x7f00, &mut back).unwrap();
    assert_eq!(back, data);
    assert_eq!(test.ram.load(pages[1]).to_le_bytes(), data[0x100..0x108]);

    // Past the end: what fits is moved, and the fault names the first page
    // that is missing.
    let error = test.smmu.dma_write(STREAM, 0x9ff8, &[0xee; 16]).unwrap_err();
    assert_eq!(error.to_string(), test.address(STREAM, 0xa000).unwrap_err().to_string());
    assert_eq!(test.ram.load(pages[2] + 0xff8), u64::from_le_bytes([0xee; 8]));
}

/// A copy from one stream's pages to another's, none of them beside the next.
#[test]
fn copies_go_from_stream_to_stream() {
    const OTHER: u16 = 25;
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let space = |bank, stream, asid| {
        let tables = Tables::new(&test.ram, &memory, K4, 48);
        test.attach(bank, stream, asid, &tables);
        tables
    };
    let (source, target) = (space(BANK, STREAM, ASID), space(BANK + 1, OTHER, ASID + 1));
    let pages = |base: u64, tables: &Tables, flags| {
        let pages = [(); 3].map(|()| memory.page(0x4000));
        for (page, iova) in pages.iter().rev().zip((base..).step_by(0x1000)) {
            tables.map(iova, *page, 3, flags);
        }
        pages
    };
    let read_pages = pages(0x7000, &source, READ_ONLY);
    let written_pages = pages(0x2_0000, &target, READ_WRITE);
    let data: Vec<u8> = (0..0x3000u32).map(|n| (n * 11).to_le_bytes()[1]).collect();
    for (page, data) in read_pages.iter().rev().zip(data.chunks(0x1000)) {
        test.ram.write(*page, data).unwrap();
    }

    let (from, to) = (test.smmu.stream(STREAM), test.smmu.stream(OTHER));
    from.copy(0x7080, to, 0x2_0e01, 0x2000).unwrap();
    let mut seen = vec![0; 0x3000];
    for (page, seen) in written_pages.iter().rev().zip(seen.chunks_mut(0x1000)) {
        test.ram.read(*page, seen).unwrap();
    }
    assert!(seen[..0xe01].iter().chain(&seen[0x2e01..]).all(|byte| *byte == 0));
    assert_eq!(seen[0xe01..0x2e01], data[0x80..0x2080]);

    // Who lacks what is told by stream and address; what came before is there.
    let error = from.copy(0x9ff0, to, 0x2_0000, 0x20).unwrap_err();
    assert_eq!(error.to_string(), test.address(STREAM, 0xa000).unwrap_err().to_string());
    assert_eq!(test.ram.load(written_pages[2] + 8).to_le_bytes(), data[0x2ff8..]);
    let error = from.copy(0x7000, to, 0x2_2ff0, 0x20).unwrap_err();
    assert_eq!(error.to_string(), test.address(OTHER, 0x2_3000).unwrap_err().to_string());
    let error = to.copy(0x2_0000, from, 0x7000, 1).unwrap_err();
    assert!(error.to_string().contains("permission"), "{error}");
}

/// A mapping to where no memory is: a bus error of the transfer, not a fault
/// of the SMMU.
#[test]
fn mappings_to_nowhere() {
    let test = TestSmmu::on();
    let memory = Allocator::new(&test.ram);
    let tables = Tables::new(&test.ram, &memory, K4, 48);
    test.attach(BANK, STREAM, ASID, &tables);
    tables.map(0x1000, 0x10_0000, 3, READ_WRITE);
    let error = test.smmu.dma_read(STREAM, 0x1000, &mut [0; 4]).unwrap_err();
    assert!(matches!(error, board::smmu::DmaError::Bus { stream: STREAM, iova: 0x1000, .. }));
    let other = memory.page(0x1000);
    tables.map(0x2000, other, 3, READ_WRITE);
    let stream = test.smmu.stream(STREAM);
    for (from, to) in [(0x1008, 0x2000), (0x2000, 0x1008)] {
        let error = stream.copy(from, stream, to, 4).unwrap_err();
        assert!(matches!(error, board::smmu::DmaError::Bus { stream: STREAM, iova: 0x1008, .. }));
    }
    assert_eq!(test.smmu.counters().context_faults, 0);
}
