// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames to and from wires.

use super::testing::*;
use crate::wriop::*;
use proptest::prelude::*;

/// Interface 1 connected to port 7.
fn port() -> TestWriop {
    let mut test = TestWriop::new();
    test.change(1, |config| config.peer = Some(Endpoint::Port(7)));
    let config = PortConfig { peer: Some(Endpoint::Interface(1)) };
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
    test.wriop.configure_port(7, Some(PortConfig { peer: None }));
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

proptest! {
    #[test]
    fn every_frame_is_counted_once(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..12),
    ) {
        let mut test = port();
        for frame in &frames {
            test.receive(7, frame);
        }
        let counted = counters(&test, &[18, 26, 7, 12]);
        prop_assert_eq!(counted[0], frames.len() as u64);
        prop_assert_eq!(counted[1] + counted[2] + counted[3], counted[0]);
        let interface = test.wriop.counters(1);
        prop_assert_eq!(
            interface.ingress_frames + interface.ingress_filtered + interface.ingress_discarded
                + interface.ingress_no_buffer,
            counted[1]
        );
    }
}
