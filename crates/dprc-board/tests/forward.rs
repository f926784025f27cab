// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The example of `dprc`, on a board in this process.

mod world;

#[allow(dead_code)]
#[path = "../../dprc/examples/forward.rs"]
mod forward;

use board::host::{Capture, Passing};
use dprc_board::{Contents, InProcessBoard, Options};
use forward::Limits;
use mc_abi::ObjectId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often each frame was received, by its interface.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<(ObjectId, Vec<u8>), u64>>);

impl Capture for Seen {
    fn wants(&self, _object: ObjectId) -> bool {
        true
    }

    fn passes(&self, passing: &Passing<'_>) {
        if passing.received {
            let key = (passing.object, passing.frame.to_vec());
            *self.0.lock().entry(key).or_default() += 1;
        }
    }
}

#[test]
fn frames_go_round_unchanged_and_none_is_lost() {
    let seen = Arc::new(Seen::default());
    let options = Options { capture: seen.clone(), ..Options::default() };
    let board = InProcessBoard::with(options).unwrap();
    let id = board.make_container(&Contents::pair_of_interfaces()).unwrap();
    let held = board.open(id).unwrap();
    let limits = Limits { frames: 2000, time: Duration::from_secs(60), first: 20 };
    let figures = forward::forward(&held, &limits).unwrap();
    assert!((2000..2064).contains(&figures.frames), "{figures}");
    assert_eq!((figures.lost, board.faults()), (0, 0), "{figures}");
    let [(one, by_one), (_, by_other)] = &figures.interfaces;
    // The 20 that began are sent, but not forwarded.
    assert_eq!(by_one.sent + by_other.sent, figures.frames + 20, "{figures}");
    assert_eq!((by_one.sent, by_other.sent), (by_other.received, by_one.received));
    assert_eq!((by_one.no_buffer, by_one.discarded), (0, 0));

    let seen = seen.0.lock();
    let received: u64 = seen.values().sum();
    assert_eq!(received, by_one.received + by_other.received);
    let mut texts: Vec<&[u8]> = seen.keys().map(|(_, frame)| &frame[14..]).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 20, "each frame is one of the first, unchanged");
    for (_, frame) in seen.keys() {
        assert_eq!((&frame[..6], &frame[6..12]), (&[0xff; 6][..], &one.mac.0[..]));
    }
}

#[test]
fn nothing_to_forward_ends_in_time() {
    let (_board, held) = world::container();
    let limits = Limits { frames: 1, time: Duration::from_millis(20), first: 0 };
    let figures = forward::forward(&held, &limits).unwrap();
    assert_eq!((figures.frames, figures.lost), (0, 0));
    assert!(figures.to_string().starts_with("0 frames, 0 bytes in 0.0"), "{figures}");
}

#[test]
fn a_container_without_two_interfaces_says_what_it_lacks() {
    let board = InProcessBoard::new().unwrap();
    let contents = Contents { dpni: 1, connected: false, ..Contents::pair_of_interfaces() };
    let id = board.make_container(&contents).unwrap();
    let held = board.open(id).unwrap();
    let limits = Limits { frames: 1, time: Duration::from_secs(1), first: 0 };
    let error = forward::forward(&held, &limits).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{id} has no dpni left that this program could take (1 in use): add one to the container"
        )
    );
}
