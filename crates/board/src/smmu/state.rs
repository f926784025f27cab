// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! All registers together: what reads and writes of the frame do.

use std::sync::Arc;

use parking_lot::Mutex;

use super::bank::Bank;
use super::fault::{BankFaults, GlobalFaults};
use super::frame::{BankRegister, Half, Register};
use super::regime::{RegimeRegisters, SCTLR_M};
use super::report::BankDump;
use super::shape::Shape;
use super::streams::{StreamTarget, Streams};
use super::tlb::Tlb;

/// The SMMU's registers and caches.
///
/// Transactions share it, register writes have it for themselves.
#[derive(Debug)]
pub(super) struct State {
    shape: Shape,
    pub(super) streams: Streams,
    pub(super) banks: Vec<Bank>,
    /// Recorded faults: the one part that transactions change, hence its lock,
    /// always the innermost.
    pub(super) faults: Mutex<Faults>,
}

/// The fault registers.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) global: GlobalFaults,
    pub(super) banks: Vec<BankFaults>,
}

/// What a register write was, beyond a change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Register,
    Invalidation,
    /// There is no such register.
    Nothing,
}

impl State {
    /// The state at power-on. Each context bank has one of `tlbs`.
    pub(super) fn new(shape: Shape, tlbs: &[Arc<Tlb>]) -> Self {
        let banks = shape.context_banks();
        Self {
            shape,
            streams: Streams::new(shape),
            banks: tlbs.iter().take(banks).cloned().map(Bank::new).collect(),
            faults: Mutex::new(Faults {
                global: GlobalFaults::default(),
                banks: vec![BankFaults::default(); banks],
            }),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Level of the interrupt line: any unmasked fault, global or of a bank.
    pub(super) fn interrupt(&self) -> bool {
        let faults = self.faults.lock();
        let streams = &self.streams;
        faults.global.interrupts(streams.fault_interrupt(), streams.configuration_interrupt())
            || self.banks.iter().zip(&faults.banks).any(|(b, f)| b.fault_interrupt() && f.pending())
    }

    /// The register word at `offset`, a multiple of 4. `None` where there is
    /// no register.
    pub(super) fn read(&self, offset: u64) -> Option<u32> {
        let faults = self.faults.lock();
        Some(match Register::at(self.shape, offset)? {
            Register::Control => self.streams.control(),
            Register::BypassVmid => self.streams.bypass_vmid(),
            Register::Auxiliary => self.streams.auxiliary(),
            Register::Identification(n) => self.shape.identification(n),
            Register::GlobalFaultAddress(half) => half.of(faults.global.address),
            Register::GlobalFaultStatus => faults.global.status(),
            Register::GlobalFaultSyndrome(n) => *faults.global.syndrome.get(n)?,
            Register::StreamMatch(n) => self.streams.stream_match(n),
            Register::StreamToContext(n) => self.streams.context(n),
            Register::BankAttributes(n) => self.banks.get(n)?.registers().cbar,
            Register::BankAttributes2(n) => self.banks.get(n)?.registers().cba2r,
            Register::BankFaultStream(n) => faults.banks.get(n)?.stream,
            Register::Bank(n, register) => {
                read_bank(self.banks.get(n)?, faults.banks.get(n)?, register)?
            }
            Register::GlobalFaultRestore
            | Register::InvalidateVmid
            | Register::InvalidateAll
            | Register::InvalidateHypervisor
            | Register::Sync
            | Register::Idle => 0,
        })
    }

    /// Writes the register word at `offset`, a multiple of 4.
    pub(super) fn write(&mut self, offset: u64, value: u32) -> Written {
        let Some(register) = Register::at(self.shape, offset) else {
            return Written::Nothing;
        };
        let faults = self.faults.get_mut();
        match register {
            Register::Control => self.streams.set_control(value),
            Register::BypassVmid => self.streams.set_bypass_vmid(value),
            Register::Auxiliary => self.streams.set_auxiliary(value),
            Register::GlobalFaultAddress(half) => half.set(&mut faults.global.address, value),
            Register::GlobalFaultStatus => faults.global.clear(value),
            Register::GlobalFaultRestore => faults.global.restore(value),
            Register::GlobalFaultSyndrome(n) => set(faults.global.syndrome.get_mut(n), value),
            Register::StreamMatch(n) => {
                self.streams.set_stream_match(n, value);
                self.forget_everything();
            }
            Register::StreamToContext(n) => {
                self.streams.set_context(n, value);
                self.forget_everything();
            }
            Register::BankAttributes(n) => self.reconfigure(n, |r| r.cbar = value),
            Register::BankAttributes2(n) => self.reconfigure(n, |r| r.cba2r = value),
            Register::BankFaultStream(n) => {
                set(faults.banks.get_mut(n).map(|f| &mut f.stream), value);
            }
            Register::Bank(n, register) => return self.write_bank(n, register, value),
            Register::InvalidateVmid => {
                self.forget(value as u8, Bank::forget_all);
                return Written::Invalidation;
            }
            Register::InvalidateAll => {
                self.forget_everything();
                return Written::Invalidation;
            }
            // Hypervisor contexts are not implemented: there is nothing to forget.
            Register::InvalidateHypervisor => return Written::Invalidation,
            // A write has the state for itself, so that all transactions that
            // used what was invalidated are complete by now.
            Register::Sync => {}
            Register::Identification(_) | Register::Idle => {}
        }
        Written::Register
    }

    /// Writes a naturally aligned 64-bit register, or two adjacent 32-bit ones.
    pub(super) fn write_wide(&mut self, offset: u64, value: u64) -> Written {
        if let Some(Register::Bank(n, register)) = Register::at(self.shape, offset)
            && let Some(bank) = self.banks.get(n)
        {
            let vmid = bank.vmid();
            // Bits 43:0 hold address bits 55:12, bits 63:48 the ASID.
            let address = sign_extend_55(value << 12);
            let asid = match register {
                BankRegister::InvalidateAddress(Half::Low) => Some(Some((value >> 48) as u16)),
                BankRegister::InvalidateAddressAllAsids(Half::Low) => Some(None),
                _ => None,
            };
            if let Some(asid) = asid {
                self.forget(vmid, |bank| bank.forget_address(address, asid));
                return Written::Invalidation;
            }
        }
        let low = self.write(offset, value as u32);
        let high = self.write(offset + 4, (value >> 32) as u32);
        if high == Written::Nothing { low } else { high }
    }

    fn write_bank(&mut self, n: usize, register: BankRegister, value: u32) -> Written {
        let locked = self.streams.banks_locked();
        let faults = self.faults.get_mut();
        let (Some(bank), Some(faults)) = (self.banks.get_mut(n), faults.banks.get_mut(n)) else {
            return Written::Nothing;
        };
        let vmid = bank.vmid();
        match register {
            BankRegister::Control => bank.reconfigure(|r| r.sctlr = value),
            BankRegister::Auxiliary if locked => {}
            BankRegister::Auxiliary => bank.set_auxiliary(value),
            BankRegister::Translation2 => bank.reconfigure(|r| r.tcr2 = value),
            BankRegister::Translation => bank.reconfigure(|r| r.tcr = value),
            BankRegister::Table(which, half) => bank.reconfigure(|r| {
                if let Some(table) = r.ttbr.get_mut(which) {
                    half.set(table, value);
                }
            }),
            BankRegister::ContextId => bank.context_id = value,
            BankRegister::MemoryAttributes(which) => {
                set(bank.memory_attributes.get_mut(which), value);
            }
            BankRegister::PhysicalAddress(half) => half.set(&mut bank.physical_address, value),
            BankRegister::FaultStatus => faults.clear(value),
            BankRegister::FaultRestore => faults.restore(value),
            BankRegister::FaultAddress(half) => half.set(&mut faults.address, value),
            BankRegister::FaultSyndrome(which) => set(faults.syndrome.get_mut(which), value),
            BankRegister::Resume => {}
            BankRegister::InvalidateAsid => {
                self.forget(vmid, |bank| bank.forget_asid(value as u16));
                return Written::Invalidation;
            }
            // Half of an address says too little: all that it could mean goes.
            BankRegister::InvalidateAddress(_)
            | BankRegister::InvalidateAddressAllAsids(_)
            | BankRegister::InvalidateAll => {
                self.forget(vmid, Bank::forget_all);
                return Written::Invalidation;
            }
        }
        Written::Register
    }

    fn reconfigure(&mut self, n: usize, change: impl FnOnce(&mut RegimeRegisters)) {
        if let Some(bank) = self.banks.get_mut(n) {
            bank.reconfigure(change);
        }
    }

    /// Invalidations reach every bank of the VMID, whichever bank they were
    /// written to.
    fn forget(&mut self, vmid: u8, mut what: impl FnMut(&mut Bank)) {
        self.banks.iter_mut().filter(|bank| bank.vmid() == vmid).for_each(&mut what);
    }

    fn forget_everything(&mut self) {
        self.banks.iter_mut().for_each(Bank::forget_all);
    }

    /// The banks worth showing.
    pub(super) fn dump_banks(&self) -> Vec<BankDump> {
        let mapped: Vec<usize> = self
            .streams
            .mappings()
            .iter()
            .filter_map(|mapping| match mapping.target {
                StreamTarget::Bank(bank) => Some(usize::from(bank)),
                StreamTarget::Bypass | StreamTarget::Fault => None,
            })
            .collect();
        let faults = self.faults.lock();
        let banks = self.banks.iter().zip(&faults.banks).enumerate();
        banks
            .filter(|(index, (bank, faults))| {
                bank.registers().sctlr & SCTLR_M != 0 || faults.pending() || mapped.contains(index)
            })
            .map(|(index, (bank, faults))| BankDump {
                index,
                control: bank.registers().sctlr,
                translation_control: bank.registers().tcr,
                translation_control2: bank.registers().tcr2,
                tables: bank.registers().ttbr,
                attributes: bank.registers().cbar,
                attributes2: bank.registers().cba2r,
                fault_status: faults.status(),
                fault_address: faults.address,
                fault_syndrome: faults.syndrome[0],
                fault_stream: faults.stream,
                cached: bank.cached(),
            })
            .collect()
    }
}

fn read_bank(bank: &Bank, faults: &BankFaults, register: BankRegister) -> Option<u32> {
    let registers = bank.registers();
    Some(match register {
        BankRegister::Control => registers.sctlr,
        BankRegister::Auxiliary => bank.auxiliary,
        BankRegister::Translation2 => registers.tcr2,
        BankRegister::Translation => registers.tcr,
        BankRegister::Table(which, half) => half.of(*registers.ttbr.get(which)?),
        BankRegister::ContextId => bank.context_id,
        BankRegister::MemoryAttributes(which) => *bank.memory_attributes.get(which)?,
        BankRegister::PhysicalAddress(half) => half.of(bank.physical_address),
        BankRegister::FaultStatus => faults.status(),
        BankRegister::FaultAddress(half) => half.of(faults.address),
        BankRegister::FaultSyndrome(which) => *faults.syndrome.get(which)?,
        BankRegister::Resume
        | BankRegister::FaultRestore
        | BankRegister::InvalidateAddress(_)
        | BankRegister::InvalidateAddressAllAsids(_)
        | BankRegister::InvalidateAsid
        | BankRegister::InvalidateAll => 0,
    })
}

fn set(register: Option<&mut u32>, value: u32) {
    if let Some(register) = register {
        *register = value;
    }
}

/// Copies bit 55 to the bits above it.
fn sign_extend_55(address: u64) -> u64 {
    ((address << 8) as i64 >> 8) as u64
}
