// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames that go on from where they arrived: a list of work instead of calls
//! within calls, since connections may form a ring, and since of each kind of
//! lock only one may be held.

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

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// Into what lies behind an endpoint.
    Into(Endpoint),
    /// Out through an interface.
    OutOf(u32),
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
    spare: Vec<Vec<u8>>,
    /// Stations that the frame in hand has passed.
    hops: u8,
}

impl Works {
    /// Nothing in hand and nothing waiting.
    pub const fn new() -> Self {
        Self { waiting: VecDeque::new(), spare: Vec::new(), hops: 0 }
    }

    /// Has a frame go on. It is dropped where it has passed too many stations;
    /// `false` then.
    pub fn add(&mut self, to: Onward, bytes: &[u8]) -> bool {
        if self.hops >= MOST_HOPS {
            return false;
        }
        let mut copy = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(MAX_FRAME_LENGTH));
        copy.clear();
        copy.extend_from_slice(bytes);
        self.waiting.push_back(Work { to, hops: self.hops + 1, bytes: copy });
        true
    }

    fn next(&mut self) -> Option<Work> {
        let work = self.waiting.pop_front();
        self.hops = work.as_ref().map_or(0, |work| work.hops);
        work
    }
}

impl Wriop {
    /// Sends frames on until none is left.
    pub(super) fn forward<Q: Queues>(&self, platform: &mut Platform<Q>) {
        while let Some(work) = platform.works.next() {
            match work.to {
                Onward::Into(end) => self.enter(end, &work.bytes, platform),
                Onward::OutOf(id) => self.leave(id, &work.bytes, platform),
            }
            platform.works.spare.push(work.bytes);
        }
    }

    /// A frame arrives at an endpoint.
    pub(super) fn enter<Q: Queues>(&self, end: Endpoint, bytes: &[u8], platform: &mut Platform<Q>) {
        match end {
            Endpoint::Interface(id) => {
                let Some(interface) = self.interface(id) else { return };
                let side = interface.receive.read();
                let mut receiver = Receiver::new(&interface, &side);
                receiver.receive(&Frame { bytes, parsed: None }, platform);
                receiver.finish();
            }
            Endpoint::Port(id) => {
                if let Some(port) = self.port(id) {
                    self.send(&port, bytes);
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
            Some(peer) if platform.works.add(Onward::Into(peer), bytes) => {
                tally.sent(Cast::of(bytes), bytes.len());
            }
            _ => tally.egress_discarded += 1,
        }
        interface.counters.add(&tally);
    }
}
