// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames that go round through the whole data plane: none is lost, none costs an
//! allocation.

mod ram;
#[allow(dead_code)]
mod world;

use std::{
    hint,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use world::{Shape, World};

const SHAPE: Shape = Shape { queues: 4, buffers: 1000, length: 64, frames: 256 };

#[test]
fn the_program_knows_the_layouts() {
    world::layouts_agree();
}

#[test]
fn frames_go_round_for_ever() {
    for huge in [true, false] {
        let mut world = World::new(2, huge);
        let shapes = [SHAPE, Shape { queues: 1, length: 1500, ..SHAPE }];
        let mut programs = shapes.map(|shape| world.add(shape));
        for _ in 0..1000 {
            programs.iter_mut().for_each(|program| assert!(program.step() > 0));
        }
        for program in &programs {
            let (sent, received) = program.counted();
            assert_eq!(sent, received, "a frame is lost");
            // Those that were sent at the start, and all that were forwarded.
            assert_eq!(sent, 256 + program.forwarded);
            assert!(program.forwarded >= 1000 * 32);
            assert_eq!(program.free_buffers(), 2000 - 256);
        }
    }
}

/// One of the threads sends, for the others too: whatever they put into queues meanwhile.
#[test]
fn no_thread_leaves_a_frame_behind() {
    const ROUNDS: u64 = 30_000;
    const THREADS: u64 = 2;
    /// Frames of a thread in each round.
    const EACH: u64 = 8;
    let mut world = World::new(1, true);
    let program = &world.add(SHAPE);
    let (arrived, left_behind) = (&AtomicU64::new(0), &AtomicU64::new(0));
    // What a barrier does, without sleep: the threads are to meet. One that has failed does
    // not come.
    let meet = |times: u64| {
        arrived.fetch_add(1, Ordering::AcqRel);
        let is_here = || arrived.load(Ordering::Acquire) >= times * THREADS;
        for _ in 0..1000 {
            if is_here() {
                return;
            }
            hint::spin_loop();
        }
        let limit = Instant::now() + Duration::from_secs(60);
        while !is_here() {
            assert!(Instant::now() < limit, "the other thread does not come");
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    meet(2 * round + 1);
                    // One is earlier than the other, each time by another time.
                    let late = if thread == 0 { 64 } else { round % 128 };
                    (0..late).for_each(|_| hint::spin_loop());
                    (0..EACH).for_each(|_| program.send_nothing(0));
                    meet(2 * round + 2);
                    // Told at the end: the other thread would wait for this one.
                    if thread == 0 && program.not_sent() != ((round + 1) * THREADS * EACH, 0) {
                        left_behind.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(left_behind.load(Ordering::Relaxed), 0, "rounds with frames left behind");
}

#[test]
fn frames_cost_no_allocation() {
    let mut world = World::new(1, true);
    let mut program = world.add(SHAPE);
    // Queues have been as full as they get.
    let mut forward = |steps: u32| (0..steps).map(|_| program.step()).sum::<usize>();
    forward(200);
    let measured = allocation_counter::measure(|| assert!(forward(1000) > 0));
    assert_eq!(measured.count_total, 0);
}
