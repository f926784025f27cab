// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames that go round through the whole data plane: none is lost, none costs an
//! allocation.

mod ram;
#[allow(dead_code)]
mod world;

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
