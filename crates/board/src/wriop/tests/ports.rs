// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames to and from wires.

use super::testing::*;
use crate::{fabric::Engine, wriop::*};
use proptest::prelude::*;

/// Interface 1 connected to port 7.
fn port() -> TestWriop {
    let mut test = TestWriop::new();
    test.change(1, |config| config.peer = Some(Endpoint::Port(7)));
    let config = PortConfig { peer: Some(Endpoint::Interface(1)), ..PortConfig::default() };
    test.wriop.configure_port(7, Some(config));
    test
}

/// Numbers of `enum dpmac_counter`.
fn counters(test: &TestWriop, numbers: &[u32]) -> Vec<u64> {
    numbers.iter().map(|number| test.wriop.port_counter(7, *number).expect("there")).collect()
}

#[test]
fn frames_leave_over_the_wire_padded() {
    let mut test = port();
    let short = ethernet(mac(9), mac(1), 20);
    let long = ethernet([0xff; 6], mac(1), 1000);
    let fds = [test.frame(free(0), &short), test.frame(free(1), &long)];
    test.send(1, &fds);
    assert_eq!(test.take(confirm(1)), fds);
    let sent = std::mem::take(&mut *test.wires.0.lock());
    let mut padded = short;
    padded.resize(60, 0);
    assert_eq!(sent, [(7, padded), (7, long)]);
    // EGR_GOOD, EGR_BYTE (with check sequence), EGR_UCAST, EGR_BCAST, EGR_FRAME_64,
    // EGR_FRAME_1023.
    assert_eq!(counters(&test, &[27, 21, 24, 23, 28, 32]), [2, 64 + 1004, 1, 1, 1, 1]);
    // The interface counts what it sent, not what the wire needs.
    assert_eq!(test.wriop.counters(1).egress_bytes, 1020);
}

#[test]
fn frames_come_from_the_wire() {
    let mut test = port();
    let frame = ethernet(mac(1), mac(9), 300);
    test.receive(7, &frame);
    test.receive(7, &frame[..42]);
    let received = test.take(rx(1));
    assert_eq!(test.bytes(&received[0]), frame);
    assert_eq!(received[1].length(), 60);
    // ING_GOOD, ING_BYTE, ING_UCAST, ING_FRAME_64, ING_FRAME_511.
    assert_eq!(counters(&test, &[26, 15, 19, 0, 3]), [2, 304 + 64, 2, 1, 1]);
}

#[test]
fn frames_are_seen_in_passing() {
    let mut test = port();
    let frame = ethernet(mac(2), mac(1), 100);
    // With an annotation of 64 bytes behind the software's.
    let mut fd = test.frame(free(0), &frame);
    fd.ctrl |= 1 << 16;
    test.write(free(0) + 64, &[0x5a; 64]);
    test.send(1, &[fd]);
    test.receive(7, &ethernet(mac(1), mac(9), 300));
    let received = test.take(rx(1))[0];
    let seen = std::mem::take(&mut *test.capture.0.lock());
    let records: Vec<_> =
        seen.iter().map(|s| (s.0.as_str(), s.1, s.2.len(), s.3, s.4.len())).collect();
    let expected = [
        ("dpni.1", false, 100, Some(fd), 64),
        ("dpmac.7", false, 100, None, 0),
        ("dpmac.7", true, 300, None, 0),
        ("dpni.1", true, 300, Some(received), 64),
    ];
    assert_eq!(records, expected);
    assert_eq!((&seen[0].2, &seen[0].4), (&frame, &vec![0x5a; 64]));
    // What is in the buffer, as the receiver's layout has it.
    assert_eq!(seen[3].4, test.read(received.address, 64));
    // Nobody looks at the others.
    test.change(1, |_| ());
    test.send(2, &[test.frame(free(0), &frame)]);
    let seen = test.capture.0.lock();
    assert!(seen.len() == 1 && seen[0].0 == "dpni.1", "{seen:?}");
}

#[test]
fn what_is_no_frame_is_counted_and_dropped() {
    let mut test = port();
    test.receive(7, &[2; 13]);
    test.receive(7, &[2; 10_241]);
    assert!(test.take(rx(1)).is_empty());
    // ING_FRAG, ING_OVERSIZED, ING_ALL_FRAME, ING_GOOD.
    assert_eq!(counters(&test, &[7, 12, 18, 26]), [1, 1, 2, 0]);
    assert_eq!(test.wriop.port_counter(7, 62), None);
    assert_eq!(test.wriop.port_counter(8, 0), None);
}

#[test]
fn without_a_peer_frames_are_discarded() {
    let mut test = port();
    test.wriop.configure_port(7, Some(PortConfig::default()));
    test.receive(7, &ethernet(mac(1), mac(9), 100));
    assert_eq!(counters(&test, &[9, 26]), [1, 1]);
    test.wriop.configure_port(7, None);
    test.receive(7, &ethernet(mac(1), mac(9), 100));
    assert!(test.take(rx(1)).is_empty());
    // Sent to a port that is gone.
    let fd = test.frame(free(0), &ethernet(mac(9), mac(1), 60));
    test.send(1, &[fd]);
    assert_eq!(test.wriop.counters(1).egress_discarded, 1);
    assert_eq!(test.take(confirm(1)), [fd]);
}

/// Frames that were sent so far, by their Ethernet type.
fn sent_types(test: &TestWriop) -> Vec<[u8; 2]> {
    let sent = std::mem::take(&mut *test.wires.0.lock());
    sent.iter().map(|(_, frame)| [frame[12], frame[13]]).collect()
}

/// What another MAC says: a pause of so many times 512 bits.
fn pause_frame(to: [u8; 6], quanta: u16) -> Vec<u8> {
    let mut frame = ethernet(to, mac(9), 60);
    frame[12..16].copy_from_slice(&[0x88, 0x08, 0, 1]);
    frame[16..18].copy_from_slice(&quanta.to_be_bytes());
    frame
}

const MACS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 1];

/// Port 7 with interface 1, which has one class; both directions pause, at 1 Gbit/s.
fn pausing() -> TestWriop {
    let test = port();
    let config = PortConfig {
        peer: Some(Endpoint::Interface(1)),
        address: mc_abi::MacAddr(mac(7)),
        rate: 1000,
        obeys_pause: true,
        asks_to_pause: true,
    };
    test.wriop.configure_port(7, Some(config));
    test
}

/// The pass that a timer starts.
fn tick(test: &mut TestWriop, now: u64) {
    test.pass.restart(now);
    test.wriop.tick(&mut test.pass);
    while let Some(Engine::Interface(id)) = test.pass.next_engine() {
        test.transmit(id);
    }
}

#[test]
fn a_port_sends_nothing_while_it_is_to_pause() {
    let mut test = pausing();
    let fd = test.frame(free(0), &ethernet(mac(9), mac(1), 60));
    for (start, to, obeyed) in
        [(0, MACS, true), (1_000_000, mac(7), true), (2_000_000, mac(3), false)]
    {
        test.pass.restart(start);
        // 1,000 times 512 bits at 1 Gbit/s: 512 microseconds.
        test.receive(7, &pause_frame(to, 1000));
        test.send(1, &[fd]);
        assert_eq!(sent_types(&test).is_empty(), obeyed, "{to:x?}");
        if obeyed {
            assert_eq!(test.take(confirm(1)), [], "it waits");
            assert_eq!(test.wriop.deadline(), Some(start + 512_000));
            tick(&mut test, start + 511_999);
            assert_eq!(sent_types(&test).len(), 0);
            tick(&mut test, start + 512_000);
            assert_eq!(sent_types(&test).len(), 1);
        }
        assert_eq!(test.take(confirm(1)), [fd]);
        assert_eq!(test.wriop.deadline(), None);
    }
    // Such frames go no further. ING_VALID_PAUSE, ING_CONTROL, ING_MCAST, ING_GOOD.
    assert_eq!(test.take(rx(1)), []);
    assert_eq!(counters(&test, &[13, 39, 16, 26]), [2, 3, 0, 3]);
}

#[test]
fn a_pause_of_no_length_ends_one() {
    let mut test = pausing();
    let fd = test.frame(free(0), &ethernet(mac(9), mac(1), 60));
    test.receive(7, &pause_frame(MACS, u16::MAX));
    test.send(1, &[fd, fd]);
    assert_eq!(sent_types(&test).len(), 0);
    test.receive(7, &pause_frame(MACS, 0));
    while let Some(Engine::Interface(id)) = test.pass.next_engine() {
        test.transmit(id);
    }
    assert_eq!(sent_types(&test).len(), 2);
}

#[test]
fn who_is_not_to_pause_does_not() {
    let mut test = port();
    test.receive(7, &pause_frame(MACS, u16::MAX));
    let fd = test.frame(free(0), &ethernet(mac(9), mac(1), 60));
    test.send(1, &[fd]);
    assert_eq!(sent_types(&test).len(), 1);
    // Nor does it ask others to.
    for _ in 0..=BUFFERS {
        test.receive(7, &ethernet(mac(1), mac(9), 100));
    }
    assert_eq!(test.wriop.counters(1).ingress_no_buffer, 1);
    assert_eq!(sent_types(&test).len(), 0);
}

#[test]
fn who_has_no_buffers_asks_to_pause() {
    let mut test = pausing();
    let start = test.pass.now();
    for _ in 0..BUFFERS {
        test.receive(7, &ethernet(mac(1), mac(9), 100));
    }
    assert_eq!(sent_types(&test).len(), 0, "there were enough");
    for _ in 0..3 {
        test.receive(7, &ethernet(mac(1), mac(9), 100));
    }
    let sent = std::mem::take(&mut *test.wires.0.lock());
    // Half a millisecond of 1 Gbit/s, in units of 512 bits.
    let mut expected = pause_frame(MACS, 976);
    expected[6..12].copy_from_slice(&mac(7));
    expected[18..].fill(0);
    assert_eq!(sent, [(7, expected)], "once");
    test.pass.restart(start + 499_712);
    test.receive(7, &ethernet(mac(1), mac(9), 100));
    assert_eq!(sent_types(&test), [[0x88, 0x08]], "the pause was over");
    // EGR_VALID_PAUSE, EGR_CONTROL, EGR_MCAST, EGR_GOOD.
    assert_eq!(counters(&test, &[14, 45, 22, 27]), [2, 2, 0, 2]);
}

proptest! {
    #[test]
    fn every_frame_is_counted_once(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..12),
    ) {
        let mut test = port();
        for frame in &frames {
            test.receive(7, frame);
        }
        let counted = counters(&test, &[18, 26, 7, 12, 39]);
        prop_assert_eq!(counted[0], frames.len() as u64);
        prop_assert_eq!(counted[1] + counted[2] + counted[3], counted[0]);
        let interface = test.wriop.counters(1);
        prop_assert_eq!(
            interface.ingress_frames + interface.ingress_filtered + interface.ingress_discarded
                + interface.ingress_no_buffer,
            counted[1] - counted[4]
        );
    }
}
