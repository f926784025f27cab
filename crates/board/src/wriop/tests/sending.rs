// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What senders see.

use super::testing::*;
use crate::wriop::*;
use qbman_abi::{Fd, Format, SgEntry, annotation::frc};

#[test]
fn a_frame_reaches_the_other_interface_and_is_confirmed_unchanged() {
    let mut test = TestWriop::new();
    let frame = ethernet(mac(2), mac(1), 60);
    let fd = Fd { flc: 0xabcd, ..test.frame(free(0), &frame) };
    test.write(free(0), &[0x5a; 64]);
    test.send(1, &[fd]);
    let received = test.take(rx(2));
    assert_eq!(received.len(), 1);
    assert_eq!(test.bytes(&received[0]), frame);
    // Linux frees the buffer by what it wrote there.
    assert_eq!(test.take(confirm(1)), [fd]);
    assert_eq!(test.read(free(0), 64), [0x5a; 64]);
    let (sender, receiver) = (test.wriop.counters(1), test.wriop.counters(2));
    assert_eq!((sender.egress_frames, sender.egress_bytes, sender.egress_confirmed), (1, 60, 1));
    assert_eq!((receiver.ingress_frames, receiver.ingress_bytes), (1, 60));
    assert_eq!(test.wriop.dequeued(1, 0, 0), Volume { frames: 1, bytes: 60 });
}

#[test]
fn an_interface_may_be_connected_to_itself() {
    let mut test = TestWriop::new();
    test.change(1, |config| config.peer = Some(Endpoint::Interface(1)));
    let fd = test.frame(free(0), &ethernet(mac(1), mac(1), 100));
    test.send(1, &[fd]);
    assert_eq!(test.take(rx(1)).len(), 1);
    assert_eq!(test.wriop.counters(1).ingress_frames, 1);
}

/// DPDK's way: the buffer belongs to a pool, and goes back there.
#[test]
fn without_confirmation_the_buffer_goes_back_to_its_pool() {
    let mut test = TestWriop::new();
    test.change(1, |config| config.transmit.queues[0].confirmation = None);
    test.make_pool(9, ICID, []);
    let frame = ethernet(mac(2), mac(1), 64);
    let fd = Fd { ctrl: 0, ..test.frame(free(0), &frame) };
    test.send(1, &[fd.with_pool(Some(9)), fd.with_pool(None)]);
    assert_eq!(test.take(rx(2)).len(), 2);
    assert_eq!(test.pool(9), [free(0)], "the second one belongs to no pool");
    assert!(test.take(confirm(1)).is_empty());
    assert_eq!(test.wriop.counters(1).egress_confirmed, 0);
}

#[test]
fn nothing_goes_into_the_pool_of_another_isolation_id() {
    let mut test = TestWriop::new();
    test.change(1, |config| config.transmit.queues[0].confirmation = None);
    test.make_pool(9, OTHER_ICID, []);
    let fd = test.frame(free(0), &ethernet(mac(2), mac(1), 64)).with_pool(Some(9));
    test.send(1, &[fd]);
    assert_eq!(test.take(rx(2)).len(), 1);
    assert!(test.pool(9).is_empty());
}

/// A table in its own buffer, one entry of it in the table's buffer (as DPDK
/// marks it: older ones without a pool, newer ones with the table's), one of a pool, one of
/// none, and one behind a further table.
#[test]
fn a_scattered_frame_is_gathered_and_its_buffers_released() {
    for pool_word in [1 << 14, 8] {
        gathered_and_released(pool_word);
    }
}

fn gathered_and_released(pool_word: u16) {
    let mut test = TestWriop::new();
    test.change(1, |config| config.transmit.queues[0].confirmation = None);
    test.make_pool(8, ICID, []);
    test.make_pool(9, ICID, []);
    let frame = ethernet(mac(2), mac(1), 1000);
    let (table, further) = (free(0), free(1));
    let pieces = [(table + 512, &frame[..200]), (free(2), &frame[200..600])];
    let more = [(free(3), &frame[600..900]), (free(4), &frame[900..])];
    for (at, piece) in pieces.iter().chain(&more) {
        test.write(*at, piece);
    }
    let mut inside = SgEntry::new(table + 512, 0, 200, 0, false);
    inside.format_word |= 1 << 12;
    inside.pool_word = pool_word;
    let second = SgEntry::new(free(2), 0, 400, 9, false);
    let mut extension = SgEntry::new(further, 64, 0, 0, false);
    extension.format_word |= 2 << 12;
    extension.pool_word |= 1 << 14;
    let mut third = SgEntry::new(free(3), 0, 300, 0, false);
    third.pool_word |= 1 << 14;
    let last = SgEntry::new(free(4), 0, 100, 9, true);
    test.write(table + 32, &[inside, second, extension].map(|entry| entry.to_bytes()).concat());
    test.write(further + 64, &[third, last].map(|entry| entry.to_bytes()).concat());
    let fd = Fd { address: table, length_word: 1000, ..Fd::default() };
    test.send(1, &[fd.with_layout(32, Format::ScatterGather).with_pool(Some(8))]);
    let received = test.take(rx(2));
    assert_eq!(test.bytes(&received[0]), frame);
    assert_eq!((test.pool(8), test.pool(9)), (vec![table], vec![free(2), free(4)]));
}

#[test]
fn what_cannot_be_sent_is_confirmed_with_its_error() {
    let mut test = TestWriop::new();
    let good = test.frame(free(0), &ethernet(mac(2), mac(1), 60));
    let nowhere = Fd { address: 0x20_0000, ..good };
    let list = good.with_layout(192, Format::List);
    let empty = Fd { length_word: 0, ..good };
    let long = Fd { length_word: 10_241, ..good };
    test.write(free(1) + 192, &SgEntry::new(free(0), 192, 59, 0, true).to_bytes());
    let short = Fd { address: free(1), ..good }.with_layout(192, Format::ScatterGather);
    test.send(1, &[nowhere, list, empty, long, short, good]);
    let confirmed = test.take(confirm(1));
    // Bits of `FD_CTRL_*` of Linux: SBE, UFD, FSE.
    let errors: Vec<u32> = confirmed.iter().map(|fd| fd.ctrl & 0xff).collect();
    assert_eq!(errors, [0x08, 0x04, 0x20, 0x20, 0x20, 0]);
    assert_eq!(test.take(rx(2)).len(), 1);
    let counters = test.wriop.counters(1);
    assert_eq!((counters.egress_frames, counters.egress_discarded), (1, 5));
}

#[test]
fn a_table_without_end_ends() {
    let mut test = TestWriop::new();
    let mut extension = SgEntry::new(free(0), 0, 0, 0, false);
    extension.format_word |= 2 << 12;
    test.write(free(0), &extension.to_bytes());
    let fd = Fd { address: free(0), length_word: 100, ..Fd::default() };
    test.send(1, &[fd.with_layout(0, Format::ScatterGather)]);
    assert_eq!(test.take(confirm(1))[0].ctrl & 0xff, 0x20);
}

#[test]
fn frames_wait_until_the_interface_is_enabled() {
    let mut test = TestWriop::new();
    test.change(1, |config| config.enabled = false);
    let fd = test.frame(free(0), &ethernet(mac(2), mac(1), 60));
    test.send(1, &[fd; 3]);
    assert!(test.take(rx(2)).is_empty());
    test.change(1, |_| {});
    test.transmit(1);
    assert_eq!(test.take(rx(2)).len(), 3);
}

#[test]
fn without_a_link_frames_are_dropped_and_confirmed() {
    let mut test = TestWriop::new();
    test.change(1, |config| config.peer = None);
    let fd = test.frame(free(0), &ethernet(mac(2), mac(1), 60));
    test.send(1, &[fd]);
    assert_eq!(test.take(confirm(1)), [fd]);
    assert_eq!(test.wriop.counters(1).egress_discarded, 1);
    assert_eq!(test.wriop.counters(2), Tally::default());
}

/// `dpaa2_eth_xdp_enqueue` of Linux: no confirmation, the buffer goes to its
/// pool; and a time stamp for a frame that is confirmed.
#[test]
fn a_frame_may_ask_for_its_own_treatment() {
    let mut test = TestWriop::new();
    test.make_pool(9, ICID, []);
    let frame = test.frame(free(0), &ethernet(mac(2), mac(1), 60));
    let action = |control: u32| [[0; 4], control.to_le_bytes()].concat();
    test.write(free(0) + 0x58, &action(0x0800_0000 | 0x2000_0000 | 0x2000));
    let asks = Fd { frc: frc::EGRESS_ACTION_VALID, ctrl: 0x0002_0000, ..frame };
    test.send(1, &[asks.with_pool(Some(9))]);
    assert!(test.take(confirm(1)).is_empty());
    assert_eq!(test.pool(9), [free(0)]);

    test.write(free(0) + 64 + 0x58, &action(0x2000_0000 | 0x1000 | 0x10));
    let stamp = Fd { ctrl: 0x0082_0000, ..asks };
    test.send(1, &[stamp]);
    assert_eq!(test.take(confirm(1)), [stamp]);
    assert_eq!(test.read(free(0) + 64 + 8, 8), 0x1234u64.to_le_bytes());
    // Another's queue is no place for a confirmation.
    test.write(free(0) + 64 + 0x58, &[[3, 0, 0, 0], 0x0800_0000u32.to_le_bytes()].concat());
    test.send(1, &[stamp]);
    assert_eq!(test.take(confirm(1))[0].ctrl, 0x0082_0040);
    assert_eq!(test.take(rx(2)).len(), 3);
}

#[test]
fn a_long_queue_is_sent_in_parts() {
    let mut test = TestWriop::new();
    test.change(1, |config| config.peer = None);
    let fd = test.frame(free(0), &ethernet(mac(2), mac(1), 60));
    test.send(1, &[fd; 1000]);
    assert_eq!(test.take(confirm(1)).len(), 1000);
}

#[test]
fn an_interface_that_is_gone_sends_nothing() {
    let mut test = TestWriop::new();
    test.wriop.configure_interface(1, None);
    let fd = test.frame(free(0), &ethernet(mac(2), mac(1), 60));
    test.send(1, &[fd]);
    assert_eq!(test.take(tx(1)).len(), 1);
    // The other one has lost its peer, whatever it was told.
    let fd = test.frame(free(0), &ethernet(mac(1), mac(2), 60));
    test.send(2, &[fd]);
    assert_eq!(test.wriop.counters(2).egress_discarded, 1);
}

/// Linux sends buffers of its own, with zero in the pool word: they belong to no pool.
#[test]
fn a_frame_whose_confirmation_is_refused_goes_into_no_pool() {
    let mut test = TestWriop::new();
    test.make_pool(0, ICID, []);
    test.queues.full.lock().push(confirm(1));
    let fd = test.frame(free(0), &ethernet(mac(2), mac(1), 60));
    test.send(1, &[fd, fd]);
    assert_eq!(test.take(rx(2)).len(), 2);
    assert_eq!(test.pool(0), [0; 0]);
    let counters = test.wriop.counters(1);
    assert_eq!((counters.egress_confirmed, counters.egress_unconfirmed), (0, 2));
}
