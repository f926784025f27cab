// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The attack on a board in this process, on which another container moves frames.
//! `RINGS_ATTACK_STEPS` in the environment is for long runs.

#[allow(dead_code)]
#[path = "../../dprc/examples/forward.rs"]
mod forward;

use dprc::{Access, Backend, DmaBuffer};
use dprc_board::{Contents, InProcessBoard};
use forward::Limits;
use rings_attack::{Attack, MEMORY_SIZE, Options};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Away from where the other one's frames are, and from where they would be here.
const IOVA: u64 = 0x2_0000_0000;

fn steps() -> u64 {
    let asked = std::env::var("RINGS_ATTACK_STEPS").ok();
    asked.map_or(8_000, |text| text.parse().expect("RINGS_ATTACK_STEPS is a number"))
}

#[test]
fn another_container_loses_nothing() {
    let board = InProcessBoard::new().unwrap();
    let contents = Contents { dpcon: 2, ..Contents::pair_of_interfaces() };
    let attacked = board.make_container(&contents).unwrap();
    let other = board.open(board.make_container(&Contents::pair_of_interfaces()).unwrap()).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let forwards = scope.spawn(|| {
            let mut rounds = 0;
            // Once more after the end, when all is quiet.
            loop {
                let last = over.load(Ordering::Acquire);
                let time = Duration::from_secs(60);
                let limits = Limits { frames: 2_000, time, first: 20 };
                let figures = forward::forward(&other, &limits).unwrap();
                assert!(figures.frames >= 2_000, "{figures}");
                assert_eq!(figures.lost, 0, "{figures}");
                let [(_, one), (_, two)] = figures.interfaces;
                assert_eq!((one.sent, two.sent), (two.received, one.received));
                assert_eq!(one.sent + two.sent, figures.frames + 20);
                for counted in [one, two] {
                    let dropped = (counted.filtered, counted.discarded, counted.no_buffer);
                    assert_eq!(dropped, (0, 0, 0), "{counted:?}");
                }
                rounds += 1;
                if last {
                    return rounds;
                }
            }
        });
        let outcome = thread::scope(|inner| {
            inner
                .spawn(|| {
                    for seed in 1..=4 {
                        let held = board.open(attacked).unwrap();
                        let memory = DmaBuffer::allocate(MEMORY_SIZE).unwrap();
                        let memory = held.map(memory, IOVA, Access::ReadWrite).unwrap();
                        let options = Options { seed, spared: Vec::new() };
                        let report = Attack::new(&held, memory, &options).run(steps() / 4).unwrap();
                        eprintln!("seed {seed}: {report}");
                        // Each kind of step was made, and most commands were answered.
                        assert_eq!(report.done.len(), 9, "{report}");
                        let answered: u64 = report.answers.values().sum();
                        assert!(answered > report.unanswered, "{report}");
                    }
                })
                .join()
        });
        over.store(true, Ordering::Release);
        outcome.expect("the attack goes on to its end");
        assert!(forwards.join().expect("frames go on") >= 2, "frames moved meanwhile");
    });
    assert!(board.faults() > 0, "nothing was aimed at memory of nobody");

    // Who has the container next finds it as any other.
    let held = board.open(attacked).unwrap();
    let limits = Limits { frames: 500, time: Duration::from_secs(60), first: 10 };
    let figures = forward::forward(&held, &limits).unwrap();
    assert!(figures.frames >= 500 && figures.lost == 0, "{figures}");
}
