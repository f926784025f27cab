// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The side of a portal that consumes what software fills: enqueue ring,
//! release ring, management command, volatile dequeue command.
//!
//! Memory-backed, a doorbell register says what is ready, and valid bits of
//! commands mean nothing. In direct mode, the store of an entry's first byte
//! hands the entry over, if its valid bit is the one that is due.

use super::{Portal, commands::Side, count, ring::Ring};
use crate::{
    fabric::Pass,
    qbman::{Qbman, config::Version, kicks::Kicks},
};
use qbman_abi::{EnqueueCommand, Entry, Rings, VolatileDequeue, registers};

/// Configuration: fields up to the fill limit of the dequeue ring (23..20).
const CFG_BITS: u32 = 0x00ff_ffff;

/// Bytes of the largest enqueue ring.
const RING_BYTES: usize = 64 * 32;

/// A valid bit that is set first and changes with each command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Toggle(bool);

impl Toggle {
    fn bit(self) -> u8 {
        if self.0 { 0 } else { qbman_abi::VALID }
    }

    fn next(&mut self) {
        self.0 = !self.0;
    }
}

/// The consumer side, as after power-on by default.
#[derive(Debug, Default)]
pub(super) struct Consumer {
    /// Isolation id; `None`: nobody's portal.
    pub icid: Option<u16>,
    cfg: u32,
    enqueues: Ring,
    releases: Ring,
    /// Memory-backed: the valid bit of the next answer.
    answers: Toggle,
    /// Direct: the valid bits of the next commands.
    commands: Toggle,
    dequeues: Toggle,
}

impl Consumer {
    /// Everything but whose portal it is.
    pub fn reset(&mut self) {
        *self = Self { icid: self.icid, ..Self::default() };
    }

    /// Writes the configuration.
    pub fn set_config(&mut self, value: u32) {
        self.cfg = value & CFG_BITS;
    }

    /// The enqueue ring's consumer index.
    pub fn eqcr_ci(&self) -> u32 {
        self.enqueues.consumer()
    }

    /// Whether a register is on this side.
    pub fn has(at: u64) -> bool {
        use registers::*;
        match at {
            EQCR_PI | EQCR_CI | EQAR | CR_RT | VDQCR_RT | RCR_PI | RAR | CFG => true,
            _ => array_doorbell(at).is_some(),
        }
    }

    /// The value of a register of this side. Doorbells read as zero.
    pub fn read_register(&mut self, at: u64, version: Version) -> u32 {
        let rings = self.rings(version);
        match at {
            registers::EQCR_PI if rings.eqcr_entries == Rings::DIRECT.eqcr_entries => {
                // Valid bits hand entries over: where the next one goes.
                let (_, valid) = self.enqueues.expected(rings.eqcr_entries);
                self.enqueues.producer() & registers::READ_TRIGGER
                    | self.enqueues.consumer()
                    | u32::from(valid)
            }
            registers::EQCR_PI => self.enqueues.producer(),
            registers::EQCR_CI => self.enqueues.consumer(),
            registers::EQAR => self.enqueues.allocate(rings.eqcr_entries),
            registers::RCR_PI => self.releases.producer(),
            registers::RAR => self.releases.allocate(Rings::RCR_ENTRIES),
            registers::CFG => self.cfg,
            _ => 0,
        }
    }

    /// Writes a register of this side.
    pub fn write_register(
        &mut self,
        qbman: &Qbman,
        portal: &Portal,
        at: u64,
        value: u32,
        pass: &mut Pass,
    ) -> Kicks {
        let memory = portal.memory(qbman, self.cfg);
        let mut side = Side { qbman, portal, memory, icid: self.icid, pass };
        match at {
            registers::EQCR_PI => self.produce_enqueues(value, &mut side),
            registers::RCR_PI => self.produce_releases(value, &mut side),
            registers::CR_RT => {
                let command = memory.read(memory.rings.cr);
                self.answer(&command, &mut side)
            }
            registers::VDQCR_RT => {
                let command = memory.read(memory.rings.vdqcr);
                side.dequeue(&VolatileDequeue::from_bytes(&command))
            }
            _ => match array_doorbell(at) {
                Some(Doorbell::Enqueue(index)) if index < memory.rings.eqcr_entries => {
                    self.enqueues.deallocate(index);
                    side.enqueue(&memory.read(Rings::entry(memory.rings.eqcr, index)))
                }
                Some(Doorbell::Release(index)) => {
                    self.releases.deallocate(index);
                    side.release(&memory.read(Rings::entry(memory.rings.rcr, index)))
                }
                _ => Kicks::NONE,
            },
        }
    }

    /// Software stored bytes into the rings inside the portal.
    pub fn written_inside(
        &mut self,
        qbman: &Qbman,
        portal: &Portal,
        at: u64,
        length: u64,
        pass: &mut Pass,
    ) -> Kicks {
        let memory = portal.memory(qbman, self.cfg);
        let mut kicks = Kicks::NONE;
        if *memory.rings != Rings::DIRECT {
            return kicks;
        }
        let mut side = Side { qbman, portal, memory, icid: self.icid, pass };
        let end = at.saturating_add(length);
        // Entries whose first byte was stored.
        for entry in (at.next_multiple_of(Rings::ENTRY)..end).step_by(Rings::ENTRY as usize) {
            kicks |= self.entry_stored(entry, &mut side);
        }
        if at % Rings::ENTRY == 1 {
            kicks |= self.consumption_stored(at, &mut side);
        }
        kicks
    }

    fn rings(&self, version: Version) -> &'static Rings {
        match version {
            Version::V5 if self.cfg & registers::CFG_MEMORY_BACKED != 0 => &Rings::MEMORY_BACKED,
            _ => &Rings::DIRECT,
        }
    }
}

/// Memory-backed: doorbells.
impl Consumer {
    /// Software also writes the register to choose the read trigger before
    /// there are any entries: that hands nothing over.
    fn produce_enqueues(&mut self, value: u32, side: &mut Side<'_>) -> Kicks {
        let rings = side.memory.rings;
        let entries = rings.eqcr_entries;
        let Some((first, ahead)) = self.enqueues.produce(value, entries) else {
            count(&side.portal.counters.refused, 1);
            return Kicks::NONE;
        };
        let mut bytes = [0; RING_BYTES];
        let size = Rings::ENTRY as usize;
        let (to_end, wrapped) =
            (ahead.min(entries - first), (first + ahead).saturating_sub(entries));
        let (now, later) = bytes.split_at_mut(to_end as usize * size);
        side.memory.read_many(Rings::entry(rings.eqcr, first), now);
        side.memory.read_many(rings.eqcr, &mut later[..wrapped as usize * size]);
        let handed_over = bytes.get(..ahead as usize * size).unwrap_or_default();
        let kicks = side.enqueue_all(handed_over);
        self.enqueues.consume(ahead, entries);
        side.memory.write_u32(rings.eqcr_ci, self.enqueues.consumer());
        kicks
    }

    fn produce_releases(&mut self, value: u32, side: &mut Side<'_>) -> Kicks {
        let mut kicks = Kicks::NONE;
        let Some((first, ahead)) = self.releases.produce(value, Rings::RCR_ENTRIES) else {
            count(&side.portal.counters.refused, 1);
            return kicks;
        };
        for index in (first..first + ahead).map(|index| index % Rings::RCR_ENTRIES) {
            let entry = side.memory.read(Rings::entry(side.memory.rings.rcr, index));
            kicks |= side.release(&entry);
        }
        self.releases.consume(ahead, Rings::RCR_ENTRIES);
        kicks
    }

    /// The valid bit of the answer changes with each answer; Linux always sets
    /// that of the command, DPDK sets it as that of the answer.
    fn answer(&mut self, command: &Entry, side: &mut Side<'_>) -> Kicks {
        let (mut answer, kicks) = side.manage(command);
        answer[0] |= self.answers.bit();
        self.answers.next();
        side.memory.write(side.memory.rings.rr[0], &answer);
        kicks
    }
}

/// Direct mode: valid bits.
impl Consumer {
    fn entry_stored(&mut self, at: u64, side: &mut Side<'_>) -> Kicks {
        let rings = side.memory.rings;
        if at < rings.dqrr {
            let index = ((at - rings.eqcr) / Rings::ENTRY) as u32;
            if self.mode(registers::CFG_EPM_SHIFT) == registers::CFG_ARRAY_MODE {
                return self.array_entry_stored(index, side);
            }
            return self.ring_entry_stored(side);
        }
        match at {
            _ if (rings.rcr..rings.cr).contains(&at) => {
                let index = ((at - rings.rcr) / Rings::ENTRY) as u32;
                let entry = side.memory.read(at);
                let valid = self.releases.allocated_valid(index, Rings::RCR_ENTRIES);
                if valid != Some(entry[0] & qbman_abi::VALID) || entry[0] & 0x7f == 0 {
                    return Kicks::NONE;
                }
                self.releases.deallocate(index);
                side.release(&entry)
            }
            _ if at == rings.cr => {
                let Some((command, valid)) = due(side, at, &mut self.commands) else {
                    return Kicks::NONE;
                };
                let (mut answer, kicks) = side.manage(&command);
                answer[0] |= valid;
                side.memory.write(rings.rr[usize::from(valid != 0)], &answer);
                kicks
            }
            _ if at == rings.vdqcr => match due(side, at, &mut self.dequeues) {
                Some((command, _)) => side.dequeue(&VolatileDequeue::from_bytes(&command)),
                None => Kicks::NONE,
            },
            _ => Kicks::NONE,
        }
    }

    /// Entries are taken in the order of the ring, whatever the order in which
    /// they are stored.
    fn ring_entry_stored(&mut self, side: &mut Side<'_>) -> Kicks {
        let rings = side.memory.rings;
        let mut kicks = Kicks::NONE;
        for _ in 0..rings.eqcr_entries {
            let (index, valid) = self.enqueues.expected(rings.eqcr_entries);
            let entry = side.memory.read(Rings::entry(rings.eqcr, index));
            if entry[0] & qbman_abi::VALID != valid || entry[0] & 0x7f == 0 {
                break;
            }
            self.enqueues.consume(1, rings.eqcr_entries);
            kicks |= side.enqueue(&entry);
        }
        kicks
    }

    fn array_entry_stored(&mut self, index: u32, side: &mut Side<'_>) -> Kicks {
        let rings = side.memory.rings;
        let entry = side.memory.read(Rings::entry(rings.eqcr, index));
        let valid = self.enqueues.allocated_valid(index, rings.eqcr_entries);
        if valid != Some(entry[0] & qbman_abi::VALID) || entry[0] & 0x7f == 0 {
            return Kicks::NONE;
        }
        self.enqueues.deallocate(index);
        side.enqueue(&entry)
    }

    /// Linux and DPDK store the discrete consumption of an entry just after its
    /// verb, and count on both to leave the processor together.
    fn consumption_stored(&mut self, at: u64, side: &mut Side<'_>) -> Kicks {
        let rings = side.memory.rings;
        let (next, _) = self.enqueues.expected(rings.eqcr_entries);
        let last = next.wrapping_sub(1) & (rings.eqcr_entries - 1);
        if at != Rings::entry(rings.eqcr, last) + 1 {
            return Kicks::NONE;
        }
        let entry = side.memory.read(Rings::entry(rings.eqcr, last));
        match EnqueueCommand::from_bytes(&entry).consumes() {
            Some((index, park)) => side.consume(index, park),
            None => Kicks::NONE,
        }
    }

    fn mode(&self, shift: u32) -> u32 {
        self.cfg >> shift & registers::CFG_ARRAY_MODE
    }
}

/// A command whose valid bit is the one that is due, and that bit.
fn due(side: &Side<'_>, at: u64, toggle: &mut Toggle) -> Option<(Entry, u8)> {
    let command = side.memory.read(at);
    let valid = toggle.bit();
    if command[0] & qbman_abi::VALID != valid || command[0] & 0x7f == 0 {
        return None;
    }
    toggle.next();
    Some((command, valid))
}

/// A doorbell of an entry in array mode.
enum Doorbell {
    Enqueue(u32),
    Release(u32),
}

fn array_doorbell(at: u64) -> Option<Doorbell> {
    use registers::{EQCR_AM_RT, EQCR_AM_RT2, RCR_AM_RT};
    let index = |from: u64| ((at - from) / 4) as u32;
    match at {
        _ if !at.is_multiple_of(4) => None,
        EQCR_AM_RT..RCR_AM_RT => Some(Doorbell::Enqueue(index(EQCR_AM_RT))),
        RCR_AM_RT..0x9e0 => Some(Doorbell::Release(index(RCR_AM_RT))),
        EQCR_AM_RT2..0xb80 => Some(Doorbell::Enqueue(16 + index(EQCR_AM_RT2))),
        _ => None,
    }
}
