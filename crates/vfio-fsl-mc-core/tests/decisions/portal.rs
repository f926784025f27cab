// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Portals: who may send when, and how long one waits.

use proptest::prelude::*;
use vfio_fsl_mc_core::portal::{Backoff, Next, Outcome, State, Step, LIMIT_US};
use vfio_fsl_mc_core::Errno;

const STATES: [State; 4] = [State::Idle, State::Abandoned, State::Hung, State::Revoked];

#[test]
fn a_command_in_flight_is_not_overwritten() {
    for state in STATES {
        for status in 0..=u8::MAX {
            let mut next_state = state;
            let next = next_state.before_command(status);
            let expected = match (state, status) {
                (State::Abandoned, 1) => (Next::Wait, State::Abandoned),
                (State::Hung, 1) => (Next::Refuse(Errno::Busy), State::Hung),
                (State::Revoked, _) => (Next::Refuse(Errno::NoDev), State::Revoked),
                _ => (Next::Go, State::Idle),
            };
            assert_eq!(
                (next, next_state),
                expected,
                "{state:?}, status {status:#x}"
            );
        }
        for (outcome, after) in [
            (Outcome::Answered, State::Idle),
            (Outcome::Killed, State::Abandoned),
            (Outcome::TimedOut, State::Hung),
        ] {
            let mut next_state = state;
            next_state.after(outcome);
            assert_eq!(next_state, after);
        }
    }
    assert_eq!(State::default(), State::Idle);
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Send(Outcome),
    Answer(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Send(Outcome::Answered)),
        Just(Event::Send(Outcome::Killed)),
        Just(Event::Send(Outcome::TimedOut)),
        any::<u8>().prop_map(|status| Event::Answer(if status == 1 { 0 } else { status })),
    ]
}

proptest! {
    /// Whatever tasks and MC do, a command is written only while none is in
    /// flight, and always once none is.
    #[test]
    fn commands_follow_each_other(events in prop::collection::vec(event(), 0..64)) {
        let mut state = State::default();
        let mut status = 0;
        for event in events {
            let outcome = match event {
                Event::Answer(answer) => {
                    status = answer;
                    continue;
                }
                Event::Send(outcome) => outcome,
            };
            let in_flight = status == 1;
            match state.before_command(status) {
                Next::Go => {
                    prop_assert!(!in_flight);
                    status = 1;
                }
                Next::Wait => prop_assert!(in_flight),
                Next::Refuse(errno) => {
                    prop_assert!(in_flight);
                    prop_assert_eq!(errno, Errno::Busy);
                    continue;
                }
            }
            // The wait, for this command's answer or the abandoned one's.
            if outcome == Outcome::Answered {
                status = 0;
            }
            state.after(outcome);
        }
        prop_assert!(status == 1 || state.before_command(status) == Next::Go);
    }

    /// However late each look comes, waiting ends at the limit and not before.
    #[test]
    fn waiting_ends_at_the_limit(
        limit in prop_oneof![0u64..40, 0u64..20_000_000],
        delays in prop::collection::vec(0u64..100_000, 1..64),
    ) {
        let mut backoff = Backoff::new(limit);
        let mut now = 0;
        for delay in delays.iter().cycle().take(50_000) {
            match backoff.next(now) {
                Step::GiveUp => {
                    prop_assert!(now >= limit);
                    return Ok(());
                }
                Step::Spin(us) => {
                    prop_assert!((1..=2).contains(&us));
                    prop_assert!(now + u64::from(us) <= limit);
                    now += u64::from(us);
                }
                Step::Sleep { min, max } => {
                    prop_assert!(1 <= min && min <= max && max <= 10_000);
                    prop_assert!(now + u64::from(max) <= limit);
                    now += u64::from(max) + delay;
                }
            }
        }
        prop_assert!(now < limit);
    }

    #[test]
    fn no_number_confuses_a_wait(limit: u64, times: [u64; 32]) {
        let mut backoff = Backoff::new(limit);
        for now in times {
            prop_assert_eq!(backoff.next(now) == Step::GiveUp, now >= limit);
        }
    }
}

#[test]
fn short_waits_come_first_and_sleeps_grow() {
    let mut backoff = Backoff::default();
    let (mut now, mut spun) = (0, 0);
    let mut sleeps = Vec::new();
    loop {
        match backoff.next(now) {
            Step::GiveUp => break,
            Step::Spin(us) => {
                assert!(sleeps.is_empty(), "spins come first");
                assert!(us <= 2);
                spun += us;
                now += u64::from(us);
            }
            Step::Sleep { min, max } => {
                sleeps.push((min, max));
                now += u64::from(max);
            }
        }
    }
    assert_eq!(now, LIMIT_US, "the last look is at the limit");
    assert!((10..=20).contains(&spun), "{spun}");
    assert_eq!(sleeps[..3], [(5, 10); 3]);
    let mut before = 18;
    let last = sleeps.pop().expect("slept");
    for (_, max) in &sleeps {
        let quarter = (before / 4).clamp(10, 10_000);
        assert_eq!(*max, quarter, "after {before} us");
        before += max;
    }
    assert!(sleeps.len() < 600, "{} looks at the portal", sleeps.len());
    assert!(last.1 <= 10_000);
}
