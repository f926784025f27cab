// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands through a portal that is mapped.

use super::util::{answers, without_object};
use crate::check::{Outcome, fail};
use crate::patience::patience;
use crate::sys::Map;
use mc_abi::{Header, Message, Status, dpmng};
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

/// Sends a command through a mapped portal; `None` where no answer comes.
pub fn try_command(portal: &Map, command: &Message) -> Option<Message> {
    let bytes = command.to_bytes();
    for (index, chunk) in bytes.chunks_exact(8).enumerate().rev() {
        if index == 0 {
            fence(Ordering::SeqCst);
        }
        portal.store(8 * index, u64::from_le_bytes(chunk.try_into().ok()?))?;
    }
    let end = Instant::now() + patience();
    while Header(portal.load(0)?).status() == Status::Ready {
        if Instant::now() > end {
            return None;
        }
    }
    fence(Ordering::SeqCst);
    read_portal(portal)
}

/// The 64 bytes of a mapped portal.
pub fn read_portal(portal: &Map) -> Option<Message> {
    let mut bytes = [0; Message::SIZE];
    for (index, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&portal.load(8 * index)?.to_le_bytes());
    }
    Some(Message::from_bytes(&bytes))
}

/// Makes sure that a mapped portal takes commands.
pub fn works(what: &str, portal: &Map) -> Outcome {
    let command = without_object(&dpmng::GetVersion {});
    match try_command(portal, &command) {
        Some(answer) => answers(what, &command, &answer),
        None => fail(format!("{what}: an answer"), "none in time"),
    }
}
