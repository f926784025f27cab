// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Receives frames without polling: a channel collects them, a portal's interrupt says that
//! there are some. The container is bound to `vfio-fsl-mc`, and its first two interfaces are
//! connected with each other: one sends a frame, the other wakes the program up.
//!
//! ```text
//! wait dprc.2 [ROUNDS]
//! ```

use dprc::qbman::{Pushed, Source};
use dprc::{AssignedContainer, Backend, Dataplane, InterfaceConfig, RxDestination};
use std::time::{Duration, Instant};

/// Comes with each notification.
const CONTEXT: u64 = 0xc0ffee;

/// What happened.
#[derive(Debug, Default)]
pub struct Woken {
    /// Times that the interrupt came.
    pub interrupts: u64,
    /// Notifications of the channel that were there then.
    pub notifications: u64,
    /// Frames that were in the channel then.
    pub frames: u64,
    /// The longest time from sending a frame to its receipt.
    pub longest: Duration,
}

/// Sends so many frames, one after the other, and waits for each to be received, but no longer
/// than `patience`.
pub fn wait(container: &dyn Backend, rounds: u64, patience: Duration) -> dprc::Result<Woken> {
    let mut plane = Dataplane::open(container)?;
    let mut portal = plane.portal()?;
    let channel = plane.channel()?;
    let frames = plane.frames(16, 2048)?;
    let pool = plane.pool(&mut portal, &frames)?;
    let sender = plane.interface(&InterfaceConfig::new(pool))?;
    let destination = RxDestination::Channel(channel);
    plane.interface(&InterfaceConfig { destination, ..InterfaceConfig::new(pool) })?;
    let interrupt = container.enable_interrupt(portal.object(), 0)?;
    plane.notify(channel, &mut portal, CONTEXT)?;

    let mut woken = Woken::default();
    for _ in 0..rounds {
        portal.arm_interrupt()?;
        let mut buffer = [0];
        portal.acquire(pool.number, &mut buffer)?;
        let fd = frames.put(buffer[0], sender.transmit_offset, &[0xff; 60], pool.number)?;
        let start = Instant::now();
        while portal.enqueue(sender.transmit, &[fd])? == 0 {}

        woken.interrupts += interrupt.events().wait(patience)?;
        while let Some(pushed) = portal.take()? {
            let ours = matches!(pushed, Pushed::Notice(notice) if notice.context == CONTEXT);
            woken.notifications += u64::from(ours);
        }
        let mut received = Vec::new();
        let source = Source::Channel(channel.number.into());
        woken.frames += portal.dequeue(source, portal.most(), &mut received)? as u64;
        woken.longest = woken.longest.max(start.elapsed());
        for entry in &received {
            for (pool, buffer) in frames.buffers_of(&entry.fd)? {
                while portal.release(pool, &[buffer])? == 0 {}
            }
        }
        // The notification has disarmed the channel.
        portal.notify(channel.number, true, None)?;
    }
    interrupt.disable()?;
    plane.stop()?;
    Ok(woken)
}

impl std::fmt::Display for Woken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { interrupts, notifications, frames, longest } = self;
        write!(
            f,
            "{interrupts} interrupts, {notifications} notifications, {frames} frames; at most \
             {longest:.0?} from sending to receipt"
        )
    }
}

#[allow(dead_code)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let name = words.next().ok_or("usage: wait dprc.N [ROUNDS]")?;
    let rounds = words.next().map_or(Ok(10), |word| word.parse())?;
    let container = AssignedContainer::open(&name)?;
    println!("{}", wait(&container, rounds, Duration::from_secs(5))?);
    Ok(())
}
