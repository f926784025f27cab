// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random commands against what must hold whatever they are: no frame and no
//! buffer appears, vanishes or overtakes; no notification is lost.

use crate::{
    client::{Client, From, WAYS, Way},
    host::{ICID, TestQbman, own_channel},
    portals::version,
};
use board::qbman::{Consumer, QueueConfig};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Queues 1 to 6, channels 1 and 2, and a pool.
const QUEUES: u32 = 6;
const CHANNELS: u32 = 2;
const POOL: u16 = 3;

#[derive(Debug, Clone)]
enum Op {
    Send {
        queue: u32,
        count: u64,
    },
    FromEngine {
        queue: u32,
    },
    Receive {
        from: From,
        count: u8,
    },
    PullToRing {
        from: From,
        count: u8,
    },
    /// Entries of the dequeue ring are looked at, and some consumed.
    Take {
        count: usize,
    },
    Arm {
        channel: u32,
    },
    Disarm {
        channel: u32,
    },
    Push {
        channels: u16,
    },
    OnQueue {
        verb: u8,
        queue: u32,
    },
    Move {
        queue: u32,
        consumer: Consumer,
        hold_active: bool,
    },
    Release {
        count: usize,
    },
    Acquire {
        count: u8,
    },
    Clear,
}

fn consumers() -> impl Strategy<Value = Consumer> {
    prop_oneof![
        Just(Consumer::Parked),
        (1..=CHANNELS, 0..8u8)
            .prop_map(|(channel, priority)| Consumer::Channel { channel, priority }),
        (0..2u32, 0..8u8).prop_map(|(portal, priority)| Consumer::Notify {
            channel: own_channel(portal),
            priority,
        }),
    ]
}

fn ops() -> impl Strategy<Value = (u32, Op)> {
    let queue = || 1..=QUEUES;
    let channel = || 1..=CHANNELS;
    let from = || {
        prop_oneof![
            queue().prop_map(From::Queue),
            channel().prop_map(From::Channel),
            (channel(), 0..8u32).prop_map(|(channel, queue)| From::WorkQueue(channel << 3 | queue)),
        ]
    };
    let op = prop_oneof![
        6 => (queue(), 1..40u64).prop_map(|(queue, count)| Op::Send { queue, count }),
        2 => queue().prop_map(|queue| Op::FromEngine { queue }),
        5 => (from(), 1..=16u8).prop_map(|(from, count)| Op::Receive { from, count }),
        2 => (from(), 1..=16u8).prop_map(|(from, count)| Op::PullToRing { from, count }),
        6 => (0..10usize).prop_map(|count| Op::Take { count }),
        3 => channel().prop_map(|channel| Op::Arm { channel }),
        1 => channel().prop_map(|channel| Op::Disarm { channel }),
        2 => (0..8u16).prop_map(|channels| Op::Push { channels }),
        2 => (prop::sample::select(vec![0x45, 0x48, 0x49, 0x4d, 0x4e]), queue())
            .prop_map(|(verb, queue)| Op::OnQueue { verb, queue }),
        1 => (queue(), consumers(), any::<bool>())
            .prop_map(|(queue, consumer, hold_active)| Op::Move { queue, consumer, hold_active }),
        2 => (1..=7usize).prop_map(|count| Op::Release { count }),
        2 => (1..=7u8).prop_map(|count| Op::Acquire { count }),
        1 => Just(Op::Clear),
    ];
    (0..2u32, op)
}

/// What was sent and has not come back.
struct World<'a> {
    test: &'a TestQbman,
    clients: Vec<Client<'a>>,
    /// Entries of the dequeue rings that were seen and not consumed.
    unconsumed: Vec<Vec<u32>>,
    /// Volatile dequeues into the rings that have not ended.
    pulls: Vec<usize>,
    sent: u64,
    /// Frames that are in a queue or on their way out, by queue.
    inside: BTreeMap<u32, BTreeSet<u64>>,
    /// The newest frame that each way out of a queue has given.
    newest: BTreeMap<(u32, usize, bool), u64>,
    /// Channels that were armed, and nothing has come since.
    waiting: BTreeSet<u32>,
    /// How often more they were armed than something came.
    arms: BTreeMap<u32, i32>,
    buffers: Vec<u64>,
    outside: u64,
}

impl<'a> World<'a> {
    fn new(test: &'a TestQbman, way: Way) -> Self {
        let mut channels = [None; 16];
        (1..=CHANNELS).for_each(|n| channels[n as usize] = Some(n));
        for portal in 0..2 {
            test.give_portal(portal, ICID, channels);
        }
        for channel in 1..=CHANNELS {
            test.give_channel(channel, Some(channel - 1));
        }
        for queue in 1..=QUEUES {
            test.give_queue(
                queue,
                Consumer::Channel { channel: 1 + queue % CHANNELS, priority: 1 },
            );
        }
        test.give_pool(POOL.into());
        let clients = (0..2).map(|portal| Client::new(test, portal, way).with_interrupts());
        Self {
            test,
            clients: clients.collect(),
            unconsumed: vec![Vec::new(); 2],
            pulls: vec![0; 2],
            sent: 0,
            inside: BTreeMap::new(),
            newest: BTreeMap::new(),
            waiting: BTreeSet::new(),
            arms: BTreeMap::new(),
            buffers: Vec::new(),
            outside: 1,
        }
    }

    /// A frame has come out of a queue, through a portal's ring or its storage.
    fn came(&mut self, queue: u32, address: u64, portal: usize, ring: bool) {
        let inside = self.inside.entry(queue).or_default();
        assert!(inside.remove(&address), "frame {address} of queue {queue} was not in there");
        let newest = self.newest.entry((queue, portal, ring)).or_default();
        assert!(*newest < address, "frame {address} of queue {queue} comes after {newest}");
        *newest = address;
    }

    fn perform(&mut self, portal: u32, op: Op) {
        let n = portal as usize;
        match op {
            Op::Send { queue, count } => {
                for _ in 0..count {
                    self.sent += 1;
                    self.clients[n].send(queue, [self.sent]);
                    self.inside.entry(queue).or_default().insert(self.sent);
                }
            }
            Op::FromEngine { queue } => {
                self.sent += 1;
                let fd =
                    qbman_abi::Fd { address: self.sent, length_word: 64, ..Default::default() };
                self.test.pass(|qbman, pass| qbman.enqueue(queue, &fd, pass)).expect("no limit");
                self.inside.entry(queue).or_default().insert(self.sent);
            }
            Op::Receive { from, count } => {
                for entry in self.clients[n].dequeue(from, count) {
                    if entry.has_frame() {
                        self.came(entry.fqid(), entry.address(), n, false);
                    }
                }
            }
            Op::PullToRing { from, count } => {
                // One may be asked for while one is answered, no more.
                if self.pulls[n] < 2 {
                    self.clients[n].pull_to_ring(from, count);
                    self.pulls[n] += 1;
                }
            }
            Op::Take { count } => {
                self.take(n, count);
            }
            Op::Arm { channel } => {
                // What has arrived tells of the time before.
                self.look();
                let context = Some(u64::from(channel) + 1000);
                assert_eq!(self.clients[n].notify(channel, true, context), 0xf0);
                self.waiting.insert(channel);
                *self.arms.entry(channel).or_default() += 1;
            }
            Op::Disarm { channel } => {
                self.look();
                assert_eq!(self.clients[n].notify(channel, false, None), 0xf0);
                self.waiting.remove(&channel);
            }
            Op::Push { channels } => self.clients[n].push_from(channels | 1),
            Op::OnQueue { verb, queue } => {
                let (result, _) = self.clients[n].on_queue(verb, queue);
                assert!(result == 0xf0 || (verb, result) == (0x48, 0xf2), "{verb:#x}: {result:#x}");
            }
            Op::Move { queue, consumer, hold_active } => {
                let config = QueueConfig { hold_active, ..QueueConfig::new(ICID, consumer) };
                self.test.give_queue_with(queue, config);
            }
            Op::Release { count } => {
                let buffers: Vec<u64> = (0..count as u64).map(|n| self.outside + n).collect();
                self.outside += count as u64;
                assert!(self.clients[n].release(POOL, &buffers));
                self.buffers.extend(buffers);
            }
            Op::Acquire { count } => {
                let got = self.clients[n].acquire(POOL, count).expect("a pool of its own");
                let wanted = usize::from(count);
                assert_eq!(got.len(), if self.buffers.len() < wanted { 0 } else { wanted });
                for buffer in got {
                    let at = self.buffers.iter().position(|b| *b == buffer);
                    self.buffers.swap_remove(at.expect("a buffer that was released"));
                }
            }
            Op::Clear => self.clients[n].write(0xe00, 4),
        }
        self.check();
    }

    fn look(&mut self) {
        for n in 0..2 {
            self.take(n, 0);
        }
    }

    /// Looks at entries of a ring, and consumes as many, the oldest first or
    /// last; whether there were any.
    fn take(&mut self, n: usize, count: usize) -> bool {
        let mut any = false;
        while let Some((entry, index)) = self.clients[n].next() {
            self.unconsumed[n].push(index);
            any = true;
            match entry.verb() {
                0x60 => {
                    if entry.has_frame() {
                        self.came(entry.fqid(), entry.address(), n, true);
                    }
                    if entry.stat() & 3 == 3 {
                        self.pulls[n] -= 1;
                    }
                }
                0x26 => {
                    let (_, channel, context) = entry.notice();
                    let arms = self.arms.entry(channel).or_default();
                    *arms -= 1;
                    assert!(*arms >= 0, "channel {channel} was not armed that often");
                    self.waiting.remove(&channel);
                    assert_eq!(context, u64::from(channel) + 1000);
                }
                0x25 => {
                    let (_, queue, _) = entry.notice();
                    assert!((1..=QUEUES).contains(&queue));
                }
                verb => panic!("an entry of verb {verb:#x}"),
            }
        }
        for _ in 0..count.min(self.unconsumed[n].len()) {
            let index = if count.is_multiple_of(2) {
                self.unconsumed[n].remove(0)
            } else {
                self.unconsumed[n].pop().unwrap()
            };
            self.clients[n].consume(index);
            any = true;
        }
        any
    }

    /// What holds at any time.
    fn check(&self) {
        for client in &self.clients {
            let mut peek = client.clone();
            if peek.next().is_some() {
                assert_eq!(client.read(0xe00) & 4, 4, "entries wait, and no status says so");
            }
            let counters = self.test.qbman.portal_counters(client.portal);
            assert_eq!((counters.rejected, counters.lost, counters.lost_buffers), (0, 0, 0));
        }
        assert_eq!(self.test.qbman.free_buffers(POOL.into()) as usize, self.buffers.len());
    }

    /// Empties the rings until nothing comes any more: what waits then waits
    /// rightly.
    fn finish(mut self) {
        while (0..2).any(|n| self.take(n, 8)) {}
        assert_eq!(self.pulls, [0, 0], "a volatile dequeue has not ended");
        for channel in self.waiting.clone() {
            let answer = self.clients[0].command(0x47, &[(2, &(channel as u16).to_le_bytes())]);
            assert_eq!(answer[5], 1, "the notification of channel {channel} is lost");
            // Nothing was to be told: nothing is there.
            let entries = self.clients[0].dequeue(From::Channel(channel), 16);
            assert!(entries.iter().all(|e| !e.has_frame()), "channel {channel} was not told of");
        }
        // All frames are where they were put.
        for queue in 1..=QUEUES {
            let left = self.inside.get(&queue).map_or(0, BTreeSet::len);
            assert_eq!(self.test.qbman.queue_state(queue).0 as usize, left, "queue {queue}");
            while self.test.qbman.queue_state(queue).0 != 0 {
                for entry in self.clients[1].dequeue(From::Queue(queue), 16) {
                    if entry.has_frame() {
                        self.came(queue, entry.address(), 1, false);
                    }
                }
            }
        }
        assert!(self.inside.values().all(BTreeSet::is_empty));
    }
}

proptest! {
    #[test]
    fn frames_buffers_and_notifications_are_kept(
        way in prop::sample::select(WAYS.to_vec()),
        ops in prop::collection::vec(ops(), 1..120),
    ) {
        let test = TestQbman::new(version(way));
        let mut world = World::new(&test, way);
        for (portal, op) in ops {
            world.perform(portal, op);
        }
        world.finish();
    }
}
