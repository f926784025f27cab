// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the driver adds to the time that the MC takes for a command, by the guest's clock.
//!
//! The board holds [`Held`] until another command comes ([`Release`]), which this program
//! sends when the delay is over: on a processor of its own, so that no timer that it waits
//! with wakes who waits for the answer on the other one.

use crate::{
    Row,
    bound::{self, Error},
    meter::row,
};
use dprc::{AssignedContainer, Device, MappedRegion, McPortal};
use mc_abi::{Header, Message, Request, Status, Token, dpmng};
use rustix::{
    io::{pread, pwrite},
    thread::{CpuSet, sched_setaffinity, set_current_timer_slack as set_timer_slack},
    time::{ClockId, Timespec, clock_gettime},
};
use std::{
    num::NonZeroU64,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

/// What the board holds. Neither Linux nor a driver sends it once the bus is there.
type Held = dpmng::GetSocVersion;
/// What has it executed.
type Release = dpmng::GetVersion;

/// The processor of who sends the command and waits for the answer.
const ASKER: usize = 0;
/// The processor of who says when the answer comes.
const RELEASER: usize = 1;
/// From the order for an answer to the command: nanoseconds.
const LEAD: u64 = 200_000;
/// For how much of it the asker does not sleep: it is awake when the time comes.
const AWAKE: u64 = 30_000;
/// How many orders in a row may be too late for that.
const TRIES: u32 = 20;
/// Between two looks at a portal: nanoseconds. A look costs the guest no time and the host
/// much.
const BETWEEN_LOOKS: u64 = 500;
/// When what the board still holds is released: the command came after the order's time.
const AGAIN: Duration = Duration::from_millis(20);

/// Measures delays of so many microseconds, each `rounds` times.
pub fn run(container: &str, rounds: u32, delays: &[u64]) -> Result<Vec<Row>, Error> {
    let held = AssignedContainer::open(container)?;
    let itself = held.dprc()?;
    let mut portals = bound::objects(&held, "dpmcp")?.into_iter();
    let mut another = || -> Result<Device, Error> {
        let name = portals.next().ok_or("the container has not two dpmcps")?;
        Ok(held.device(&name)?)
    };
    let (releasing, looking) = (another()?, another()?);
    let mut releaser = releasing.mapped_portal()?;
    let looked_at = looking.map_region(0)?;
    // What is first maps pages.
    releaser.call(Token::NONE, &Release {})?;
    let _: u64 = looked_at.load(0)?;

    let (ask, orders) = sync_channel(0);
    let (answer, answers) = sync_channel(1);
    thread::scope(|scope| {
        let releases = scope.spawn(move || release(&mut releaser, &orders, &answer));
        let mut clock = Clock { orders: ask, answers };
        let rows = clock.rows(&itself, &looked_at, rounds, delays);
        drop(clock);
        releases.join().map_err(|_| "a thread has panicked")??;
        rows
    })
}

/// Sends [`Release`] at the times that are asked for, and says when.
fn release(
    portal: &mut McPortal,
    orders: &Receiver<u64>,
    answer: &SyncSender<u64>,
) -> Result<(), String> {
    run_on(RELEASER).map_err(|e| e.to_string())?;
    set_timer_slack(NonZeroU64::new(1)).map_err(|e| e.to_string())?;
    loop {
        match orders.recv_timeout(AGAIN) {
            Ok(at) => {
                wait_until(at);
                let released = now();
                portal.call(Token::NONE, &Release {}).map_err(|e| e.to_string())?;
                answer.send(released).map_err(|e| e.to_string())?;
            }
            Err(RecvTimeoutError::Timeout) => {
                portal.call(Token::NONE, &Release {}).map_err(|e| e.to_string())?;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// The end that asks.
struct Clock {
    orders: SyncSender<u64>,
    answers: Receiver<u64>,
}

impl Clock {
    fn rows(
        &mut self,
        itself: &Device,
        looked_at: &MappedRegion,
        rounds: u32,
        delays: &[u64],
    ) -> Result<Vec<Row>, Error> {
        run_on(ASKER)?;
        set_timer_slack(NonZeroU64::new(1))?;
        let command = Held {}.message(Token::NONE).to_bytes();
        let mut rows = Vec::new();
        for delay in delays {
            // Nobody is quicker than who does nothing but look.
            let samples = self.repeat(rounds, *delay, || look(looked_at, &command))?;
            rows.push(row(format!("mapped portal (floor), MC takes {delay} us"), samples));
            let mut answer = [0; Message::SIZE];
            let samples = self.repeat(rounds, *delay, || {
                pwrite(itself, &command, 0)?;
                pread(itself, &mut answer, 0)?;
                Ok(Message::from_bytes(&answer).header.status())
            })?;
            rows.push(row(format!("the driver, MC takes {delay} us"), samples));
        }
        Ok(rows)
    }

    /// How long after the answer was there `ask` returned, each time.
    fn repeat(
        &mut self,
        rounds: u32,
        delay: u64,
        mut ask: impl FnMut() -> Result<Status, Error>,
    ) -> Result<Vec<u64>, Error> {
        let mut samples = Vec::new();
        // How long the releaser takes to wake up.
        let mut late = 0;
        let mut tries = 0;
        while samples.len() <= rounds as usize {
            let start = now().saturating_add(LEAD);
            let order = start.saturating_add(delay.saturating_mul(1000)).saturating_sub(late);
            self.orders.send(order)?;
            // Where processors take turns, the other one gets its turn now.
            wait_until(start.saturating_sub(AWAKE));
            while now() < start {
                std::hint::spin_loop();
            }
            let sent = now();
            let status = ask()?;
            let end = now();
            let released = self.answers.recv()?;
            tries += 1;
            if released < sent && tries < TRIES {
                continue;
            }
            tries = 0;
            if status != Status::Ok || released < sent || end < released {
                return Err(format!(
                    "{status:?} at {end} ns, for what the MC had from {sent} to {released} ns: does \
                     the board hold the command?"
                )
                .into());
            }
            late = released.saturating_sub(order).min(AWAKE);
            samples.push(end - released);
        }
        // With the first one, that was not known.
        Ok(samples.split_off(1))
    }
}

/// Sends a command by a portal that is mapped and looks until the answer is there.
fn look(portal: &MappedRegion, command: &[u8; Message::SIZE]) -> Result<Status, Error> {
    for (index, word) in command.chunks_exact(8).enumerate().rev() {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        portal.store(8 * index, word)?;
    }
    loop {
        let status = Header(portal.load(0)?).status();
        if status != Status::Ready {
            return Ok(status);
        }
        let next = now().saturating_add(BETWEEN_LOOKS);
        while now() < next {
            std::hint::spin_loop();
        }
    }
}

fn run_on(processor: usize) -> rustix::io::Result<()> {
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(None, &only)
}

/// Nanoseconds of CLOCK_MONOTONIC.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec
        .unsigned_abs()
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec.unsigned_abs())
}

fn wait_until(at: u64) {
    let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
    let at = Timespec { tv_sec: seconds as i64, tv_nsec: nanos as i64 };
    // A signal, of which this program gets none, would make it early, which is seen.
    let _ = rustix::thread::clock_nanosleep_absolute(ClockId::Monotonic, &at);
}
