// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Ethernet ports: where frames leave for a wire and come from one.
//!
//! Frames have no check sequence here; counters count as if they had, as the
//! hardware's do. Short frames are padded, which a wire needs.

use super::config::Endpoint;
use mc_abi::MacAddr;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shortest frame on a wire, bytes without check sequence.
pub const MIN_FRAME_LENGTH: usize = 60;
/// Bytes of the check sequence.
const CHECK_SEQUENCE: u64 = 4;
/// Least that a frame has: addresses and type.
const HEADER: usize = 14;
/// Counters of a port (`DPMAC_CNT_MAX`).
pub const PORT_COUNTERS: usize = 62;

/// Ethernet type of the frames that MACs send each other (IEEE 802.3, annex 31A).
const CONTROL_TYPE: [u8; 2] = [0x88, 0x08];
/// What such a frame asks for: to pause.
const PAUSE: [u8; 2] = [0x00, 0x01];
/// The group of MACs that it goes to.
const CONTROL_GROUP: [u8; 6] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x01];
/// The unit of a pause, bits on the wire.
const QUANTUM: u64 = 512;
/// For how long a port asks to pause, nanoseconds. Chosen: short, since nothing tells it when
/// there are buffers again.
const ASKED: u64 = 500_000;

/// Numbers of `enum dpmac_counter`.
mod counter {
    /// Frames by length: up to 64, 127, 255, 511, 1023, 1518 bytes, and longer.
    pub const ING_LENGTHS: usize = 0;
    pub const ING_FRAGMENT: usize = 7;
    pub const ING_DISCARD: usize = 9;
    pub const ING_OVERSIZED: usize = 12;
    pub const ING_PAUSE: usize = 13;
    pub const EGR_PAUSE: usize = 14;
    pub const ING_BYTE: usize = 15;
    pub const ING_MULTICAST: usize = 16;
    pub const ING_BROADCAST: usize = 17;
    pub const ING_ALL: usize = 18;
    pub const ING_UNICAST: usize = 19;
    pub const ING_ERROR: usize = 20;
    pub const EGR_BYTE: usize = 21;
    pub const EGR_MULTICAST: usize = 22;
    pub const EGR_BROADCAST: usize = 23;
    pub const EGR_UNICAST: usize = 24;
    pub const ING_GOOD: usize = 26;
    pub const EGR_GOOD: usize = 27;
    pub const EGR_LENGTHS: usize = 28;
    pub const ING_ALL_BYTE: usize = 35;
    pub const ING_VLAN: usize = 37;
    pub const ING_CONTROL: usize = 39;
    pub const ING_DISCARD_WHOLE: usize = 40;
    pub const EGR_ALL_BYTE: usize = 41;
    pub const EGR_VLAN: usize = 43;
    pub const EGR_ALL: usize = 44;
    pub const EGR_CONTROL: usize = 45;
}

/// An Ethernet port as the data path needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortConfig {
    /// What it is connected to, while the link is up.
    pub peer: Option<Endpoint>,
    /// Its address, which pause frames come from.
    pub address: MacAddr,
    /// Rate of the link, Mbit/s: what the length of a pause depends on.
    pub rate: u32,
    /// It sends nothing while the other end asks to pause.
    pub obeys_pause: bool,
    /// It asks the other end to pause when the interface behind it has no buffers.
    pub asks_to_pause: bool,
}

/// A port.
#[derive(Debug)]
pub(super) struct Port {
    pub id: u32,
    /// Somebody looks at its frames.
    pub captured: bool,
    config: RwLock<PortConfig>,
    counters: [AtomicU64; PORT_COUNTERS],
    /// Until when the other end has asked to pause, nanoseconds of the board's clock.
    held_until: AtomicU64,
    /// Until when it was asked to.
    asked_until: AtomicU64,
}

impl Port {
    pub fn new(id: u32, captured: bool) -> Self {
        Self {
            id,
            captured,
            config: RwLock::default(),
            counters: [const { AtomicU64::new(0) }; PORT_COUNTERS],
            held_until: AtomicU64::new(0),
            asked_until: AtomicU64::new(0),
        }
    }

    pub fn configure(&self, config: PortConfig) {
        *self.config.write() = config;
        if !config.obeys_pause {
            self.held_until.store(0, Relaxed);
        }
    }

    /// The other end's MAC says something to this one: how long to pause, where it says that.
    pub fn hear(&self, frame: &[u8], now: u64) {
        let config = *self.config.read();
        let to = frame.get(..6);
        let is_for_it = to == Some(&CONTROL_GROUP) || to == Some(&config.address.0);
        let Some((&PAUSE, [high, low, ..])) =
            frame.get(HEADER..).and_then(|parameters| parameters.split_first_chunk())
        else {
            return;
        };
        if !is_for_it {
            return;
        }
        self.add(counter::ING_PAUSE, 1);
        if config.obeys_pause {
            let quanta = u16::from_be_bytes([*high, *low]);
            self.held_until.store(now.saturating_add(pause(quanta, config.rate)), Relaxed);
        }
    }

    /// Until when nothing may be sent, where that is so.
    pub fn held(&self, now: u64) -> Option<u64> {
        Some(self.held_until.load(Relaxed)).filter(|until| *until > now)
    }

    /// The frame by which the other end is asked to pause, unless it has been, or is not to be.
    pub fn ask_to_pause(&self, now: u64) -> Option<[u8; MIN_FRAME_LENGTH]> {
        let config = *self.config.read();
        if !config.asks_to_pause || self.asked_until.load(Relaxed) > now {
            return None;
        }
        let quanta = ASKED * u64::from(config.rate) / (1000 * QUANTUM);
        let quanta = u16::try_from(quanta.max(1)).unwrap_or(u16::MAX);
        self.asked_until.store(now.saturating_add(pause(quanta, config.rate)), Relaxed);
        let parts =
            [&CONTROL_GROUP[..], &config.address.0, &CONTROL_TYPE, &PAUSE, &quanta.to_be_bytes()];
        let mut frame = [0; MIN_FRAME_LENGTH];
        let bytes = parts.into_iter().flatten();
        frame.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
        self.add(counter::EGR_PAUSE, 1);
        Some(frame)
    }

    /// Where received frames go.
    pub fn peer(&self) -> Option<Endpoint> {
        self.config.read().peer
    }

    pub fn counter(&self, number: usize) -> Option<u64> {
        self.counters.get(number).map(|counter| counter.load(Relaxed))
    }

    fn add(&self, number: usize, amount: u64) {
        if let Some(counter) = self.counters.get(number) {
            counter.fetch_add(amount, Relaxed);
        }
    }

    /// A frame leaves, padded.
    pub fn count_sent(&self, frame: &[u8]) {
        use counter as c;
        let length = frame.len() as u64 + CHECK_SEQUENCE;
        self.add(c::EGR_LENGTHS + length_class(length), 1);
        let kind = match is_control(frame) {
            true => c::EGR_CONTROL,
            false => cast(frame, c::EGR_UNICAST, c::EGR_MULTICAST, c::EGR_BROADCAST),
        };
        self.add(kind, 1);
        for number in [c::EGR_GOOD, c::EGR_ALL] {
            self.add(number, 1);
        }
        for number in [c::EGR_BYTE, c::EGR_ALL_BYTE] {
            self.add(number, length);
        }
        if is_tagged(frame) {
            self.add(c::EGR_VLAN, 1);
        }
    }

    /// A frame has come, padded.
    pub fn count_received(&self, frame: &[u8]) {
        use counter as c;
        let length = frame.len() as u64 + CHECK_SEQUENCE;
        self.add(c::ING_LENGTHS + length_class(length), 1);
        let kind = match is_control(frame) {
            true => c::ING_CONTROL,
            false => cast(frame, c::ING_UNICAST, c::ING_MULTICAST, c::ING_BROADCAST),
        };
        self.add(kind, 1);
        for number in [c::ING_GOOD, c::ING_ALL] {
            self.add(number, 1);
        }
        for number in [c::ING_BYTE, c::ING_ALL_BYTE] {
            self.add(number, length);
        }
        if is_tagged(frame) {
            self.add(c::ING_VLAN, 1);
        }
    }

    /// What has come is no frame, or too long for one.
    pub fn count_wrong(&self, length: usize) {
        use counter as c;
        self.add(c::ING_ALL, 1);
        self.add(c::ING_ALL_BYTE, length as u64 + CHECK_SEQUENCE);
        if length < HEADER {
            self.add(c::ING_FRAGMENT, 1);
        } else {
            self.add(c::ING_OVERSIZED, 1);
            self.add(c::ING_ERROR, 1);
        }
    }

    /// A good frame leads nowhere: nothing is connected, or the link is down.
    pub fn count_discarded(&self) {
        self.add(counter::ING_DISCARD, 1);
        self.add(counter::ING_DISCARD_WHOLE, 1);
    }
}

/// Whether bytes can be a frame at all.
pub(super) fn is_frame(bytes: &[u8]) -> bool {
    (HEADER..=super::MAX_FRAME_LENGTH).contains(&bytes.len())
}

/// Whether a frame is from MAC to MAC, and goes no further.
pub(super) fn is_control(frame: &[u8]) -> bool {
    frame.get(12..HEADER) == Some(&CONTROL_TYPE)
}

/// How long a pause is, nanoseconds.
fn pause(quanta: u16, rate: u32) -> u64 {
    u64::from(quanta) * QUANTUM * 1000 / u64::from(rate.max(1))
}

/// Calls `with` with a frame that is long enough for a wire.
pub(super) fn padded<R>(frame: &[u8], with: impl FnOnce(&[u8]) -> R) -> R {
    let mut short = [0; MIN_FRAME_LENGTH];
    match short.get_mut(..frame.len()) {
        Some(part) => {
            part.copy_from_slice(frame);
            with(&short)
        }
        None => with(frame),
    }
}

/// Which counter of lengths counts a frame of so many bytes, check sequence
/// included.
fn length_class(length: u64) -> usize {
    [64, 127, 255, 511, 1023, 1518].iter().take_while(|most| length > **most).count()
}

fn cast(frame: &[u8], unicast: usize, multicast: usize, broadcast: usize) -> usize {
    match super::counters::Cast::of(frame) {
        super::counters::Cast::Unicast => unicast,
        super::counters::Cast::Multicast => multicast,
        super::counters::Cast::Broadcast => broadcast,
    }
}

fn is_tagged(frame: &[u8]) -> bool {
    matches!(frame.get(12..14), Some([0x81, 0x00] | [0x88, 0xa8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_with_their_check_sequence() {
        let classes = [64, 65, 127, 128, 1518, 1519, 9018].map(length_class);
        assert_eq!(classes, [0, 1, 1, 2, 5, 6, 6]);
    }

    #[test]
    fn short_frames_are_padded_and_long_ones_not() {
        assert_eq!(padded(&[1; 20], |frame| (frame.len(), frame[19], frame[20])), (60, 1, 0));
        assert_eq!(padded(&[1; 60], <[u8]>::len), 60);
        assert_eq!(padded(&[1; 61], <[u8]>::len), 61);
    }
}
