// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Registers and rings of a software portal.
//!
//! Offsets: Linux `drivers/soc/fsl/dpio/qbman-portal.c`, DPDK
//! `drivers/bus/fslmc/qbman/qbman_sys.h`.

/// Registers of the cache-inhibited area, 32 bits each.
pub mod registers {
    /// Enqueue ring, producer index: bits 5..0 index, 7 valid bit of the next
    /// entry, 8 read trigger.
    pub const EQCR_PI: u64 = 0x800;
    /// Enqueue ring, consumer index.
    pub const EQCR_CI: u64 = 0x840;
    /// Enqueue ring in array mode: a read allocates an entry.
    pub const EQAR: u64 = 0x8c0;
    /// Doorbell of the management command.
    pub const CR_RT: u64 = 0x900;
    /// Doorbell of the volatile dequeue command.
    pub const VDQCR_RT: u64 = 0x940;
    /// Doorbells of the entries 0 to 15 of the enqueue ring in array mode.
    pub const EQCR_AM_RT: u64 = 0x980;
    /// Doorbells of the eight entries of the release ring in array mode.
    pub const RCR_AM_RT: u64 = 0x9c0;
    /// Dequeue ring, producer index.
    pub const DQPI: u64 = 0xa00;
    /// Dequeue ring, interrupt threshold: entries that may wait without one.
    pub const DQRR_ITR: u64 = 0xa80;
    /// Dequeue ring: writing an index consumes that entry.
    pub const DCAP: u64 = 0xac0;
    /// Static dequeue command: which channels push into the dequeue ring.
    pub const SDQCR: u64 = 0xb00;
    /// Doorbells of the entries 16 to 31 of the enqueue ring in array mode.
    pub const EQCR_AM_RT2: u64 = 0xb40;
    /// Release ring, producer index: bits as in [`EQCR_PI`].
    pub const RCR_PI: u64 = 0xc00;
    /// Release ring in array mode: a read allocates an entry.
    pub const RAR: u64 = 0xcc0;
    /// Configuration of the portal.
    pub const CFG: u64 = 0xd00;
    /// Interrupt status: writing a one clears a bit.
    pub const ISR: u64 = 0xe00;
    /// Interrupt enable.
    pub const IER: u64 = 0xe40;
    /// Interrupt status disable: what is set here does not show in the status.
    pub const ISDR: u64 = 0xe80;
    /// Interrupt inhibit: no interrupt while it is not zero.
    pub const IIR: u64 = 0xec0;
    /// Time that an entry may wait in the dequeue ring before the interrupt, in
    /// units of 256 cycles of the queue manager's clock.
    pub const ITPR: u64 = 0xf40;

    /// In a producer index: the write triggers the reading of entries.
    pub const READ_TRIGGER: u32 = 1 << 8;
    /// In the answer of an allocation register: there was a free entry.
    pub const ALLOCATED: u32 = 1 << 8;

    /// Configuration, bits 9..8: how the enqueue ring is used. 3 is array mode.
    pub const CFG_EPM_SHIFT: u32 = 8;
    /// Configuration, bits 13..12: how the release ring is used. 3 is array mode.
    pub const CFG_RPM_SHIFT: u32 = 12;
    /// Value of the two fields above: entries are allocated one by one.
    pub const CFG_ARRAY_MODE: u32 = 3;
    /// Configuration: rings and commands are in memory, doorbells trigger them.
    pub const CFG_MEMORY_BACKED: u32 = 1 << 15;
    /// Configuration, bits 23..20: entries that may be in the dequeue ring.
    pub const CFG_DQRR_FILL_SHIFT: u32 = 20;

    /// Static dequeue, bit 29: up to three frames at once instead of one.
    pub const SDQCR_UP_TO_THREE: u32 = 1 << 29;
    /// Static dequeue, bits 25..24: kind of dequeue, zero for none.
    pub const SDQCR_KIND_SHIFT: u32 = 24;
    /// Static dequeue, bits 23..16: token of the entries.
    pub const SDQCR_TOKEN_SHIFT: u32 = 16;
    /// Static dequeue, bits 15..0: channels.
    pub const SDQCR_CHANNELS: u32 = 0xffff;
}

/// Bits of the interrupt registers (Linux `qbman-portal.h`).
pub mod interrupts {
    /// Enqueue ring.
    pub const EQRI: u32 = 1 << 0;
    /// An enqueue command that asked for it was dispatched.
    pub const EQDI: u32 = 1 << 1;
    /// Entries in the dequeue ring.
    pub const DQRI: u32 = 1 << 2;
    /// Release ring.
    pub const RCRI: u32 = 1 << 3;
    /// A release command that asked for it was dispatched.
    pub const RCDI: u32 = 1 << 4;
    /// A volatile dequeue command is done.
    pub const VDCI: u32 = 1 << 5;
    /// All of them.
    pub const ALL: u32 = 0x3f;
}

/// Where rings and commands of a portal are, and how large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rings {
    /// Enqueue ring.
    pub eqcr: u64,
    /// Its entries, a power of two.
    pub eqcr_entries: u32,
    /// Dequeue ring.
    pub dqrr: u64,
    /// Release ring.
    pub rcr: u64,
    /// Management command.
    pub cr: u64,
    /// Its answer, to commands with a valid bit of zero and one.
    pub rr: [u64; 2],
    /// Volatile dequeue command.
    pub vdqcr: u64,
    /// Copy of the enqueue ring's consumer index that software reads.
    pub eqcr_ci: u64,
}

impl Rings {
    /// Bytes of an entry.
    pub const ENTRY: u64 = 64;
    /// Entries of the dequeue ring since QMan 4.1.
    pub const DQRR_ENTRIES: u32 = 8;
    /// Entries of the release ring.
    pub const RCR_ENTRIES: u32 = 8;

    /// Rings in the memory-backed area of a portal, QMan 5.0 and later.
    pub const MEMORY_BACKED: Self = Self {
        eqcr: 0,
        eqcr_entries: 32,
        dqrr: 0x800,
        rcr: 0x1400,
        cr: 0x1600,
        rr: [0x1680, 0x1680],
        vdqcr: 0x1780,
        eqcr_ci: 0x1840,
    };

    /// Rings in the portal itself.
    pub const DIRECT: Self = Self {
        eqcr: 0,
        eqcr_entries: 8,
        dqrr: 0x200,
        rcr: 0x400,
        cr: 0x600,
        rr: [0x700, 0x740],
        vdqcr: 0x780,
        eqcr_ci: 0x840,
    };

    /// Offset of entry `index` of the ring at `ring`.
    pub const fn entry(ring: u64, index: u32) -> u64 {
        ring + index as u64 * Self::ENTRY
    }
}
