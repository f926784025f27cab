// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a frame costs on its way from one interface to another: through a portal, a queue,
//! the SMMU's translations, a buffer of the receiver's pool, a queue and a portal again.
//!
//! A program forwards bursts of 32, as DPDK does; what it does itself (copying descriptors
//! from what it dequeued into its ring) is in the figures. Each row is the best of several
//! runs: others use the machine too.

#[path = "../tests/frames/ram.rs"]
mod ram;
#[allow(dead_code)]
#[path = "../tests/frames/world.rs"]
mod world;

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};
use world::{Program, Shape, World};

const SHAPE: Shape = Shape { queues: 1, buffers: 1000, length: 64, frames: 256 };

fn main() {
    // Other benches' options are those of their framework.
    let quick = std::env::args().any(|argument| argument == "--quick");
    let effort = if quick { Effort { runs: 1, time: 1 } } else { Effort { runs: 7, time: 100 } };
    println!("frames through the board, dpni to dpni, one core");
    let base = effort.row("64 bytes", SHAPE, true);
    let full = Shape { length: 1500, ..SHAPE };
    effort.row("1500 bytes", full, true);
    effort.row("64 bytes, pages of 4 KiB", SHAPE, false);

    println!("\ncost of a 64-byte frame beside the first row's");
    for queues in [1, 2, 4, 8, 16, 32, 64] {
        // As many frames a queue.
        let frames = 64 * queues as usize;
        let shape = Shape { queues, frames, buffers: 8000, ..SHAPE };
        effort.beside(&format!("{queues} queues"), base, &[shape]);
    }
    for buffers in [10, 100, 1000, 10_000] {
        // Whatever has no buffer would be lost.
        let frames = if buffers < 64 { 8 } else { 32 };
        let shape = Shape { buffers, frames, ..SHAPE };
        effort.beside(&format!("{buffers} buffers, {frames} frames"), base, &[shape]);
    }
    for containers in [1, 2, 4, 8] {
        effort.beside(&format!("{containers} containers"), base, &vec![SHAPE; containers]);
    }

    let [one, two] = [1, 2].map(|cores| effort.on_cores(cores));
    println!("\nportals on cores of their own, million frames a second");
    println!("  one {one:.2}, two {two:.2}: {:.2} times", two / one);
}

/// Nanoseconds that this thread has had a processor.
fn processor_time() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let time = times.split_whitespace().next().and_then(|time| time.parse().ok());
    time.expect("Linux tells the times of a thread")
}

struct Effort {
    runs: u32,
    /// Milliseconds of a run.
    time: u64,
}

impl Effort {
    /// Nanoseconds of a frame.
    fn measure(&self, shapes: &[Shape], huge: bool) -> f64 {
        let mut world = World::new(shapes.len() as u16, huge);
        let mut programs: Vec<Program> = shapes.iter().map(|shape| world.add(*shape)).collect();
        let mut best = f64::MAX;
        for _ in 0..=self.runs {
            best = best.min(self.run(&mut programs));
        }
        best
    }

    fn run(&self, programs: &mut [Program]) -> f64 {
        let limit = Duration::from_millis(self.time);
        let (start, before, mut frames) = (Instant::now(), processor_time(), 0);
        while start.elapsed() < limit {
            for _ in 0..32 {
                for program in &mut *programs {
                    frames += program.step();
                }
            }
        }
        assert!(frames > 0, "no frame moves");
        (processor_time() - before) as f64 / frames as f64
    }

    fn row(&self, name: &str, shape: Shape, huge: bool) -> f64 {
        let cost = self.measure(&[shape], huge);
        let rate = 1000.0 / cost;
        let bytes = shape.length as f64 / cost;
        println!("  {name:<32} {cost:>8.1} ns  {rate:>7.2} M/s  {bytes:>6.2} GB/s");
        cost
    }

    fn beside(&self, name: &str, base: f64, shapes: &[Shape]) {
        let cost = self.measure(shapes, true);
        println!("  {name:<32} {cost:>8.1} ns  {:>7.2} times", cost / base);
    }

    /// Million frames a second of as many threads, each with a container.
    fn on_cores(&self, cores: usize) -> f64 {
        let mut world = World::new(cores as u16, true);
        let programs: Vec<Program> = (0..cores).map(|_| world.add(SHAPE)).collect();
        let (start, mut best) = (Barrier::new(cores), 0.0f64);
        let mut programs = programs;
        for _ in 0..=self.runs {
            let rates = thread::scope(|scope| {
                let threads: Vec<_> = programs
                    .iter_mut()
                    .map(|program| {
                        let start = &start;
                        scope.spawn(move || {
                            start.wait();
                            1000.0 / self.run(std::slice::from_mut(program))
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("it ends")).sum::<f64>()
            });
            best = best.max(rates);
        }
        best
    }
}
