// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What an interface counts.
//!
//! Frames are counted in a [`Tally`] first, which is added to the interface's
//! counters once for a batch. Every frame that is offered to an interface is
//! counted exactly once in one of ingress, filtered, discarded and without
//! buffer; every frame that it takes from its transmit queues in one of egress
//! and egress discarded.

use super::meter::Color;
use super::{MAX_CHANNELS, MAX_CLASSES};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($( $(#[$doc:meta])* $name:ident ),* $(,)?) => {
        /// Counts of a batch of frames, or of all so far.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Tally {
            $( $(#[$doc])* pub $name: u64, )*
        }

        /// The interface's counters, which any thread may add to.
        #[derive(Debug, Default)]
        struct Totals {
            $( $name: AtomicU64, )*
        }

        impl Totals {
            fn add(&self, tally: &Tally) {
                $( if tally.$name != 0 {
                    self.$name.fetch_add(tally.$name, Relaxed);
                } )*
            }

            fn read(&self) -> Tally {
                Tally { $( $name: self.$name.load(Relaxed), )* }
            }

            fn reset(&self) {
                $( self.$name.store(0, Relaxed); )*
            }
        }
    };
}

counters! {
    /// Frames received.
    ingress_frames,
    /// Their bytes.
    ingress_bytes,
    /// Those to groups, broadcast not among them.
    ingress_multicast_frames,
    /// Their bytes.
    ingress_multicast_bytes,
    /// Those to all.
    ingress_broadcast_frames,
    /// Their bytes.
    ingress_broadcast_bytes,
    /// Frames sent.
    egress_frames,
    /// Their bytes.
    egress_bytes,
    /// Those to groups, broadcast not among them.
    egress_multicast_frames,
    /// Their bytes.
    egress_multicast_bytes,
    /// Those to all.
    egress_broadcast_frames,
    /// Their bytes.
    egress_broadcast_bytes,
    /// Frames that the filters kept out.
    ingress_filtered,
    /// Frames dropped: because of an error, a rule, a full queue, or memory that
    /// was not there.
    ingress_discarded,
    /// Frames dropped for want of a buffer.
    ingress_no_buffer,
    /// Frames dropped instead of sent.
    egress_discarded,
    /// Sent frames that were confirmed.
    egress_confirmed,
    /// Those that were to be, and whose queue of confirmations refused them: software never
    /// hears of them.
    egress_unconfirmed,
}

/// The kind of station that a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    Unicast,
    Multicast,
    Broadcast,
}

impl Cast {
    /// From the frame's first bytes.
    #[inline]
    pub fn of(frame: &[u8]) -> Self {
        match frame.first_chunk::<6>() {
            Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => Self::Broadcast,
            Some([first, ..]) if first & 1 == 1 => Self::Multicast,
            _ => Self::Unicast,
        }
    }
}

impl Tally {
    /// A frame was received.
    #[inline]
    pub(super) fn received(&mut self, cast: Cast, length: usize) {
        let length = length as u64;
        self.ingress_frames += 1;
        self.ingress_bytes += length;
        match cast {
            Cast::Unicast => {}
            Cast::Multicast => {
                self.ingress_multicast_frames += 1;
                self.ingress_multicast_bytes += length;
            }
            Cast::Broadcast => {
                self.ingress_broadcast_frames += 1;
                self.ingress_broadcast_bytes += length;
            }
        }
    }

    /// A frame was sent.
    #[inline]
    pub(super) fn sent(&mut self, cast: Cast, length: usize) {
        let length = length as u64;
        self.egress_frames += 1;
        self.egress_bytes += length;
        match cast {
            Cast::Unicast => {}
            Cast::Multicast => {
                self.egress_multicast_frames += 1;
                self.egress_multicast_bytes += length;
            }
            Cast::Broadcast => {
                self.egress_broadcast_frames += 1;
                self.egress_broadcast_bytes += length;
            }
        }
    }
}

/// Frames and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Volume {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Volume {
    /// One more frame.
    pub(super) fn count(&mut self, length: u32) {
        self.frames += 1;
        self.bytes += u64::from(length);
    }
}

#[derive(Debug, Default)]
struct AtomicVolume {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl AtomicVolume {
    fn add(&self, volume: Volume) {
        self.frames.fetch_add(volume.frames, Relaxed);
        self.bytes.fetch_add(volume.bytes, Relaxed);
    }

    fn read(&self) -> Volume {
        Volume { frames: self.frames.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }

    fn reset(&self) {
        self.frames.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
    }
}

/// All counters of an interface.
#[derive(Debug)]
pub(super) struct Counters {
    totals: Totals,
    /// Dequeued by channel and class.
    dequeued: Box<[AtomicVolume]>,
    /// Refused by the queues of a receive class.
    refused: Box<[AtomicVolume]>,
    /// Frames of a receive class by colour: green, yellow, red.
    policed: Box<[[AtomicU64; Color::ALL.len()]]>,
}

impl Default for Counters {
    fn default() -> Self {
        let volumes = |count| (0..count).map(|_| AtomicVolume::default()).collect();
        Self {
            totals: Totals::default(),
            dequeued: volumes(MAX_CHANNELS * MAX_CLASSES),
            refused: volumes(MAX_CLASSES),
            policed: (0..MAX_CLASSES).map(|_| Default::default()).collect(),
        }
    }
}

impl Counters {
    /// Adds a batch.
    pub fn add(&self, tally: &Tally) {
        self.totals.add(tally);
    }

    /// All so far.
    pub fn read(&self) -> Tally {
        self.totals.read()
    }

    /// Everything back to zero.
    pub fn reset(&self) {
        self.totals.reset();
        self.dequeued.iter().chain(&self.refused).for_each(AtomicVolume::reset);
        self.policed.iter().flatten().for_each(|count| count.store(0, Relaxed));
    }

    /// Adds what was taken from the transmit queues of a class.
    pub fn add_dequeued(&self, channel: u8, class: u8, volume: Volume) {
        if let Some(counter) = self.dequeued.get(place(channel, class)) {
            counter.add(volume);
        }
    }

    /// What was taken from the transmit queues of a class.
    pub fn dequeued(&self, channel: u8, class: u8) -> Volume {
        self.dequeued.get(place(channel, class)).map_or(Volume::default(), AtomicVolume::read)
    }

    /// Adds a frame that a receive queue of a class refused.
    pub fn add_refused(&self, class: u8, volume: Volume) {
        if let Some(counter) = self.refused.get(usize::from(class)) {
            counter.add(volume);
        }
    }

    /// Adds a frame of a class that was policed.
    pub fn add_policed(&self, class: u8, color: Color) {
        if let Some(counts) = self.policed.get(usize::from(class)) {
            let counts = counts.iter().zip(Color::ALL);
            counts.filter(|(_, one)| *one == color).for_each(|(count, _)| {
                count.fetch_add(1, Relaxed);
            });
        }
    }

    /// Policed frames of a class: green, yellow, red.
    pub fn policed(&self, class: u8) -> [u64; Color::ALL.len()] {
        let counts = self.policed.get(usize::from(class));
        counts.map_or([0; 3], |counts| counts.each_ref().map(|count| count.load(Relaxed)))
    }

    /// What the receive queues of a class refused.
    pub fn refused(&self, class: u8) -> Volume {
        self.refused.get(usize::from(class)).map_or(Volume::default(), AtomicVolume::read)
    }
}

fn place(channel: u8, class: u8) -> usize {
    usize::from(channel) * MAX_CLASSES + usize::from(class)
}
