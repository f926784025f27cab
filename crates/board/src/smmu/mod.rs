// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The MMU-500 that isolates the containers from each other.
//!
//! An SMMUv2 with stage 1 translation: every bus master of the board reaches
//! memory through it, with its isolation id as the stream id. Offsets and bits
//! that Linux's `arm-smmu` driver names are taken from its `arm-smmu.h`.
//!
//! The driver does not name everything. The rest follows the Arm System MMU
//! Architecture Specification version 2 (IHI 0062) and the MMU-500 manual
//! (DDI 0517) as generally understood, without having been compared with their
//! text: reset values of `sCR0`, `sACR` and `ACTLR`; the bits `STALLD`,
//! `SMCFCFG`, `AFFD`, `TBI0`, `TBI1` and the codes of `SEP`; the bits of
//! `sGFSR` other than USF and those of `sGFSYNR0`; that `GCFGFIE` concerns
//! register accesses only; and that a stream with a faulting S2CR meets an
//! invalid context fault.
//!
//! Behaviour that is chosen where the architecture leaves a choice:
//! - A transaction that meets a fault is terminated, never stalled: `sCR0.STALLD`
//!   reads as one and `SCTLR.CFCFG` as zero. Linux leaves CFCFG clear.
//! - An outstanding fault does not hold up the transactions that follow, as if
//!   `SCTLR.HUPCF` were always set.
//! - An invalidation is complete when the register write returns, and so are
//!   all transactions begun before it; TLBSYNC has nothing left to wait for.
//! - Tables are cached as pages and blocks, without intermediate levels, and a
//!   write to a register of the translation regime or of the stream mapping
//!   empties the caches concerned.
//! - `SCTLR.WXN` and `UWXN` make no difference: no bus master fetches code.
//! - A transaction to a bank that asks for stage 2 or for AArch32 tables, which
//!   the identification registers do not offer, meets an invalid context fault.

mod access;
mod bank;
mod cache;
mod fault;
mod frame;
mod hold;
mod reader_lock;
mod regime;
mod report;
mod routes;
mod shape;
mod state;
mod stream;
mod streams;
mod tlb;
mod walk;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

pub use access::{Access, AccessKind, Mapped};
pub use fault::{ContextCause, DmaError, Fault, GlobalCause};
pub use hold::{HeldStream, Hold};
pub use report::{BankDump, Counters, Dump};
pub use shape::{FRAME_SIZE, Shape, ShapeError};
pub use stream::Stream;
pub use streams::{StreamMapping, StreamTarget};

use crate::host::{BusError, GuestMemory, IrqLines};
use bank::Refusal;
use reader_lock::BigReaderLock;
use report::Counts;
use routes::Routes;
use state::{State, Written};
use streams::Route;
use tlb::Tlb;

/// Longest piece of a transfer that is one transaction, in bytes. Register
/// writes wait for transactions, so a large block must not make one long.
const LONGEST_TRANSACTION: usize = 0x1_0000;

/// The SMMU: registers towards the guest, streams towards the board.
///
/// All methods take `&self` and may be called from any thread. Transactions
/// run beside each other; a register write runs alone, so that it returns only
/// when no transaction still uses what it changed. [`GuestMemory`] is therefore
/// called inside a transaction and must not call back into the SMMU; [`IrqLines`]
/// is called outside and may.
///
/// A transaction whose stream and page were used before marks its thread as reading,
/// and looks at two words. The others share the state's lock.
pub struct Smmu {
    memory: Arc<dyn GuestMemory>,
    lines: Arc<dyn IrqLines>,
    lock: BigReaderLock,
    routes: Routes,
    /// One for each context bank.
    tlbs: Vec<Arc<Tlb>>,
    /// Changed under the lock only.
    state: RwLock<State>,
    counts: Counts,
    line: Mutex<Line>,
    /// A transaction has recorded a fault, and the interrupt line does not know.
    unsettled: AtomicBool,
}

/// The interrupt line as the host knows it.
#[derive(Debug, Default)]
struct Line {
    asserted: bool,
    /// Some thread is telling the host, and will look again when done.
    busy: bool,
}

impl Smmu {
    /// An SMMU of the default [`Shape`] in its power-on state: all streams
    /// pass untranslated.
    pub fn new(memory: Arc<dyn GuestMemory>, lines: Arc<dyn IrqLines>) -> Self {
        Self::with_shape(Shape::default(), memory, lines)
    }

    /// The same with a chosen number of context banks and stream mappings.
    pub fn with_shape(
        shape: Shape,
        memory: Arc<dyn GuestMemory>,
        lines: Arc<dyn IrqLines>,
    ) -> Self {
        let tlbs: Vec<Arc<Tlb>> = (0..shape.context_banks()).map(|_| Arc::default()).collect();
        Self {
            memory,
            lines,
            lock: BigReaderLock::new(),
            routes: Routes::default(),
            state: RwLock::new(State::new(shape, &tlbs)),
            tlbs,
            counts: Counts::default(),
            line: Mutex::default(),
            unsettled: AtomicBool::new(false),
        }
    }

    /// Number of context banks and stream mappings.
    pub fn shape(&self) -> Shape {
        self.state.read().shape()
    }

    /// Back to the power-on state: registers, caches, counters, interrupt line.
    pub fn reset(&self) {
        self.change(|state| {
            *state = State::new(state.shape(), &self.tlbs);
            self.routes.clear();
            self.counts.reset();
            for slot in self.lock.slots() {
                slot.hits.store(0, Ordering::Relaxed);
                slot.bypasses.store(0, Ordering::Relaxed);
            }
        });
        self.drive_line();
    }

    /// A read of the register frame at `offset` by a CPU: `data` is 4 or 8
    /// bytes, naturally aligned, little-endian. Anything else, and places
    /// without a register, read as zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let state = self.state.read();
        match data.len() {
            4 | 8 if offset.is_multiple_of(data.len() as u64) && offset < FRAME_SIZE => {
                for (word, at) in data.chunks_exact_mut(4).zip((offset..).step_by(4)) {
                    let value = state.read(at).unwrap_or_else(|| {
                        tracing::trace!(offset = at, "SMMU read of no register");
                        0
                    });
                    word.copy_from_slice(&value.to_le_bytes());
                }
            }
            length => tracing::debug!(offset, length, "SMMU read of unsupported shape"),
        }
    }

    /// A write to the register frame at `offset` by a CPU, of the same shapes
    /// as [`Smmu::read`]. Others, and places without a register, ignore it.
    pub fn write(&self, offset: u64, data: &[u8]) {
        let written = if !offset.is_multiple_of(4) || offset >= FRAME_SIZE {
            None
        } else if let Ok(word) = data.try_into() {
            Some(self.write_register(|state| state.write(offset, u32::from_le_bytes(word))))
        } else if let (Ok(words), true) = (data.try_into(), offset.is_multiple_of(8)) {
            Some(self.write_register(|state| state.write_wide(offset, u64::from_le_bytes(words))))
        } else {
            None
        };
        match written {
            Some(Written::Register) => self.drive_line(),
            Some(Written::Invalidation) => {
                self.counts.invalidations.fetch_add(1, Ordering::Relaxed);
            }
            Some(Written::Nothing) => tracing::trace!(offset, "SMMU write to no register"),
            None => {
                tracing::debug!(offset, length = data.len(), "SMMU write of unsupported shape");
            }
        }
    }

    /// Where a transaction of `stream` at `iova` goes.
    ///
    /// The answer is true when it is given, and may be outdated by the next
    /// register write. What moves data uses [`Smmu::dma_read`] and
    /// [`Smmu::dma_write`] instead, for which register writes wait.
    ///
    /// # Errors
    /// The [`Fault`] that terminates the transaction. It is recorded in the
    /// fault registers and may raise the interrupt.
    pub fn translate(&self, stream: u16, iova: u64, access: Access) -> Result<Mapped, Fault> {
        let _hold = self.hold();
        self.miss(stream, iova, access)
    }

    /// Makes one transaction of the accesses until the answer is dropped: each of
    /// them costs less, and register writes, those that invalidate translations
    /// too, wait for all of them.
    ///
    /// Faults of a thread raise the interrupt when its last hold is dropped. A
    /// thread with a hold takes no lock, apart from that of guest memory: another
    /// thread with that lock could be waiting for a register write, which waits
    /// for the hold.
    #[inline]
    pub fn hold(&self) -> Hold<'_> {
        Hold::new(self)
    }

    /// Reads memory as the bus master `stream`, page by page.
    ///
    /// # Errors
    /// [`DmaError`] with the address of the part that failed; `buf` holds what
    /// came before it.
    pub fn dma_read(&self, stream: u16, iova: u64, buf: &mut [u8]) -> Result<(), DmaError> {
        self.transactions(buf.len(), |hold, range| {
            let Some(part) = buf.get_mut(range.clone()) else { return Ok(()) };
            hold.stream(stream).read(iova.wrapping_add(range.start as u64), part)
        })
    }

    /// Writes memory as the bus master `stream`, page by page.
    ///
    /// # Errors
    /// [`DmaError`] with the address of the part that failed; what came before
    /// it is written.
    pub fn dma_write(&self, stream: u16, iova: u64, data: &[u8]) -> Result<(), DmaError> {
        self.transactions(data.len(), |hold, range| {
            let Some(part) = data.get(range.clone()) else { return Ok(()) };
            hold.stream(stream).write(iova.wrapping_add(range.start as u64), part)
        })
    }

    /// Copies memory from one bus master's address to another's (a stream id and
    /// an IOVA each), page by page.
    fn dma_copy(
        &self,
        (source, from): (u16, u64),
        (target, to): (u16, u64),
        length: usize,
    ) -> Result<(), DmaError> {
        self.transactions(length, |hold, range| {
            let (reading, writing) = (hold.stream(source), hold.stream(target));
            reading.pieces(from, range, Access::READ, |read, address| {
                writing.pieces(to, read.clone(), Access::WRITE, |written, to_address| {
                    let address = address + (written.start - read.start) as u64;
                    let length = written.len();
                    self.memory.copy(address, to_address, length).map_err(|error| {
                        let of_source = error.address.wrapping_sub(address) < length as u64;
                        let (stream, iova) = if of_source { (source, from) } else { (target, to) };
                        bus_error(stream, iova, &written, error)
                    })
                })
            })
        })
    }

    /// The memory that the bus master `id` sees.
    pub fn stream(&self, id: u16) -> Stream<'_> {
        Stream { smmu: self, id }
    }

    /// Sends a message-signalled interrupt as the bus master `stream`: a write
    /// of `value` to `iova`, whose translation is given to
    /// [`IrqLines::message`].
    ///
    /// # Errors
    /// The [`Fault`] that terminates the write.
    pub fn message(&self, stream: u16, iova: u64, value: u32) -> Result<(), Fault> {
        let mapped = self.translate(stream, iova, Access::WRITE)?;
        self.lines.message(stream, mapped.address, value);
        Ok(())
    }

    /// Events since power-on or the last [`Smmu::reset`].
    pub fn counters(&self) -> Counters {
        let mut counters = self.counts.read();
        for slot in self.lock.slots() {
            counters.hits += slot.hits.load(Ordering::Relaxed);
            counters.bypasses += slot.bypasses.load(Ordering::Relaxed);
        }
        counters
    }

    /// A picture of the state, for traces.
    pub fn dump(&self) -> Dump {
        let interrupt = self.line.lock().asserted;
        let state = self.state.read();
        let global_fault_status = state.faults.lock().global.status();
        Dump {
            control: state.streams.control(),
            disabled: state.streams.disabled(),
            global_fault_status,
            streams: state.streams.mappings(),
            banks: state.dump_banks(),
            interrupt,
            counters: self.counters(),
        }
    }

    /// Cuts a transfer into transactions: calls `work` with each and its range of the
    /// transfer.
    #[inline]
    fn transactions(
        &self,
        length: usize,
        mut work: impl FnMut(&Hold<'_>, Range<usize>) -> Result<(), DmaError>,
    ) -> Result<(), DmaError> {
        (0..length)
            .step_by(LONGEST_TRANSACTION)
            .try_for_each(|at| work(&self.hold(), at..length.min(at + LONGEST_TRANSACTION)))
    }

    /// Translates with the state, whose lock this takes.
    #[inline(never)]
    fn miss(&self, stream: u16, iova: u64, access: Access) -> Result<Mapped, Fault> {
        let result = self.resolve(&self.state.read(), stream, iova, access);
        if result.is_err() {
            self.unsettled.store(true, Ordering::Release);
        }
        result
    }

    fn write_register(&self, write: impl FnOnce(&mut State) -> Written) -> Written {
        self.change(|state| {
            let written = write(state);
            if written != Written::Invalidation {
                self.routes.clear();
            }
            written
        })
    }

    /// Changes the state, with no transaction under way.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        self.lock.write(|| change(&mut self.state.write()))
    }

    /// Tells the interrupt line of the faults of transactions.
    #[inline]
    fn settle(&self) {
        if self.unsettled.load(Ordering::Relaxed) && self.unsettled.swap(false, Ordering::Acquire) {
            self.drive_line();
        }
    }

    /// Translates, and records the fault where it cannot. The caller holds the
    /// state, and sees to the interrupt line when it no longer does.
    fn resolve(
        &self,
        state: &State,
        stream: u16,
        iova: u64,
        access: Access,
    ) -> Result<Mapped, Fault> {
        let global = |cause, access| {
            self.counts.global_faults.fetch_add(1, Ordering::Relaxed);
            state.faults.lock().global.record(cause, stream, iova, access);
            Fault::Global { cause, stream, iova }
        };
        let (index, access) = match self.route(state, stream, access) {
            Ok(Route::Bank(index, access)) => (index, access),
            Ok(Route::Bypass) => {
                self.counts.bypasses.fetch_add(1, Ordering::Relaxed);
                return Ok(Mapped::flat(iova));
            }
            Err(cause) => return Err(global(cause, access)),
        };
        let Some(bank) = state.banks.get(index) else {
            return Err(global(GlobalCause::UnimplementedBank, access));
        };
        let refusal = match bank.translate(iova, access, &*self.memory, &self.counts) {
            Ok(mapped) => return Ok(mapped),
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::Global(cause) => Err(global(cause, access)),
            Refusal::Context(cause, level) => {
                self.counts.context_faults.fetch_add(1, Ordering::Relaxed);
                // A bank number fits: there are at most 128.
                let bank = index as u8;
                if let Some(faults) = state.faults.lock().banks.get_mut(index) {
                    faults.record(cause, bank, level, stream, iova, access);
                }
                tracing::debug!(stream, iova, bank, level, %cause, "SMMU context fault");
                Err(Fault::Context { cause, bank, stream, iova, level })
            }
        }
    }

    /// Where a stream goes, as it is known already or as the registers say.
    fn route(&self, state: &State, stream: u16, access: Access) -> Result<Route, GlobalCause> {
        if let Some(route) = self.routes.find(stream, access) {
            return Ok(route);
        }
        let route = state.streams.route(stream, access)?;
        if let Ok(read) = state.streams.route(stream, Access::READ) {
            self.routes.insert(stream, read);
        }
        Ok(route)
    }

    /// Brings the interrupt line to the level that the registers ask for.
    ///
    /// One thread at a time talks to the host, with no lock held, and
    /// looks again afterwards: levels arrive in order and none is lost.
    fn drive_line(&self) {
        let mut line = self.line.lock();
        if line.busy {
            return;
        }
        loop {
            // Read under the line's lock: a change that comes later finds the
            // line not busy any more, or is seen by the next round.
            let wanted = self.state.read().interrupt();
            if wanted == line.asserted {
                line.busy = false;
                return;
            }
            line.asserted = wanted;
            line.busy = true;
            drop(line);
            self.lines.smmu(wanted);
            line = self.line.lock();
        }
    }
}

fn bus_error(stream: u16, iova: u64, range: &Range<usize>, source: BusError) -> DmaError {
    DmaError::Bus { stream, iova: iova.wrapping_add(range.start as u64), source }
}

impl fmt::Debug for Smmu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Smmu").field(&self.dump()).finish()
    }
}
