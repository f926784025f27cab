// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How often a container's objects are looked at.

use proptest::prelude::*;
use vfio_fsl_mc_core::pace::{Pace, LONGEST_MS, LONGEST_RETRY_MS, SHORTEST_MS};

/// Looks as soon as it may for some milliseconds; when each look began.
fn as_fast_as_it_may(pace: &mut Pace, from: u64, for_ms: u64, again: bool) -> Vec<u64> {
    let mut now = from;
    let mut looks = Vec::new();
    while now < from + for_ms {
        now += u64::from(pace.left(now));
        looks.push(now);
        pace.looked(now, now + 1, again);
        now += 1;
    }
    looks
}

#[test]
fn the_first_look_is_at_once_and_the_second_soon() {
    let mut pace = Pace::default();
    assert_eq!(pace.left(0), 0);
    assert_eq!(pace.left(123_456), 0);
    pace.looked(123_456, 123_460, false);
    assert_eq!(pace.left(123_460), SHORTEST_MS);
    assert_eq!(pace.left(123_460 + u64::from(SHORTEST_MS)), 0);
}

#[test]
fn a_storm_is_four_looks_a_second() {
    let mut pace = Pace::default();
    let looks = as_fast_as_it_may(&mut pace, 50_000, 10_000, false);
    assert!(
        (40..50).contains(&looks.len()),
        "{} looks in ten seconds",
        looks.len()
    );
    let in_last_second = looks
        .iter()
        .filter(|at| (59_000..60_000).contains(*at))
        .count();
    assert!(in_last_second <= 4, "{in_last_second}");
}

#[test]
fn what_stands_in_the_way_is_looked_at_once_a_second() {
    let mut pace = Pace::default();
    let looks = as_fast_as_it_may(&mut pace, 0, 60_000, true);
    assert!(
        (55..70).contains(&looks.len()),
        "{} looks in a minute",
        looks.len()
    );
}

#[test]
fn a_storm_is_forgotten_in_a_second_of_quiet() {
    let mut pace = Pace::default();
    let looks = as_fast_as_it_may(&mut pace, 0, 10_000, false);
    let free = looks[looks.len() - 1] + 1 + u64::from(LONGEST_MS);
    for (quiet, next) in [(999, LONGEST_MS), (1000, SHORTEST_MS)] {
        let mut pace = pace;
        pace.looked(free + quiet, free + quiet, false);
        assert_eq!(pace.left(free + quiet), next);
    }
}

proptest! {
    /// Who leaves pauses between what they do gets no more looks than who leaves none, but for
    /// the quick ones after a second of quiet.
    #[test]
    fn distances_between_events_buy_no_looks(distances in prop::collection::vec(0u64..1500, 1..200), even: Option<u8>) {
        let mut pace = Pace::default();
        let mut now = 0;
        let mut looks = 0u64;
        for distance in distances {
            now += even.map_or(distance, u64::from);
            now += u64::from(pace.left(now));
            looks += 1;
            pace.looked(now, now, false);
        }
        prop_assert!(looks <= 7 + now * 4 / 1000, "{looks} looks in {now} ms");
    }

    #[test]
    fn a_pause_ends(steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..50), now: u64) {
        let mut pace = Pace::default();
        for (start, end, again) in steps {
            pace.looked(start, end, again);
            prop_assert!(pace.left(now) <= LONGEST_RETRY_MS.max(LONGEST_MS));
        }
    }
}
