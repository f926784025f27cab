// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Registers and page tables of the SMMU: no panic, no address beyond what it
//! can put out, and no transfer past the memory that there is.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use board::{
    host::{BusError, GuestMemory, IrqLines},
    smmu::{Access, AccessKind, Smmu},
};
use libfuzzer_sys::fuzz_target;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Guest physical address of the memory, and its bytes.
const RAM: u64 = 0x8000_0000;
const RAM_SIZE: u64 = 0x4000;

/// More bytes than any transfer has.
const MOST_BYTES: usize = 0x2800;

/// Steps of one input.
const STEPS: usize = 100;

/// Registers of a bank that the driver uses, and some around them.
const BANK_REGISTERS: [u64; 20] = [
    0x0, 0x4, 0x8, 0x10, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x50, 0x58, 0x5c, 0x60, 0x600, 0x608,
    0x610, 0x618, 0x620, 0x7f0,
];

#[derive(Debug, Arbitrary)]
enum Step {
    Write {
        register: Register,
        value: Value,
        wide: bool,
    },
    Read {
        register: Register,
        length: u8,
    },
    /// An odd store.
    Store {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// A page table entry.
    Entry {
        at: u16,
        value: Value,
    },
    Translate {
        stream: u8,
        iova: Iova,
        kind: u8,
        privileged: bool,
    },
    Copy {
        stream: u8,
        iova: Iova,
        length: u16,
        write: bool,
    },
    Message {
        stream: u8,
        iova: Iova,
        value: u32,
    },
    Dump,
    Reset,
}

#[derive(Debug, Arbitrary)]
enum Register {
    Bank { bank: u8, register: u8 },
    Stream { group: u8 },
    Mapping { group: u8 },
    Attributes { bank: u8, second: bool },
    Global { offset: u8 },
    Any { offset: u32 },
}

impl Register {
    fn offset(&self) -> u64 {
        match *self {
            Self::Bank { bank, register } => {
                let register = BANK_REGISTERS[usize::from(register) % BANK_REGISTERS.len()];
                0x8_0000 + u64::from(bank % 3) * 0x1000 + register
            }
            Self::Stream { group } => 0x800 + u64::from(group % 4) * 4,
            Self::Mapping { group } => 0xc00 + u64::from(group % 4) * 4,
            Self::Attributes { bank, second } => {
                0x1000 + if second { 0x800 } else { 0 } + u64::from(bank % 3) * 4
            }
            Self::Global { offset } => u64::from(offset & !3),
            Self::Any { offset } => u64::from(offset & 0x1f_fffc),
        }
    }
}

/// A register's or an entry's value.
#[derive(Debug, Arbitrary)]
enum Value {
    Any(u64),
    Small(u8),
    /// The address of a page of the memory with attributes.
    Page {
        page: u8,
        attributes: u16,
    },
}

impl Value {
    fn bits(&self) -> u64 {
        match *self {
            Self::Any(value) => value,
            Self::Small(value) => value.into(),
            Self::Page { page, attributes } => {
                let high = u64::from(attributes >> 12) << 59;
                RAM + u64::from(page % 5) * 0x1000 | u64::from(attributes & 0xfff) | high
            }
        }
    }
}

#[derive(Debug, Arbitrary)]
enum Iova {
    Any(u64),
    Low(u16),
    High(u16),
}

impl Iova {
    fn address(&self) -> u64 {
        match *self {
            Self::Any(iova) => iova,
            Self::Low(iova) => iova.into(),
            Self::High(iova) => !u64::from(iova),
        }
    }
}

struct Ram(Vec<AtomicU64>);

impl Ram {
    fn word(&self, address: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(address.checked_sub(RAM)? / 8).ok()?)
    }
}

impl GuestMemory for Ram {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        let length = buf.len();
        assert!(length > 0, "nothing at {address:#x}");
        assert!(length <= MOST_BYTES, "{length} bytes at {address:#x}");
        for (n, byte) in buf.iter_mut().enumerate() {
            let at = address.wrapping_add(n as u64);
            let word = self.word(at).ok_or(BusError { address, length })?;
            *byte = word.load(Ordering::Relaxed).to_le_bytes()[(at % 8) as usize];
        }
        Ok(())
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        assert!(!data.is_empty(), "nothing to {address:#x}");
        assert!(data.len() <= MOST_BYTES, "{} bytes to {address:#x}", data.len());
        for (n, byte) in data.iter().enumerate() {
            let at = address.wrapping_add(n as u64);
            let word = self.word(at).ok_or(BusError { address, length: data.len() })?;
            let mut bytes = word.load(Ordering::Relaxed).to_le_bytes();
            bytes[(at % 8) as usize] = *byte;
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        Ok(())
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        assert!(address.is_multiple_of(8) && address >> 48 == 0, "entry at {address:#x}");
        let word = self.word(address).ok_or(BusError { address, length: 8 })?;
        Ok(word.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Lines(AtomicBool);

impl IrqLines for Lines {
    fn message(&self, _: u16, _: u64, _: u32) {}

    fn smmu(&self, asserted: bool) {
        assert_ne!(self.0.swap(asserted, Ordering::Relaxed), asserted, "no change");
    }
}

fn access(kind: u8, privileged: bool) -> Access {
    let kinds = [AccessKind::Read, AccessKind::Write, AccessKind::Fetch];
    Access { kind: kinds[usize::from(kind) % 3], privileged }
}

/// Three banks with tables in the memory, as a driver sets them up.
fn set_up(smmu: &Smmu, input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    for n in 0..3u64 {
        let write = |offset: u64, value: u32| smmu.write(offset, &value.to_le_bytes());
        let bank = 0x8_0000 + n * 0x1000;
        let (tcr, tcr2, root) =
            (u32::arbitrary(input)?, u32::arbitrary(input)?, u16::arbitrary(input)?);
        let size = 16 + tcr % 24;
        write(0x800 + 4 * n, 1 << 31 | n as u32);
        write(0xc00 + 4 * n, n as u32);
        write(0x1000 + 4 * n, 1 << 16);
        write(0x1800 + 4 * n, 1);
        write(bank + 0x30, tcr & !0x003f_003f | size | size << 16);
        write(bank + 0x10, tcr2);
        smmu.write(bank + 0x20, &(RAM + u64::from(root & 0xf0ff)).to_le_bytes());
        smmu.write(bank + 0x28, &(RAM + u64::from(root.rotate_left(8))).to_le_bytes());
        write(bank, 0x63 | tcr & 0x10);
    }
    // On, with bypass or without.
    smmu.write(0, &(u32::arbitrary(input)? & !1).to_le_bytes());
    Ok(())
}

fn step(smmu: &Smmu, ram: &Ram, step: &Step) {
    match step {
        Step::Write { register, value, wide: false } => {
            smmu.write(register.offset(), &(value.bits() as u32).to_le_bytes());
        }
        Step::Write { register, value, wide: true } => {
            smmu.write(register.offset(), &value.bits().to_le_bytes());
        }
        Step::Read { register, length } => {
            smmu.read(register.offset(), &mut vec![0; usize::from(*length % 17)]);
        }
        Step::Store { offset, bytes } => smmu.write(*offset, bytes),
        Step::Entry { at, value } => {
            ram.0[usize::from(*at) % ram.0.len()].store(value.bits(), Ordering::Relaxed);
        }
        Step::Translate { stream, iova, kind, privileged } => {
            let access = access(*kind, *privileged);
            let walks = smmu.counters().walks;
            let iova = iova.address();
            if let Ok(mapped) = smmu.translate(u16::from(stream % 4), iova, access) {
                assert!(mapped.length > 0);
                // What passes untranslated keeps all of its address.
                if smmu.counters().walks > walks {
                    assert!(mapped.address >> 48 == 0, "{iova:#x} leads to {:#x}", mapped.address);
                }
                assert_eq!(mapped.address & 0xfff, iova & 0xfff, "the page offset is lost");
            }
        }
        Step::Copy { stream, iova, length, write } => {
            let mut bytes = vec![0x5a; usize::from(*length) % MOST_BYTES];
            let stream = u16::from(stream % 4);
            let _ = if *write {
                smmu.dma_write(stream, iova.address(), &bytes)
            } else {
                smmu.dma_read(stream, iova.address(), &mut bytes)
            };
        }
        Step::Message { stream, iova, value } => {
            let _ = smmu.message(u16::from(stream % 4), iova.address(), *value);
        }
        Step::Dump => {
            let _ = format!("{:?}{:?}", smmu.dump(), smmu.counters());
        }
        Step::Reset => smmu.reset(),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let ram = Arc::new(Ram((0..RAM_SIZE / 8).map(|_| AtomicU64::new(0)).collect()));
    let smmu = Smmu::new(ram.clone(), Arc::new(Lines::default()));
    // Tables that lead somewhere: a few entries, over and over.
    let Ok(entries) = <[Value; 8]>::arbitrary(&mut input) else { return };
    for (n, word) in ram.0.iter().enumerate() {
        let entry = &entries[n.wrapping_mul(0x9e37_79b9) >> 7 & 7];
        word.store(entry.bits(), Ordering::Relaxed);
    }
    if set_up(&smmu, &mut input).is_err() {
        return;
    }
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(next) = Step::arbitrary(&mut input) else { break };
        step(&smmu, &ram, &next);
    }
});
