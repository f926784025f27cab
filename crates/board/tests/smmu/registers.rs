// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The register frame as a driver's probe explores it.

use std::sync::Arc;

use board::smmu::{FRAME_SIZE, Shape, Smmu};

use super::driver::{ACR, ACTLR, CR0, SCTLR, TTBR0, TestSmmu, bank, cbar, s2cr, smr};
use super::host::{Lines, Ram};

/// What Linux's probe concludes from the identification registers.
#[test]
fn identify_an_mmu_500() {
    let test = TestSmmu::off();
    let id = [0x20, 0x24, 0x28].map(|offset| test.read(offset));
    assert_eq!(id[0] >> 28 & 0b111, 0b100, "stage 1 only");
    assert_eq!(id[0] >> 27 & 1, 1, "stream matching");
    assert_eq!(id[0] >> 26 & 1, 1, "no address translation operations");
    assert_eq!(id[0] >> 24 & 0b11, 0b11, "no AArch32 tables");
    assert_eq!(id[0] >> 14 & 1, 1, "coherent walks");
    assert_eq!(id[0] & 0xff, 64, "stream mapping groups");
    let pages = 2u64 << ((id[1] >> 28 & 0b111) + 1);
    assert_eq!(id[1] >> 31, 0, "4 KiB register pages");
    assert_eq!(pages * 0x1000, FRAME_SIZE);
    assert_eq!(id[1] & 0xff, 32, "context banks");
    assert_eq!(id[1] >> 16 & 0xff, 0, "stage 2 only banks");
    assert_eq!(id[0] >> 16 & 0xff, 32, "context interrupts");
    assert_eq!(id[2], 0x7555, "all granules, 48 bits everywhere");
    assert_eq!(test.read(0x3c) >> 4 & 0xf, 2, "revision r2");
    // Read-only.
    for offset in (0x20..0x40).step_by(4) {
        let before = test.read(offset);
        test.write(offset, !before);
        assert_eq!(test.read(offset), before);
    }
}

/// Linux writes ones to an SMR to find the width of ids and masks.
#[test]
fn tell_the_width_of_stream_ids() {
    let test = TestSmmu::off();
    let id_bits = test.read(0x20) >> 9 & 0xf;
    let ones = (1u32 << id_bits) - 1;
    test.write(smr(5), ones);
    assert_eq!(test.read(smr(5)), 0x7fff);
    test.write(smr(5), ones << 16);
    assert_eq!(test.read(smr(5)), 0x7fff_0000);
    test.write(smr(5), u32::MAX);
    assert_eq!(test.read(smr(5)), 0xffff_7fff);
}

#[test]
fn keep_what_has_no_function() {
    let test = TestSmmu::off();
    test.write(CR0, u32::MAX);
    assert_eq!(test.read(CR0) & 1, 1);
    assert_eq!(test.read(CR0) & 1 << 3, 0, "no extended stream ids");
    assert_eq!(test.read(CR0) & 1 << 31, 0, "no 16-bit VMIDs");
    test.write(CR0, 0);
    assert_eq!(test.read(CR0), 1 << 21 | 1 << 8, "no stalls, match conflicts fault");
    test.write(bank(3) + SCTLR, u32::MAX);
    assert_eq!(test.read(bank(3) + SCTLR) & 1 << 7, 0, "no stalls");
    test.write_wide(bank(3) + TTBR0, 0x1122_3344_5566_7788);
    assert_eq!(test.read(bank(3) + TTBR0 + 4), 0x1122_3344);
    assert_eq!(test.read_wide(bank(3) + TTBR0), 0x1122_3344_5566_7788);
    test.write(bank(3) + TTBR0, 1);
    assert_eq!(test.read_wide(bank(3) + TTBR0), 0x1122_3344_0000_0001);
    assert_eq!(test.read_wide(bank(2) + TTBR0), 0);
    test.write(cbar(31), 0xff01_f3ff);
    assert_eq!(test.read(cbar(31)), 0xff01_f3ff);
}

/// The lock that Linux opens before it switches prefetching off.
#[test]
fn lock_the_auxiliary_control() {
    let test = TestSmmu::off();
    assert_eq!(test.read(bank(0) + ACTLR), 0b11);
    test.write(bank(0) + ACTLR, 0);
    assert_eq!(test.read(bank(0) + ACTLR), 0b11);
    test.write(ACR, 0);
    test.write(bank(0) + ACTLR, 0);
    assert_eq!(test.read(bank(0) + ACTLR), 0);
}

#[test]
fn are_only_where_they_are() {
    let test = TestSmmu::off();
    for offset in [0x14, 0x60, smr(64), s2cr(64), cbar(32), bank(32), bank(127), 0x5000, 0xf_fffc] {
        test.write(offset, u32::MAX);
        assert_eq!(test.read(offset), 0, "{offset:#x}");
    }
    // Other sizes, misaligned, outside.
    for (offset, length) in
        [(0x24, 8), (0x22, 4), (0x20, 2), (0x20, 16), (0x20, 0), (FRAME_SIZE, 4), (u64::MAX, 4)]
    {
        let mut data = vec![0xaa; length];
        test.smmu.write(offset, &data);
        test.smmu.read(offset, &mut data);
        assert_eq!(data, vec![0; length], "{length} bytes at {offset:#x}");
    }
}

#[test]
fn are_reset() {
    let test = TestSmmu::on();
    let fresh = TestSmmu::off();
    test.map_stream(0, 5, 1);
    assert!(test.address(5, 0).is_err());
    test.smmu.reset();
    assert_eq!(test.smmu.dump(), fresh.smmu.dump());
    for offset in (0..FRAME_SIZE).step_by(4) {
        assert_eq!(test.read(offset), fresh.read(offset), "{offset:#x}");
    }
    assert_eq!(test.address(5, 0x123), Ok(0x123));
}

#[test]
fn follow_the_shape() {
    assert!(Shape::new(0, 1).is_err());
    assert!(Shape::new(1, 0).is_err());
    assert!(Shape::new(129, 1).is_err());
    let error = Shape::new(1, 200).unwrap_err();
    assert!(error.to_string().contains("200 stream mapping groups"), "{error}");
    let shape = Shape::new(Shape::MAX, Shape::MAX).unwrap();
    let smmu = Smmu::with_shape(shape, Arc::new(Ram::new()), Arc::new(Lines::default()));
    let test = TestSmmu {
        smmu: Arc::new(smmu),
        ram: Arc::new(Ram::new()),
        lines: Arc::new(Lines::default()),
    };
    assert_eq!(test.read(0x20) & 0xff, 128);
    assert_eq!(test.read(0x24) & 0xff, 128);
    test.write(bank(127) + SCTLR, 1);
    assert_eq!(test.read(bank(127) + SCTLR), 1);
    test.write(s2cr(127), 1);
    assert_eq!(test.read(s2cr(127)), 1);
}
