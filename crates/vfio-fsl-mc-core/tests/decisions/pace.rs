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
fn a_storm_is_forgotten_in_a_second() {
    let mut pace = Pace::default();
    as_fast_as_it_may(&mut pace, 0, 10_000, false);
    pace.looked(11_000, 11_001, false);
    assert_eq!(pace.left(11_001), SHORTEST_MS);
}

proptest! {
    #[test]
    fn a_pause_ends(steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..50), now: u64) {
        let mut pace = Pace::default();
        for (start, end, again) in steps {
            pace.looked(start, end, again);
            prop_assert!(pace.left(now) <= LONGEST_RETRY_MS.max(LONGEST_MS));
        }
    }
}
