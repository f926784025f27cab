// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The registers of one software portal.

use super::unanswered::Kind;

/// Enqueue ring, producer index: bits 5..0 index, 7 valid bit, 8 ring mode with
/// a read trigger.
const EQCR_PI: u64 = 0x800;
/// Enqueue ring, consumer index.
const EQCR_CI: u64 = 0x840;
/// Enqueue ring, allocation of an entry: a read takes one.
const EQAR: u64 = 0x8c0;
/// Doorbell of the management command.
const CR_RT: u64 = 0x900;
/// Doorbell of the volatile dequeue command.
const VDQCR_RT: u64 = 0x940;
/// Doorbells of the entries 0 to 15 of the enqueue ring in array mode.
const EQCR_AM_RT: u64 = 0x980;
/// Doorbells of the entries of the release ring in array mode.
const RCR_AM_RT: u64 = 0x9c0;
/// Dequeue ring, producer index.
const DQPI: u64 = 0xa00;
/// Entries in the dequeue ring that raise its interrupt.
const DQRR_ITR: u64 = 0xa80;
/// Dequeue ring, consumption of an entry.
const DCAP: u64 = 0xac0;
/// Static dequeue command: which channels push into the dequeue ring.
const SDQCR: u64 = 0xb00;
/// Doorbells of the entries 16 to 31 of the enqueue ring in array mode.
const EQCR_AM_RT2: u64 = 0xb40;
/// Release ring, producer index: bits as in [`EQCR_PI`].
const RCR_PI: u64 = 0xc00;
/// Release ring, allocation of an entry: a read takes one.
const RAR: u64 = 0xcc0;
/// Configuration of the portal.
const CFG: u64 = 0xd00;
/// Interrupt status: writing a one clears a bit.
const ISR: u64 = 0xe00;
/// Interrupt enable.
const IER: u64 = 0xe40;
/// Interrupt status disable.
const ISDR: u64 = 0xe80;
/// Interrupt inhibit.
const IIR: u64 = 0xec0;
/// Time that an entry may wait in the dequeue ring before the interrupt.
const ITPR: u64 = 0xf40;

/// Bits of a producer index register that exist.
const PI_BITS: u32 = RING_MODE | VALID | INDEX;
const RING_MODE: u32 = 1 << 8;
const VALID: u32 = 1 << 7;
const INDEX: u32 = 0x3f;
/// In an answer of an allocation register: there was an entry.
const ALLOCATED: u32 = 1 << 8;
/// Configuration: fields up to the fill limit of the dequeue ring (23..20).
const CFG_BITS: u32 = 0x00ff_ffff;
/// Interrupts: enqueue and release ring (entry, data), dequeue ring, volatile
/// dequeue.
const INTERRUPT_BITS: u32 = 0x3f;
/// The threshold is below the ring's size, which is at most 16.
const THRESHOLD_BITS: u32 = 0xf;
/// Units of 256 cycles of the queue manager's clock.
const HOLD_OFF_BITS: u32 = 0xfff;

/// Entries of the enqueue ring since QBMan 5.0.
const EQCR_ENTRIES: u32 = 32;
/// Entries of the release ring.
const RCR_ENTRIES: u32 = 8;

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The register has taken what it can of the value.
    Kept,
    /// The write handed a command over.
    Command(Kind),
    /// There is no such register, or it is read-only.
    Unknown,
}

/// The registers' values. The default is their state after power-on; which
/// value `CFG` has then is not known, and 0 is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Registers {
    eqcr_pi: u32,
    rcr_pi: u32,
    /// Entries of the enqueue and release ring that allocations took.
    eqcr_taken: u32,
    rcr_taken: u32,
    itr: u32,
    sdqcr: u32,
    cfg: u32,
    isr: u32,
    ier: u32,
    isdr: u32,
    iir: u32,
    itpr: u32,
}

impl Registers {
    /// The value of the register at `at`; `None` where there is none. Doorbells
    /// read as zero.
    pub fn read(&mut self, at: u64) -> Option<u32> {
        Some(match at {
            EQCR_PI => self.eqcr_pi,
            RCR_PI => self.rcr_pi,
            EQAR => allocate(&mut self.eqcr_taken, EQCR_ENTRIES),
            RAR => allocate(&mut self.rcr_taken, RCR_ENTRIES),
            // Nothing consumes enqueued entries, nothing produces dequeued ones.
            EQCR_CI | DQPI => 0,
            DQRR_ITR => self.itr,
            SDQCR => self.sdqcr,
            CFG => self.cfg,
            ISR => self.isr,
            IER => self.ier,
            ISDR => self.isdr,
            IIR => self.iir,
            ITPR => self.itpr,
            _ if doorbell(at).is_some() || at == DCAP => 0,
            _ => return None,
        })
    }

    /// Writes `value` to the register at `at`.
    pub fn write(&mut self, at: u64, value: u32) -> Written {
        if let Some(kind) = doorbell(at) {
            return Written::Command(kind);
        }
        match at {
            EQCR_PI => return produce(&mut self.eqcr_pi, value, Kind::Enqueue),
            RCR_PI => return produce(&mut self.rcr_pi, value, Kind::Release),
            DQRR_ITR => self.itr = value & THRESHOLD_BITS,
            // The dequeue ring is empty: there is nothing to consume.
            DCAP => {}
            SDQCR => self.sdqcr = value,
            CFG => self.cfg = value & CFG_BITS,
            ISR => self.isr &= !value,
            IER => self.ier = value & INTERRUPT_BITS,
            ISDR => self.isdr = value & INTERRUPT_BITS,
            // Linux writes all ones to inhibit. How many bits there are is not
            // known; only zero or not zero counts.
            IIR => self.iir = value,
            ITPR => self.itpr = value & HOLD_OFF_BITS,
            _ => return Written::Unknown,
        }
        Written::Kept
    }
}

/// The command that a doorbell register hands over.
fn doorbell(at: u64) -> Option<Kind> {
    match at {
        CR_RT => Some(Kind::Management),
        VDQCR_RT => Some(Kind::VolatileDequeue),
        _ if !at.is_multiple_of(4) => None,
        EQCR_AM_RT..RCR_AM_RT | EQCR_AM_RT2..0xb80 => Some(Kind::Enqueue),
        RCR_AM_RT..0x9e0 => Some(Kind::Release),
        _ => None,
    }
}

/// Moves a producer index. Software also writes the register to choose the ring
/// mode before there are any entries: that moves nothing.
fn produce(register: &mut u32, value: u32, kind: Kind) -> Written {
    let before = std::mem::replace(register, value & PI_BITS);
    if (before ^ value) & (VALID | INDEX) == 0 { Written::Kept } else { Written::Command(kind) }
}

/// Takes the next entry of a ring: its index, the valid bit that software is to
/// store with it (set in the first lap), and bit 8. Zero once all are taken,
/// since nothing consumes them.
fn allocate(taken: &mut u32, entries: u32) -> u32 {
    if *taken >= entries {
        return 0;
    }
    let index = *taken;
    *taken += 1;
    ALLOCATED | VALID | index
}
