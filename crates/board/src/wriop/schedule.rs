// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which frame of an interface is sent next, and when: rates of the interface and of its
//! channels, strict priorities, and classes that share by weights.
//!
//! What is chosen, since no source says it: channels take turns, frame by frame; so do the
//! queues of a class. A rate is kept by letting the last frame of a burst overdraw.

use super::config::{ChannelSchedule, ClassTurn, Schedule, ShaperConfig, TransmitQueue};
use parking_lot::{Mutex, MutexGuard};
use qbman_abi::Fd;

/// The unit of buckets, so that slow rates fill them at all: a part of a byte.
const SCALE: i128 = 8_000_000_000;
/// What a frame costs beside its bytes where software does not say: preamble, gap and
/// check sequence (the MC's headers).
const OVERHEAD: u16 = 24;
/// A thread that comes late for frames that wait makes good for this much, nanoseconds.
const LATE: u64 = 10_000_000;
/// Bytes of a class for each unit of weight, when it is its turn. The least weight is 100.
const QUANTUM: i64 = 16;
/// Rounds until each class may send again: the longest frame takes seven of the least quanta.
const ROUNDS: usize = 9;

/// The order of an interface's frames.
#[derive(Debug)]
pub(super) struct Scheduler {
    config: Schedule,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    whole: Option<Bucket>,
    channels: Vec<Channel>,
    /// The channel whose turn it is.
    next: usize,
}

#[derive(Debug)]
struct Channel {
    bucket: Option<Bucket>,
    classes: Vec<Class>,
    /// Classes by rank: all of the same rank share by weights.
    ranks: Vec<Rank>,
}

#[derive(Debug)]
struct Rank {
    /// Places in [`Channel::classes`].
    members: Vec<usize>,
    /// Whose turn it is: a place in `members`.
    turn: usize,
}

#[derive(Debug)]
struct Class {
    /// Places of its queues in [`super::TransmitConfig::queues`].
    queues: Vec<usize>,
    /// Whose turn it is: a place in `queues`.
    turn: usize,
    quantum: i64,
    /// Bytes that it may send before it is the next one's turn.
    credit: i64,
}

impl Scheduler {
    /// With full buckets, and nobody's turn.
    pub fn new(config: Schedule, queues: &[TransmitQueue]) -> Self {
        let channels = config.channels.iter().zip(0..);
        let channels = channels.map(|(config, number)| Channel::new(config, number, queues));
        let state =
            State { whole: config.whole.map(Bucket::new), channels: channels.collect(), next: 0 };
        Self { config, state: Mutex::new(state) }
    }

    /// One of this configuration; with what `before` has counted, where only queues are
    /// different.
    pub fn renew(config: Schedule, queues: &[TransmitQueue], before: Option<Self>) -> Self {
        let new = Self::new(config, queues);
        let Some(before) = before.filter(|before| before.config == new.config) else { return new };
        let mut state = new.state.lock();
        let old = before.state.into_inner();
        state.whole = old.whole;
        for (channel, old) in state.channels.iter_mut().zip(old.channels) {
            channel.bucket = old.bucket;
        }
        drop(state);
        new
    }

    /// Starts to send at `now`, nanoseconds.
    pub fn start(&self, now: u64) -> Sending<'_> {
        let mut state = self.state.lock();
        let State { whole, channels, .. } = &mut *state;
        let buckets = channels.iter_mut().filter_map(|channel| channel.bucket.as_mut());
        buckets.chain(whole).for_each(|bucket| bucket.fill(now));
        Sending { state, now, deadline: None }
    }
}

/// One sends; the others wait.
pub(super) struct Sending<'a> {
    state: MutexGuard<'a, State>,
    now: u64,
    /// When a frame may go that waits for its rate.
    deadline: Option<u64>,
}

impl Sending<'_> {
    /// The next frame, of those that `take` finds in queues, and its queue.
    pub fn next<'q>(
        &mut self,
        queues: &'q [TransmitQueue],
        mut take: impl FnMut(&TransmitQueue) -> Option<Fd>,
    ) -> Option<(Fd, &'q TransmitQueue)> {
        let now = self.now;
        let State { whole, channels, next } = &mut *self.state;
        if let Some(deadline) = blocked(whole, now) {
            self.deadline = Some(deadline);
            return None;
        }
        let count = channels.len();
        for place in (0..count).map(|step| (*next + step) % count) {
            let Some(channel) = channels.get_mut(place) else { continue };
            if let Some(deadline) = blocked(&mut channel.bucket, now) {
                let earlier = self.deadline.map_or(deadline, |other| other.min(deadline));
                self.deadline = Some(earlier);
                continue;
            }
            if let Some((fd, queue)) = channel.next(queues, &mut take) {
                let buckets = [&mut channel.bucket, whole];
                buckets.into_iter().flatten().for_each(|bucket| bucket.charge(fd.length()));
                *next = place + 1;
                return Some((fd, queue));
            }
        }
        None
    }

    /// When to look again, although nothing else happens: nanoseconds of the board's clock.
    pub fn deadline(&self) -> Option<u64> {
        self.deadline
    }
}

/// Until when nothing may go.
fn blocked(bucket: &mut Option<Bucket>, now: u64) -> Option<u64> {
    bucket.as_mut().and_then(|bucket| bucket.blocked(now))
}

impl Channel {
    fn new(config: &ChannelSchedule, number: u8, queues: &[TransmitQueue]) -> Self {
        let classes = config.classes.iter().zip(0..).map(|(turn, class)| {
            let own = |queue: &TransmitQueue| queue.channel == number && queue.class == class;
            let queues = queues.iter().enumerate().filter(|(_, queue)| own(queue));
            Class {
                queues: queues.map(|(place, _)| place).collect(),
                turn: 0,
                quantum: i64::from(turn.weight) * QUANTUM,
                credit: 0,
            }
        });
        let mut numbers: Vec<u8> = config.classes.iter().map(|turn| turn.rank).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let members = |rank: u8| {
            let has = |(_, turn): &(usize, &ClassTurn)| turn.rank == rank;
            config.classes.iter().enumerate().filter(has).map(|(place, _)| place).collect()
        };
        let ranks = numbers.into_iter().map(|rank| Rank { members: members(rank), turn: 0 });
        let (classes, ranks) = (classes.collect(), ranks.collect());
        Self { bucket: config.shaper.map(Bucket::new), classes, ranks }
    }

    fn next<'q>(
        &mut self,
        queues: &'q [TransmitQueue],
        take: &mut impl FnMut(&TransmitQueue) -> Option<Fd>,
    ) -> Option<(Fd, &'q TransmitQueue)> {
        let Self { classes, ranks, .. } = self;
        ranks.iter_mut().find_map(|rank| rank.next(classes, queues, take))
    }
}

impl Rank {
    /// A frame of one of the classes: of the one whose turn it is, as long as it has credit.
    fn next<'q>(
        &mut self,
        classes: &mut [Class],
        queues: &'q [TransmitQueue],
        take: &mut impl FnMut(&TransmitQueue) -> Option<Fd>,
    ) -> Option<(Fd, &'q TransmitQueue)> {
        let count = self.members.len();
        // Alone, a class needs no credit.
        if let [only] = self.members[..] {
            return classes.get_mut(only)?.next(queues, take);
        }
        // By class: at most sixteen.
        let mut empty = 0_u32;
        for _ in 0..count * ROUNDS {
            let member = *self.members.get(self.turn)?;
            let class = classes.get_mut(member)?;
            if class.credit > 0 {
                if let Some((fd, queue)) = class.next(queues, take) {
                    class.credit -= i64::from(fd.length());
                    return Some((fd, queue));
                }
                // Nobody saves up.
                class.credit = 0;
                empty |= 1 << self.turn;
                if empty.count_ones() as usize == count {
                    return None;
                }
            }
            self.turn = (self.turn + 1) % count;
            let next = self.members.get(self.turn).and_then(|next| classes.get_mut(*next))?;
            next.credit += next.quantum;
        }
        None
    }
}

impl Class {
    fn next<'q>(
        &mut self,
        queues: &'q [TransmitQueue],
        take: &mut impl FnMut(&TransmitQueue) -> Option<Fd>,
    ) -> Option<(Fd, &'q TransmitQueue)> {
        let count = self.queues.len();
        for step in 0..count {
            let turn = (self.turn + step) % count;
            let queue = self.queues.get(turn).and_then(|place| queues.get(*place))?;
            if let Some(fd) = take(queue) {
                self.turn = turn + 1;
                return Some((fd, queue));
            }
        }
        None
    }
}

/// A shaper: two buckets, one for each rate, in parts of a byte.
#[derive(Debug)]
struct Bucket {
    config: ShaperConfig,
    committed: i128,
    excess: i128,
    /// When they were filled last, nanoseconds.
    filled: Option<u64>,
    /// A frame may wait since the last filling.
    waiting: bool,
}

impl Bucket {
    fn new(config: ShaperConfig) -> Self {
        let committed = size(config.committed_burst);
        let excess = size(config.excess_burst);
        Self { config, committed, excess, filled: None, waiting: false }
    }

    fn fill(&mut self, now: u64) {
        // Threads whose passes overlap may come with an earlier time than the one before.
        let filled = self.filled.replace(self.filled.map_or(now, |filled| filled.max(now)));
        let Some(filled) = filled else { return };
        let passed = now.saturating_sub(filled);
        // Time that a waiting frame was late by is not lost to it.
        let late = if self.waiting { passed.min(LATE) } else { 0 };
        self.waiting = false;
        let ShaperConfig { committed_rate, excess_rate, .. } = self.config;
        let (room, over) = (
            size(self.config.committed_burst) + gain(committed_rate, late),
            size(self.config.excess_burst) + gain(excess_rate, late),
        );
        self.committed += gain(committed_rate, passed);
        self.excess += gain(excess_rate, passed);
        let left = (self.committed - room).max(0);
        self.committed -= left;
        if self.config.coupled {
            self.excess += left;
        }
        self.excess = self.excess.min(over);
    }

    /// When a frame may go next, where none may now.
    fn blocked(&mut self, now: u64) -> Option<u64> {
        let ShaperConfig { committed_rate, excess_rate, .. } = self.config;
        let wait = |bucket: i128, rate: u64| (rate > 0).then(|| until_filled(bucket, rate));
        let waits = [wait(self.committed, committed_rate), wait(self.excess, excess_rate)];
        // Without any rate there is no limit.
        let least = waits.into_iter().flatten().min().filter(|wait| *wait > 0)?;
        self.waiting = true;
        Some(now.saturating_add(least))
    }

    fn charge(&mut self, length: u32) {
        let overhead = match self.config.overhead {
            0 => OVERHEAD,
            some => some,
        };
        let cost = (i128::from(length) + i128::from(overhead)) * SCALE;
        if self.config.committed_rate > 0 && self.committed > 0 {
            self.committed -= cost;
        } else {
            self.excess -= cost;
        }
    }
}

/// What a full bucket has. One of nothing would never have anything.
fn size(burst: u32) -> i128 {
    i128::from(burst.max(1)) * SCALE
}

/// What comes in at a rate (bit/s) in some nanoseconds.
fn gain(rate: u64, nanoseconds: u64) -> i128 {
    i128::from(rate) * i128::from(nanoseconds)
}

/// Nanoseconds until a bucket has something.
fn until_filled(bucket: i128, rate: u64) -> u64 {
    if bucket > 0 {
        return 0;
    }
    let wait = -bucket / i128::from(rate) + 1;
    u64::try_from(wait).unwrap_or(u64::MAX)
}
