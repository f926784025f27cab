// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The side of a portal that produces: the dequeue ring, into which channels
//! push (static dequeue) and in which volatile dequeues are answered, and the
//! interrupt.

use super::{
    Memory, Portal, count,
    interrupts::Interrupts,
    volatile::{Step, Volatile},
};
use crate::{
    fabric::Pass,
    qbman::{
        Qbman,
        config::PortalConfig,
        flow::{Dequeue, Served},
        kicks::Kicks,
        queue::Ticket,
    },
};
use qbman_abi::{DequeueEntry, Entry, Rings, interrupts, registers};

/// All work queues of a channel.
const ALL_WORK: u8 = 0xff;

/// The producer side, as after power-on by default.
#[derive(Debug, Default)]
pub(super) struct Producer {
    config: Option<PortalConfig>,
    cfg: u32,
    sdqcr: u32,
    /// Bit of the static dequeue command whose channel is served next.
    cursor: usize,
    /// Where the next entry goes, twice around.
    next: u32,
    /// Entries that software has not consumed.
    waiting: u32,
    /// Queues that those hold.
    holds: [Option<Ticket>; Rings::DQRR_ENTRIES as usize],
    volatile: Option<Volatile>,
    /// One more may be asked for while one is answered.
    volatile_next: Option<Volatile>,
    interrupts: Interrupts,
}

/// What the producer side works on.
pub(super) struct Side<'a> {
    pub qbman: &'a Qbman,
    pub portal: &'a Portal,
    pub pass: &'a mut Pass,
}

impl Producer {
    /// Everything but whose portal it is. Queues that were held go on.
    pub fn reset(&mut self, qbman: &Qbman, number: u32, pass: &mut Pass) -> Kicks {
        self.select_channels(qbman, number, 0);
        let holds = self.holds;
        *self = Self { config: self.config, ..Self::default() };
        let mut kicks = Kicks::NONE;
        for ticket in holds.into_iter().flatten() {
            kicks |= let_go(qbman, ticket, false, pass);
        }
        kicks
    }

    /// Whose portal it is.
    pub fn configure(
        &mut self,
        qbman: &Qbman,
        number: u32,
        config: Option<PortalConfig>,
        pass: &mut Pass,
    ) {
        let sdqcr = self.sdqcr;
        self.select_channels(qbman, number, 0);
        if config.map(|config| config.icid) != self.config.map(|config| config.icid) {
            self.volatile = None;
            self.volatile_next = None;
        }
        self.config = config;
        self.select_channels(qbman, number, sdqcr);
        self.update(qbman, pass);
    }

    /// Writes the configuration register's copy of this side.
    pub fn set_config(&mut self, value: u32) {
        self.cfg = value;
    }

    /// The value of a register.
    pub fn read_register(&self, at: u64) -> Option<u32> {
        match at {
            registers::DQPI => Some(self.next % Rings::DQRR_ENTRIES),
            registers::SDQCR => Some(self.sdqcr),
            registers::DCAP => Some(0),
            _ => self.interrupts.read(at),
        }
    }

    /// Writes a register; `None` where there is none.
    pub fn write_register(&mut self, at: u64, value: u32, side: &mut Side<'_>) -> Option<Kicks> {
        match at {
            registers::DCAP => Some(self.consume(value & 0xf, false, side)),
            registers::SDQCR => {
                self.select_channels(side.qbman, side.portal.number, value);
                Some(self.fill(side))
            }
            _ if self.interrupts.write(at, value) => {
                self.update(side.qbman, side.pass);
                Some(Kicks::NONE)
            }
            _ => None,
        }
    }

    /// Software is done with an entry.
    pub fn consume(&mut self, index: u32, park: bool, side: &mut Side<'_>) -> Kicks {
        if self.waiting >> index & 1 == 0 {
            count(&side.portal.counters.refused, 1);
            return Kicks::NONE;
        }
        self.waiting &= !(1 << index);
        let mut kicks = Kicks::NONE;
        if let Some(ticket) = self.holds.get_mut(index as usize).and_then(Option::take) {
            kicks |= let_go(side.qbman, ticket, park, side.pass);
        }
        kicks |= self.fill(side);
        kicks
    }

    /// Something happened that the interrupt status tells.
    pub fn set_status(&mut self, bits: u32, side: &mut Side<'_>) {
        self.interrupts.set(bits);
        self.update(side.qbman, side.pass);
    }

    /// Looks at the hold-off timer.
    pub fn tick(&mut self, side: &mut Side<'_>) {
        self.update(side.qbman, side.pass);
    }

    /// A volatile dequeue that is answered in the ring.
    pub fn dequeue(&mut self, volatile: Volatile, side: &mut Side<'_>) -> Kicks {
        match (&self.volatile, &self.volatile_next) {
            (None, _) => self.volatile = Some(volatile),
            (Some(_), None) => self.volatile_next = Some(volatile),
            // Software has no right to a third one.
            (Some(_), Some(_)) => count(&side.portal.counters.refused, 1),
        }
        self.fill(side)
    }

    /// Fills the ring as far as there are entries, and something to put there.
    pub fn fill(&mut self, side: &mut Side<'_>) -> Kicks {
        let mut kicks = Kicks::NONE;
        let memory = side.portal.memory(side.qbman, self.cfg);
        while self.has_room() {
            let more = self.answer_volatile(side, memory, &mut kicks)
                || self.push(side, memory, &mut kicks);
            if !more {
                break;
            }
        }
        self.update(side.qbman, side.pass);
        kicks
    }

    /// One entry of a volatile dequeue.
    fn answer_volatile(
        &mut self,
        side: &mut Side<'_>,
        memory: Memory<'_>,
        kicks: &mut Kicks,
    ) -> bool {
        let Some(mut volatile) = self.volatile.take() else { return false };
        let Step { entry, last } = volatile.step(side, kicks);
        self.put(&entry, None, memory);
        if last {
            self.interrupts.set(interrupts::VDCI);
            self.volatile = self.volatile_next.take();
        } else {
            self.volatile = Some(volatile);
        }
        true
    }

    /// Dequeues from some channel.
    fn push(&mut self, side: &mut Side<'_>, memory: Memory<'_>, kicks: &mut Kicks) -> bool {
        let Some(PortalConfig { icid, own_channel: own, .. }) = self.config else { return false };
        let channels = self.sdqcr & registers::SDQCR_CHANNELS;
        if channels == 0 || self.sdqcr >> registers::SDQCR_KIND_SHIFT & 3 == 0 {
            return false;
        }
        let three = self.sdqcr & registers::SDQCR_UP_TO_THREE != 0;
        let most = if three { 3 } else { 1 }.min(self.room());
        let token = (self.sdqcr >> registers::SDQCR_TOKEN_SHIFT) as u8;
        for step in 0..16 {
            let bit = (self.cursor + step) % 16;
            let Some(channel) = self.channel(bit).filter(|_| channels >> bit & 1 != 0) else {
                continue;
            };
            // Its own channel needs no configuration to carry notifications.
            let checks_owner = own != Some(channel);
            let dequeue = Dequeue { icid, checks_owner, most, keep_place: false, pushed: true };
            let mut put = |entry, hold| {
                self.put(&DequeueEntry { token, ..entry }.to_bytes(), hold, memory);
            };
            match side.qbman.serve(channel, ALL_WORK, dequeue, &mut put, kicks, side.pass) {
                Some(Served::Frames) => {}
                Some(Served::Notice(notice)) => self.put(&notice.to_bytes(), None, memory),
                None => continue,
            }
            self.cursor = bit + 1;
            return true;
        }
        false
    }

    fn channel(&self, bit: usize) -> Option<u32> {
        let config = self.config.as_ref()?;
        let channel = config.static_channels.get(bit).copied().flatten();
        if bit == 0 { config.own_channel.or(channel) } else { channel }
    }

    /// Sets the static dequeue command, and tells the channels.
    fn select_channels(&mut self, qbman: &Qbman, number: u32, value: u32) {
        let takes = |value: u32, bit: usize| {
            value >> registers::SDQCR_KIND_SHIFT & 3 != 0 && value >> bit & 1 != 0
        };
        for bit in 0..16 {
            let (before, after) = (takes(self.sdqcr, bit), takes(value, bit));
            let place = self.channel(bit).and_then(|c| qbman.channels.get(c as usize));
            if let Some((channel, _)) = place.filter(|_| before != after) {
                channel.lock().set_taker(number, after);
            }
        }
        self.sdqcr = value;
    }

    fn has_room(&self) -> bool {
        self.waiting.count_ones() < self.limit()
            && self.waiting >> (self.next % Rings::DQRR_ENTRIES) & 1 == 0
    }

    /// Entries that can be put now, one after the other.
    fn room(&self) -> usize {
        let below_limit = self.limit() - self.waiting.count_ones().min(self.limit());
        let free = (0..Rings::DQRR_ENTRIES)
            .take_while(|n| self.waiting >> ((self.next + n) % Rings::DQRR_ENTRIES) & 1 == 0);
        free.count().min(below_limit as usize)
    }

    /// How many entries software wants at most. Zero, as after power-on, is no
    /// limit.
    fn limit(&self) -> u32 {
        match self.cfg >> registers::CFG_DQRR_FILL_SHIFT & 0xf {
            0 => Rings::DQRR_ENTRIES,
            limit => limit.min(Rings::DQRR_ENTRIES),
        }
    }

    /// Puts an entry into the ring. The valid bit is set in the first lap, and
    /// changes with each.
    fn put(&mut self, entry: &Entry, hold: Option<Ticket>, memory: Memory<'_>) {
        let index = self.next % Rings::DQRR_ENTRIES;
        let mut entry = *entry;
        if self.next < Rings::DQRR_ENTRIES {
            entry[0] |= qbman_abi::VALID;
        }
        memory.write(Rings::entry(memory.rings.dqrr, index), &entry);
        self.waiting |= 1 << index;
        if let Some(place) = self.holds.get_mut(index as usize) {
            *place = hold;
        }
        self.next = (self.next + 1) % (2 * Rings::DQRR_ENTRIES);
    }

    fn update(&mut self, qbman: &Qbman, pass: &mut Pass) {
        let message = self.config.and_then(|config| config.message);
        let waiting = self.waiting.count_ones();
        let hold_off = |units| qbman.hold_off(units);
        if let Some(deadline) = self.interrupts.update(waiting, hold_off, message, pass) {
            qbman.note_deadline(deadline);
        }
    }
}

/// Lets go of a queue that an entry held.
fn let_go(qbman: &Qbman, ticket: Ticket, park: bool, pass: &mut Pass) -> Kicks {
    let Some(queue) = qbman.queues.get(ticket.queue as usize) else { return Kicks::NONE };
    let wake = queue.lock().release(ticket, park);
    qbman.wake(wake, pass)
}
