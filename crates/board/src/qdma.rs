// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The DMA engine (qDMA): copies memory as frame lists in its request queues say,
//! and puts each request into the queue of answers when it is done.
//!
//! A request is a frame descriptor in the format of lists, whose list has three
//! entries, as Linux (`dpaa2-qdma.c`) and DPDK (`dpaa2_qdma.c`) build it: source and
//! destination descriptors, the source, the destination. Source and destination
//! are single buffers or scatter/gather tables. All of it is reached through the
//! SMMU, whatever the descriptors say of bypassing it.
//!
//! Not there, and answered with an error in the descriptor: the short format, strides,
//! and commands that route by port.

use crate::{
    fabric::{Dma, Engine, Pass},
    smmu::Stream,
    wriop::Queues,
};
use parking_lot::{Mutex, RwLock};
use qbman_abi::{Fd, Format, SgEntry, annotation::control};
use std::{collections::HashMap, sync::Arc};

/// Requests that a thread executes before it looks after the rest of its pass.
const BUDGET: usize = 32;
/// Bytes that it copies before that; the last request may take more.
const BYTES_BUDGET: u64 = 2 << 20;
/// Entries of a list.
const ENTRIES: usize = 3;
/// Bytes of a source or destination descriptor.
const DESCRIPTOR: usize = 16;
/// Most entries of a table; DPDK has 64 (`DPAA2_QDMA_MAX_SG_NB`).
const MOST_PIECES: usize = 64;
/// Longest copy, bytes: what the length of a buffer has bits for in the short format.
/// Chosen.
const MOST_BYTES: u64 = 1 << 26;
/// Bit of the frame context: the short format.
const SHORT_FORMAT: u32 = 1 << 11;

/// An interface to the engine (`dpdmai`) as the engine needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DmaConfig {
    /// Isolation id of the container that holds it: whatever it touches in memory
    /// goes with it.
    pub icid: u16,
    /// Whether it takes requests.
    pub enabled: bool,
    /// Its queues, the more urgent ones first.
    pub pairs: Vec<DmaPair>,
}

/// A queue of requests and that of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaPair {
    /// Queue of requests.
    pub requests: u32,
    /// Queue of answers.
    pub answers: u32,
}

/// The engine. All methods may be called from any thread.
#[derive(Debug, Default)]
pub struct Qdma {
    interfaces: RwLock<HashMap<u32, Arc<Interface>>>,
}

#[derive(Debug, Default)]
struct Interface {
    config: RwLock<DmaConfig>,
    /// Held while requests are executed: those of a queue stay in order.
    executing: Mutex<()>,
}

impl Qdma {
    /// Sets up an interface, or takes it away. When this returns, no request is
    /// executed with what was there before.
    pub fn configure(&self, id: u32, config: Option<DmaConfig>) {
        let Some(config) = config else {
            let gone = self.interfaces.write().remove(&id);
            if let Some(interface) = gone {
                *interface.config.write() = DmaConfig::default();
            }
            return;
        };
        let known = self.interfaces.read().get(&id).cloned();
        let interface =
            known.unwrap_or_else(|| self.interfaces.write().entry(id).or_default().clone());
        *interface.config.write() = config;
    }

    /// Executes what waits in the request queues of an interface; a long queue in
    /// parts, with the interface woken again in between. How many bytes that were to be
    /// copied.
    pub fn run<Q: Queues>(&self, id: u32, queues: &Q, memory: &Dma, pass: &mut Pass) -> u64 {
        let interface = self.interfaces.read().get(&id).cloned();
        let Some(interface) = interface else { return 0 };
        let _executing = interface.executing.lock();
        let config = interface.config.read();
        if !config.enabled {
            return 0;
        }
        let mut left = BUDGET;
        let mut bytes = 0;
        for pair in &config.pairs {
            while left > 0
                && bytes < BYTES_BUDGET
                && let Some(request) = queues.dequeue(pair.requests)
            {
                left -= 1;
                let memory = memory.stream(config.icid);
                let errors = execute(memory, &request, &mut bytes).err().unwrap_or(0);
                let ctrl = request.ctrl & !control::ERRORS | errors;
                // Where the queue is full nobody hears of it, as on silicon.
                queues.enqueue(pair.answers, &Fd { ctrl, ..request }, pass);
            }
        }
        if left == 0 || bytes >= BYTES_BUDGET {
            pass.wake(Engine::Dma(id));
        }
        bytes
    }
}

/// Executes a request; adds the bytes that it has copied to `bytes`.
///
/// # Errors
/// The error bit of the descriptor's control word.
fn execute(memory: Stream<'_>, request: &Fd, bytes: &mut u64) -> Result<(), u32> {
    if request.format() != Format::List || request.frc & SHORT_FORMAT != 0 {
        return Err(control::UNSUPPORTED_FORMAT);
    }
    let mut list = [0; ENTRIES * Fd::SIZE];
    let at = request.address.wrapping_add(request.offset().into());
    memory.read(at, &mut list).map_err(|_| control::BUS_ERROR)?;
    let mut entries = list.chunks_exact(Fd::SIZE).filter_map(<[u8]>::first_chunk);
    let mut entry = || entries.next().map(Fd::from_bytes).ok_or(control::UNSUPPORTED_FORMAT);
    let (descriptors, source, destination) = (entry()?, entry()?, entry()?);
    check_descriptors(memory, &descriptors)?;
    let (source, destination) = (Pieces::of(memory, &source)?, Pieces::of(memory, &destination)?);
    if source.bytes > destination.bytes || source.bytes > MOST_BYTES {
        return Err(control::FRAME_SIZE_ERROR);
    }
    *bytes += source.bytes;
    copy(memory, &source, &destination)
}

/// Checks that the source and destination descriptors ask for nothing that there is
/// not: all but the kind of transaction is zero.
fn check_descriptors(memory: Stream<'_>, entry: &Fd) -> Result<(), u32> {
    let mut descriptors = [0; 2 * DESCRIPTOR];
    let at = entry.address.wrapping_add(entry.offset().into());
    memory.read(at, &mut descriptors).map_err(|_| control::BUS_ERROR)?;
    let strides = descriptors.chunks_exact(DESCRIPTOR).flat_map(|one| one.get(4..8)).flatten();
    match strides.copied().all(|byte| byte == 0) {
        true => Ok(()),
        false => Err(control::UNSUPPORTED_FORMAT),
    }
}

/// Copies a source as long as it is.
fn copy(memory: Stream<'_>, source: &Pieces, destination: &Pieces) -> Result<(), u32> {
    let mut to = destination.iter();
    let mut room = (0, 0);
    for (mut from, mut length) in source.iter() {
        while length > 0 {
            if room.1 == 0 {
                room = to.next().ok_or(control::FRAME_SIZE_ERROR)?;
                continue;
            }
            let part = length.min(room.1);
            memory.copy(from, memory, room.0, part as usize).map_err(|_| control::BUS_ERROR)?;
            (from, length) = (from.wrapping_add(part.into()), length - part);
            room = (room.0.wrapping_add(part.into()), room.1 - part);
        }
    }
    Ok(())
}

/// Where the bytes of a list's entry lie.
struct Pieces {
    pieces: [(u64, u32); MOST_PIECES],
    count: usize,
    bytes: u64,
}

impl Pieces {
    fn of(memory: Stream<'_>, entry: &Fd) -> Result<Self, u32> {
        let at = entry.address.wrapping_add(entry.offset().into());
        let mut pieces = Self { pieces: [(0, 0); MOST_PIECES], count: 0, bytes: 0 };
        match entry.format() {
            Format::Single => pieces.add(at, entry.length())?,
            Format::ScatterGather => pieces.gather(memory, at)?,
            Format::List | Format::Reserved => return Err(control::UNSUPPORTED_FORMAT),
        }
        Ok(pieces)
    }

    fn gather(&mut self, memory: Stream<'_>, table: u64) -> Result<(), u32> {
        for index in 0..MOST_PIECES as u64 {
            let mut bytes = [0; SgEntry::SIZE];
            let at = table.wrapping_add(index * SgEntry::SIZE as u64);
            memory.read(at, &mut bytes).map_err(|_| control::BUS_ERROR)?;
            let entry = SgEntry::from_bytes(&bytes);
            if entry.format() != Format::Single {
                return Err(control::UNSUPPORTED_FORMAT);
            }
            self.add(entry.address.wrapping_add(entry.offset().into()), entry.length())?;
            if entry.is_final() {
                return Ok(());
            }
        }
        Err(control::FRAME_SIZE_ERROR)
    }

    fn add(&mut self, at: u64, length: u32) -> Result<(), u32> {
        let place = self.pieces.get_mut(self.count).ok_or(control::FRAME_SIZE_ERROR)?;
        *place = (at, length);
        self.count += 1;
        self.bytes += u64::from(length);
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.pieces.iter().copied().take(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wriop::tests::testing::{ICID, PlainQueues, RAM};
    use crate::{
        host::{NoLines, testing::TestMemory},
        smmu::Smmu,
    };
    use proptest::prelude::*;

    const REQUESTS: u32 = 1;
    const ANSWERS: u32 = 2;

    struct TestQdma {
        qdma: Qdma,
        queues: PlainQueues,
        memory: Dma,
        pass: Pass,
    }

    impl TestQdma {
        fn new() -> Self {
            let memory = Arc::new(TestMemory::new(0x20_0000));
            let smmu = Arc::new(Smmu::new(memory, Arc::new(NoLines)));
            let engine = Self {
                qdma: Qdma::default(),
                queues: PlainQueues::default(),
                memory: Dma::new(smmu),
                pass: Pass::default(),
            };
            engine.configure(true);
            engine
        }

        fn configure(&self, enabled: bool) {
            let pairs = vec![DmaPair { requests: REQUESTS, answers: ANSWERS }];
            self.qdma.configure(0, Some(DmaConfig { icid: ICID, enabled, pairs }));
        }

        fn write(&self, at: u64, bytes: &[u8]) {
            self.memory.write(ICID, at, bytes).expect("memory");
        }

        fn read(&self, at: u64, length: usize) -> Vec<u8> {
            let mut bytes = vec![0; length];
            self.memory.read(ICID, at, &mut bytes).expect("memory");
            bytes
        }

        /// Builds a request as `dpaa2_qdma_prep_memcpy` of Linux does, at `at`.
        fn request(&self, at: u64, source: Fd, destination: Fd) -> Fd {
            let descriptors = Fd { address: at + 0x100, length_word: 0x20, ..Fd::default() };
            let list = [descriptors, source, destination].map(|entry| entry.to_bytes()).concat();
            self.write(at, &list);
            let mut commands = [0; 32];
            (commands[15], commands[31]) = (0xb0, 0x60);
            self.write(at + 0x100, &commands);
            let fd = Fd { address: at, frc: 1 << 8, ..Fd::default() };
            fd.with_layout(0, Format::List)
        }

        fn run(&mut self, request: Fd) -> Fd {
            assert!(self.queues.enqueue(REQUESTS, &request, &mut self.pass));
            self.qdma.run(0, &self.queues, &self.memory, &mut self.pass);
            self.queues.dequeue(ANSWERS).expect("an answer")
        }
    }

    fn single(address: u64, length: u32) -> Fd {
        Fd { address, length_word: length, ..Fd::default() }
    }

    #[test]
    fn memory_is_copied_and_the_request_comes_back() {
        let mut engine = TestQdma::new();
        engine.write(RAM + 0x1003, b"what is to be copied");
        let request = engine.request(RAM, single(RAM + 0x1003, 20), single(RAM + 0x2ff0, 20));
        assert_eq!(engine.run(request), request);
        assert_eq!(engine.read(RAM + 0x2ff0, 21), b"what is to be copied\0");
    }

    #[test]
    fn requests_wait_until_the_interface_is_on() {
        let mut engine = TestQdma::new();
        engine.configure(false);
        let request = engine.request(RAM, single(RAM + 0x1000, 8), single(RAM + 0x2000, 8));
        assert!(engine.queues.enqueue(REQUESTS, &request, &mut engine.pass));
        engine.qdma.run(0, &engine.queues, &engine.memory, &mut engine.pass);
        assert_eq!(engine.queues.dequeue(ANSWERS), None);
        engine.configure(true);
        engine.qdma.run(0, &engine.queues, &engine.memory, &mut engine.pass);
        assert_eq!(engine.queues.dequeue(ANSWERS), Some(request));
    }

    #[test]
    fn what_cannot_be_done_comes_back_with_its_error() {
        let mut engine = TestQdma::new();
        let (from, to) = (single(RAM + 0x1000, 64), single(RAM + 0x2000, 64));
        let mut errors = |source, destination, change: fn(&mut Fd)| {
            let mut request = engine.request(RAM, source, destination);
            change(&mut request);
            engine.run(request).ctrl & control::ERRORS
        };
        let nothing = |_: &mut Fd| {};
        assert_eq!(errors(from, single(RAM + 0x2000, 63), nothing), control::FRAME_SIZE_ERROR);
        assert_eq!(errors(single(1 << 40, 64), to, nothing), control::BUS_ERROR);
        assert_eq!(errors(from, single(1 << 40, 64), nothing), control::BUS_ERROR);
        let long = 1 << 27;
        let too_long = errors(single(RAM, long), single(RAM, long), nothing);
        assert_eq!(too_long, control::FRAME_SIZE_ERROR);
        let list = from.with_layout(0, Format::List);
        assert_eq!(errors(list, to, nothing), control::UNSUPPORTED_FORMAT);
        let unsupported = control::UNSUPPORTED_FORMAT;
        assert_eq!(errors(from, to, |fd| *fd = fd.with_layout(0, Format::Single)), unsupported);
        assert_eq!(errors(from, to, |fd| fd.frc |= SHORT_FORMAT), unsupported);
        assert_eq!(errors(from, to, |fd| fd.address = 1 << 40), control::BUS_ERROR);
        assert_eq!(errors(from, to, nothing), 0);
        let strided = engine.request(RAM, from, to);
        engine.write(RAM + 0x104, &[1]);
        assert_eq!(engine.run(strided).ctrl & control::ERRORS, unsupported);
    }

    #[test]
    fn a_long_queue_is_worked_on_in_parts() {
        let mut engine = TestQdma::new();
        let request = engine.request(RAM, single(RAM + 0x1000, 8), single(RAM + 0x2000, 8));
        for _ in 0..BUDGET + 1 {
            assert!(engine.queues.enqueue(REQUESTS, &request, &mut engine.pass));
        }
        engine.qdma.run(0, &engine.queues, &engine.memory, &mut engine.pass);
        assert!(engine.queues.dequeue(REQUESTS).is_some(), "one is left");
        assert_eq!(engine.pass.next_engine(), Some(Engine::Dma(0)));
    }

    proptest! {
        /// However source and destination are cut into pieces: the same bytes, and
        /// none behind them.
        #[test]
        fn pieces_do_not_matter(
            source in prop::collection::vec(1u32..300, 1..8),
            destination in prop::collection::vec(1u32..300, 1..8),
        ) {
            let mut engine = TestQdma::new();
            let place = |base: u64, index: usize| base + index as u64 * 0x400 + 5;
            let table = |engine: &TestQdma, at: u64, base: u64, lengths: &[u32]| {
                for (index, length) in lengths.iter().enumerate() {
                    let last = index + 1 == lengths.len();
                    let entry = SgEntry::new(place(base, index), 0, *length, 0, last);
                    engine.write(at + index as u64 * 16, &entry.to_bytes());
                }
                let total = lengths.iter().sum();
                single(at, total).with_layout(0, Format::ScatterGather)
            };
            let (from, to) = (RAM + 0x2_0000, RAM + 0x4_0000);
            let mut sent = Vec::new();
            for (index, length) in source.iter().enumerate() {
                let bytes: Vec<u8> = (0..*length).map(|at| (at as usize * 7 + index) as u8 | 1).collect();
                engine.write(place(from, index), &bytes);
                sent.extend(bytes);
            }
            let request = {
                let source = table(&engine, RAM + 0x1000, from, &source);
                let destination = table(&engine, RAM + 0x1800, to, &destination);
                engine.request(RAM, source, destination)
            };
            let errors = engine.run(request).ctrl & control::ERRORS;
            let mut received = Vec::new();
            for (index, length) in destination.iter().enumerate() {
                received.extend(engine.read(place(to, index), *length as usize));
            }
            if sent.len() > received.len() {
                prop_assert_eq!(errors, control::FRAME_SIZE_ERROR);
                prop_assert!(received.iter().all(|byte| *byte == 0));
            } else {
                prop_assert_eq!(errors, 0);
                prop_assert_eq!(&received[..sent.len()], &sent[..]);
                prop_assert!(received[sent.len()..].iter().all(|byte| *byte == 0));
            }
        }

        /// No bytes in memory and no descriptor panic.
        #[test]
        fn any_request_comes_back(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            fd in any::<[u8; 32]>(),
            likely in any::<bool>(),
        ) {
            let mut engine = TestQdma::new();
            engine.write(RAM, &bytes);
            let mut request = Fd::from_bytes(&fd);
            if likely {
                request = Fd { address: RAM, frc: 0, ..request }.with_layout(0, Format::List);
            }
            let answer = engine.run(request);
            prop_assert_eq!(Fd { ctrl: 0, ..answer }, Fd { ctrl: 0, ..request });
        }
    }
}
