// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames: whatever a container makes of its descriptors, scatter/gather tables,
//! annotations, keys, pools and settings, and whatever comes over a wire, nothing
//! panics, every call returns, the container touches no memory but its own, and the
//! frames of another container pass the same switch meanwhile.
#![no_main]

#[path = "../memory.rs"]
mod memory;
mod settings;
mod steps;
mod world;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use settings::Settings;
use steps::Step;
use world::World;

const STEPS: usize = 60;

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let mut world = World::new();
    for attacker in world::ATTACKERS {
        let Ok(settings) = Settings::arbitrary(&mut input) else { return };
        world.set_up(attacker, &settings);
    }
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        world.step(step);
    }
    world.check();
});
