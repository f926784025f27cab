// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Rates, priorities and weights of what an interface sends.

use super::testing::*;
use crate::wriop::*;
use proptest::prelude::*;
use qbman_abi::Fd;

/// Bytes of a frame, with which it counts for a thousand.
const LENGTH: usize = 976;
/// Nanoseconds in which [`RATE`] lets such a frame through.
const STEP: u64 = 1_000_000;
const RATE: u64 = 8_000_000;

/// Queue of a class of interface 1.
fn queue_of(class: u8) -> u32 {
    500 + u32::from(class)
}

fn rate(committed_burst: u32) -> ShaperConfig {
    ShaperConfig { committed_rate: RATE, committed_burst, ..ShaperConfig::default() }
}

/// Interface 1 with a queue for each class, all confirmed on one. Nothing is connected: what
/// is sent is confirmed all the same.
fn bench(schedule: Schedule) -> TestWriop {
    let mut test = TestWriop::new();
    test.change(1, |config| {
        config.peer = None;
        let channels = schedule.channels.iter().zip(0..);
        let queues = channels.flat_map(|(config, channel)| {
            (0..).zip(&config.classes).map(move |(class, _)| TransmitQueue {
                fqid: queue_of(class) + u32::from(channel) * 100,
                channel,
                class,
                confirmation: Some(confirm(1)),
            })
        });
        config.transmit.queues = queues.collect();
        config.transmit.schedule = Some(schedule);
    });
    test
}

/// A channel without a limit, whose classes have these turns.
fn channel(classes: &[(u8, u16)]) -> ChannelSchedule {
    let turn = |(rank, weight): &(u8, u16)| ClassTurn { rank: *rank, weight: *weight };
    ChannelSchedule { shaper: None, classes: classes.iter().map(turn).collect() }
}

/// Puts frames into a queue, which are told by their first word of context.
fn fill(test: &mut TestWriop, fqid: u32, count: usize, length: usize) {
    let frame = test.frame(free(0), &ethernet(mac(2), mac(1), length));
    for _ in 0..count {
        let fd = Fd { flc: fqid.into(), ..frame };
        assert!(test.queues.enqueue(fqid, &fd, &mut test.pass));
    }
}

/// Sends what may go at a time; the queues that it was in, in order.
fn sent_at(test: &mut TestWriop, now: u64) -> Vec<u32> {
    test.pass.restart(now);
    test.wriop.tick(&mut test.pass);
    test.transmit(1);
    test.take(confirm(1)).iter().map(|fd| fd.flc as u32).collect()
}

#[test]
fn a_rate_is_kept_to_the_nanosecond() {
    let classes = [(0, 100)];
    let schedule = Schedule {
        channels: vec![ChannelSchedule { shaper: Some(rate(2000)), ..channel(&classes) }],
        whole: None,
    };
    let mut test = bench(schedule);
    fill(&mut test, queue_of(0), 20, LENGTH);
    assert_eq!(sent_at(&mut test, 0).len(), 2, "the burst");
    let mut now = 0;
    for frame in 0..18 {
        let due = test.wriop.deadline().expect("frames wait");
        assert!(due - now <= STEP + 1 && (frame == 0 || due - now >= STEP - 1), "{now} {due}");
        assert_eq!(sent_at(&mut test, due - 1).len(), 0, "too early");
        now = due;
        assert_eq!(sent_at(&mut test, now).len(), 1);
    }
    assert!((17 * STEP..17 * STEP + 100).contains(&now), "{now}");
    // Once more, for what might wait; then never again.
    let due = test.wriop.deadline().expect("it has overdrawn");
    assert_eq!(sent_at(&mut test, due).len(), 0);
    assert_eq!(test.wriop.deadline(), None);
}

#[test]
fn a_late_timer_costs_no_frame_and_idle_time_saves_none_up() {
    let channels = vec![ChannelSchedule { shaper: Some(rate(1000)), ..channel(&[(0, 100)]) }];
    let mut test = bench(Schedule { whole: None, channels });
    fill(&mut test, queue_of(0), 100, LENGTH);
    assert_eq!(sent_at(&mut test, 0).len(), 1);
    for round in 1..10 {
        assert_eq!(sent_at(&mut test, round * 5 * STEP).len(), 5, "round {round}");
    }
    let rest = sent_at(&mut test, 1000 * STEP).len();
    assert!(rest <= 12, "{rest} frames for a second that nobody came");
    while test.wriop.deadline().is_some_and(|due| !sent_at(&mut test, due).is_empty()) {}
    fill(&mut test, queue_of(0), 10, LENGTH);
    assert_eq!(sent_at(&mut test, 5000 * STEP).len(), 1, "one burst");
}

#[test]
fn an_earlier_time_gives_nothing_twice() {
    let channels = vec![ChannelSchedule { shaper: Some(rate(1000)), ..channel(&[(0, 100)]) }];
    let mut test = bench(Schedule { whole: None, channels });
    fill(&mut test, queue_of(0), 20, LENGTH);
    assert_eq!(sent_at(&mut test, 0).len(), 1);
    assert_eq!(sent_at(&mut test, 5 * STEP).len(), 5);
    assert_eq!(sent_at(&mut test, 1).len(), 0);
    assert_eq!(sent_at(&mut test, 5 * STEP).len(), 0);
}

#[test]
fn the_excess_rate_comes_on_top() {
    let both = ShaperConfig { excess_rate: RATE, excess_burst: 1000, ..rate(1000) };
    let channels = vec![ChannelSchedule { shaper: Some(both), ..channel(&[(0, 100)]) }];
    let mut test = bench(Schedule { whole: None, channels });
    fill(&mut test, queue_of(0), 100, LENGTH);
    let mut sent = sent_at(&mut test, 0).len();
    while let Some(due) = test.wriop.deadline().filter(|due| *due < 20 * STEP) {
        sent += sent_at(&mut test, due).len();
    }
    assert!((41..=43).contains(&sent), "{sent}");
}

#[test]
fn the_interfaces_rate_is_shared_by_channels() {
    let channels = vec![channel(&[(0, 100)]); 2];
    let mut test = bench(Schedule { whole: Some(rate(1000)), channels });
    for fqid in [queue_of(0), queue_of(0) + 100] {
        fill(&mut test, fqid, 50, LENGTH);
    }
    let mut sent = sent_at(&mut test, 0);
    while sent.len() < 40 {
        let due = test.wriop.deadline().expect("frames wait");
        sent.extend(sent_at(&mut test, due));
    }
    let first = sent.iter().filter(|fqid| **fqid == queue_of(0)).count();
    assert_eq!(first, 20);
}

#[test]
fn urgent_classes_go_first_and_others_share_by_weight() {
    // Class 0 and 3 strict, 1 and 2 a group between them.
    let classes = [(0, 100), (1, 100), (1, 300), (6, 100)];
    let mut test = bench(Schedule { whole: None, channels: vec![channel(&classes)] });
    for class in [3, 2, 1, 0] {
        fill(&mut test, queue_of(class), 40, 500 + usize::from(class) * 100);
    }
    let order = sent_at(&mut test, 0);
    assert_eq!(order.len(), 160);
    assert!(order[..40].iter().all(|fqid| *fqid == queue_of(0)), "{order:?}");
    assert!(order[120..].iter().all(|fqid| *fqid == queue_of(3)), "{order:?}");
    // Until the heavier one is empty, three bytes for one.
    let last = order.iter().rposition(|fqid| *fqid == queue_of(2)).expect("it has sent");
    let light = order[40..last].iter().filter(|fqid| **fqid == queue_of(1)).count();
    let ratio = 40. * 700. / (light as f64 * 600.);
    assert!((2.6..3.4).contains(&ratio), "{ratio}");
}

/// The least weights and the longest frames: a class has to wait for its turn for many rounds,
/// while others have nothing.
#[test]
fn a_class_that_has_overdrawn_sends_beside_empty_ones() {
    let classes = [(0, 100); 4];
    let mut test = bench(Schedule { whole: None, channels: vec![channel(&classes)] });
    fill(&mut test, queue_of(2), 10, 10_000);
    assert_eq!(sent_at(&mut test, 0).len(), 10);
    fill(&mut test, queue_of(1), 2, 10_000);
    fill(&mut test, queue_of(2), 2, 60);
    assert_eq!(sent_at(&mut test, 1).len(), 4);
}

#[test]
fn a_change_of_something_else_gives_no_new_burst() {
    let schedule = Schedule {
        whole: None,
        channels: vec![ChannelSchedule { shaper: Some(rate(5000)), ..channel(&[(0, 100)]) }],
    };
    let mut test = bench(schedule.clone());
    fill(&mut test, queue_of(0), 20, LENGTH);
    assert_eq!(sent_at(&mut test, 0).len(), 5);
    let queues = vec![TransmitQueue {
        fqid: queue_of(0),
        channel: 0,
        class: 0,
        confirmation: Some(confirm(1)),
    }];
    test.change(1, |config| {
        config.peer = None;
        config.transmit = TransmitConfig {
            queues,
            l3_checksum: true,
            schedule: Some(schedule),
            ..TransmitConfig::default()
        };
    });
    assert_eq!(sent_at(&mut test, 1).len(), 1, "one for the nanosecond");
    assert_eq!(sent_at(&mut test, 2).len(), 0);
}

proptest! {
    /// Whatever the settings, every frame leaves, each queue's in order.
    #[test]
    fn no_frame_stays(
        classes in prop::collection::vec(
            (0u8..4, prop_oneof![Just(100u16), 100u16..=10_000]), 1..9),
        channels in 1u8..3,
        rates in [0u64..40_000_000, 0u64..40_000_000],
        bursts in [0u32..10_000, 0u32..10_000],
        coupled in any::<bool>(),
        overhead in 0u16..100,
        whole in any::<bool>(),
        lengths in prop::collection::vec(60usize..10_000, 1..40),
    ) {
        // The slowest takes no hour.
        let rates = rates.map(|rate| if rate < 1_000_000 { 0 } else { rate });
        let shaper = Some(ShaperConfig {
            committed_rate: rates[0],
            committed_burst: bursts[0],
            excess_rate: rates[1],
            excess_burst: bursts[1],
            coupled,
            overhead,
        });
        let of_channel = ChannelSchedule { shaper, ..channel(&classes) };
        let channels = vec![of_channel; channels.into()];
        let count = channels.len();
        let mut test = bench(Schedule { whole: shaper.filter(|_| whole), channels });
        for (n, length) in lengths.iter().enumerate() {
            let class = (n % classes.len()) as u8;
            fill(&mut test, queue_of(class) + (n % count) as u32 * 100, 1, *length);
        }
        let mut sent = sent_at(&mut test, 0).len();
        while let Some(due) = test.wriop.deadline() {
            prop_assert!(due > test.pass.now(), "time goes on");
            sent += sent_at(&mut test, due).len();
        }
        prop_assert_eq!(sent, lengths.len());
    }
}
