// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The registers of a command portal: 64 bytes through which a message goes in and its
//! answer comes out.

use mc_abi::{Message, ObjectId, Params, Status, Token};
use std::collections::BTreeMap;

/// A command portal of the guest.
#[derive(Debug, Clone)]
pub struct Portal {
    memory: [u8; Message::SIZE],
    /// The `dpmcp` that it belongs to; `None` for the container's own.
    pub(crate) owner: Option<ObjectId>,
    /// What the guest has opened through it. A token counts for no other portal.
    pub(crate) tokens: BTreeMap<Token, ObjectId>,
}

impl Portal {
    /// A portal as after power-on.
    pub fn new(owner: Option<ObjectId>) -> Self {
        Self { memory: [0; Message::SIZE], owner, tokens: BTreeMap::new() }
    }

    /// What is where no portal is, or no longer: it refuses each command, as the Management
    /// Complex does at a portal that belongs to no container. Zeros would say that the command
    /// is done.
    pub(crate) fn of_nobody() -> Self {
        let mut portal = Self::new(None);
        let mut refusal = Message::command(0, 0, Token::NONE, Params::ZERO);
        refusal.header = refusal.header.with_status(Status::AuthenticationError);
        portal.answer(&refusal);
        portal
    }

    /// Stores bytes. Gives the message where that submits one: a store that covers the
    /// first byte and leaves the status at [`Status::Ready`]. Linux writes the header in
    /// one store, DPDK its upper half first. Bytes outside of the 64 go nowhere.
    pub fn store(&mut self, offset: u64, bytes: &[u8]) -> Option<Message> {
        let at = usize::try_from(offset).ok().filter(|at| *at < Message::SIZE)?;
        for (place, byte) in self.memory.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
        if at != 0 || bytes.is_empty() {
            return None;
        }
        let message = Message::from_bytes(&self.memory);
        (message.header.status() == Status::Ready).then_some(message)
    }

    /// Puts an answer where the guest looks for it.
    pub fn answer(&mut self, answer: &Message) {
        self.memory = answer.to_bytes();
    }

    /// All that a guest can load from it.
    pub fn registers(&self) -> &[u8; Message::SIZE] {
        &self.memory
    }

    /// Loads bytes; those outside of the 64 are zero.
    pub fn load(&self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        let at = usize::try_from(offset).unwrap_or(Message::SIZE);
        for (byte, place) in bytes.iter_mut().zip(self.memory.iter().skip(at)) {
            *byte = *place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> [u8; Message::SIZE] {
        let mut params = mc_abi::Params::ZERO;
        params.0[3] = 7;
        Message::command(0x831, 1, Token(5), params).to_bytes()
    }

    #[test]
    fn the_store_of_the_first_byte_submits() {
        // As Linux: words of 64 bits, the header last.
        let (mut portal, bytes) = (Portal::new(None), command());
        for word in (1..8).rev() {
            assert_eq!(portal.store(8 * word as u64, &bytes[8 * word..][..8]), None);
        }
        assert_eq!(portal.store(0, &bytes[..8]), Some(Message::from_bytes(&bytes)));
        // As DPDK: words of 32 bits, the upper half of the header first.
        let mut portal = Portal::new(None);
        for word in (1..16).rev() {
            assert_eq!(portal.store(4 * word as u64, &bytes[4 * word..][..4]), None);
        }
        assert_eq!(portal.store(0, &bytes[..4]), Some(Message::from_bytes(&bytes)));
    }

    #[test]
    fn what_is_not_ready_or_outside_submits_nothing() {
        let mut portal = Portal::new(None);
        assert_eq!(portal.store(0, &[0; 64]), None);
        assert_eq!(portal.store(64, &command()), None);
        assert_eq!(portal.store(u64::MAX, &command()), None);
        assert_eq!(portal.store(60, &[0xff; 8]), None);
        let mut end = [0xaa; 8];
        portal.load(60, &mut end);
        assert_eq!(end, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        portal.load(u64::MAX, &mut end);
        assert_eq!(end, [0; 8]);
        assert_eq!(portal.store(0, &[]), None);
    }
}
