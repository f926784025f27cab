// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Plays a file of frames at the pace of its time stamps.

use crate::{capture::Input, link::PortState, stop::Stop};
use std::time::{Duration, Instant};

/// Gives the frames of a file to `arrive` once the port is up, as far apart as they
/// were recorded. Says how many there were.
pub fn replay(mut input: Input, port: &PortState, stop: &Stop, arrive: impl FnMut(&[u8])) -> u64 {
    if !port.wait() {
        return 0;
    }
    let played = play(&mut input, stop, arrive);
    let cut = input.cut();
    if cut > 0 {
        tracing::warn!(
            played,
            cut,
            "frames in the file were cut when they were recorded, and are not played: record whole \
             ones, as `tcpdump -s 0` does"
        );
    }
    played
}

fn play(input: &mut Input, stop: &Stop, mut arrive: impl FnMut(&[u8])) -> u64 {
    let mut played = 0;
    let start = Instant::now();
    let mut first: Option<Duration> = None;
    loop {
        match input.next() {
            Ok(Some(recorded)) => {
                if let Some(time) = recorded.time {
                    let offset = time.saturating_sub(*first.get_or_insert(time));
                    let wait = offset.saturating_sub(start.elapsed());
                    if stop.within(wait) {
                        return played;
                    }
                }
                arrive(&recorded.frame);
                played += 1;
            }
            Ok(None) => return played,
            Err(error) => {
                tracing::warn!(%error, played, "the file of frames is damaged, and ends here");
                return played;
            }
        }
    }
}
