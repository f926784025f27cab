// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a frame costs on its way from one interface to another: through a portal, a queue,
//! the SMMU's translations, a buffer of the receiver's pool, a queue and a portal again.
//!
//! A program forwards bursts of 32, as DPDK does; what it does itself (copying descriptors
//! from what it dequeued into its ring) is in the figures. Where one thing is varied, the
//! frames under way stay as many, and so do the bytes that they lie in. Each figure is the
//! best of many short runs, which take turns with those that it is compared with: others
//! use the machine too.
//!
//! `--steps N` does the program's step N times for the first row and ends, for tools that
//! count instructions; what to vary follows by name, such as `queues=4 length=1500`.

#[path = "../tests/frames/ram.rs"]
mod ram;
#[allow(dead_code)]
#[path = "../tests/frames/world.rs"]
mod world;

use rustix::time::{ClockId, clock_gettime};
use std::{hint::black_box, sync::Barrier, thread, time::Duration};
use world::{Program, Shape, World};

const SHAPE: Shape = Shape { queues: 1, buffers: 1000, length: 64, frames: 256 };
/// Enough for bursts of 64 queues to be full.
const MANY: Shape = Shape { buffers: 8000, frames: 2048, ..SHAPE };

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--steps") {
        return count(&arguments[at + 1..]);
    }
    // Other benches' options are those of their framework.
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let effort = if quick { Effort { runs: 1, time: 1 } } else { Effort { runs: 60, time: 5 } };

    println!("frames through the board, dpni to dpni, one core");
    let small_pages = Row { huge: false, ..Row::of(SHAPE) };
    let rows = [
        ("64 bytes", Row::of(SHAPE)),
        ("64 bytes, pages of 4 KiB", small_pages),
        ("512 bytes", Row::of(Shape { length: 512, ..SHAPE })),
        ("1500 bytes", Row::of(Shape { length: 1500, ..SHAPE })),
    ];
    let copies = rows.map(|(_, row)| Copying::new(row.shape));
    effort.table(&rows, copies, |cost, shape, copy| {
        let (rate, bytes) = (1000.0 / cost, shape.length as f64 / cost);
        format!("{rate:>7.2} M/s  {bytes:>6.2} GB/s  {:>6.2} times two copies", cost / copy)
    });

    let beside = |title: &str, rows: &[(&str, Row)]| {
        println!("\ncost of a 64-byte frame beside the first row's: {title}");
        let costs = effort.costs(rows);
        for ((name, _), cost) in rows.iter().zip(&costs) {
            println!("  {name:<32} {cost:>8.1} ns  {:>7.2} times", cost / costs[0]);
        }
    };
    let queues = |queues| Row::of(Shape { queues, ..MANY });
    beside(
        "queues, 2048 frames under way",
        &[
            ("1 queue", queues(1)),
            ("2 queues", queues(2)),
            ("4 queues", queues(4)),
            ("8 queues", queues(8)),
            ("16 queues", queues(16)),
            ("32 queues", queues(32)),
            ("64 queues", queues(64)),
        ],
    );
    // As many frames as there are buffers for in the least of them.
    let buffers = |buffers| Row::of(Shape { buffers, frames: 8, ..SHAPE });
    beside(
        "buffers, 8 frames under way",
        &[
            ("10 buffers", buffers(10)),
            ("100 buffers", buffers(100)),
            ("1000 buffers", buffers(1000)),
            ("10000 buffers", buffers(10_000)),
        ],
    );
    let containers = |containers: u16| {
        let frames = 256 / usize::from(containers);
        Row { containers, ..Row::of(Shape { frames, ..SHAPE }) }
    };
    beside(
        "containers, 256 frames under way",
        &[
            ("1 container", containers(1)),
            ("2 containers", containers(2)),
            ("4 containers", containers(4)),
            ("8 containers", containers(8)),
        ],
    );
    let frames = |frames| Row::of(Shape { frames, ..MANY });
    beside(
        "frames under way, which is what caches see",
        &[
            ("32 frames", frames(32)),
            ("256 frames", frames(256)),
            ("2048 frames", frames(2048)),
            ("7000 frames", frames(7000)),
        ],
    );

    let [one, two] = [1, 2].map(|cores| effort.on_cores(cores));
    println!("\nportals on cores of their own, million frames a second");
    println!("  one {one:.2}, two {two:.2}: {:.2} times", two / one);
}

/// What a figure is of.
#[derive(Clone, Copy)]
struct Row {
    shape: Shape,
    containers: u16,
    /// Memory is mapped by pages of 2 MiB, not of 4 KiB.
    huge: bool,
}

impl Row {
    fn of(shape: Shape) -> Self {
        Self { shape, containers: 1, huge: true }
    }

    /// The programs of its containers.
    fn programs(&self) -> Vec<Program> {
        let mut world = World::new(self.containers, self.huge);
        (0..self.containers).map(|_| world.add(self.shape)).collect()
    }
}

/// Does a number of steps, without a look at the clock.
fn count(arguments: &[String]) {
    let mut row = Row::of(SHAPE);
    let steps: u32 = arguments.first().and_then(|steps| steps.parse().ok()).expect("a number");
    for argument in arguments.iter().skip(1) {
        let (name, value) = argument.split_once('=').expect("a name and a value");
        let value: u32 = value.parse().expect("a number");
        match name {
            "queues" => row.shape.queues = value,
            "buffers" => row.shape.buffers = value.into(),
            "length" => row.shape.length = value as usize,
            "frames" => row.shape.frames = value as usize,
            "containers" => row.containers = value as u16,
            "huge" => row.huge = value != 0,
            _ => panic!("nothing is called {name}"),
        }
    }
    let mut programs = row.programs();
    for _ in 0..WARM {
        programs.iter_mut().for_each(|program| assert!(program.step() > 0));
    }
    let moved: usize = (0..steps).map(|_| counted(&mut programs)).sum();
    println!("{moved} frames");
}

/// Steps until everything has been used once.
const WARM: u32 = 200;

/// What is counted, under a name of its own.
#[inline(never)]
fn counted(programs: &mut [Program]) -> usize {
    programs.iter_mut().map(Program::step).sum()
}

/// How long this thread has had a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What a frame costs at least: its bytes are copied from the sender's buffer and into the
/// receiver's.
struct Copying {
    buffers: Vec<u8>,
    frame: Vec<u8>,
    frames: usize,
}

impl Copying {
    fn new(shape: Shape) -> Self {
        let bytes = 2 * shape.frames * world::BUFFER as usize + shape.length;
        Self { buffers: vec![1; bytes], frame: vec![0; shape.length], frames: shape.frames }
    }

    /// So many frames, each from one half of the buffers to the other.
    fn step(&mut self) -> usize {
        let Self { buffers, frame, frames } = self;
        for place in 0..*frames {
            let from = place * world::BUFFER as usize;
            let to = from + *frames * world::BUFFER as usize;
            let length = frame.len();
            frame.copy_from_slice(black_box(&buffers[from..from + length]));
            buffers[to..to + length].copy_from_slice(black_box(frame));
        }
        *frames
    }
}

struct Effort {
    runs: u32,
    /// Milliseconds of a run.
    time: u64,
}

impl Effort {
    /// Nanoseconds that a frame takes `step`, which says how many it moves.
    fn run(&self, mut step: impl FnMut() -> usize) -> f64 {
        let limit = Duration::from_millis(self.time);
        let (before, mut frames) = (processor_time(), 0);
        loop {
            for _ in 0..32 {
                frames += step();
            }
            let time = processor_time() - before;
            if time >= limit {
                assert!(frames > 0, "no frame moves");
                return time.as_nanos() as f64 / frames as f64;
            }
        }
    }

    /// Nanoseconds of a frame of each row. The first run of each warms it up.
    fn costs(&self, rows: &[(&str, Row)]) -> Vec<f64> {
        let mut all: Vec<_> = rows.iter().map(|(_, row)| row.programs()).collect();
        let mut best = vec![f64::MAX; rows.len()];
        for run in 0..=self.runs {
            for (programs, best) in all.iter_mut().zip(&mut best) {
                let cost = self.run(|| counted(programs));
                *best = if run == 0 { f64::MAX } else { best.min(cost) };
            }
        }
        best
    }

    /// Prints a line for each row, whose figures `tell` tells of its cost and that of
    /// copying its frames.
    fn table<const N: usize>(
        &self,
        rows: &[(&str, Row); N],
        mut copies: [Copying; N],
        tell: impl Fn(f64, Shape, f64) -> String,
    ) {
        let costs = self.costs(rows);
        for (((name, row), cost), copying) in rows.iter().zip(costs).zip(&mut copies) {
            let copies = (0..=self.runs).map(|_| self.run(|| copying.step()));
            let copy = copies.skip(1).fold(f64::MAX, f64::min);
            println!("  {name:<32} {cost:>8.1} ns  {}", tell(cost, row.shape, copy));
        }
    }

    /// Million frames a second of as many threads, each with a container.
    fn on_cores(&self, cores: usize) -> f64 {
        let mut programs = Row { containers: cores as u16, ..Row::of(SHAPE) }.programs();
        let (start, mut best) = (Barrier::new(cores), 0.0f64);
        for _ in 0..=self.runs {
            let rates = thread::scope(|scope| {
                let threads: Vec<_> = programs
                    .iter_mut()
                    .map(|program| {
                        let start = &start;
                        scope.spawn(move || {
                            start.wait();
                            1000.0 / self.run(|| program.step())
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
