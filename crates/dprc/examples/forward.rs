// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Forwards frames between the first two interfaces of a container that is bound to
//! `vfio-fsl-mc`: what one receives, the other sends.
//!
//! ```text
//! forward dprc.2 [FRAMES [SECONDS [FIRST]]]
//! ```
//!
//! It ends after FRAMES (10000), or after SECONDS (10). FIRST frames (0) are sent by itself at
//! the start: where the two interfaces are connected with each other, they go round and round.

use dprc::qbman::{DequeueEntry, Fd, Portal, Source};
use dprc::{
    AssignedContainer, Backend, Counters, Dataplane, Frames, Interface, InterfaceConfig, Pool,
};
use std::time::{Duration, Instant};

/// Buffers in all, and bytes of each.
const BUFFERS: usize = 256;
const BUFFER_SIZE: usize = 2048;

/// When to end, and how to begin.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Frames to forward.
    pub frames: u64,
    /// Time after which to end in any case.
    pub time: Duration,
    /// Frames to begin with; 0 where others send.
    pub first: usize,
}

/// What happened.
#[derive(Debug)]
pub struct Figures {
    /// Frames that were forwarded.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How long that took.
    pub time: Duration,
    /// Both interfaces, and what they have counted.
    pub interfaces: [(Interface, Counters); 2],
    /// Buffers that are not in the pool afterwards.
    pub lost: usize,
}

/// Forwards, until a limit is reached.
pub fn forward(container: &dyn Backend, limits: &Limits) -> dprc::Result<Figures> {
    let mut plane = Dataplane::open(container)?;
    let mut portal = plane.portal()?;
    let frames = plane.frames(BUFFERS, BUFFER_SIZE)?;
    let pool = plane.pool(&mut portal, &frames)?;
    let pair = [(); 2].map(|()| plane.interface(&InterfaceConfig::new(pool)));
    let [one, other] = pair;
    let pair = [one?, other?];
    let first = first_frames(&mut portal, &frames, pool, &pair[0], limits.first)?;
    send(&mut portal, &pair[0], &first)?;

    let (start, mut sent, mut bytes) = (Instant::now(), 0, 0);
    let mut received: Vec<DequeueEntry> = Vec::new();
    while sent < limits.frames && start.elapsed() < limits.time {
        for (from, to) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            received.clear();
            let source = Source::Queue(from.receive_queue());
            portal.dequeue(source, portal.most(), &mut received)?;
            bytes += received.iter().map(|entry| u64::from(entry.fd.length())).sum::<u64>();
            let onward: Vec<Fd> = received.iter().map(|entry| entry.fd.to_send_on()).collect();
            send(&mut portal, to, &onward)?;
            sent += onward.len() as u64;
        }
    }
    let time = start.elapsed();
    let lost = BUFFERS - take_all(&mut portal, &frames, pool, &pair)?;
    let [one, other] = pair;
    let counted = [plane.counters(&one)?, plane.counters(&other)?];
    plane.stop()?;
    let interfaces = [(one, counted[0]), (other, counted[1])];
    Ok(Figures { frames: sent, bytes, time, interfaces, lost })
}

/// Hands frames over, again and again where the ring is full.
fn send(portal: &mut Portal, by: &Interface, mut frames: &[Fd]) -> dprc::Result<()> {
    while !frames.is_empty() {
        let taken = portal.enqueue(by.transmit, frames)?;
        frames = &frames[taken..];
    }
    Ok(())
}

/// Numbered frames from an interface's own address to all stations.
fn first_frames(
    portal: &mut Portal,
    frames: &Frames,
    pool: Pool,
    by: &Interface,
    count: usize,
) -> dprc::Result<Vec<Fd>> {
    let mut buffers = vec![0; count.min(BUFFERS / 2)];
    let taken = portal.acquire(pool.number, &mut buffers)?;
    let number = |(n, buffer): (usize, &u64)| {
        let mut frame = vec![0xff; 6];
        frame.extend(by.mac.0);
        // The Ethernet type for local experiments.
        frame.extend([0x88, 0xb5]);
        frame.extend(format!("frame {n} of the dprc example `forward`").bytes());
        frame.resize(frame.len().max(60), 0);
        frames.put(*buffer, by.transmit_offset, &frame, pool.number)
    };
    buffers[..taken].iter().enumerate().map(number).collect()
}

/// Takes what is under way off the interfaces and all buffers out of the pool; how many.
fn take_all(
    portal: &mut Portal,
    frames: &Frames,
    pool: Pool,
    pair: &[Interface; 2],
) -> dprc::Result<usize> {
    let mut found = vec![0; BUFFERS];
    let mut count = 0;
    // Frames that have just been sent may take a moment to arrive.
    for _ in 0..100 {
        let mut waiting = Vec::new();
        for interface in pair {
            let source = Source::Queue(interface.receive_queue());
            portal.dequeue(source, portal.most(), &mut waiting)?;
        }
        for entry in &waiting {
            count += frames.buffers_of(&entry.fd)?.len();
        }
        count += portal.acquire(pool.number, &mut found)?;
        if count >= BUFFERS {
            break;
        }
        if waiting.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(count.min(BUFFERS))
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { frames, bytes, time, interfaces, lost } = self;
        let rate = *frames as f64 / time.as_secs_f64().max(1e-9);
        let seconds = time.as_secs_f64();
        writeln!(f, "{frames} frames, {bytes} bytes in {seconds:.3} s: {rate:.0} frames/s")?;
        for (interface, Counters { received, sent, no_buffer, .. }) in interfaces {
            let object = interface.object;
            writeln!(f, "{object}: {received} received, {sent} sent, {no_buffer} without buffer")?;
        }
        write!(f, "{lost} of {BUFFERS} buffers lost")
    }
}

#[allow(dead_code)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let name = words.next().ok_or("usage: forward dprc.N [FRAMES [SECONDS [FIRST]]]")?;
    let mut number = |default: u64| words.next().map_or(Ok(default), |word| word.parse());
    let (frames, seconds, first) = (number(10_000)?, number(10)?, number(0)?);
    let time = Duration::from_secs(seconds);
    let container = AssignedContainer::open(&name)?;
    let figures = forward(&container, &Limits { frames, time, first: first as usize })?;
    println!("{figures}");
    Ok(())
}
