// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A driver that does as little as it can, for benches and for what counts
//! allocations.

use crate::host::TestQbman;
use board::{
    fabric::Pass,
    qbman::{CI_OFFSET, Version},
};
use qbman_abi::{EnqueueCommand, Fd, Rings, VolatileDequeue, registers};

pub const RINGS: Rings = Rings::MEMORY_BACKED;
/// Where dequeues go.
pub const STORAGE: u64 = 0x2000;

/// A portal that is set up, with its rings in memory.
pub struct Portal {
    pub test: TestQbman,
    pub pass: Pass,
    produced: u32,
}

impl Portal {
    pub fn new(set_up: impl FnOnce(&TestQbman)) -> Self {
        let test = TestQbman::new(Version::V5);
        set_up(&test);
        let mut portal = Self { test, pass: Pass::default(), produced: 0 };
        portal.write(registers::CFG, 8 << 20 | registers::CFG_MEMORY_BACKED | 3 << 12);
        portal
    }

    pub fn write(&mut self, register: u64, value: u32) {
        let at = CI_OFFSET + register;
        self.test.qbman.write(at, &value.to_le_bytes(), &mut self.pass);
    }

    /// Fills the enqueue ring with commands to queues from 1 on, in turn.
    pub fn fill_ring(&self, queues: u32) {
        for n in 0..RINGS.eqcr_entries {
            self.set_command(n, |command| command.target_word = 1 + n % queues);
        }
    }

    /// Writes a command to queue 1 into an entry of the enqueue ring, changed.
    pub fn set_command(&self, entry: u32, change: impl FnOnce(&mut EnqueueCommand)) {
        let mut command = EnqueueCommand::from_bytes(&[0; 64]);
        command.verb = 2;
        command.target_word = 1;
        command.fd = Fd { address: 0x1000, length_word: 64, ..Fd::default() };
        change(&mut command);
        self.test.portals.write(Rings::entry(RINGS.eqcr, entry), &command.to_bytes());
    }

    /// Hands over as many commands.
    pub fn enqueue(&mut self, count: u32) {
        self.produced = (self.produced + count) % (2 * RINGS.eqcr_entries);
        self.write(registers::EQCR_PI, registers::READ_TRIGGER | self.produced);
    }

    /// Asks for up to 32 frames of a queue (kind 2) or a channel (0), to memory.
    pub fn set_dequeue(&self, kind: u8, source_word: u32) {
        let verb = 1 | kind << 2 | 1 << 4;
        let command =
            VolatileDequeue { verb, count_word: 31, token: 1, source_word, response: STORAGE };
        self.test.portals.write(RINGS.vdqcr, &command.to_bytes());
    }

    pub fn dequeue(&mut self) {
        self.write(registers::VDQCR_RT, registers::READ_TRIGGER);
    }
}
