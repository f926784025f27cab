// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Portals on threads of their own.

use crate::{
    client::{Client, From, WAYS},
    host::{ICID, TestQbman},
    portals::version,
};
use board::qbman::{Consumer, GroupConfig, QueueConfig, Unit};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Far longer than any of this takes on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells a thread that goes on until the others are done that one of them has failed: who
/// joins them would wait for ever.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Each thread sends to the other's channel and works off its own, told by data
/// notifications; a third takes the queues' settings away and gives them back.
#[test]
fn two_portals_send_to_each_other() {
    const FRAMES: u64 = 3000;
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.pass(|qbman, pass| {
            let config =
                GroupConfig { enter: Some(64), exit: 32, ..GroupConfig::new(ICID, Unit::Frames) };
            qbman.configure_group(1, Some(config), pass);
        });
        let config = |portal: u32| QueueConfig {
            context: portal.into(),
            congestion_group: Some(1),
            ..QueueConfig::new(ICID, Consumer::Channel { channel: portal, priority: 0 })
        };
        for portal in 0..2 {
            test.give_channel(portal, Some(portal));
            test.give_queue_with(10 + portal, config(portal));
        }
        let received = [AtomicU64::new(0), AtomicU64::new(0)];
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for portal in 0..2u32 {
                let (test, received, done) = (&test, &received, &done);
                scope.spawn(move || {
                    let _stop = StopOnPanic(done);
                    let limit = Instant::now() + PATIENCE;
                    let mut client = Client::new(test, portal, way).with_interrupts();
                    client.notify(portal, true, Some(7));
                    let (mut sent, mut expected) = (0, 0);
                    while sent < FRAMES || expected < FRAMES {
                        assert!(
                            Instant::now() < limit,
                            "{way:?}: portal {portal} has sent {sent} and received {expected}"
                        );
                        if sent < FRAMES {
                            client.send(11 - portal, [sent]);
                            sent += 1;
                        }
                        while let Some(entry) = client.take() {
                            assert_eq!((entry.verb(), entry.notice().2), (0x26, 7));
                            loop {
                                let frames = client.receive(From::Channel(portal), 16);
                                if frames.is_empty() {
                                    break;
                                }
                                for address in frames {
                                    assert_eq!(address, expected, "{way:?}");
                                    expected += 1;
                                }
                            }
                            client.notify(portal, true, None);
                        }
                        received[portal as usize].store(expected, Ordering::Relaxed);
                    }
                });
            }
            let (test, received, done) = (&test, &received, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    for portal in 0..2 {
                        // Another consumer, and the first again: frames stay.
                        test.give_queue_with(10 + portal, QueueConfig::new(ICID, Consumer::Parked));
                        test.give_queue_with(10 + portal, config(portal));
                    }
                    thread::yield_now();
                    let all = received.iter().all(|r| r.load(Ordering::Relaxed) == FRAMES);
                    done.fetch_or(all, Ordering::Relaxed);
                }
            });
        });
        assert_eq!(test.qbman.group_state(1).frames, 0, "{way:?}");
        assert_eq!(test.qbman.portal_counters(0), Default::default(), "{way:?}");
        assert_eq!(test.qbman.portal_counters(1), Default::default(), "{way:?}");
    }
}

/// One channel pushes into the rings of two portals on two threads: each frame
/// comes once, and frames of a queue that is held come in order.
#[test]
fn two_portals_share_a_channel() {
    const FRAMES: u64 = 5000;
    for way in WAYS {
        let test = TestQbman::new(version(way));
        let mut channels = [None; 16];
        channels[1] = Some(5);
        for portal in 0..2 {
            test.give_portal(portal, ICID, channels);
        }
        test.give_channel(5, None);
        for fqid in [10, 11] {
            let config = QueueConfig::new(ICID, Consumer::Channel { channel: 5, priority: 0 });
            test.give_queue_with(fqid, QueueConfig { hold_active: fqid == 10, ..config });
        }
        let received = AtomicU64::new(0);
        let held = AtomicU64::new(0);
        let sum = AtomicU64::new(0);
        thread::scope(|scope| {
            let (test, received, held, sum) = (&test, &received, &held, &sum);
            for portal in 0..2u32 {
                scope.spawn(move || {
                    let limit = Instant::now() + PATIENCE;
                    let mut client = Client::new(test, portal, way);
                    client.push_from(2);
                    while received.load(Ordering::SeqCst) < 2 * FRAMES {
                        assert!(Instant::now() < limit, "{way:?}: {received:?} frames");
                        let Some((entry, index)) = client.next() else {
                            thread::yield_now();
                            continue;
                        };
                        if entry.fqid() == 10 {
                            // While it is held, nobody else has the next one.
                            let expected = held.load(Ordering::SeqCst);
                            assert_eq!(entry.address(), expected, "{way:?}");
                            held.store(expected + 1, Ordering::SeqCst);
                        }
                        sum.fetch_add(entry.address(), Ordering::SeqCst);
                        client.consume(index);
                        received.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            scope.spawn(move || {
                let mut client = Client::new(test, 2, way);
                for n in 0..FRAMES {
                    client.send(10, [n]);
                    client.send(11, [n]);
                }
            });
        });
        assert_eq!(sum.into_inner(), FRAMES * (FRAMES - 1), "{way:?}");
        assert_eq!(test.qbman.portal_counters(0), Default::default(), "{way:?}");
    }
}
