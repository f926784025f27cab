// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Congestion groups, buffer pools' thresholds, and queries of them.

use crate::{
    client::{Client, From, Way},
    host::{ICID, OTHER, TestQbman, own_channel},
};
use board::qbman::{
    Consumer, GroupConfig, Hysteresis, MemoryNotification, PoolConfig, PoolMessage, QueueConfig,
    TailDrop, Unit, Version, WorkQueueNotification,
};
use qbman_abi::{Fd, management::EarlyDrop};

const MESSAGE: u64 = 0x5000;
const CONTEXT: u64 = 0x1234_5678_9abc_def0;

/// Two queues of one group.
fn two_queues(test: &TestQbman) {
    for fqid in [7, 8] {
        let config = QueueConfig::new(ICID, Consumer::Parked);
        test.give_queue_with(fqid, QueueConfig { congestion_group: Some(2), ..config });
    }
}

fn give_group(test: &TestQbman, config: GroupConfig) {
    test.pass(|qbman, pass| qbman.configure_group(2, Some(config), pass));
}

/// State, resource and context of a message, as DPDK's `qbman_result_SCN_*` and
/// `bpscn` functions read them.
fn message(test: &TestQbman) -> (u8, u8, u32, u64) {
    let bytes: [u8; 16] = test.ram.load(MESSAGE);
    let resource = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
    (bytes[0] & 0x7f, bytes[2], resource, u64::from_le_bytes(bytes[8..].try_into().unwrap()))
}

#[test]
fn a_group_drops_what_would_bring_it_over_its_threshold() {
    for (unit, threshold) in [(Unit::Frames, 5), (Unit::Bytes, 5 * (64 + 24))] {
        let test = TestQbman::new(Version::V5);
        let config = GroupConfig::new(ICID, unit);
        give_group(&test, GroupConfig { tail_drop: Some(threshold), overhead: 24, ..config });
        two_queues(&test);
        let mut client = Client::new(&test, 0, Way::LinuxMemory);
        client.send(7, 0..3);
        client.send(8, 0..4);
        let state = test.qbman.group_state(2);
        assert_eq!((state.frames, state.bytes), (5, 320), "{unit:?}");
        assert_eq!((state.rejected_frames, state.rejected_bytes), (2, 128), "{unit:?}");
        assert_eq!(test.qbman.portal_counters(0).rejected, 2, "{unit:?}");
        // There is room again once frames are out.
        assert_eq!(client.receive(From::Queue(7), 2), [0, 1], "{unit:?}");
        client.send(8, [9]);
        assert_eq!(client.receive(From::Queue(8), 16), [0, 1, 9], "{unit:?}");
        assert_eq!(client.receive(From::Queue(7), 16), [2], "{unit:?}");
        assert_eq!(test.qbman.group_state(2).frames, 0, "{unit:?}");
        // As software asks: what was rejected, and again after it was cleared.
        for (verb, expected) in [(0x55, 2), (0x56, 2), (0x55, 0)] {
            let answer = client.command(verb, &[(2, &2u16.to_le_bytes())]);
            assert_eq!((answer[1], answer[16], answer[24]), (0xf0, expected, expected * 64));
        }
    }
}

#[test]
fn changes_of_a_groups_state_are_written_to_memory() {
    let test = TestQbman::new(Version::V5);
    test.ram.store(MESSAGE, &[0xee; 64]);
    let memory = Some(MemoryNotification { address: MESSAGE, on_entry: true, on_exit: true });
    let config = GroupConfig {
        enter: Some(4),
        exit: 2,
        memory,
        context: CONTEXT,
        ..GroupConfig::new(ICID, Unit::Frames)
    };
    give_group(&test, config.clone());
    assert_eq!(message(&test), (0x27, 0, 2, CONTEXT), "told when it is set");
    let beyond: [u8; 48] = test.ram.load(MESSAGE + 16);
    assert_eq!(beyond, [0xee; 48]);
    two_queues(&test);
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    client.send(7, 0..4);
    assert_eq!(message(&test).1, 0, "at the threshold");
    client.send(8, [4]);
    assert_eq!(message(&test), (0x27, 1, 2, CONTEXT), "above it");
    assert_eq!(client.receive(From::Queue(7), 3), [0, 1, 2]);
    assert_eq!(message(&test).1, 1, "at the exit threshold");
    assert_eq!(client.receive(From::Queue(7), 1), [3]);
    assert_eq!(message(&test).1, 0, "below it");
    // The same again is no news.
    test.ram.store(MESSAGE, &[0; 16]);
    give_group(&test, config.clone());
    assert_eq!(message(&test).0, 0);
    // A bad address costs the message and nothing else.
    let memory = Some(MemoryNotification { address: 1 << 40, on_entry: true, on_exit: true });
    give_group(&test, GroupConfig { memory, ..config });
    client.send(7, 0..10);
    assert!(test.qbman.group_state(2).congested);
}

#[test]
fn changes_of_a_groups_state_are_told_through_a_channel() {
    let test = TestQbman::new(Version::V5);
    let (channel, priority) = (own_channel(1), 0);
    let to = WorkQueueNotification { channel, priority, on_entry: true, on_exit: true };
    let config = GroupConfig {
        enter: Some(4),
        exit: 2,
        work_queue: Some(to),
        context: CONTEXT,
        ..GroupConfig::new(ICID, Unit::Frames)
    };
    give_group(&test, config);
    two_queues(&test);
    let mut client = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    client.send(7, 0..5);
    let entry = client.take().expect("a notification");
    assert_eq!((entry.verb(), entry.notice()), (0x2a, (1, 2, CONTEXT)));
    // An engine takes the frames: whoever has a pass next delivers what it sets
    // off, and that is due at once.
    let mut frames = [Fd::default(); 8];
    assert_eq!(test.qbman.dequeue_many(7, &mut frames), 5);
    assert_eq!(test.qbman.deadline(), Some(0));
    assert!(client.next().is_none());
    test.pass(|qbman, pass| qbman.tick(pass));
    let entry = client.take().expect("a notification");
    assert_eq!((entry.verb(), entry.notice()), (0x2a, (0, 2, CONTEXT)));
    assert_eq!(test.qbman.deadline(), None);
}

#[test]
fn a_queue_takes_its_frames_along_to_another_group() {
    let test = TestQbman::new(Version::V5);
    let group = |enter| GroupConfig { enter: Some(enter), ..GroupConfig::new(ICID, Unit::Frames) };
    give_group(&test, group(2));
    test.pass(|qbman, pass| qbman.configure_group(3, Some(group(2)), pass));
    let config = QueueConfig::new(ICID, Consumer::Parked);
    let in_group = |congestion_group| QueueConfig { congestion_group, ..config };
    test.give_queue_with(7, in_group(None));
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(7, 0..3);
    let states = |test: &TestQbman| {
        [2, 3].map(|n| test.qbman.group_state(n)).map(|s| (s.frames, s.congested))
    };
    for (group, expected) in [
        (None, [(0, false), (0, false)]),
        (Some(2), [(3, true), (0, false)]),
        (Some(3), [(0, false), (3, true)]),
        (Some(99), [(0, false), (0, false)]),
        (Some(2), [(3, true), (0, false)]),
    ] {
        test.give_queue_with(7, in_group(group));
        assert_eq!(states(&test), expected, "{group:?}");
    }
    test.pass(|qbman, pass| qbman.configure_queue(7, None, pass));
    assert_eq!(states(&test), [(0, false), (0, false)]);
}

/// Their addresses are of the memory of who had the queue before.
#[test]
fn the_frames_of_a_queue_that_gets_another_owner_are_gone() {
    let test = TestQbman::new(Version::V5);
    give_group(&test, GroupConfig::new(ICID, Unit::Frames));
    let config =
        QueueConfig { congestion_group: Some(2), ..QueueConfig::new(ICID, Consumer::Parked) };
    test.give_queue_with(7, config);
    Client::new(&test, 0, Way::LinuxMemory).send(7, 0..3);
    test.give_queue_with(7, QueueConfig { context: 9, ..config });
    assert_eq!((test.qbman.queue_state(7).0, test.qbman.group_state(2).frames), (3, 3));
    test.give_queue_with(7, QueueConfig { icid: ICID + 1, ..config });
    assert_eq!((test.qbman.queue_state(7), test.qbman.group_state(2).frames), ((0, 0), 0));
    assert_eq!(test.qbman.dequeue(7), None);
}

#[test]
fn early_drop_goes_by_the_frames_drop_priority() {
    let test = TestQbman::new(Version::V5);
    let mut early_drop = [None; EarlyDrop::PRIORITIES];
    early_drop[1] = Some(EarlyDrop { min: 0, max: 10, probability: 64 });
    early_drop[2] = Some(EarlyDrop { min: 1000, max: 2000, probability: 1 });
    give_group(&test, GroupConfig { early_drop, ..GroupConfig::new(ICID, Unit::Frames) });
    two_queues(&test);
    let mut pass = board::fabric::Pass::default();
    let mut taken = [0; 3];
    for n in 0..300 {
        let priority = n % 3;
        let fd = Fd { ctrl: priority << 24, length_word: 64, ..Fd::default() };
        let outcome = test.qbman.enqueue(7, &fd, &mut pass);
        taken[priority as usize] += u32::from(outcome.is_ok());
    }
    // Without a curve, and below the curve, all; above it, none; on the way
    // there, some.
    assert_eq!((taken[0], taken[2]), (100, 100));
    assert!((1..10).contains(&taken[1]), "{taken:?}");
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    let answer = client.command(0x54, &[(2, &2u16.to_le_bytes())]);
    assert_eq!(answer[8..15], [0, 1, 1, 0, 0, 0, 0]);
    // 10 << 24 and 10 << 11: thresholds below 256 as they are; 64 less one.
    assert_eq!(answer[20..24], (10u32 << 24 | 10 << 11 | 63).to_le_bytes());
}

#[test]
fn software_sets_thresholds_of_its_own_group() {
    let test = TestQbman::new(Version::V5);
    give_group(&test, GroupConfig::new(ICID, Unit::Bytes));
    two_queues(&test);
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    let id = 2u16.to_le_bytes();
    // Frames; congested above 4 * 2^1, dropped above 5 * 2^1, told in memory.
    let mut command = [0; 64];
    command[6..8].copy_from_slice(&(1u16 << 1 | 1 << 2 | 1 << 4 | 7 << 5 | 3 << 12).to_le_bytes());
    (command[14], command[15], command[17]) = (1, 3, 1);
    command[18..20].copy_from_slice(&(4u16 << 5 | 1).to_le_bytes());
    command[20..22].copy_from_slice(&(2u16 << 5 | 1).to_le_bytes());
    command[22..24].copy_from_slice(&(5u16 << 5 | 1).to_le_bytes());
    command[32..40].copy_from_slice(&MESSAGE.to_le_bytes());
    command[40..48].copy_from_slice(&CONTEXT.to_le_bytes());
    let set = |client: &mut Client<'_>, command: &[u8; 64]| {
        client.command(0x50, &[(2, &id), (6, &command[6..])])[1]
    };
    assert_eq!(set(&mut client, &command), 0xf0);
    client.send(7, 0..9);
    assert_eq!(message(&test), (0x27, 1, 2, CONTEXT));
    client.send(7, 0..5);
    assert_eq!(test.qbman.queue_state(7).0, 10);
    let answer = client.command(0x51, &[(2, &id)]);
    assert_eq!((answer[1], answer[14], answer[15], answer[17]), (0xf0, 1, 3, 1));
    let value = |at: usize| {
        // As DPDK's qbman_thresh_to_value.
        let bits = u16::from_le_bytes([answer[at], answer[at + 1]]);
        (bits >> 5) << (bits & 0x1f)
    };
    assert_eq!([value(18), value(20), value(22)], [8, 4, 10]);
    assert_eq!((answer[30], answer[48]), (ICID as u8, 10));
    assert_eq!(answer[32..48], command[32..48]);
    // Early drop, for the first drop priority: all above 2.
    let curve = (2u32 << 24 | 63).to_le_bytes();
    let fields: [(u64, &[u8]); 4] = [(2, &id), (6, &[3, 0]), (8, &[1]), (16, &curve)];
    assert_eq!(client.command(0x53, &fields)[1], 0xf0);
    client.receive(From::Queue(7), 8);
    client.send(7, 0..3);
    assert_eq!(test.qbman.queue_state(7).0, 2);
    // Its isolation id, its work queue, and other groups are not software's.
    for bit in [0, 3, 8, 9, 10, 11, 14] {
        command[6..8].copy_from_slice(&(1u16 << bit).to_le_bytes());
        assert_eq!(set(&mut client, &command), 0xff, "bit {bit}");
    }
    test.give_portal(1, OTHER, [None; 16]);
    let mut other = Client::new(&test, 1, Way::LinuxMemory);
    for verb in [0x50, 0x51, 0x53, 0x54, 0x55, 0x56] {
        assert_eq!(other.command(verb, &[(2, &id)])[1], 0xf1, "{verb:#x}");
        assert_eq!(client.command(verb, &[(2, &[0xff, 0xff])])[1], 0xf1, "{verb:#x}");
    }
    // What is programmed again unchanged leaves that alone; a change does not.
    give_group(&test, GroupConfig::new(ICID, Unit::Bytes));
    assert_eq!(client.command(0x51, &[(2, &id)])[17], 1);
    give_group(&test, GroupConfig::new(ICID, Unit::Frames));
    assert_eq!(client.command(0x51, &[(2, &id)])[17], 0);
}

#[test]
fn a_pool_tells_of_depletion_and_surplus() {
    let test = TestQbman::new(Version::V5);
    let config = PoolConfig {
        depletion: Some(Hysteresis { enter: 3, exit: 5 }),
        surplus: Some(Hysteresis { enter: 10, exit: 8 }),
        message: Some(PoolMessage { address: MESSAGE, context: CONTEXT }),
        ..PoolConfig::new(ICID)
    };
    test.pass(|qbman, pass| qbman.configure_pool(3, Some(config), pass));
    // Bit 0: none is free; bit 1: depleted; bit 2: surplus.
    assert_eq!(message(&test), (0x29, 3, 3, CONTEXT));
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    let mut fill = |count: u32| {
        while test.qbman.free_buffers(3) < count {
            assert!(client.release(3, &[0x1000]));
        }
        while test.qbman.free_buffers(3) > count {
            client.acquire(3, 1).unwrap();
        }
        message(&test).1
    };
    let states: Vec<u8> = [4, 5, 3, 2, 11, 9, 8, 11].map(&mut fill).to_vec();
    // The message is as it was at the last change.
    assert_eq!(states, [3, 0, 0, 2, 4, 4, 0, 4]);
    assert_eq!(test.qbman.pool_thresholds(3), (false, true));
    let answer = client.command(0x32, &[(2, &3u16.to_le_bytes())]);
    assert_eq!((answer[7], answer[8], answer[16], answer[18]), (4, 11, 3, 5));
    assert_eq!((answer[24], answer[26], answer[30]), (10, 8, ICID as u8));
    assert_eq!((answer[52], answer[54]), (2, 2), "how often");
    assert_eq!(answer[32..40], MESSAGE.to_le_bytes());
}

#[test]
fn a_query_tells_how_a_queue_is_set_up() {
    let test = TestQbman::new(Version::V5);
    let config = QueueConfig {
        context: CONTEXT,
        congestion_group: Some(2),
        order: Some(1),
        tail_drop: Some(TailDrop { unit: Unit::Bytes, threshold: 1600, overhead: 24 }),
        hold_active: true,
        rejects: Some(9),
        ..QueueConfig::new(ICID, Consumer::Channel { channel: 5, priority: 3 })
    };
    test.give_queue_with(7, config);
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    let (result, answer) = client.on_queue(0x44, 7);
    assert_eq!(result, 0xf0);
    assert_eq!((answer[10], answer[12], answer[15]), (2, 5 << 3 | 3, 0x01 | 0x02 | 0x10 | 0x80));
    assert_eq!(answer[18..20], (200u16 << 5 | 3).to_le_bytes());
    assert_eq!(
        (answer[20], answer[32], answer[36], answer[40], answer[44]),
        (24, ICID as u8, 7, 9, 1)
    );
    assert_eq!(answer[24..32], CONTEXT.to_le_bytes());
    assert_eq!(client.on_queue(0x44, 8).0, 0xf1);
}

#[test]
fn a_query_tells_what_is_in_a_channel() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, Some(1));
    for (fqid, priority) in [(7, 0), (8, 3), (9, 3)] {
        test.give_queue(fqid, Consumer::Channel { channel: 2, priority });
    }
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    for fqid in [7, 8, 9] {
        client.send(fqid, [1, 2]);
    }
    client.notify(2, false, Some(CONTEXT));
    let answer = client.command(0x47, &[(2, &2u16.to_le_bytes())]);
    assert_eq!((answer[1], answer[2], answer[5]), (0xf0, 2, 0));
    assert_eq!(answer[6..8], (own_channel(1) as u16 * 8 + 1).to_le_bytes());
    assert_eq!(answer[8..16], CONTEXT.to_le_bytes());
    assert_eq!((answer[32], answer[36], answer[44]), (1, 0, 2));
    assert_eq!(client.command(0x47, &[(2, &3u16.to_le_bytes())])[1], 0xf4);
}

#[test]
fn what_the_mc_alone_may_do_is_refused() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    let mut client = Client::new(&test, 0, Way::LinuxMemory);
    client.send(7, [1]);
    // Configuration of pools and queues, retirement, authorisation and others
    // (NXP's library calls them commands of portals without isolation).
    for verb in [0x31, 0x40, 0x4a, 0x4b, 0x4c, 0x61, 0x62, 0x63, 0x70, 0x7d, 0x7f] {
        assert_eq!(client.on_queue(verb, 7).0, 0xff, "{verb:#x}");
    }
    assert_eq!(client.receive(From::Queue(7), 1), [1]);
}
