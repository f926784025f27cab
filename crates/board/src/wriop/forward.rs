// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames that go on from where they arrived: a list of work instead of calls
//! within calls, since connections may form a ring, and since of each kind of
//! lock only one may be held.
//!
//! What becomes of one frame is done before the next one is looked at, so that
//! the copies that wait stay few.

use super::{
    MAX_FRAME_LENGTH, Platform, Queues, Wriop,
    config::Endpoint,
    counters::{Cast, Tally},
    frame::Frame,
    receive::Receiver,
};
use std::collections::VecDeque;

/// Stations that a frame passes at most: what goes round in a ring ends there.
/// Chosen; hardware loses such frames by its queues filling up.
const MOST_HOPS: u8 = 32;
/// Copies that one frame becomes at most, so that switches that flood to each
/// other come to an end too. Chosen: more than two switches with all interfaces
/// make.
const MOST_COPIES: u32 = 8192;

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// To an endpoint.
    Into {
        to: Endpoint,
        /// Where it comes from: what `to` must be connected to still. `None`: it
        /// may come from anywhere.
        from: Option<Endpoint>,
    },
    /// Out through an interface.
    OutOf(u32),
    /// To the software of a switch.
    ToControl {
        switch: u32,
        /// Interface where it came in.
        port: u16,
    },
}

/// Whether what is connected to `peer` takes a frame from `from`; `None`: it may come
/// from anywhere. Else it was on its way when the connection was undone, and is lost.
pub(super) fn takes_from(peer: Option<Endpoint>, from: Option<Endpoint>) -> bool {
    from.is_none() || peer == from
}

/// A frame and where it goes.
#[derive(Debug)]
struct Work {
    to: Onward,
    hops: u8,
    bytes: Vec<u8>,
}

/// The frames that go on. Their memory is kept for later ones.
#[derive(Debug, Default)]
pub(super) struct Works {
    waiting: VecDeque<Work>,
    /// What the frame in hand becomes.
    next: Vec<Work>,
    spare: Vec<Vec<u8>>,
    /// Stations that the frame in hand has passed.
    hops: u8,
    /// Copies that may still be made of it.
    copies: u32,
}

impl Works {
    /// Nothing in hand and nothing waiting.
    pub const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            next: Vec::new(),
            spare: Vec::new(),
            hops: 0,
            copies: MOST_COPIES,
        }
    }

    /// Has a frame go on. It is dropped where it has passed too many stations, or
    /// has become too many; `false` then.
    pub fn add(&mut self, to: Onward, bytes: &[u8]) -> bool {
        self.add_parts(to, &[bytes])
    }

    /// The same, of a frame in parts.
    pub fn add_parts(&mut self, to: Onward, parts: &[&[u8]]) -> bool {
        let in_hand = self.hops > 0;
        if self.hops >= MOST_HOPS || in_hand && self.copies == 0 {
            return false;
        }
        let mut bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(MAX_FRAME_LENGTH));
        bytes.clear();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let work = Work { to, hops: self.hops + 1, bytes };
        if in_hand {
            self.copies -= 1;
            self.next.push(work);
        } else {
            self.waiting.push_back(work);
        }
        true
    }

    fn next(&mut self) -> Option<Work> {
        // In their order, before all others.
        while let Some(work) = self.next.pop() {
            self.waiting.push_front(work);
        }
        let work = self.waiting.pop_front();
        self.hops = work.as_ref().map_or(0, |work| work.hops);
        if self.hops <= 1 {
            self.copies = MOST_COPIES;
        }
        work
    }
}

impl Wriop {
    /// Sends frames on until none is left.
    pub(super) fn forward<Q: Queues>(&self, platform: &mut Platform<Q>) {
        while let Some(work) = platform.works.next() {
            match work.to {
                Onward::Into { to, from } => self.enter(to, from, &work.bytes, platform),
                Onward::OutOf(id) => self.leave(id, &work.bytes, platform),
                Onward::ToControl { switch, port } => {
                    if let Some(switch) = self.switch(switch) {
                        switch.to_control(port, &work.bytes, platform);
                    }
                }
            }
            platform.works.spare.push(work.bytes);
        }
    }

    /// A frame arrives at an endpoint, from `from`. Where they are not connected
    /// any more it is lost.
    pub(super) fn enter<Q: Queues>(
        &self,
        to: Endpoint,
        from: Option<Endpoint>,
        bytes: &[u8],
        platform: &mut Platform<Q>,
    ) {
        match to {
            Endpoint::Interface(id) => {
                let Some(interface) = self.interface(id) else { return };
                let side = interface.receive.read();
                if !takes_from(side.peer, from) {
                    return;
                }
                let mut receiver = Receiver::new(&interface, &side);
                receiver.receive(&Frame { bytes, parsed: None }, 0, platform);
                receiver.deliver(bytes, platform);
                let is_starved = receiver.is_starved();
                receiver.finish();
                drop(side);
                if let (true, Some(Endpoint::Port(id))) = (is_starved, from) {
                    self.ask_to_pause(id, platform.pass.now());
                }
            }
            Endpoint::Port(id) => {
                if let Some(port) = self.port(id).filter(|port| takes_from(port.peer(), from)) {
                    self.send(&port, bytes);
                }
            }
            Endpoint::Switch { id, port } => {
                if let Some(switch) = self.switch(id) {
                    switch.enter(port, from, bytes, platform);
                }
            }
            Endpoint::Demux { id, port } => {
                if let Some(demux) = self.demux(id) {
                    demux.enter(self, port, from, bytes, platform);
                }
            }
        }
    }

    /// A frame leaves through an interface, past its queues.
    fn leave<Q: Queues>(&self, id: u32, bytes: &[u8], platform: &mut Platform<Q>) {
        let Some(interface) = self.interface(id) else { return };
        let side = interface.transmit.read();
        let mut tally = Tally::default();
        match side.peer.filter(|_| side.enabled) {
            Some(to)
                if platform.works.add(Onward::Into { to, from: Some(interface.end) }, bytes) =>
            {
                tally.sent(Cast::of(bytes), bytes.len());
            }
            _ => tally.egress_discarded += 1,
        }
        interface.counters.add(&tally);
    }
}
