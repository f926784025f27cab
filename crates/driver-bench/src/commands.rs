// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What MC commands cost: one after the other and of several threads, on one portal
//! and on several, beside a portal that is mapped.

use crate::{
    Outcome, Row,
    bound::{self, Error},
    meter::{Kind, Meter, Scope, row},
};
use dprc::{AssignedContainer, Device, McPortal};
use driver_bench::Unit;
use mc_abi::{Message, ObjectId, Request, Status, Token, Wire, dpbp, dpmng};
use rustix::io::{pread, pwrite};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Threads where there are several.
pub const THREADS: usize = 4;

/// Measures commands of a container that is bound, with several threads where `rounds`
/// are enough for it; `label` says what the MC is like
/// (`delay 20 us`) and becomes a part of the names.
pub fn run(container: &str, kind: &Kind, rounds: u32, label: &str) -> Result<Vec<Row>, Error> {
    let held = AssignedContainer::open(container)?;
    let itself = held.dprc()?;
    let portals: Vec<Device> = bound::objects(&held, "dpmcp")?
        .iter()
        .map(|name| held.device(name))
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    let mut meter = Meter::new(kind, Scope::Thread)?;
    let name = |what: &str| format!("{what}, {label}");

    let mapped = portals.first().ok_or("the container has no dpmcp")?.mapped_portal();
    let mut mapped = mapped?;
    let ask = |portal: &mut McPortal| {
        portal.call(Token::NONE, &dpmng::GetVersion {}).map(drop).map_err(Error::from)
    };
    ask(&mut mapped)?;
    if kind.unit == Unit::Nanoseconds {
        let samples = meter.repeat(rounds, || ask(&mut mapped))?;
        rows.push(row(name("command by a mapped dpmcp (floor)"), samples));
    }
    let command = dpmng::GetVersion {}.message(Token::NONE).to_bytes();
    let mut answer = [0; Message::SIZE];
    let mut exchange = |device: &Device| -> Result<(), Error> {
        pwrite(device, &command, 0)?;
        pread(device, &mut answer, 0)?;
        Ok(())
    };
    exchange(&itself)?;
    rows.push(row(name("command by the dprc"), meter.repeat(rounds, || exchange(&itself))?));
    drop(mapped);
    if rounds < THREADS as u32 * 4 {
        return Ok(rows);
    }

    let one = [&itself; THREADS];
    let several: Vec<&Device> = std::iter::once(&itself).chain(&portals).take(THREADS).collect();
    for (what, devices) in [("one portal", &one[..]), ("several portals", &several)] {
        let each = rounds / devices.len() as u32;
        let result = crowd(&held, kind, devices, each)?;
        let threads = devices.len();
        rows.push(row(name(&format!("{threads} threads, {what}, a command")), result.each));
        rows.push(Row {
            name: name(&format!("{threads} threads, {what}, wrong answers of 1000")),
            outcome: Outcome::Number(result.wrong),
        });
    }
    Ok(rows)
}

/// What several threads came to.
struct Crowd {
    /// All that was counted, divided by the number of commands; one sample a try.
    each: Vec<u64>,
    /// Answers that were not to the question, of a thousand.
    wrong: i64,
}

/// Tries with several threads: the middle one counts.
const TRIES: usize = 5;

/// A thread for each of the devices asks for the attributes of an object of its own.
fn crowd(
    held: &AssignedContainer,
    kind: &Kind,
    devices: &[&Device],
    each: u32,
) -> Result<Crowd, Error> {
    let mut questions = Vec::new();
    for (device, name) in devices.iter().zip(bound::objects(held, "dpbp")?) {
        let object: ObjectId = name.parse().map_err(|e| format!("{name}: {e}"))?;
        questions.push((*device, object, device.portal()?.open(object)?));
    }
    let (wrong, asked) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut samples = Vec::new();
    for _ in 0..TRIES {
        let mut meter = Meter::new(kind, Scope::Threads)?;
        // Threads that do nothing, to be taken off.
        let mut run = |count: u32| -> Result<u64, Error> {
            let start = meter.start()?;
            thread::scope(|scope| -> Result<(), Error> {
                let threads: Vec<_> = questions
                    .iter()
                    .map(|&(device, object, open)| {
                        let (wrong, asked) = (&wrong, &asked);
                        scope.spawn(move || {
                            let bad = ask_often(device, object.id, open.token, count)?;
                            wrong.fetch_add(u64::from(bad), Ordering::Relaxed);
                            asked.fetch_add(u64::from(count), Ordering::Relaxed);
                            Ok::<(), rustix::io::Errno>(())
                        })
                    })
                    .collect();
                for thread in threads {
                    thread.join().map_err(|_| "a thread has panicked")??;
                }
                Ok(())
            })?;
            Ok(meter.since(start)?)
        };
        let nothing = run(0)?;
        let all = run(each)?;
        let commands = u64::from(each).saturating_mul(questions.len() as u64).max(1);
        samples.push(all.saturating_sub(nothing) / commands);
    }
    for (device, _, open) in questions {
        // What other threads left in the portal may spoil this, too; the container's
        // close forgets the tokens.
        let _ = device.portal()?.close(open);
    }
    let (wrong, asked) = (wrong.into_inner(), asked.into_inner().max(1));
    Ok(Crowd { each: samples, wrong: i64::try_from(wrong.saturating_mul(1000) / asked)? })
}

/// Asks for a dpbp's attributes so many times; how many answers were not about it.
fn ask_often(device: &Device, id: u32, token: Token, count: u32) -> rustix::io::Result<u32> {
    let question = dpbp::GetAttributes {};
    let version = dpbp::GetAttributes::MAX_VERSION;
    let command = question.message_version(token, version).to_bytes();
    let mut wrong = 0;
    for _ in 0..count {
        pwrite(device, &command, 0)?;
        let mut answer = [0; Message::SIZE];
        pread(device, &mut answer, 0)?;
        let answer = Message::from_bytes(&answer);
        let right = answer.header.status() == Status::Ok
            && <dpbp::GetAttributes as Request>::Reply::decode(&answer.params, version)
                .is_ok_and(|reply| reply.id == id);
        wrong += u32::from(!right);
    }
    Ok(wrong)
}
