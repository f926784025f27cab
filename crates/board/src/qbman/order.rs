// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One order restoration record: frames that were numbered when they were
//! dequeued leave in the order of their numbers, however they come.

use super::config::{LateArrivals, OrderConfig};
use qbman_abi::{EnqueueCommand, Rejection};

/// Sequence numbers have 14 bits.
const NUMBERS: u16 = 1 << 14;
const MASK: u16 = NUMBERS - 1;
/// Numbers up to half way around are ahead, the others behind.
const HALF: u16 = NUMBERS / 2;

/// Largest window.
const WIDEST: u16 = 1024;
/// Frames that may wait in one record: one for each number, and fragments.
const MOST_WAITING: usize = 2048;

/// A frame, and the portal that it came through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub command: EnqueueCommand,
    pub icid: u16,
    pub portal: u32,
}

/// A place for a number.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    first: Option<u16>,
    last: Option<u16>,
    /// Nothing more comes with this number.
    complete: bool,
}

#[derive(Debug)]
struct Node {
    frame: Waiting,
    next: Option<u16>,
}

/// Where a number is.
enum Position {
    InWindow,
    Ahead,
    /// So far behind.
    Behind(u16),
}

/// An order restoration record.
#[derive(Debug, Default)]
pub(super) struct Record {
    config: Option<OrderConfig>,
    /// The number whose turn it is.
    next: u16,
    /// By number modulo the window, which is a power of two.
    slots: Vec<Slot>,
    nodes: Vec<Node>,
    /// Nodes that hold no frame.
    free: Vec<u16>,
}

impl Record {
    /// The configuration; `None`: nobody's.
    pub fn config(&self) -> Option<&OrderConfig> {
        self.config.as_ref()
    }

    /// Gives the record to somebody, or takes it away; how many frames that
    /// waited are lost. The same configuration again changes nothing.
    pub fn configure(&mut self, config: Option<OrderConfig>) -> usize {
        if config == self.config {
            return 0;
        }
        let lost = self.waiting();
        let window = config.map_or(0, |c| c.window.clamp(1, WIDEST).next_power_of_two());
        *self = Self { config, slots: vec![Slot::default(); window.into()], ..Self::default() };
        lost
    }

    /// The number whose turn it is.
    pub fn next(&self) -> u16 {
        self.next
    }

    /// Frames that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// A frame comes; `more` fragments of its number follow. Frames whose turn
    /// it is now go to `out`.
    ///
    /// # Errors
    /// The reason where the frame cannot be taken.
    pub fn frame(
        &mut self,
        number: u16,
        more: bool,
        frame: &Waiting,
        out: &mut impl FnMut(&Waiting),
    ) -> Result<(), Rejection> {
        let config = self.config.ok_or(Rejection::Error)?;
        match self.position(number) {
            Position::InWindow if number == self.next => out(frame),
            Position::InWindow => {
                if !self.keep(number, frame) {
                    return self.exhausted(config, number, more, frame, out);
                }
            }
            Position::Ahead if config.auto_advance => {
                let last = self.slots.len() as u16 - 1;
                self.advance(number.wrapping_sub(last) & MASK, out);
                return self.frame(number, more, frame, out);
            }
            Position::Ahead if !config.loose => return Err(Rejection::TooEarly),
            Position::Behind(by) if !config.loose && !takes_late(config.late, by) => {
                return Err(Rejection::TooLate);
            }
            // Out of its turn: it changes nothing for the others.
            Position::Ahead | Position::Behind(_) => {
                out(frame);
                return Ok(());
            }
        }
        if !more {
            self.complete(number, out);
        }
        Ok(())
    }

    /// Nothing comes, or comes any more, with a number.
    ///
    /// # Errors
    /// The reason where the number is out of the window.
    pub fn hole(&mut self, number: u16, out: &mut impl FnMut(&Waiting)) -> Result<(), Rejection> {
        let config = self.config.ok_or(Rejection::Error)?;
        match self.position(number) {
            Position::InWindow => {}
            Position::Ahead if config.auto_advance => {
                let last = self.slots.len() as u16 - 1;
                self.advance(number.wrapping_sub(last) & MASK, out);
            }
            Position::Ahead => return Err(Rejection::TooEarly),
            Position::Behind(_) => return Err(Rejection::TooLate),
        }
        self.complete(number, out);
        Ok(())
    }

    /// It is the turn of a number, whatever is missing before; frames that are
    /// there go first.
    ///
    /// # Errors
    /// The reason where its turn is over.
    pub fn set_next(
        &mut self,
        number: u16,
        out: &mut impl FnMut(&Waiting),
    ) -> Result<(), Rejection> {
        self.config.ok_or(Rejection::Error)?;
        if let Position::Behind(_) = self.position(number) {
            return Err(Rejection::TooLate);
        }
        self.advance(number, out);
        Ok(())
    }

    fn position(&self, number: u16) -> Position {
        let ahead = number.wrapping_sub(self.next) & MASK;
        match ahead {
            _ if usize::from(ahead) < self.slots.len() => Position::InWindow,
            _ if ahead < HALF => Position::Ahead,
            _ => Position::Behind(NUMBERS - ahead),
        }
    }

    /// Moves the window to a number that is not behind, and on over what is
    /// complete there.
    fn advance(&mut self, to: u16, out: &mut impl FnMut(&Waiting)) {
        let distance = to.wrapping_sub(self.next) & MASK;
        // Further ahead than the window there is nothing.
        for _ in 0..usize::from(distance).min(self.slots.len()) {
            self.give_out(out);
            self.step();
        }
        self.next = to & MASK;
        self.go_on(out);
    }

    fn complete(&mut self, number: u16, out: &mut impl FnMut(&Waiting)) {
        if let Some(slot) = self.slot(number) {
            slot.complete = true;
        }
        self.go_on(out);
    }

    /// Gives out what has its turn.
    fn go_on(&mut self, out: &mut impl FnMut(&Waiting)) {
        for _ in 0..self.slots.len() {
            self.give_out(out);
            let next = self.next;
            if !self.slot(next).is_some_and(|slot| slot.complete) {
                break;
            }
            self.step();
        }
    }

    fn step(&mut self) {
        let next = self.next;
        if let Some(slot) = self.slot(next) {
            *slot = Slot::default();
        }
        self.next = (next + 1) & MASK;
    }

    /// Gives out the frames of the number whose turn it is.
    fn give_out(&mut self, out: &mut impl FnMut(&Waiting)) {
        let next = self.next;
        let Some(slot) = self.slot(next) else { return };
        let mut first = slot.first.take();
        slot.last = None;
        while let Some(index) = first {
            let Some(node) = self.nodes.get(usize::from(index)) else { break };
            out(&node.frame);
            first = node.next;
            self.free.push(index);
        }
    }

    /// Keeps a frame for later; `false` where too many wait.
    fn keep(&mut self, number: u16, frame: &Waiting) -> bool {
        let node = Node { frame: *frame, next: None };
        let index = if let Some(index) = self.free.pop() {
            if let Some(place) = self.nodes.get_mut(usize::from(index)) {
                *place = node;
            }
            index
        } else if self.nodes.len() < MOST_WAITING {
            self.nodes.push(node);
            self.nodes.len() as u16 - 1
        } else {
            return false;
        };
        let Some(slot) = self.slot(number) else { return false };
        let before = slot.last.replace(index);
        slot.first.get_or_insert(index);
        if let Some(before) = before.and_then(|before| self.nodes.get_mut(usize::from(before))) {
            before.next = Some(index);
        }
        true
    }

    #[cold]
    fn exhausted(
        &mut self,
        config: OrderConfig,
        number: u16,
        more: bool,
        frame: &Waiting,
        out: &mut impl FnMut(&Waiting),
    ) -> Result<(), Rejection> {
        if config.exhaustion_advances {
            // Up to the frame: all before it go out, so that there is room.
            self.advance(number, out);
            return self.frame(number, more, frame, out);
        }
        if config.loose {
            out(frame);
            return Ok(());
        }
        Err(Rejection::TooEarly)
    }

    fn slot(&mut self, number: u16) -> Option<&mut Slot> {
        let mask = self.slots.len().wrapping_sub(1);
        self.slots.get_mut(usize::from(number) & mask)
    }
}

fn takes_late(late: LateArrivals, by: u16) -> bool {
    match late {
        LateArrivals::Rejected => false,
        LateArrivals::Within(most) => by <= most,
        LateArrivals::Accepted => true,
    }
}
