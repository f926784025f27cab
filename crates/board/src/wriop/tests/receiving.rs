// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What receivers see.

use super::testing::*;
use crate::wriop::*;
use qbman_abi::{Fd, Format, annotation::status};

/// Sends a frame from 1 to 2; what 2 received.
fn receive(test: &mut TestWriop, frame: &[u8]) -> Option<Fd> {
    let fd = test.frame(free(0), frame);
    test.send(1, &[fd]);
    test.take(confirm(1));
    test.take(rx(2)).pop()
}

/// The status word of a received frame's annotation.
fn status_of(test: &TestWriop, fd: &Fd) -> u32 {
    u32::from_le_bytes(test.read(fd.address + 4, 4).try_into().expect("four bytes"))
}

/// The numbers that Linux reckons with: data at 192, a buffer of the pool's,
/// FASV (0x8000) set.
#[test]
fn a_frame_lies_where_linux_wants_it() {
    let mut test = TestWriop::new();
    let frame = ethernet([0xff; 6], mac(1), 60);
    let fd = receive(&mut test, &frame).expect("the frame");
    assert_eq!((fd.address, fd.pool()), (buffer(2, 0), Some(2)));
    assert_eq!((fd.offset(), fd.format(), fd.length()), (192, Format::Single, 60));
    assert_eq!(fd.frc & 0xffff, 0x8000 | 0x2000);
    assert_eq!(test.bytes(&fd), frame);
    assert_eq!(test.read(fd.address + 8, 8), 0x1234u64.to_le_bytes());
    assert_eq!(status_of(&test, &fd), status::BROADCAST);
    assert_eq!(test.pool(2).len() as u64, BUFFERS - 1);
}

/// And those of DPDK: data at 128; the packet type of an LX2160A in the upper
/// half of the frame context.
#[test]
fn a_frame_lies_where_dpdk_wants_it() {
    let mut test = TestWriop::new();
    test.change(2, |config| config.receive.layout.head_room = 64);
    let mut frame = Vec::new();
    let builder = etherparse::PacketBuilder::ethernet2(mac(1), mac(2)).ipv4([1; 4], [2; 4], 9);
    builder.udp(1, 2).write(&mut frame, &[0; 32]).expect("a frame");
    let fd = receive(&mut test, &frame).expect("the frame");
    assert_eq!(fd.offset(), 128);
    assert_eq!(fd.frc >> 16, 0x0010, "DPAA2_PKT_TYPE_IPV4_UDP");
    assert_eq!(fd.length_word, frame.len() as u32);
}

#[test]
fn software_has_its_own_bytes_first() {
    let mut test = TestWriop::new();
    test.change(2, |config| config.receive.layout.private = 64);
    test.write(buffer(2, 0), &[0x77; 64]);
    let fd = receive(&mut test, &ethernet(mac(2), mac(1), 60)).expect("the frame");
    assert_eq!(fd.offset(), 256);
    assert_eq!(test.read(fd.address, 64), [0x77; 64]);
    assert_eq!(test.read(fd.address + 64 + 8, 8), 0x1234u64.to_le_bytes());
    assert_eq!(fd.ctrl & Fd::CTRL_PTA, Fd::CTRL_PTA);
}

#[test]
fn a_long_frame_is_scattered() {
    let mut test = TestWriop::new();
    let frame = ethernet(mac(2), mac(1), 5000);
    let fd = receive(&mut test, &frame).expect("the frame");
    assert_eq!((fd.format(), fd.offset(), fd.length()), (Format::ScatterGather, 192, 5000));
    assert_eq!(test.bytes(&fd), frame);
    let entries = test.entries(&fd);
    assert_eq!(entries.iter().map(|e| e.length()).collect::<Vec<_>>(), [2048, 2048, 904]);
    assert!(entries.iter().all(|entry| entry.offset() == 0 && entry.pool() == Some(2)));
    // Three of data and the table's.
    assert_eq!(test.pool(2).len() as u64, BUFFERS - 4);
    assert_eq!(test.wriop.counters(2).ingress_bytes, 5000);
}

#[test]
fn the_last_byte_that_fits_is_not_scattered() {
    let mut test = TestWriop::new();
    test.change(2, |config| config.receive.layout.tail_room = 56);
    let most = usize::from(BUFFER) - 192 - 56;
    let fd = receive(&mut test, &ethernet(mac(2), mac(1), most)).expect("the frame");
    assert_eq!(fd.format(), Format::Single);
    let fd = receive(&mut test, &ethernet(mac(2), mac(1), most + 1)).expect("the frame");
    assert_eq!(fd.format(), Format::ScatterGather);
}

#[test]
fn the_smallest_buffer_is_taken_and_backups_last() {
    let mut test = TestWriop::new();
    test.change(2, |config| {
        let pool = |bpid, size, backup| Pool { bpid, size, backup, selector: 0 };
        config.receive.pools =
            vec![pool(10, 1024, true), pool(11, 2048, false), pool(12, 512, false)];
    });
    for bpid in [10, 11, 12] {
        test.make_pool(bpid, ICID, [buffer(2, u64::from(bpid) - 10)]);
    }
    let pools: Vec<_> = std::iter::from_fn(|| {
        receive(&mut test, &ethernet(mac(2), mac(1), 100)).map(|fd| fd.pool())
    })
    .collect();
    assert_eq!(pools, [Some(12), Some(11), Some(10)]);
    assert_eq!(test.wriop.counters(2).ingress_no_buffer, 1);
}

#[test]
fn pools_may_be_set_aside_for_classes_or_queues() {
    let mut test = TestWriop::new();
    test.change(2, |config| {
        config.receive.pools[0].selector = 0b10;
    });
    assert_eq!(receive(&mut test, &ethernet(mac(2), mac(1), 100)), None);
    test.change(2, |config| {
        config.receive.pools[0].selector = 0b1;
        config.receive.pools_by_queue = true;
    });
    assert!(receive(&mut test, &ethernet(mac(2), mac(1), 100)).is_some());
}

#[test]
fn without_buffers_frames_are_counted_and_dropped() {
    let mut test = TestWriop::new();
    test.make_pool(2, ICID, []);
    assert_eq!(receive(&mut test, &ethernet(mac(2), mac(1), 100)), None);
    // Too few for the pieces of a long one: those there are go back.
    test.make_pool(2, ICID, [buffer(2, 0), buffer(2, 1)]);
    assert_eq!(receive(&mut test, &ethernet(mac(2), mac(1), 5000)), None);
    assert_eq!(test.pool(2).len(), 2);
    let counters = test.wriop.counters(2);
    assert_eq!((counters.ingress_no_buffer, counters.ingress_frames), (2, 0));
}

#[test]
fn a_full_queue_gives_the_buffers_back() {
    let mut test = TestWriop::new();
    test.queues.full.lock().push(rx(2));
    assert_eq!(receive(&mut test, &ethernet(mac(2), mac(1), 100)), None);
    assert_eq!(receive(&mut test, &ethernet(mac(2), mac(1), 5000)), None);
    assert_eq!(test.pool(2).len() as u64, BUFFERS);
    assert_eq!(test.wriop.counters(2).ingress_discarded, 2);
    assert_eq!(test.wriop.refused(2, 0), Volume { frames: 2, bytes: 5100 });
}

#[test]
fn a_bad_buffer_costs_its_frame_only() {
    let mut test = TestWriop::new();
    test.make_pool(2, ICID, [0x20_0000, buffer(2, 0)]);
    assert_eq!(receive(&mut test, &ethernet(mac(2), mac(1), 100)), None);
    assert!(receive(&mut test, &ethernet(mac(2), mac(1), 100)).is_some());
    assert_eq!(test.wriop.counters(2).ingress_discarded, 1);
}

#[test]
fn filtered_frames_are_counted() {
    let mut test = TestWriop::new();
    test.change(2, |config| {
        config.receive.macs.all_unicast = false;
        config.receive.vlans = Some(vec![(5, None)]);
    });
    assert!(receive(&mut test, &ethernet(mac(2), mac(1), 60)).is_some());
    assert_eq!(receive(&mut test, &ethernet(mac(3), mac(1), 60)), None);
    let mut tagged = ethernet(mac(2), mac(1), 60);
    tagged[12..16].copy_from_slice(&[0x81, 0, 0, 5]);
    assert!(receive(&mut test, &tagged).is_some());
    tagged[15] = 6;
    assert_eq!(receive(&mut test, &tagged), None);
    let counters = test.wriop.counters(2);
    assert_eq!((counters.ingress_filtered, counters.ingress_frames), (2, 2));
}

#[test]
fn errors_go_where_software_wants_them() {
    let mut test = TestWriop::new();
    let mut frame = Vec::new();
    let builder = etherparse::PacketBuilder::ethernet2(mac(1), mac(2)).ipv4([1; 4], [2; 4], 9);
    builder.tcp(1, 2, 3, 4).write(&mut frame, &[1, 2, 3]).expect("a frame");
    let checks = |config: &mut InterfaceConfig| {
        config.receive.l3_checksum = true;
        config.receive.l4_checksum = true;
    };
    test.change(2, checks);
    let fd = receive(&mut test, &frame).expect("the frame");
    // Linux believes the sums where both bits are there.
    assert_eq!(status_of(&test, &fd), status::L3_CHECKED | status::L4_CHECKED);
    *frame.last_mut().expect("not empty") ^= 1;
    // Continue.
    let fd = receive(&mut test, &frame).expect("the frame");
    let wrong = status::L3_CHECKED | status::L4_CHECKED | status::L4_ERROR;
    assert_eq!((status_of(&test, &fd), fd.ctrl & 0xff), (wrong, 0x40));
    assert_eq!(fd.frc >> 16, 0xffff, "DPDK is to look at the annotation");
    // Discard.
    test.change(2, |config| {
        checks(config);
        config.receive.errors.discard = status::ERRORS;
    });
    assert_eq!(receive(&mut test, &frame), None);
    assert_eq!(test.wriop.counters(2).ingress_discarded, 1);
    // To the error queue, without a note.
    test.change(2, |config| {
        checks(config);
        config.receive.errors =
            ErrorActions { divert: status::L4_ERROR, unnoted: status::L4_ERROR, discard: 0 };
    });
    assert_eq!(receive(&mut test, &frame), None);
    let fd = test.take(rx_err(2)).pop().expect("in the error queue");
    assert_eq!(status_of(&test, &fd), status::L3_CHECKED | status::L4_CHECKED);
    // Not checked: not found.
    test.change(2, |_| {});
    let fd = receive(&mut test, &frame).expect("the frame");
    assert_eq!(status_of(&test, &fd), 0);
}

#[test]
fn a_frame_may_be_too_long() {
    let mut test = TestWriop::new();
    test.change(2, |config| {
        config.receive.max_length = 1000;
        config.receive.errors.discard = status::FRAME_LENGTH_ERROR;
    });
    assert!(receive(&mut test, &ethernet(mac(2), mac(1), 1000)).is_some());
    assert_eq!(receive(&mut test, &ethernet(mac(2), mac(1), 1001)), None);
    assert_eq!(test.wriop.counters(2).ingress_discarded, 1);
}

/// TCP and UDP as Linux leaves them to the hardware: the sum of the pseudo
/// header in the field.
#[test]
fn senders_sums_are_completed() {
    let mut test = TestWriop::new();
    test.change(1, |config| {
        config.transmit.l3_checksum = true;
        config.transmit.l4_checksum = true;
    });
    let builder = etherparse::PacketBuilder::ethernet2(mac(1), mac(2)).ipv6([1; 16], [2; 16], 9);
    let mut whole = Vec::new();
    builder.udp(1, 2).write(&mut whole, &[7; 9]).expect("a frame");
    let mut frame = whole.clone();
    frame[60..62].copy_from_slice(&[0x12, 0x34]);
    let fd = receive(&mut test, &frame).expect("the frame");
    assert_eq!(test.bytes(&fd), whole);
    // Sent data stay as they are in the sender's memory.
    assert_eq!(test.read(free(0) + 192, frame.len()), frame);
}

#[test]
fn an_interface_that_is_off_takes_nothing() {
    let mut test = TestWriop::new();
    test.change(2, |config| config.enabled = false);
    assert_eq!(receive(&mut test, &ethernet(mac(2), mac(1), 60)), None);
    assert_eq!(test.wriop.counters(2).ingress_discarded, 1);
}

/// Bits 26..24 of the control word (DPDK: `DPAA2_GET_FD_DROPP`), by which congestion groups
/// choose whom to drop.
#[test]
fn a_policed_frame_has_its_colour() {
    let mut test = TestWriop::new();
    let frame = ethernet(mac(2), mac(1), 60);
    for (priority, initial) in (0..).zip(Color::ALL) {
        test.change(2, |config| {
            let policer = Policer { meter: None, initial, from_layer3: false, drops: false };
            config.receive.classes[0].policer = Some(policer);
        });
        let received = receive(&mut test, &frame).expect("the frame");
        assert_eq!(received.ctrl >> 24 & 7, priority, "{initial:?}");
    }
}

/// What the sender takes for a tag is none to a receiver that knows no such type.
#[test]
fn the_senders_kinds_of_tags_are_not_the_receivers() {
    let mut test = TestWriop::new();
    test.change(1, |config| {
        config.transmit.l4_checksum = true;
        config.transmit.tpids = [0x9100, 0];
    });
    test.change(2, |config| config.receive.vlans = Some(vec![(6, None)]));
    let mut frame = ethernet(mac(2), mac(1), 60);
    frame[12..16].copy_from_slice(&[0x91, 0, 0, 5]);
    assert!(receive(&mut test, &frame).is_some());
    assert_eq!(test.wriop.counters(2).ingress_filtered, 0);
}
