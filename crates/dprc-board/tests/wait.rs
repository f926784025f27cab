// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The other example of `dprc`, on a board in this process.

mod world;

#[allow(dead_code)]
#[path = "../../dprc/examples/wait.rs"]
mod example;

use std::time::Duration;

#[test]
fn each_frame_wakes_the_program_once() {
    let (board, held) = world::container();
    for _ in 0..2 {
        let woken = example::wait(&held, 20, Duration::from_secs(5)).unwrap();
        let counts = (woken.interrupts, woken.notifications, woken.frames);
        assert_eq!(counts, (20, 20, 20), "{woken}");
        assert!(woken.longest < Duration::from_secs(5), "{woken}");
    }
    assert_eq!(board.faults(), 0);
}
