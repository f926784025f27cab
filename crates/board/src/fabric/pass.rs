// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One pass through the data plane: what a doorbell, a frame from a wire or a
//! timer sets off, as far as one thread does it at a time.

use std::collections::VecDeque;

/// A message-signalled interrupt that leaves through the SMMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Isolation id that it leaves with.
    pub icid: u16,
    /// I/O virtual address.
    pub address: u64,
    /// Data.
    pub value: u32,
}

/// A hardware engine that consumes frame queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// The transmit side of the network interface of this number (`dpni`).
    Interface(u32),
    /// The control interface of the switch of this number (`dpsw`).
    Switch(u32),
    /// The DMA engine's object of this number (`dpdmai`).
    Dma(u32),
    /// The crypto engine's object of this number (`dpseci`).
    Crypto(u32),
}

/// What is collected on the way: engines that have frames to work on, and
/// interrupts, which are sent when no lock is held any more.
///
/// A pass is reused, so that a frame costs no allocation.
#[derive(Debug, Default)]
pub struct Pass {
    now: u64,
    /// Those that wait longest first.
    engines: VecDeque<Engine>,
    messages: Vec<Message>,
}

impl Pass {
    /// A pass that starts at `now` (nanoseconds of the board's clock).
    pub fn at(now: u64) -> Self {
        Self { now, ..Self::default() }
    }

    /// Starts over at `now`, with the memory of earlier passes.
    pub fn restart(&mut self, now: u64) {
        self.now = now;
        self.engines.clear();
        self.messages.clear();
    }

    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.engines.is_empty() && self.messages.is_empty()
    }

    /// Sets when the pass starts, for one that is built up before.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// When the pass started, nanoseconds of the board's clock.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// An engine has frames to work on. Noted once, however many there are.
    pub fn wake(&mut self, engine: Engine) {
        if !self.engines.contains(&engine) {
            self.engines.push_back(engine);
        }
    }

    /// The next engine that has something to do. Each has its turn before one that has
    /// woken itself has its second.
    pub fn next_engine(&mut self) -> Option<Engine> {
        self.engines.pop_front()
    }

    /// An interrupt is to be sent.
    pub fn interrupt(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// The interrupts of the pass so far; none are left in it.
    pub fn take_messages(&mut self) -> std::vec::Drain<'_, Message> {
        self.messages.drain(..)
    }
}
