// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Dequeues from channels, on request and pushed.

use crate::{
    client::{Client, Descriptor, From, WAYS, Way, frame},
    host::{ICID, OTHER, TestQbman},
    portals::version,
};
use board::qbman::{ChannelConfig, Consumer, QueueConfig, Version};

fn in_channel(channel: u32, priority: u8) -> Consumer {
    Consumer::Channel { channel, priority }
}

#[test]
fn a_dequeue_from_a_channel_gives_frames_of_one_queue() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.give_channel(2, None);
        test.give_queue(7, in_channel(2, 1));
        test.give_queue(8, in_channel(2, 1));
        let mut client = Client::new(&test, 0, way);
        client.send(7, 0..20);
        client.send(8, 100..103);
        // Queues of one priority take turns.
        assert_eq!(client.receive(From::Channel(2), 16), Vec::from_iter(0..16), "{way:?}");
        assert_eq!(client.receive(From::Channel(2), 16), [100, 101, 102], "{way:?}");
        assert_eq!(client.receive(From::Channel(2), 16), [16, 17, 18, 19], "{way:?}");
        assert_eq!(client.receive(From::Channel(2), 16), [0u64; 0], "{way:?}");
        // And once more: the queue is scheduled again.
        client.send(7, [42]);
        assert_eq!(client.receive(From::Channel(2), 16), [42], "{way:?}");
    }
}

#[test]
fn lower_work_queues_go_first() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    for fqid in 0..8 {
        test.give_queue(10 + fqid, in_channel(2, fqid as u8));
    }
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    for fqid in (0..8).rev() {
        client.send(10 + fqid, [u64::from(fqid)]);
    }
    // One work queue alone: channel 2, work queue 5.
    assert_eq!(client.receive(From::WorkQueue(2 << 3 | 5), 16), [5]);
    let all: Vec<u64> = (0..7).flat_map(|_| client.receive(From::Channel(2), 16)).collect();
    assert_eq!(all, [0, 1, 2, 3, 4, 6, 7]);
}

#[test]
fn up_to_32_frames_come_with_one_dequeue() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    client.send(7, 0..40);
    assert_eq!(client.receive(From::Queue(7), 32), Vec::from_iter(0..32));
    assert_eq!(client.receive(From::Queue(7), 32), Vec::from_iter(32..40));
}

#[test]
fn channels_push_into_the_ring_up_to_its_size() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        let mut channels = [None; 16];
        channels[3] = Some(2);
        test.give_portal(1, ICID, channels);
        test.give_channel(2, None);
        test.give_queue(7, in_channel(2, 0));
        let mut sender = Client::new(&test, 0, way);
        let mut client = Client::new(&test, 1, way);
        client.push_from(1 << 3);
        sender.send(7, 0..50);
        // Eight are in the ring; none is taken out of the ring before it is
        // consumed.
        assert_eq!(test.qbman.queue_state(7).0, 42, "{way:?}");
        for n in 0..50 {
            let (entry, index) = client.next().unwrap_or_else(|| panic!("{way:?}: frame {n}"));
            assert_eq!((entry.address(), entry.token()), (n, 0xbb), "{way:?}");
            assert_eq!(entry.stat() & 0x13, 0x10, "{way:?}: not volatile");
            client.consume(index);
        }
        assert!(client.next().is_none(), "{way:?}");
    }
}

#[test]
fn entries_may_be_consumed_in_any_order() {
    let test = TestQbman::new(Version::V5);
    let mut channels = [None; 16];
    channels[1] = Some(2);
    test.give_portal(0, ICID, channels);
    test.give_channel(2, None);
    test.give_queue(7, in_channel(2, 0));
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    client.push_from(2);
    client.send(7, 0..12);
    let entries: Vec<_> = (0..8).map(|_| client.next().expect("a full ring")).collect();
    for index in [3, 1, 2] {
        client.consume(index);
    }
    assert!(client.next().is_none(), "the next entry is in use still");
    client.consume(0);
    let more: Vec<u64> = std::iter::from_fn(|| client.next()).map(|(e, _)| e.address()).collect();
    assert_eq!(more, [8, 9, 10, 11]);
    assert_eq!(entries.len(), 8);
    // Twice is a mistake, and no entry is consumed for it.
    client.consume(4);
    let before = test.qbman.portal_counters(0).refused;
    client.consume(4);
    assert_eq!(test.qbman.portal_counters(0).refused, before + 1);
}

#[test]
fn a_volatile_dequeue_into_the_ring_goes_on_as_entries_are_consumed() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.give_queue(7, Consumer::Parked);
        test.give_queue(8, Consumer::Parked);
        let mut client = Client::new(&test, 0, way);
        client.send(7, 0..12);
        client.send(8, [100]);
        client.pull_to_ring(From::Queue(7), 16);
        // One more may be asked for meanwhile.
        client.pull_to_ring(From::Queue(8), 16);
        for n in 0..12 {
            let entry = client.take().unwrap_or_else(|| panic!("{way:?}: frame {n}"));
            assert_eq!((entry.address(), entry.is_last()), (n, n == 11), "{way:?}");
            assert_eq!(entry.token(), 1, "{way:?}");
        }
        let entry = client.take().expect("the second");
        assert_eq!((entry.address(), entry.is_last()), (100, true), "{way:?}");
        client.pull_to_ring(From::Queue(8), 16);
        let entry = client.take().expect("an end");
        assert_eq!((entry.has_frame(), entry.is_last()), (false, true), "{way:?}");
    }
}

#[test]
fn xoff_stops_scheduled_dequeues_and_xon_lets_them_go_on() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    test.give_queue(7, in_channel(2, 0));
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    assert_eq!(client.on_queue(0x4e, 7).0, 0xf0);
    client.send(7, [1, 2]);
    assert_eq!(client.receive(From::Channel(2), 4), [0u64; 0]);
    assert_eq!(client.on_queue(0x45, 7).1[2] & 0x10, 0x10, "the state tells");
    // By its number, it gives frames.
    assert_eq!(client.receive(From::Queue(7), 1), [1]);
    assert_eq!(client.on_queue(0x4d, 7).0, 0xf0);
    assert_eq!(client.receive(From::Channel(2), 4), [2]);
}

#[test]
fn a_forced_queue_gives_an_entry_even_if_it_is_empty() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    test.give_queue(7, in_channel(2, 0));
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    assert_eq!(client.on_queue(0x49, 7).0, 0xf0);
    let [entry] = client.dequeue(From::Channel(2), 4)[..] else { panic!() };
    assert_eq!((entry.stat() & 0xb0, entry.fqid()), (0xa0, 7));
}

#[test]
fn a_queue_that_moves_is_served_by_its_new_channel_only() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    test.give_channel(3, None);
    test.give_queue(7, in_channel(2, 0));
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(7, [1, 2]);
    for channel in [3, 2, 3] {
        test.give_queue(7, in_channel(channel, 0));
    }
    assert_eq!(client.receive(From::Channel(2), 4), [0u64; 0]);
    assert_eq!(client.receive(From::Channel(3), 1), [1]);
    test.give_queue(7, Consumer::Parked);
    assert_eq!(client.receive(From::Channel(3), 4), [0u64; 0]);
    assert_eq!(client.receive(From::Queue(7), 4), [2]);
}

#[test]
fn a_channel_gives_no_frames_of_other_owners() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    // A queue whose owner has pointed it to a channel that is not his.
    test.give_queue_with(
        7,
        QueueConfig { peer: Some(ICID), ..QueueConfig::new(OTHER, in_channel(2, 0)) },
    );
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(7, [1]);
    assert_eq!(client.receive(From::Channel(2), 4), [0u64; 0]);
    assert_eq!(test.qbman.queue_state(7).0, 1);
}

#[test]
fn a_held_queue_stays_until_its_entries_are_consumed() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        let mut channels = [None; 16];
        channels[1] = Some(2);
        test.give_portal(0, ICID, channels);
        test.give_portal(1, ICID, channels);
        test.give_channel(2, None);
        let config = QueueConfig::new(ICID, in_channel(2, 0));
        test.give_queue_with(7, QueueConfig { hold_active: true, ..config });
        test.give_queue(9, Consumer::Parked);
        let mut one = Client::new(&test, 0, way);
        let mut two = Client::new(&test, 1, way);
        one.push_from(2);
        two.push_from(2);
        let burst = |n: u64| (Descriptor::to_queue(7), frame(n, 64));
        assert_eq!(one.enqueue(&(0..7).map(burst).collect::<Vec<_>>()), 7);
        let mut seen = 0;
        while seen < 7 {
            // One of the two has frames, the other has not.
            let (mut holder, other) = (&mut one, &mut two);
            let mut entries: Vec<_> = std::iter::from_fn(|| holder.next()).collect();
            let theirs: Vec<_> = std::iter::from_fn(|| other.next()).collect();
            if entries.is_empty() {
                (holder, entries) = (other, theirs);
            } else {
                assert!(theirs.is_empty(), "{way:?}: both have frames");
            }
            assert!(!entries.is_empty() && entries.len() <= 3, "{way:?}");
            for (entry, index) in entries {
                assert_eq!((entry.address(), entry.stat() & 0x40), (seen, 0x40), "{way:?}");
                // Consumed by the enqueue into the next queue.
                let dca = 0x80 | index as u8;
                let command = (Descriptor { dca, ..Descriptor::to_queue(9) }, frame(seen, 64));
                assert_eq!(holder.enqueue(&[command]), 1, "{way:?}");
                seen += 1;
            }
        }
        assert_eq!(one.receive(From::Queue(9), 16), [0, 1, 2, 3, 4, 5, 6], "{way:?}");
        assert_eq!(test.qbman.queue_state(7), (0, 0), "{way:?}");
    }
}

#[test]
fn a_reset_lets_go_of_held_queues() {
    let test = TestQbman::new(Version::V5);
    let mut channels = [None; 16];
    channels[1] = Some(2);
    test.give_portal(0, ICID, channels);
    test.give_channel(2, None);
    let config = QueueConfig::new(ICID, in_channel(2, 0));
    test.give_queue_with(7, QueueConfig { hold_active: true, ..config });
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    client.push_from(2);
    client.send(7, [1, 2, 3]);
    test.pass(|qbman, pass| qbman.reset_portal(0, pass));
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    assert_eq!(client.receive(From::Channel(2), 4), [2, 3], "the first was in the ring");
}

#[test]
fn queues_take_turns_within_their_work_queue() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    for (fqid, priority) in [(10, 1), (11, 1), (12, 1), (20, 6), (30, 0)] {
        test.give_queue(fqid, in_channel(2, priority));
    }
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    for fqid in [20, 10, 11, 12, 30] {
        client.send(fqid, [u64::from(fqid), u64::from(fqid)]);
    }
    let turns: Vec<u64> = (0..10).flat_map(|_| client.receive(From::Channel(2), 1)).collect();
    assert_eq!(turns, [30, 30, 10, 11, 12, 10, 11, 12, 20, 20]);
}

/// With precedence of the active queue (kind 2 of a volatile dequeue), it goes
/// on with the one that was served last, until that is empty.
#[test]
fn the_active_queue_may_go_first() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    for fqid in [10, 11] {
        test.give_queue(fqid, in_channel(2, 1));
    }
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    client.send(10, [1, 2, 3]);
    client.send(11, [7]);
    let mut command = [0; 64];
    (command[2], command[4]) = (1, 2);
    command[8..16].copy_from_slice(&0x4000u64.to_le_bytes());
    for (reschedule, expected) in [(0, 1), (0, 2), (1 << 6, 3), (0, 7)] {
        command[0] = 2 | 1 << 4 | reschedule;
        test.portals.write(0x1780, &command);
        client.write(0x940, 0x100);
        assert_eq!(test.ram.load::<64>(0x4000)[32], expected);
    }
    client.send(10, [1, 2]);
    client.send(11, [7]);
    for expected in [1, 7, 2] {
        command[0] = 2 | 1 << 4 | 1 << 6;
        test.portals.write(0x1780, &command);
        client.write(0x940, 0x100);
        assert_eq!(test.ram.load::<64>(0x4000)[32], expected);
    }
}

/// Linux and DPDK have a command of its own to let a queue go on.
#[test]
fn scheduling_a_queue_does_not_let_it_go_on() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    test.give_queue(7, in_channel(2, 0));
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(7, [1]);
    assert_eq!(client.on_queue(0x4e, 7).0, 0xf0);
    assert_eq!(client.on_queue(0x48, 7).0, 0xf0);
    assert_eq!(client.receive(From::Channel(2), 4), [0u64; 0]);
    assert_eq!(client.on_queue(0x4d, 7).0, 0xf0);
    assert_eq!(client.receive(From::Channel(2), 4), [1]);
}

/// A queue that was parked with the consumption of its entry waits until it is scheduled.
#[test]
fn a_parked_queue_waits_until_it_is_scheduled() {
    let test = TestQbman::new(Version::V5);
    let mut channels = [None; 16];
    channels[1] = Some(2);
    test.give_portal(0, ICID, channels);
    test.give_channel(2, None);
    let config = QueueConfig::new(ICID, in_channel(2, 0));
    test.give_queue_with(7, QueueConfig { hold_active: true, ..config });
    test.give_queue(9, Consumer::Parked);
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.push_from(2);
    client.send(7, [1, 2]);
    let (entry, index) = client.next().expect("the first");
    assert_eq!(entry.address(), 1);
    let dca = 0x80 | 0x40 | index as u8;
    let command = (Descriptor { dca, ..Descriptor::to_queue(9) }, frame(1, 64));
    assert_eq!(client.enqueue(&[command]), 1);
    assert_eq!(client.on_queue(0x4d, 7).0, 0xf0);
    assert!(client.next().is_none(), "it is parked");
    assert_eq!(client.on_queue(0x48, 7).0, 0xf0);
    assert_eq!(client.take().expect("the second").address(), 2);
}

/// A portal that is to push from a channel of somebody else takes nothing out of it.
#[test]
fn a_portal_leaves_the_channels_of_others_alone() {
    let test = TestQbman::new(Version::V5);
    let mut channels = [None; 16];
    channels[1] = Some(2);
    test.give_portal(1, ICID, channels);
    test.give_portal(0, OTHER, channels);
    let channel = ChannelConfig { icid: OTHER, priorities: 8, notifies: true, notification: None };
    test.pass(|qbman, pass| qbman.configure_channel(2, Some(channel), pass));
    test.give_queue_with(7, QueueConfig::new(OTHER, in_channel(2, 0)));
    let mut intruder = Client::new(&test, 1, Way::LinuxMemory);
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    intruder.push_from(2);
    client.send(7, [1]);
    assert!(intruder.next().is_none());
    assert_eq!(client.receive(From::Channel(2), 4), [1]);
}
