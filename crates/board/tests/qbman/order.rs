// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Order restoration, as DPDK's event device uses it.

use crate::{
    client::{Client, Descriptor, From, Way, frame},
    host::{ICID, OTHER, TestQbman},
};
use board::qbman::{Consumer, LateArrivals, OrderConfig, QueueConfig, Version};

const RECORD: u16 = 1;

fn config() -> OrderConfig {
    OrderConfig::new(ICID, 32)
}

/// A queue whose frames are numbered, one for the frames in their order, and
/// one for those that are rejected.
fn queues(test: &TestQbman, order: OrderConfig) {
    test.qbman.configure_order(RECORD.into(), Some(order));
    let config = QueueConfig::new(ICID, Consumer::Parked);
    test.give_queue_with(7, QueueConfig { order: Some(RECORD.into()), ..config });
    test.give_queue_with(8, QueueConfig { rejects: Some(9), ..config });
    test.give_queue(9, Consumer::Parked);
}

/// With a frame; `seqnum` may hold the bit for more fragments.
fn ordered(seqnum: u16) -> Descriptor {
    Descriptor { verb: 2 | 4, seqnum, orpid: RECORD, ..Descriptor::to_queue(8) }
}

fn send(client: &mut Client<'_>, numbers: impl IntoIterator<Item = u16>) {
    for number in numbers {
        let command = (ordered(number), frame(u64::from(number & 0x3fff), 64));
        assert_eq!(client.enqueue(&[command]), 1);
    }
}

/// Without a frame: a hole, or (bit 15) the next number.
fn tell(client: &mut Client<'_>, seqnum: u16) {
    let descriptor = Descriptor { verb: 4, seqnum, orpid: RECORD, ..Descriptor::default() };
    assert_eq!(client.enqueue(&[(descriptor, [0; 32])]), 1);
}

fn out(client: &mut Client<'_>) -> Vec<u64> {
    client.receive(From::Queue(8), 32)
}

fn rejected(client: &mut Client<'_>) -> Vec<u64> {
    client.receive(From::Queue(9), 32)
}

#[test]
fn frames_leave_in_the_order_in_which_they_were_dequeued() {
    for way in [Way::LinuxMemory, Way::DpdkDirect] {
        let test = TestQbman::new(crate::portals::version(way));
        queues(&test, config());
        let mut client = Client::new(&test, 0, way);
        // More than there are numbers, so that they wrap.
        let mut expected = 0u64;
        for burst in 0..1100u64 {
            client.send(7, burst * 16..burst * 16 + 16);
            let mut entries = client.dequeue(From::Queue(7), 16);
            for (n, entry) in entries.iter().enumerate() {
                let number = (burst * 16 + n as u64) & 0x3fff;
                assert_eq!((entry.stat() & 4, entry.oprid()), (4, RECORD), "{way:?}");
                assert_eq!(u64::from(entry.seqnum()), number, "{way:?}");
            }
            // They come back in some order.
            let by = (burst % 15) as usize;
            entries.rotate_left(by);
            entries.swap(3, 11);
            for entry in &entries {
                let command = (ordered(entry.seqnum()), frame(entry.address(), 64));
                assert_eq!(client.enqueue(&[command]), 1);
            }
            for address in out(&mut client) {
                assert_eq!(address, expected, "{way:?}");
                expected += 1;
            }
        }
        assert_eq!(expected, 1100 * 16, "{way:?}");
        let state = test.qbman.order_state(RECORD.into());
        assert_eq!(state.next_dispensed, state.next_expected);
        assert_eq!(state.waiting, 0);
    }
}

#[test]
fn holes_and_fragments_are_waited_for() {
    let test = TestQbman::new(Version::V5);
    queues(&test, config());
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    const MORE: u16 = 1 << 14;
    send(&mut client, [2, 1 | MORE, 1 | MORE, 4]);
    assert_eq!(out(&mut client), [0u64; 0]);
    assert_eq!(test.qbman.order_state(RECORD.into()).waiting, 4);
    send(&mut client, [0]);
    assert_eq!(out(&mut client), [0, 1, 1], "more fragments of 1 may come");
    send(&mut client, [1 | MORE]);
    assert_eq!(out(&mut client), [1]);
    send(&mut client, [1]);
    assert_eq!(out(&mut client), [1, 2]);
    tell(&mut client, 3);
    assert_eq!(out(&mut client), [4]);
    // A hole ahead of its turn.
    tell(&mut client, 6);
    send(&mut client, [7, 5]);
    assert_eq!(out(&mut client), [5, 7]);
}

#[test]
fn the_next_number_may_be_set() {
    let test = TestQbman::new(Version::V5);
    queues(&test, config());
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    const NEXT: u16 = 1 << 15;
    send(&mut client, [3, 5, 8]);
    tell(&mut client, 5 | NEXT);
    assert_eq!(out(&mut client), [3, 5], "what was there goes out");
    assert_eq!(test.qbman.order_state(RECORD.into()).next_expected, 6);
    tell(&mut client, 4 | NEXT);
    assert_eq!(test.qbman.order_state(RECORD.into()).next_expected, 6, "its turn is over");
    assert_eq!(test.qbman.portal_counters(0).refused, 1);
    // Far ahead.
    tell(&mut client, 4000 | NEXT);
    assert_eq!(out(&mut client), [8]);
    send(&mut client, [4000]);
    assert_eq!(out(&mut client), [4000]);
}

#[test]
fn numbers_out_of_the_window_are_rejected() {
    let test = TestQbman::new(Version::V5);
    queues(&test, config());
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    send(&mut client, [0, 1, 33, 34, 1]);
    assert_eq!(out(&mut client), [0, 1]);
    // 33 is in the window, 34 is ahead of it, 1 behind.
    assert_eq!(rejected(&mut client), [34, 1]);
    assert_eq!(test.qbman.order_state(RECORD.into()).waiting, 1);
    // With a response: its code tells which.
    for (number, code) in [(34, 3), (1, 4), (2, 0xe)] {
        test.ram.store(0x4000, &[0; 64]);
        let descriptor = Descriptor { verb: 1 | 4, rspid: 9, rsp_addr: 0x4000, ..ordered(number) };
        assert_eq!(client.enqueue(&[(descriptor, frame(number.into(), 64))]), 1);
        let response: [u8; 64] = test.ram.load(0x4000);
        assert_eq!((response[7], response[23]), (code, 9), "{number}");
    }
}

#[test]
fn a_response_comes_when_it_is_the_frames_turn() {
    let test = TestQbman::new(Version::V5);
    queues(&test, config());
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    let descriptor = Descriptor { verb: 1 | 4, rspid: 9, rsp_addr: 0x4000, ..ordered(1) };
    assert_eq!(client.enqueue(&[(descriptor, frame(1, 64))]), 1);
    assert_eq!(test.ram.load::<64>(0x4000), [0; 64]);
    send(&mut client, [0]);
    assert_eq!(test.ram.load::<64>(0x4000)[7], 0xe);
}

#[test]
fn the_window_moves_on_where_it_is_set_to() {
    let test = TestQbman::new(Version::V5);
    queues(&test, OrderConfig { auto_advance: true, ..config() });
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    send(&mut client, [1, 2, 5, 40]);
    // 40 moves the window to 9: what waited before that is out.
    assert_eq!(out(&mut client), [1, 2, 5]);
    assert_eq!(test.qbman.order_state(RECORD.into()).next_expected, 9);
    send(&mut client, 9..40);
    assert_eq!(out(&mut client), Vec::from_iter(9..41));
}

#[test]
fn late_and_loose_frames_go_through_where_that_is_set() {
    let test = TestQbman::new(Version::V5);
    queues(&test, OrderConfig { late: LateArrivals::Within(8), ..config() });
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    send(&mut client, 0..20);
    out(&mut client);
    send(&mut client, [12, 11]);
    assert_eq!((out(&mut client), rejected(&mut client)), (vec![12], vec![11]));
    // As DPDK sets it by default.
    queues(&test, OrderConfig { loose: true, ..config() });
    send(&mut client, [0, 5, 0, 200]);
    assert_eq!(out(&mut client), [0, 0, 200]);
    assert_eq!(rejected(&mut client), [0u64; 0]);
    assert_eq!(test.qbman.order_state(RECORD.into()).waiting, 1);
}

#[test]
fn a_record_takes_a_bounded_number_of_frames() {
    const MORE: u16 = 1 << 14;
    for advances in [false, true] {
        let test = TestQbman::new(Version::V5);
        queues(&test, OrderConfig { exhaustion_advances: advances, ..config() });
        let mut client = Client::new(&test, 0, Way::DpdkMemory);
        send(&mut client, std::iter::repeat_n(3 | MORE, 4000));
        let state = test.qbman.order_state(RECORD.into());
        let (queued, _) = test.qbman.queue_state(8);
        let (rejected, _) = test.qbman.queue_state(9);
        match advances {
            // Once there is no room, it is the turn of the number that comes.
            true => assert_eq!((state.waiting, state.next_expected, queued), (0, 3, 4000)),
            false => assert_eq!((state.waiting, queued, rejected), (2048, 0, 4000 - 2048)),
        }
    }
}

#[test]
fn an_order_of_nobody_and_of_others_takes_nothing() {
    let test = TestQbman::new(Version::V5);
    queues(&test, OrderConfig { icid: OTHER, ..config() });
    let mut client = Client::new(&test, 0, Way::DpdkMemory);
    send(&mut client, [0]);
    assert_eq!((out(&mut client), rejected(&mut client)), (vec![], vec![0]));
    test.qbman.configure_order(RECORD.into(), None);
    send(&mut client, [0]);
    tell(&mut client, 1);
    assert_eq!((out(&mut client), rejected(&mut client)), (vec![], vec![0]));
    let nowhere = Descriptor { orpid: 999, ..ordered(0) };
    assert_eq!(client.enqueue(&[(nowhere, frame(5, 64))]), 1);
    assert_eq!((out(&mut client), rejected(&mut client)), (vec![], vec![5]));
    // No frame and no order: that means nothing.
    let refused = test.qbman.portal_counters(0).refused;
    assert_eq!(client.enqueue(&[(Descriptor { verb: 0x10, ..ordered(0) }, [0; 32])]), 1);
    assert_eq!(test.qbman.portal_counters(0).refused, refused + 1);
}
