// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One direction of a wire: frames go in, and come out when they have arrived,
//! those that do.
//!
//! Time is given, in nanoseconds since any moment, and chance comes from a seed:
//! the same frames at the same times have the same fate.

use crate::faults::Faults;
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Frames that are under way at most; those that come then get lost, as in a
/// switch whose memory is full.
pub const CAPACITY: usize = 2048;
/// How long a frame that is to be overtaken waits for the one behind.
const REORDER_LIMIT: u64 = 10_000_000;

/// One direction.
#[derive(Debug)]
pub struct Direction {
    faults: Faults,
    random: fastrand::Rng,
    /// When the wire has taken all that was put in.
    free: u64,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    /// Waits for the next frame, to come out behind it.
    overtaken: Option<UnderWay>,
    sequence: u64,
    /// Memory of frames that have come out.
    spare: Vec<Vec<u8>>,
    lost: u64,
}

#[derive(Debug)]
struct UnderWay {
    due: u64,
    sequence: u64,
    frame: Vec<u8>,
}

impl Direction {
    /// An empty wire. `salt` gives each direction of a wire its own chance.
    pub fn new(faults: Faults, salt: u64) -> Self {
        let seed = faults.seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self {
            faults,
            random: fastrand::Rng::with_seed(seed),
            free: 0,
            under_way: BinaryHeap::new(),
            overtaken: None,
            sequence: 0,
            spare: Vec::new(),
            lost: 0,
        }
    }

    /// A frame goes in.
    pub fn put(&mut self, now: u64, frame: &[u8]) {
        let dropped = self.happens(self.faults.drop);
        let twice = self.happens(self.faults.duplicate);
        let corrupt = self.happens(self.faults.corrupt);
        let overtaken = self.happens(self.faults.reorder);
        // What finds no place takes none of the bottleneck's time: the wire would have to make
        // up for it later, when nobody sends any more.
        if self.is_full() {
            self.lost += 1;
            return;
        }
        // It is lost behind the bottleneck, if there is one.
        let due = self.pace(now, frame.len()).saturating_add(nanoseconds(self.faults.delay));
        if dropped {
            self.lost += 1;
            return;
        }
        let bit = if corrupt { self.random.usize(..frame.len().max(1) * 8) } else { 0 };
        for _ in 0..=usize::from(twice) {
            if self.is_full() {
                self.lost += 1;
                return;
            }
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(frame);
            if corrupt && let Some(byte) = copy.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            self.send(due, copy, overtaken);
        }
    }

    /// Whether a frame that goes in now gets lost for want of a place.
    pub fn is_full(&self) -> bool {
        self.under_way.len() >= CAPACITY
    }

    /// When something comes out next, as far as is known.
    pub fn next_due(&self) -> Option<u64> {
        let first = self.under_way.peek().map(|Reverse(first)| first.due);
        let overtaken = self.overtaken.as_ref().map(|frame| frame.due);
        first.into_iter().chain(overtaken).min()
    }

    /// The next frame that has arrived. To be given back.
    pub fn take(&mut self, now: u64) -> Option<Vec<u8>> {
        if let Some(late) = self.overtaken.take_if(|frame| frame.due <= now) {
            self.under_way.push(Reverse(late));
        }
        self.under_way.peek().filter(|Reverse(first)| first.due <= now)?;
        self.under_way.pop().map(|Reverse(first)| first.frame)
    }

    /// Gives a frame back, for its memory.
    pub fn give_back(&mut self, frame: Vec<u8>) {
        if self.spare.len() < CAPACITY {
            self.spare.push(frame);
        }
    }

    /// Loses all that is under way.
    pub fn cut(&mut self) {
        self.lost += self.under_way.len() as u64 + u64::from(self.overtaken.is_some());
        let under_way = self.under_way.drain().map(|Reverse(frame)| frame);
        self.spare.extend(under_way.chain(self.overtaken.take()).map(|frame| frame.frame));
        self.spare.truncate(CAPACITY);
        // What was to go in has gone, too.
        self.free = 0;
    }

    /// Frames that went in and will not come out.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Puts a frame on its way. One that is to be overtaken waits; the next one
    /// takes it along, behind itself.
    fn send(&mut self, due: u64, frame: Vec<u8>, overtaken: bool) {
        let mut next = |due, frame| {
            self.sequence += 1;
            UnderWay { due, sequence: self.sequence, frame }
        };
        if overtaken && self.overtaken.is_none() {
            self.overtaken = Some(next(due.saturating_add(REORDER_LIMIT), frame));
            return;
        }
        let this = next(due, frame);
        let late = self.overtaken.take().map(|late| next(due, late.frame));
        self.under_way.push(Reverse(this));
        self.under_way.extend(late.map(Reverse));
    }

    /// When the last bit of a frame that comes now has gone in.
    fn pace(&mut self, now: u64, length: usize) -> u64 {
        let Some(rate) = self.faults.rate else { return now };
        let bits = length as u128 * 8;
        let takes = bits * 1_000_000_000 / u128::from(rate.max(1));
        self.free = self.free.max(now).saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
        self.free
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.f64() < share
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for UnderWay {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    fn frame(n: u32) -> Vec<u8> {
        [n.to_be_bytes(); 15].concat()
    }

    /// Numbers of the frames that have arrived at `now`.
    fn arrived(direction: &mut Direction, now: u64) -> Vec<u32> {
        let mut numbers = vec![];
        while let Some(frame) = direction.take(now) {
            numbers.push(u32::from_be_bytes(frame[..4].try_into().unwrap()));
            direction.give_back(frame);
        }
        numbers
    }

    /// What becomes of a number of frames, a microsecond apart.
    fn fate(faults: Faults, frames: u32) -> (Vec<u32>, u64) {
        let mut direction = Direction::new(faults, 0);
        let mut seen = vec![];
        for n in 0..frames {
            let now = u64::from(n) * 1000;
            direction.put(now, &frame(n));
            seen.extend(arrived(&mut direction, now));
        }
        seen.extend(arrived(&mut direction, u64::MAX));
        (seen, direction.lost())
    }

    #[test]
    fn a_good_wire_loses_nothing_and_keeps_the_order() {
        assert_eq!(fate(Faults::default(), 5000), ((0..5000).collect(), 0));
    }

    #[test]
    fn delay_and_rate_add_up() {
        let delay = Duration::from_millis(2);
        // 60 bytes at 480 kbit are a millisecond.
        let faults = Faults { delay, rate: Some(480_000), ..Faults::default() };
        let mut direction = Direction::new(faults, 0);
        (0..3).for_each(|n| direction.put(0, &frame(n)));
        assert_eq!(direction.next_due(), Some(3 * MS));
        assert_eq!(arrived(&mut direction, 3 * MS - 1), [0; 0]);
        assert_eq!(arrived(&mut direction, 3 * MS), [0]);
        assert_eq!(arrived(&mut direction, 5 * MS), [1, 2]);
        // A pause does not save up.
        direction.put(100 * MS, &frame(3));
        assert_eq!(direction.next_due(), Some(103 * MS));
    }

    #[test]
    fn an_overload_costs_neither_rate_nor_what_comes_after() {
        // 60 bytes at 480 kbit are a millisecond; ten times as many come, for ten seconds.
        let faults = Faults { rate: Some(480_000), ..Faults::default() };
        let mut direction = Direction::new(faults, 0);
        let (frames, step) = (100_000, MS / 10);
        let mut seen = 0;
        for n in 0..frames {
            let now = u64::from(n) * step;
            direction.put(now, &frame(n));
            seen += arrived(&mut direction, now).len() as u64;
        }
        let end = u64::from(frames) * step;
        assert!((end / MS - 2..=end / MS).contains(&seen), "{seen} in {} ms", end / MS);
        // What is under way by then is all that delays a frame, and then it is a new wire.
        let late = end + CAPACITY as u64 * MS;
        seen += arrived(&mut direction, late).len() as u64;
        assert_eq!(seen + direction.lost(), u64::from(frames));
        direction.put(late, &frame(0));
        assert_eq!(direction.next_due(), Some(late + MS));
    }

    #[test]
    fn a_plug_that_is_put_in_again_has_a_wire_without_a_queue() {
        let faults = Faults { rate: Some(480_000), ..Faults::default() };
        let mut direction = Direction::new(faults, 0);
        (0..1000).for_each(|n| direction.put(0, &frame(n)));
        direction.cut();
        direction.put(MS, &frame(0));
        assert_eq!(direction.next_due(), Some(2 * MS));
    }

    #[test]
    fn shares_come_out_and_the_seed_decides() {
        let within = |count: usize, share: f64| {
            let expected = 10_000.0 * share;
            assert!((count as f64 - expected).abs() < 5.0 * expected.sqrt(), "{count} of {share}");
        };
        let (seen, lost) = fate(Faults { drop: 0.1, seed: 7, ..Faults::default() }, 10_000);
        within(lost as usize, 0.1);
        assert_eq!(seen.len() + lost as usize, 10_000);
        assert!(seen.is_sorted());
        let again = fate(Faults { drop: 0.1, seed: 7, ..Faults::default() }, 10_000);
        assert_eq!((&seen, lost), (&again.0, again.1));
        let other = fate(Faults { drop: 0.1, seed: 8, ..Faults::default() }, 10_000);
        assert_ne!(seen, other.0);

        let (seen, lost) = fate(Faults { duplicate: 0.2, ..Faults::default() }, 10_000);
        within(seen.len() - 10_000, 0.2);
        assert_eq!(lost, 0);
        let (mut seen, _) = fate(Faults { reorder: 0.05, ..Faults::default() }, 10_000);
        let swapped = seen.windows(2).filter(|pair| pair[0] > pair[1]).count();
        within(swapped, 0.05);
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..10_000), "nothing is lost by it");
    }

    #[test]
    fn a_corrupt_frame_has_one_bit_wrong() {
        let mut direction = Direction::new(Faults { corrupt: 1.0, ..Faults::default() }, 0);
        for n in 0..100 {
            let sent = frame(n);
            direction.put(0, &sent);
            let seen = direction.take(0).unwrap();
            let wrong: u32 =
                sent.iter().zip(&seen).map(|(sent, seen)| (sent ^ seen).count_ones()).sum();
            assert_eq!((wrong, seen.len()), (1, sent.len()));
        }
    }

    #[test]
    fn the_last_frame_is_not_overtaken_for_ever() {
        let mut direction = Direction::new(Faults { reorder: 1.0, ..Faults::default() }, 0);
        direction.put(0, &frame(0));
        assert_eq!(arrived(&mut direction, REORDER_LIMIT - 1), [0; 0]);
        assert_eq!(direction.next_due(), Some(REORDER_LIMIT));
        assert_eq!(arrived(&mut direction, REORDER_LIMIT), [0]);
        assert_eq!(direction.next_due(), None);
    }

    #[test]
    fn the_two_directions_of_a_wire_differ() {
        let faults = Faults { drop: 0.5, ..Faults::default() };
        let [there, back] = [0, 1].map(|salt| {
            let mut direction = Direction::new(faults, salt);
            (0..100).for_each(|n| direction.put(0, &frame(n)));
            arrived(&mut direction, 0)
        });
        assert_ne!(there, back);
    }

    proptest! {
        #[test]
        fn every_frame_is_accounted_for(
            drop in 0.0..1.0f64,
            duplicate in 0.0..1.0f64,
            corrupt in 0.0..1.0f64,
            reorder in 0.0..1.0f64,
            delay in 0..20u64,
            rate in prop::option::of(1..10_000_000u64),
            seed: u64,
            steps in prop::collection::vec((0..5_000_000u64, 0..200usize, any::<bool>()), 0..300),
        ) {
            let delay = Duration::from_millis(delay);
            let faults = Faults { drop, duplicate, corrupt, reorder, delay, rate, seed };
            let mut direction = Direction::new(faults, 1);
            let (mut now, mut put, mut taken) = (0, 0, 0);
            for (pause, length, cut) in steps {
                now += pause;
                direction.put(now, &vec![0; length]);
                put += 1;
                if cut && length == 0 {
                    direction.cut();
                }
                while let Some(frame) = direction.take(now) {
                    direction.give_back(frame);
                    taken += 1;
                }
                prop_assert!(direction.next_due().is_none_or(|due| due > now));
            }
            while direction.take(u64::MAX).is_some() {
                taken += 1;
            }
            let lost = direction.lost();
            prop_assert!(taken + lost >= put && taken + lost <= 2 * put, "{taken} {lost} {put}");
            prop_assert_eq!(direction.next_due(), None);
        }
    }
}
