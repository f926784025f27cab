// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How soon a software portal answers, in the measure that its clients have: looks at the place in
//! memory where the answer comes. Linux looks 2,000 times for that of a management command
//! and 1,000 times for that of a volatile dequeue, DPDK 1,000 times for that of a command.

use crate::cli::Answers;
use dprc::qbman::Source;
use dprc::{AssignedContainer, Backend, Dataplane, DmaBuffer, Mapped, MappedRegion};
use fsl_mc_linux::dma_fence;
use guest_agent::Failure;
use qbman_abi::management::{on_queue, results, verbs};
use qbman_abi::{DequeueEntry, Entry, Rings, VALID, VolatileDequeue, registers};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const RINGS: Rings = Rings::MEMORY_BACKED;
/// Looks of the least patient client.
const ALLOWED: u64 = 1_000;
/// An answer that does not come in this time does not come at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Dequeue entries carry it.
const TOKEN: u8 = 1;

/// Looks that answers took.
#[derive(Debug, Default)]
struct Looks {
    answers: u64,
    late: u64,
    most: u64,
    sum: u64,
}

impl Looks {
    fn add(&mut self, looks: u64) {
        self.answers += 1;
        self.late += u64::from(looks > ALLOWED);
        self.most = self.most.max(looks);
        self.sum += looks;
    }

    fn print(&self, what: &str) {
        let Self { answers, late, most, sum } = self;
        println!("{what}: {answers} answers, {most} looks at most, {sum} in all, {late} late");
    }
}

/// A portal with a queue that is its container's.
struct Portal {
    memory: MappedRegion,
    registers: MappedRegion,
    storage: Mapped,
    queue: u32,
    channel: u16,
    valid: u8,
}

/// Sends commands and dequeues by turns, and prints how soon each kind was answered.
pub fn run(options: &Answers) -> Result<(), Failure> {
    let held = AssignedContainer::open(&options.container)?;
    let mut plane = Dataplane::open(&held)?;
    // It sets the portal up; from then on the rings are used past it.
    let mut portal = plane.portal()?;
    let frames = plane.frames(16, 2048)?;
    let pool = plane.pool(&mut portal, &frames)?;
    let interface = plane.interface(&dprc::InterfaceConfig::new(pool))?;
    let channel = plane.channel()?;
    let object = portal.object();
    let mut portal = Portal {
        memory: held.map_region(object, 2)?,
        registers: held.map_region(object, 1)?,
        storage: plane.map(DmaBuffer::allocate(rustix::param::page_size())?)?,
        queue: interface.receive_queue(),
        channel: channel.number,
        valid: 0,
    };
    // The library has sent commands through the portal: the next valid bit is not that of
    // the first command.
    portal.valid = portal.next_valid()?;

    let (mut commands, mut dequeues) = (Looks::default(), Looks::default());
    let over = AtomicBool::new(false);
    let start = Instant::now();
    let outcome = thread::scope(|scope| {
        for _ in 0..options.busy {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let outcome = (0..options.count).try_for_each(|number| {
            match number % 2 {
                0 => commands.add(portal.command()?),
                _ => dequeues.add(portal.dequeue(number % 4 == 1)?),
            }
            Ok::<(), Failure>(())
        });
        over.store(true, Ordering::Relaxed);
        outcome
    });
    outcome?;
    commands.print("commands");
    dequeues.print("dequeues");
    println!("{:.1} s", start.elapsed().as_secs_f64());
    plane.stop()?;
    match commands.late + dequeues.late {
        0 => Ok(()),
        late => Err(Failure::new(
            "answers in time",
            format!("{late} came after more than {ALLOWED} looks"),
            "Clients give up by then",
        )),
    }
}

impl Portal {
    /// The valid bit of the next command: the other one than that of the last answer.
    fn next_valid(&self) -> Result<u8, Failure> {
        let word: u64 = self.memory.load(RINGS.rr[0] as usize)?;
        Ok(word.to_le_bytes()[0] & VALID ^ VALID)
    }

    /// A query of a queue; looks until it was answered.
    fn command(&mut self) -> Result<u64, Failure> {
        let mut entry = on_queue(verbs::QUEUE_STATE_QUERY, self.queue);
        entry[0] |= self.valid;
        self.valid ^= VALID;
        self.hand_over(RINGS.cr, &entry, registers::CR_RT)?;
        let memory = &self.memory;
        let looks = looks_until("a management command", || {
            Ok(memory.load::<u64>(RINGS.rr[0] as usize)?.to_le_bytes()[0] == entry[0])
        })?;
        let result = memory.load::<u64>(RINGS.rr[0] as usize)?.to_le_bytes()[1];
        if result != results::OK {
            let answer = format!("{result:#04x}");
            return Err(Failure::new("a query of an own queue", answer, "It is refused"));
        }
        Ok(looks)
    }

    /// A volatile dequeue of what is empty, a queue or a channel; looks until it was answered.
    fn dequeue(&mut self, of_queue: bool) -> Result<u64, Failure> {
        let source = match of_queue {
            true => Source::Queue(self.queue),
            false => Source::Channel(self.channel.into()),
        };
        let Some(command) = VolatileDequeue::new(source, 1, TOKEN, self.storage.iova()) else {
            return Ok(0);
        };
        let mut entry = command.to_bytes();
        // Of which no dequeue was made before: the first one's valid bit is set.
        entry[0] |= self.pull_valid();
        let storage = &self.storage;
        storage.store(0, 0_u64);
        self.hand_over(RINGS.vdqcr, &entry, registers::VDQCR_RT)?;
        looks_until("a volatile dequeue", || {
            Ok(storage.load::<u8>(DequeueEntry::TOKEN) == Some(TOKEN))
        })
    }

    /// The valid bit of the next dequeue: the other one than that of the last command.
    fn pull_valid(&self) -> u8 {
        let word: u64 = self.memory.load(RINGS.vdqcr as usize).unwrap_or_default();
        word.to_le_bytes()[0] & VALID ^ VALID
    }

    fn hand_over(&self, at: u64, entry: &Entry, doorbell: u64) -> Result<(), Failure> {
        for (n, word) in entry.chunks_exact(8).enumerate().rev() {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            if n == 0 {
                dma_fence();
            }
            self.memory.store(at as usize + 8 * n, u64::from_le_bytes(bytes))?;
        }
        dma_fence();
        Ok(self.registers.store(doorbell as usize, registers::READ_TRIGGER)?)
    }
}

/// Looks that it took after the first.
fn looks_until(what: &str, mut so: impl FnMut() -> Result<bool, Failure>) -> Result<u64, Failure> {
    let mut looks = 0;
    let mut start = None;
    while !so()? {
        looks += 1;
        // The clock is looked at only when it is too late anyhow.
        if looks > ALLOWED {
            let since = *start.get_or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE {
                let waited = format!("none in {PATIENCE:?}");
                return Err(Failure::new(format!("an answer to {what}"), waited, ""));
            }
        }
    }
    Ok(looks)
}
