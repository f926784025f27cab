// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A worker process: threads that make calls until the process has lived long
//! enough, or somebody ends it.

use crate::caller::{Caller, FLICKER_PAGES, MAPS, Memory, Setup, mix};
use crate::memory::{Area, catch_faults};
use crate::shared::{Process, Shared};
use crate::steps;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

/// How many steps the first thread of a process makes.
const LIFE: std::ops::Range<u64> = 300..30_000;

/// Which process this is: its place among the workers, and how many there were
/// before it.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Place among the workers.
    pub index: usize,
    /// Processes before it.
    pub generation: u64,
}

/// Lives the life of a worker process.
pub fn live(setup: &Setup, shared: &'static Shared, identity: Identity) -> io::Result<()> {
    let process = &shared.processes[identity.index];
    process.id.store(std::process::id() as i32, Relaxed);
    catch_faults()?;
    let flicker = Area::new(FLICKER_PAGES)?;
    let mut callers = Vec::new();
    for thread in 0..setup.threads {
        callers.push(caller(setup, shared, process, identity, thread, flicker)?);
    }
    let mut own = random(setup, identity, setup.threads as u64 + 1);
    let life = own.u64(LIFE);
    let ended = std::thread::scope(|scope| {
        let threads: Vec<_> = callers
            .into_iter()
            .enumerate()
            .map(|(number, caller)| {
                let life = if number == 0 { life } else { u64::MAX };
                std::thread::Builder::new().spawn_scoped(scope, move || thread(caller, life))
            })
            .collect();
        let mut first = None;
        for thread in threads {
            let caller = thread?.join().map_err(|_| io::Error::other("a thread panicked"))?;
            first = first.or(Some(caller));
        }
        io::Result::Ok(first)
    })?;
    if let Some(mut caller) = ended {
        // The others have left their files and maps: the kernel closes them at the end.
        if own.bool() {
            steps::close_all(&mut caller);
        }
        shared.vacate(caller.slot_number);
    }
    Ok(())
}

fn random(setup: &Setup, identity: Identity, party: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(mix(setup.seed, [identity.index as u64, identity.generation, party]))
}

fn caller<'a>(
    setup: &'a Setup,
    shared: &'static Shared,
    process: &'static Process,
    identity: Identity,
    thread: usize,
    flicker: Area,
) -> io::Result<Caller<'a>> {
    let slot_number = shared.slot_of(identity.index, thread, false);
    Ok(Caller {
        setup,
        shared,
        process,
        slot_number,
        slot: &shared.slots[slot_number],
        random: random(setup, identity, thread as u64),
        memory: Memory::new(flicker)?,
        maps: [None; MAPS],
        child: None,
        is_child: false,
    })
}

/// Makes steps until it is over; the first thread ends the process after `life` of
/// them.
fn thread(mut caller: Caller<'_>, life: u64) -> Caller<'_> {
    caller.slot.try_lock();
    for _ in 0..life {
        if caller.is_over() {
            break;
        }
        steps::make(&mut caller);
    }
    caller.process.ending.store(true, Relaxed);
    steps::end_child(&mut caller);
    if caller.random.bool() {
        steps::unmap_all(&mut caller);
    }
    caller
}
