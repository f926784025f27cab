// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is typed for the guest. It is read whatever the guest does with it, so that the keys
//! that are for the VMM always reach it.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use crate::keys::Keys;
use std::io::{ErrorKind, Read};
use std::sync::mpsc::{SyncSender, TrySendError};

/// Pieces of input, of up to [`PIECE`] bytes, that wait for the guest.
pub const WAITING: usize = 64;

const PIECE: usize = 64;

/// Hands what comes `from` standard input `to` who gives it to the guest, until its end.
///
/// A terminal has `keys` for the VMM among it, of which the last asks for the guest's `end`:
/// what is typed beyond what can wait is lost, as it is where a terminal is not read. Anything
/// else waits.
pub fn read(
    mut from: impl Read,
    mut keys: Option<Keys>,
    to: &SyncSender<Vec<u8>>,
    mut end: impl FnMut(),
) {
    let mut bytes = [0; PIECE];
    loop {
        let piece = match from.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => bytes.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let taken = match &mut keys {
            Some(keys) => {
                let (typed, is_end) = keys.typed(piece);
                if is_end {
                    end();
                }
                match to.try_send(typed) {
                    Err(TrySendError::Disconnected(_)) => false,
                    Ok(()) | Err(TrySendError::Full(_)) => true,
                }
            }
            None => to.send(piece.to_vec()).is_ok(),
        };
        if !taken {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn keys_for_the_vmm_are_heard_though_the_guest_takes_nothing() {
        let (to, waiting) = sync_channel(WAITING);
        let mut typed = vec![b'a'; 100 * WAITING * PIECE];
        typed.extend(b"\x01x");
        let mut ends = 0;
        read(&typed[..], Some(Keys::default()), &to, || ends += 1);
        assert_eq!(ends, 1);
        drop(to);
        assert_eq!(waiting.iter().flatten().count(), WAITING * PIECE);
    }

    #[test]
    fn nothing_of_a_file_is_lost_and_it_has_no_keys() {
        let (to, waiting) = sync_channel(1);
        let file: Vec<u8> = (0..10_000_u32).map(|n| n as u8).chain(*b"\x01x").collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let to = to;
                read(&file[..], None, &to, || unreachable!());
            });
            assert!(waiting.iter().flatten().eq(file.iter().copied()));
        });
    }
}
