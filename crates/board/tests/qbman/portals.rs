// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Set-up, reset, enqueue and buffer rings.

use crate::{
    client::{Client, Descriptor, From, WAYS, Way, frame},
    host::{ICID, OTHER, TestQbman, context},
};
use board::{
    fabric::{Engine, Pass},
    qbman::{
        CI_OFFSET, Consumer, DestinationConfig, PORTAL_STRIDE, QueueConfig, TailDrop, Unit, Version,
    },
};

pub fn version(way: Way) -> Version {
    if way.in_memory() { Version::V5 } else { Version::V4 }
}

#[test]
fn frames_come_out_in_their_order_over_many_laps() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.give_queue(7, Consumer::Parked);
        let mut client = Client::new(&test, 1, way);
        let mut sent = 0;
        let mut received = 0;
        // Bursts that wrap in every place of the ring.
        for burst in (1..=32).cycle().take(200) {
            let commands: Vec<_> =
                (sent..sent + burst).map(|n| (Descriptor::to_queue(7), frame(n, 60))).collect();
            let mut done = 0;
            while done < commands.len() {
                let count = client.enqueue(&commands[done..]);
                assert_ne!(count, 0, "{way:?}: the ring is stuck after {sent} frames");
                done += count;
            }
            sent += burst;
            while received < sent {
                let frames = client.receive(From::Queue(7), 16);
                assert!(!frames.is_empty(), "{way:?}: {received} of {sent} frames");
                for address in frames {
                    assert_eq!(address, received, "{way:?}");
                    received += 1;
                }
            }
        }
        assert_eq!(test.qbman.portal_counters(1), Default::default(), "{way:?}");
    }
}

#[test]
fn a_dequeued_frame_says_where_it_comes_from() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.give_queue(7, Consumer::Parked);
        let mut client = Client::new(&test, 0, way);
        client.send(7, [0x1000, 0x2000, 0x3000]);
        assert_eq!(client.query(7), Ok((3, 192)), "{way:?}");
        let entries = client.dequeue(From::Queue(7), 2);
        let [first, second] = entries[..] else { panic!("{way:?}: {entries:?}") };
        assert_eq!((first.stat(), second.stat()), (0x12, 0x13), "{way:?}");
        assert_eq!((first.fqid(), first.context()), (7, context(7)), "{way:?}");
        assert_eq!((first.counts(), second.counts()), ((2, 128), (1, 64)), "{way:?}");
        let [last] = client.dequeue(From::Queue(7), 16)[..] else { panic!("{way:?}") };
        assert_eq!((last.stat(), last.address()), (0x93, 0x3000), "{way:?}");
        // Nothing left: one entry without a frame.
        let [none] = client.dequeue(From::Queue(7), 16)[..] else { panic!("{way:?}") };
        assert_eq!(none.stat() & 0x13, 0x03, "{way:?}");
    }
}

#[test]
fn a_destination_picks_the_queue_by_priority_and_bin() {
    let test = TestQbman::new(Version::V5);
    for fqid in 1..5 {
        test.give_queue(fqid, Consumer::Parked);
    }
    let queues = vec![vec![1, 2], vec![3, 4]];
    let config = DestinationConfig { icid: ICID, queues };
    test.qbman.configure_destination(2, Some(config));
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    let to = |qpri, qdbin| Descriptor { verb: 0x12, tgtid: 2, qpri, qdbin, ..Default::default() };
    for (qpri, qdbin) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2)] {
        assert_eq!(client.enqueue(&[(to(qpri, qdbin), frame(1, 64))]), 1);
    }
    let counts: Vec<u32> = (1..5).map(|fqid| test.qbman.queue_state(fqid).0).collect();
    assert_eq!(counts, [1, 1, 1, 1]);
    assert_eq!(test.qbman.portal_counters(0).rejected, 2);
}

#[test]
fn engines_are_told_of_frames_and_get_them() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(3, Consumer::Engine(Engine::Interface(9)));
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(3, [0x1000, 0x2000]);
    assert_eq!(test.engines(), [Engine::Interface(9), Engine::Interface(9)], "for each doorbell");
    let mut frames = [qbman_abi::Fd::default(); 4];
    assert_eq!(test.qbman.dequeue_many(3, &mut frames), 2);
    assert_eq!((frames[0].address, frames[1].address), (0x1000, 0x2000));
    assert_eq!(test.qbman.dequeue(3), None);
}

#[test]
fn buffers_go_into_a_pool_and_come_back() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.give_pool(3);
        let mut client = Client::new(&test, 2, way);
        // As Linux seeds an interface: more than the ring has laps.
        let buffers: Vec<u64> = (1..=1280).map(|n| n * 0x1000).collect();
        for seven in buffers.chunks(7) {
            assert!(client.release(3, seven), "{way:?}");
        }
        assert_eq!(test.qbman.free_buffers(3), 1280);
        let answer = client.command(0x32, &[(2, &3u16.to_le_bytes())]);
        assert_eq!(answer[1], 0xf0, "{way:?}");
        assert_eq!(answer[8..12], 1280u32.to_le_bytes(), "{way:?}");
        // As Linux drains: by sevens, then one by one.
        let mut back = Vec::new();
        for count in [7, 1] {
            loop {
                let some = client.acquire(3, count).expect("a pool of its own");
                assert!(some.is_empty() || some.len() == usize::from(count), "{way:?}");
                if some.is_empty() {
                    break;
                }
                back.extend(some);
            }
        }
        back.sort_unstable();
        assert_eq!(back, buffers, "{way:?}");
        assert_eq!(client.acquire(3, 0), Err(0xff), "{way:?}");
        assert_eq!(client.acquire(3, 8), Err(0xff), "{way:?}");
    }
}

#[test]
fn an_enqueue_in_array_mode_takes_an_allocated_entry() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    let client = Client::new(&test, 0, Way::DpdkMemory);
    // EQCR in array mode.
    client.write(0xd00, client.read(0xd00) | 3 << 8);
    for n in 0..100u64 {
        let eqar = client.read(0x8c0);
        assert_eq!(eqar & 0x11f, 0x100 | (n % 32) as u32);
        let lap = if n / 32 % 2 == 0 { 0x80 } else { 0 };
        assert_eq!(eqar & 0x80, lap, "after {n}");
        let index = u64::from(eqar & 0x1f);
        let mut entry = [0; 64];
        entry[0] = 2 | (eqar & 0x80) as u8;
        entry[8] = 7;
        entry[32..].copy_from_slice(&frame(n, 64));
        test.portals.write(index * 64, &entry);
        let doorbell = if index < 16 { 0x980 + index * 4 } else { 0xb40 + (index - 16) * 4 };
        client.write(doorbell, 0x100);
        assert_eq!(test.qbman.dequeue(7).map(|fd| fd.address), Some(n));
    }
    // What was not handed over is not given out again.
    for _ in 0..32 {
        assert_ne!(client.read(0x8c0), 0);
    }
    assert_eq!(client.read(0x8c0), 0);
}

#[test]
fn reset_brings_a_portal_back_to_power_on() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.give_queue(7, Consumer::Parked);
        test.give_pool(3);
        for _ in 0..3 {
            // Sets the portal up, and finds it clean.
            let mut client = Client::new(&test, 1, way).with_interrupts();
            client.send(7, [1, 2, 3]);
            assert!(client.release(3, &[0x1000]));
            assert_eq!(client.acquire(3, 1), Ok(vec![0x1000]));
            client.pull_to_ring(From::Queue(7), 8);
            assert_eq!(client.next().map(|(entry, _)| entry.address()), Some(1));
            test.pass(|qbman, pass| qbman.reset_portal(1, pass));
            for register in [0x800, 0x840, 0xa00, 0xb00, 0xd00, 0xe00, 0xe40, 0xec0] {
                assert_eq!(client.read(register), 0, "{way:?}: register {register:#x}");
            }
        }
        let mut bytes = vec![0xff; PORTAL_STRIDE as usize];
        test.portals.read(PORTAL_STRIDE, &mut bytes);
        assert!(bytes.iter().all(|byte| *byte == 0), "{way:?}");
    }
}

#[test]
fn a_portal_reaches_nothing_of_others() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.give_queue(7, Consumer::Parked);
        test.give_channel(2, None);
        test.give_pool(3);
        let mut owner = Client::new(&test, 0, way);
        owner.send(7, [0x1000]);
        assert!(owner.release(3, &[0x2000]));
        test.give_portal(1, OTHER, [None; 16]);
        let mut client = Client::new(&test, 1, way);
        client.send(7, [0x5000]);
        assert!(client.release(3, &[0x6000]));
        assert_eq!(client.acquire(3, 1), Err(0xf1), "{way:?}");
        assert_eq!(client.query(7), Err(0xf1), "{way:?}");
        assert_eq!(client.on_queue(0x4e, 7).0, 0xf1, "{way:?}");
        assert_eq!(client.notify(2, true, Some(1)), 0xf4, "{way:?}");
        assert_eq!(client.receive(From::Queue(7), 16), [0u64; 0], "{way:?}");
        assert_eq!(client.receive(From::Channel(2), 16), [0u64; 0], "{way:?}");
        // What does not exist at all is answered likewise.
        assert_eq!(client.acquire(999, 1), Err(0xf1), "{way:?}");
        assert_eq!(client.query(0xff_ffff), Err(0xf1), "{way:?}");
        assert_eq!(client.notify(999, true, None), 0xf4, "{way:?}");
        assert_eq!(client.receive(From::Queue(0xff_ffff), 4), [0u64; 0], "{way:?}");
        let counters = test.qbman.portal_counters(1);
        assert_eq!((counters.rejected, counters.lost, counters.lost_buffers), (1, 1, 1), "{way:?}");
        assert_eq!(counters.refused, 11, "{way:?}");
        // The owner has lost nothing.
        assert_eq!(owner.receive(From::Queue(7), 16), [0x1000], "{way:?}");
        assert_eq!(owner.acquire(3, 1), Ok(vec![0x2000]), "{way:?}");
    }
}

#[test]
fn the_peer_of_a_queue_may_enqueue_and_nothing_else() {
    let test = TestQbman::new(Version::V5);
    let config = QueueConfig::new(ICID, Consumer::Parked);
    test.give_queue_with(7, QueueConfig { peer: Some(OTHER), ..config });
    test.give_portal(1, OTHER, [None; 16]);
    let mut client = Client::new(&test, 1, Way::LinuxMemory);
    client.send(7, [0x1000]);
    assert_eq!(test.qbman.queue_state(7), (1, 64));
    assert_eq!(client.receive(From::Queue(7), 1), [0u64; 0]);
    assert_eq!(client.query(7), Err(0xf1));
}

#[test]
fn a_portal_of_nobody_does_nothing() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    test.pass(|qbman, pass| qbman.configure_portal(1, None, pass));
    let mut client = Client::new(&test, 1, Way::LinuxMemory);
    client.send(7, [0x1000]);
    assert_eq!(client.query(7), Err(0xf1));
    client.pull_to_ring(From::Queue(7), 4);
    assert!(client.next().is_none());
    assert_eq!(test.qbman.queue_state(7), (0, 0));
    assert_eq!(test.qbman.portal_counters(1).refused, 3);
}

#[test]
fn an_enqueue_is_answered_in_memory_where_it_asks_for_that() {
    let test = TestQbman::new(Version::V5);
    let config = QueueConfig::new(ICID, Consumer::Parked);
    let tail_drop = Some(TailDrop { unit: Unit::Frames, threshold: 1, overhead: 0 });
    test.give_queue_with(7, QueueConfig { tail_drop, ..config });
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    let descriptor = Descriptor {
        verb: 1,
        tgtid: 7,
        tag: 0xabcd,
        rspid: 1,
        rsp_addr: 0x4000,
        ..Default::default()
    };
    for (n, rc) in [(1, 0xe), (2, 5)] {
        test.ram.store(0x4000, &[0; 64]);
        assert_eq!(client.enqueue(&[(descriptor, frame(n, 64))]), 1);
        let response: [u8; 64] = test.ram.load(0x4000);
        assert_eq!((response[7], response[23]), (rc, 1), "frame {n}");
        assert_eq!(response[12..14], [0xcd, 0xab], "frame {n}");
        assert_eq!(response[20..23], [7, 0, 0], "frame {n}");
        assert_eq!(response[32..], frame(n, 64), "frame {n}");
    }
    // A bad address costs the answer, nothing else.
    let nowhere = Descriptor { rsp_addr: u64::MAX - 3, ..descriptor };
    test.qbman.dequeue(7);
    assert_eq!(client.enqueue(&[(nowhere, frame(3, 64))]), 1);
    assert_eq!(test.qbman.queue_state(7), (1, 64));
    assert_eq!(test.qbman.portal_counters(0).faults, 1);
}

#[test]
fn rejected_frames_go_where_their_queue_wants_them() {
    let test = TestQbman::new(Version::V5);
    let config = QueueConfig::new(ICID, Consumer::Parked);
    let tail_drop = Some(TailDrop { unit: Unit::Bytes, threshold: 130, overhead: 0 });
    test.give_queue_with(7, QueueConfig { tail_drop, rejects: Some(8), ..config });
    test.give_queue(8, Consumer::Parked);
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(7, [1, 2, 3]);
    assert_eq!(client.receive(From::Queue(7), 16), [1, 2]);
    assert_eq!(client.receive(From::Queue(8), 16), [3]);
    let counters = test.qbman.portal_counters(0);
    assert_eq!((counters.rejected, counters.lost), (1, 0));
}

#[test]
fn frames_of_a_dequeue_to_nowhere_are_lost_and_counted() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(7, [1, 2, 3]);
    // The storage address is out of the memory's range.
    let mut command = [0; 64];
    command[0] = 0x80 | 1 | 2 << 2 | 1 << 4;
    command[1] = 15;
    command[4] = 7;
    command[8..16].copy_from_slice(&0x7fff_ffff_0000u64.to_le_bytes());
    test.portals.write(0x1780, &command);
    client.write(0x940, 0x100);
    let counters = test.qbman.portal_counters(0);
    assert_eq!((counters.faults, counters.lost), (1, 3));
    assert_eq!(client.query(7), Ok((0, 0)));
}

#[test]
fn what_is_taken_away_is_empty_when_it_is_given_again() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    test.give_pool(3);
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(7, [1, 2]);
    assert!(client.release(3, &[0x1000]));
    test.pass(|qbman, pass| qbman.configure_queue(7, None, pass));
    test.pass(|qbman, pass| qbman.configure_pool(3, None, pass));
    client.send(7, [3]);
    assert!(client.release(3, &[0x1000]));
    test.give_queue(7, Consumer::Parked);
    test.give_pool(3);
    assert_eq!((test.qbman.queue_state(7), test.qbman.free_buffers(3)), ((0, 0), 0));
}

#[test]
fn parts_of_registers_unknown_ones_and_absent_portals_are_zero() {
    let test = TestQbman::new(Version::V5);
    let read = |offset: u64, length: usize| {
        let mut bytes = vec![0xff; length];
        test.qbman.read(offset, &mut bytes);
        bytes
    };
    let write = |offset: u64, bytes: &[u8]| {
        test.qbman.write(offset, bytes, &mut Pass::default());
    };
    // Eight bytes reach the register of the lower four.
    write(CI_OFFSET + 0xd00, &0xffff_ffff_0012_3456_u64.to_le_bytes());
    assert_eq!(read(CI_OFFSET + 0xd00, 8), 0x12_3456u64.to_le_bytes());
    assert_eq!(read(CI_OFFSET + 0xd00, 2), [0, 0]);
    assert_eq!(read(CI_OFFSET + 0xd02, 4), [0; 4]);
    assert_eq!(read(CI_OFFSET + 0x804, 4), [0; 4]);
    assert_eq!(read(0xd00, 4), [0; 4]);
    for offset in [4 * PORTAL_STRIDE, CI_OFFSET + 9 * PORTAL_STRIDE, 2 * CI_OFFSET, u64::MAX] {
        write(offset, &[0xff; 4]);
        assert_eq!(read(offset, 4), [0; 4], "{offset:#x}");
    }
}

#[test]
fn a_reset_clears_the_memory_of_one_portal() {
    let test = TestQbman::new(Version::V5);
    for edge in [0xffff, 0x1_0000, 0x1_8123, 0x1_ffff, 0x2_0000] {
        test.portals.write(edge, &[0x5a]);
    }
    test.pass(|qbman, pass| qbman.reset_portal(1, pass));
    let mut bytes = vec![0; 0x3_0000];
    test.portals.read(0, &mut bytes);
    let left: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] != 0).collect();
    assert_eq!(left, [0xffff, 0x2_0000]);
}
