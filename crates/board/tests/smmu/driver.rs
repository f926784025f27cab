// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The register accesses of Linux's `arm-smmu`, in its order.

use std::sync::Arc;

use board::smmu::{Access, Fault, Shape, Smmu};

use super::host::{Lines, Ram};
use super::tables::Tables;

pub const CR0: u64 = 0x0;
pub const ACR: u64 = 0x10;
pub const GFAR: u64 = 0x40;
pub const GFSR: u64 = 0x48;
pub const GFSYNR0: u64 = 0x50;
pub const GFSYNR1: u64 = 0x54;

pub const SCTLR: u64 = 0x0;
pub const ACTLR: u64 = 0x4;
pub const TCR2: u64 = 0x10;
pub const TTBR0: u64 = 0x20;
pub const TTBR1: u64 = 0x28;
pub const TCR: u64 = 0x30;
pub const FSR: u64 = 0x58;
pub const FSRRESTORE: u64 = 0x5c;
pub const FAR: u64 = 0x60;
pub const FSYNR0: u64 = 0x68;
pub const TLBIVA: u64 = 0x600;
pub const TLBIVAA: u64 = 0x608;
pub const TLBIASID: u64 = 0x610;
pub const TLBIALL: u64 = 0x618;
pub const TLBIVAL: u64 = 0x620;
pub const TLBSYNC: u64 = 0x7f0;
pub const TLBSTATUS: u64 = 0x7f4;

/// `SCTLR` as Linux sets it for stage 1: ASIDPNE, CFIE, CFRE, AFE, TRE, M.
pub const SCTLR_LINUX: u32 = 1 << 12 | 1 << 6 | 1 << 5 | 1 << 2 | 1 << 1 | 1;

/// An SMMU with its host, and a driver's way of using it.
pub struct TestSmmu {
    pub smmu: Arc<Smmu>,
    pub ram: Arc<Ram>,
    pub lines: Arc<Lines>,
}

impl TestSmmu {
    /// An SMMU in its power-on state.
    pub fn off() -> Self {
        let (ram, lines) = (Arc::new(Ram::new()), Arc::new(Lines::default()));
        let smmu = Arc::new(Smmu::new(ram.clone(), lines.clone()));
        Self { smmu, ram, lines }
    }

    /// An SMMU that Linux has probed and switched on, without bypass.
    pub fn on() -> Self {
        let test = Self::off();
        test.switch_on();
        test
    }

    pub fn read(&self, offset: u64) -> u32 {
        let mut word = [0xaa; 4];
        self.smmu.read(offset, &mut word);
        u32::from_le_bytes(word)
    }

    pub fn read_wide(&self, offset: u64) -> u64 {
        let mut words = [0xaa; 8];
        self.smmu.read(offset, &mut words);
        u64::from_le_bytes(words)
    }

    pub fn write(&self, offset: u64, value: u32) {
        self.smmu.write(offset, &value.to_le_bytes());
    }

    pub fn write_wide(&self, offset: u64, value: u64) {
        self.smmu.write(offset, &value.to_le_bytes());
    }

    /// The device reset at the end of Linux's probe.
    pub fn switch_on(&self) {
        let shape = Shape::default();
        self.write(GFSR, self.read(GFSR));
        for n in 0..shape.stream_maps() {
            self.write(s2cr(n), 0b10 << 16);
            self.write(smr(n), 0);
        }
        for n in 0..shape.context_banks() {
            self.write(bank(n) + SCTLR, 0);
            self.write(bank(n) + FSR, 0xc000_01fe);
        }
        self.write(0x6c, u32::MAX);
        self.write(0x68, u32::MAX);
        let mut control = self.read(CR0);
        control |= 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 11 | 1 << 12 | 1 << 10;
        control &= !(1 | 1 << 13 | 0b11 << 14);
        self.write(ACR, self.read(ACR) & !(1 << 26) | 1 << 8 | 1 << 10);
        for n in 0..shape.context_banks() {
            self.write(bank(n) + ACTLR, self.read(bank(n) + ACTLR) & !0b10);
            assert_eq!(self.read(bank(n) + ACTLR) & 0b10, 0, "prefetch stays on in bank {n}");
        }
        self.write(0x70, u32::MAX);
        assert_eq!(self.read(0x74) & 1, 0, "global TLB sync never ends");
        self.write(CR0, control);
    }

    /// Sets a context bank up for `tables` and gives it `stream`.
    pub fn attach(&self, index: usize, stream: u16, asid: u16, tables: &Tables) {
        self.set_up_bank(index, asid, tables);
        self.map_stream(index, stream, index);
    }

    /// A domain's context bank as Linux writes it.
    pub fn set_up_bank(&self, index: usize, asid: u16, tables: &Tables) {
        let at = bank(index);
        self.write(cba2r(index), 1);
        self.write(cbar(index), 0b01 << 16 | 0xf << 12 | 0b11 << 8);
        self.write(at + TCR2, 5 | 1 << 4 | 0b111 << 15);
        self.write(at + TCR, tables.tcr());
        let (low, high) = if tables.upper { (0, tables.root()) } else { (tables.root(), 0) };
        self.write_wide(at + TTBR0, low | u64::from(asid) << 48);
        self.write_wide(at + TTBR1, high | u64::from(asid) << 48);
        self.write(at + 0x38, 0x00ff_4404);
        self.write(at + 0x3c, 0);
        self.write(at + SCTLR, SCTLR_LINUX);
    }

    /// Stream mapping group `group` for one stream id.
    pub fn map_stream(&self, group: usize, stream: u16, to_bank: usize) {
        self.write(s2cr(group), to_bank as u32);
        self.write(smr(group), 1 << 31 | u32::from(stream));
    }

    /// Invalidates one address, and waits for it, as after an unmap.
    pub fn invalidate(&self, index: usize, asid: u16, iova: u64) {
        let page = iova >> 12 & ((1 << 44) - 1);
        self.write_wide(bank(index) + TLBIVAL, page | u64::from(asid) << 48);
        self.sync(index);
    }

    pub fn sync(&self, index: usize) {
        self.write(bank(index) + TLBSYNC, u32::MAX);
        assert_eq!(self.read(bank(index) + TLBSTATUS) & 1, 0, "TLB sync never ends");
    }

    /// The physical address of a read.
    pub fn address(&self, stream: u16, iova: u64) -> Result<u64, Fault> {
        self.smmu.translate(stream, iova, Access::READ).map(|mapped| mapped.address)
    }
}

pub fn smr(n: usize) -> u64 {
    0x800 + 4 * n as u64
}

pub fn s2cr(n: usize) -> u64 {
    0xc00 + 4 * n as u64
}

pub fn cbar(n: usize) -> u64 {
    0x1000 + 4 * n as u64
}

pub fn cbfrsynra(n: usize) -> u64 {
    0x1400 + 4 * n as u64
}

pub fn cba2r(n: usize) -> u64 {
    0x1800 + 4 * n as u64
}

/// The page of a context bank.
pub fn bank(n: usize) -> u64 {
    0x8_0000 + 0x1000 * n as u64
}
