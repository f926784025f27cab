// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The attack: the container is set up as a program would, then misused, and set up again.

use crate::addresses::Addresses;
use crate::commands::{Known, Maker};
use crate::report::Report;
use crate::target::{Doorbells, Portal};
use dprc::{Backend, Channel, Dataplane, InterfaceConfig, Mapped, Pool, Result, RxDestination};
use mc_abi::common::{Disable, Enable, Reset};
use mc_abi::{ObjectId, ObjectType, dpbp, dpcon};
use mc_attack::Random;
use qbman_abi::management::{acquire, acquired_buffers, id, on_queue, results, verbs};
use qbman_abi::{ReleaseCommand, Target, registers};
use std::ops::Range;
use std::time::Instant;

/// Bytes of the attacker's own memory.
pub const MEMORY_SIZE: usize = 1 << 20;
/// Bytes of a buffer in it.
const BUFFER: u16 = 2048;

/// Steps after which portals are reset: stores to any register switch much of them off.
const ROUND: u64 = 256;
/// Steps at the end of a round in which any register and all of the portal's memory are
/// written.
const WILD: u64 = 64;
/// Rounds after which all objects are set up again.
const ROUNDS: u64 = 8;

/// Registers that mean something.
const REGISTERS: [u64; 19] = [
    registers::EQCR_PI,
    registers::EQCR_CI,
    registers::EQAR,
    registers::CR_RT,
    registers::VDQCR_RT,
    registers::EQCR_AM_RT,
    registers::RCR_AM_RT,
    registers::DQPI,
    registers::DQRR_ITR,
    registers::DCAP,
    registers::SDQCR,
    registers::EQCR_AM_RT2,
    registers::RCR_PI,
    registers::RAR,
    registers::CFG,
    registers::ISR,
    registers::IER,
    registers::IIR,
    registers::ITPR,
];

/// Choices of an attack.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where all choices come from.
    pub seed: u64,
    /// Memory that must not be hit.
    pub spared: Vec<Range<u64>>,
}

/// An attacker with a container and memory of its own, mapped for it.
#[derive(Debug)]
pub struct Attack<'b> {
    backend: &'b dyn Backend,
    memory: Mapped,
    maker: Maker,
    report: Report,
}

impl<'b> Attack<'b> {
    /// Somebody who has a container, and [`MEMORY_SIZE`] bytes that it reaches.
    pub fn new(backend: &'b dyn Backend, memory: Mapped, options: &Options) -> Self {
        let own = memory.iova()..memory.iova() + memory.size();
        let addresses = Addresses { own, spared: options.spared.clone() };
        let known = Known::default();
        let maker = Maker { random: Random(options.seed), known, addresses };
        Self { backend, memory, maker, report: Report::default() }
    }

    /// Attacks, until so many steps are done.
    ///
    /// # Errors
    /// Where a portal does not answer after it has been reset, gives out buffers of another's
    /// pool, or where the Management Complex refuses what any program asks for.
    pub fn run(mut self, steps: u64) -> Result<Report> {
        let start = Instant::now();
        while self.report.steps < steps {
            self.campaign(steps)?;
        }
        self.report.took = start.elapsed();
        Ok(self.report)
    }

    /// Sets all up, misuses it for some rounds, and switches it off.
    fn campaign(&mut self, steps: u64) -> Result<()> {
        let mut plane = Dataplane::open(self.backend)?;
        let objects: Vec<ObjectId> = plane.objects().collect();
        let of = |kind| objects.iter().copied().filter(move |object| object.kind == kind);
        self.maker.known = Known::default();
        self.fill_memory();
        let mut portals = Vec::new();
        for object in of(ObjectType::Dpio) {
            portals.push(Portal::open(self.backend, object)?);
        }
        let mut pools = Vec::new();
        for object in of(ObjectType::Dpbp) {
            let mut open = plane.mc().session(object)?;
            open.call(&Reset {})?;
            open.call(&Enable {})?;
            let number = open.call(&dpbp::GetAttributes {})?.bpid;
            open.close()?;
            self.maker.known.pools.push(number);
            pools.push(Pool { object, number, buffer_size: BUFFER });
        }
        let channels = self.channels(&mut plane, &objects)?;
        self.interfaces(&mut plane, &objects, &pools, &channels)?;
        for round in 0..ROUNDS {
            if self.report.steps >= steps {
                break;
            }
            let doorbells = if round % 2 == 0 { Doorbells::Index } else { Doorbells::Array };
            for portal in &mut portals {
                self.restart(&mut plane, portal, doorbells)?;
            }
            for step in 0..ROUND {
                let at = self.maker.random.below(portals.len());
                let Some(portal) = portals.get_mut(at) else { break };
                self.step(portal, step + WILD >= ROUND)?;
            }
            self.report.steps += ROUND;
        }
        plane.stop()?;
        for pool in pools {
            let mut open = plane.mc().session(pool.object)?;
            open.call(&Disable {})?;
            open.close()?;
        }
        Ok(())
    }

    fn channels(
        &mut self,
        plane: &mut Dataplane<'_>,
        objects: &[ObjectId],
    ) -> Result<Vec<Channel>> {
        let first = |kind| objects.iter().find(|object| object.kind == kind);
        let mut channels = Vec::new();
        for _ in objects.iter().filter(|object| object.kind == ObjectType::Dpcon) {
            let channel = plane.channel()?;
            self.maker.known.channels.push(channel.number);
            if let Some(portal) = first(ObjectType::Dpio) {
                let mut open = plane.mc().session(channel.object)?;
                let (dpio_id, user_ctx) = (portal.id, self.maker.random.word());
                open.call(&dpcon::SetNotification { dpio_id, priority: 0, user_ctx })?;
                open.close()?;
            }
            channels.push(channel);
        }
        Ok(channels)
    }

    /// Interfaces, every second one of which has its frames in a channel.
    fn interfaces(
        &mut self,
        plane: &mut Dataplane<'_>,
        objects: &[ObjectId],
        pools: &[Pool],
        channels: &[Channel],
    ) -> Result<()> {
        let interfaces = objects.iter().filter(|object| object.kind == ObjectType::Dpni);
        for (n, _) in interfaces.enumerate() {
            let Some(pool) = pools.get(n % pools.len().max(1)) else { break };
            let mut config = InterfaceConfig::new(*pool);
            if let (1, Some(channel)) = (n % 2, channels.get(n % channels.len().max(1))) {
                config.destination = RxDestination::Channel(*channel);
            }
            let interface = plane.interface(&config)?;
            let known = &mut self.maker.known;
            known.queues.extend(&interface.receive_queues);
            known.queues.push(interface.transmit_queue);
            known.destinations.push(interface.transmit);
            // The numbers of others are near.
            if let Target::Destination { id, bin, priority } = interface.transmit {
                for id in [id.wrapping_sub(1), id + 1] {
                    known.destinations.push(Target::Destination { id, bin, priority });
                }
            }
        }
        Ok(())
    }

    /// Frames to all stations, in every buffer: what is sent arrives somewhere.
    fn fill_memory(&mut self) {
        let random = &mut self.maker.random;
        for at in (0..self.memory.size() as usize).step_by(8) {
            let word = if at % 256 == 0 { u64::MAX } else { random.word() };
            // Inside, and aligned.
            let _ = self.memory.store(at, word);
        }
    }

    /// Resets a portal and looks whether it is as any other then; gives pools some buffers.
    fn restart(
        &mut self,
        plane: &mut Dataplane<'_>,
        portal: &mut Portal,
        doorbells: Doorbells,
    ) -> Result<()> {
        let mut open = plane.mc().session(portal.object)?;
        open.call(&Reset {})?;
        open.call(&Enable {})?;
        open.close()?;
        portal.set_up(doorbells)?;
        if let Some(queue) = self.maker.known.queues.first() {
            let answer = portal.ask(&on_queue(verbs::QUEUE_STATE_QUERY, *queue))?;
            if answer[1] != results::OK {
                return Err(dprc::Error::PortalRefused {
                    portal: portal.object.to_string(),
                    command: "QueryQueue",
                    of: format!("its own frame queue {queue}, after a reset"),
                    result: answer[1],
                });
            }
        }
        for pool in self.maker.known.pools.clone() {
            let mut buffers = [0; ReleaseCommand::MOST];
            for buffer in &mut buffers {
                *buffer = self.maker.addresses.inside(&mut self.maker.random, u64::from(BUFFER));
            }
            let count = buffers.len() as u8;
            let command = ReleaseCommand { pool, buffers, count, interrupt: false };
            portal.release(&command.to_bytes(0))?;
        }
        Ok(())
    }

    fn step(&mut self, portal: &mut Portal, wild: bool) -> Result<()> {
        let kinds = if wild { 16 } else { 12 };
        let what = match self.maker.random.below(kinds) {
            0..=3 => {
                let mut tables = Vec::new();
                let count = 1 + self.maker.random.below(8);
                let entries: Vec<_> = (0..count).map(|_| self.maker.enqueue(&mut tables)).collect();
                for (address, table) in tables {
                    // Tables lie inside, as `Maker` has it.
                    let _ = self.memory.write((address - self.memory.iova()) as usize, &table);
                }
                portal.enqueue(&entries)?;
                "enqueue"
            }
            4 | 5 => {
                portal.release(&self.maker.release())?;
                "release"
            }
            6 => {
                self.acquire(portal)?;
                "acquire"
            }
            7 | 8 => {
                let command = self.maker.manage();
                let answer = portal.manage(&command)?;
                self.note(portal, &command, answer)?;
                "manage"
            }
            9 => {
                portal.dequeue(&self.maker.dequeue())?;
                "dequeue"
            }
            10 => {
                // Channels push into the ring, or an entry of it is consumed.
                let value = self.maker.random.word() as u32;
                match self.maker.random.one_in(3) {
                    true => portal.set(registers::SDQCR, value)?,
                    false => portal.set(registers::DCAP, value & 0x10f)?,
                }
                "consume"
            }
            11 => {
                let register = self.register();
                portal.get(register)?;
                "load"
            }
            12 | 13 => {
                let (register, value) = (self.register(), self.maker.random.word());
                match self.maker.random.one_in(4) && register % 8 == 0 {
                    true => portal.registers.store(register as usize, value)?,
                    false => portal.set(register, value as u32)?,
                }
                "store"
            }
            _ => {
                let places = portal.memory.size() as u64 / 64;
                let at = 64 * self.maker.random.below(places as usize) as u64;
                portal.put(at, &self.maker.bytes())?;
                "scribble"
            }
        };
        self.report.count(what);
        Ok(())
    }

    fn register(&mut self) -> u64 {
        let random = &mut self.maker.random;
        match random.one_in(3) {
            true => random.below(0x1000) as u64 & !3,
            false => random.pick(&REGISTERS) + 4 * random.below(4) as u64,
        }
    }

    fn acquire(&mut self, portal: &mut Portal) -> Result<()> {
        let pool = self.maker.pool().0;
        let command = acquire(pool, 1 + self.maker.random.below(7) as u8);
        let answer = portal.manage(&command)?;
        self.note(portal, &command, answer)
    }

    /// Counts an answer. Buffers out of a pool that is another's must not be in it.
    fn note(
        &mut self,
        portal: &Portal,
        command: &qbman_abi::Entry,
        answer: Option<qbman_abi::Entry>,
    ) -> Result<()> {
        let Some(answer) = answer else {
            self.report.unanswered += 1;
            return Ok(());
        };
        *self.report.answers.entry(answer[1]).or_default() += 1;
        let pool = id(command);
        let taken = command[0] == verbs::ACQUIRE
            && answer[1] == results::OK
            && acquired_buffers(&answer).1 > 0;
        if taken && !self.maker.known.pools.contains(&pool) {
            return Err(dprc::Error::PortalState {
                portal: portal.object.to_string(),
                what: format!("it gives out buffers of pool {pool}, which is another's"),
            });
        }
        Ok(())
    }
}
