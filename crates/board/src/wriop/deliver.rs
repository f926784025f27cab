// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Putting received frames into buffers of a pool, and their descriptors into queues.

use super::{
    Platform, Queues, capture,
    config::Pool,
    counters::{Cast, Volume},
    receive::{Drop, Receiver},
};
use qbman_abi::{Fd, Format, ReceiveAnnotation, SgEntry};

/// Frames that are put into buffers together, at most 64.
const TOGETHER: usize = 32;
/// Most buffers of one frame beside that of the table.
const MOST_PIECES: usize = 256;

/// A frame that has found its queue, and waits for a buffer.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Where its bytes lie in the memory for frames.
    pub start: usize,
    pub length: usize,
    pub cast: Cast,
    pub fqid: u32,
    pub class: u8,
    /// The bit of pools that are set aside for frames like this one.
    pub pools: u8,
    /// The descriptor, without its buffer.
    pub fd: Fd,
    pub annotation: [u8; ReceiveAnnotation::SIZE],
}

impl Default for Arrival {
    fn default() -> Self {
        Self {
            start: 0,
            length: 0,
            cast: Cast::Unicast,
            fqid: 0,
            class: 0,
            pools: 0,
            fd: Fd::default(),
            annotation: [0; ReceiveAnnotation::SIZE],
        }
    }
}

/// Frames that wait for buffers. Their memory is kept for later ones, and filled in place.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    places: Vec<Arrival>,
    count: usize,
}

impl Arrivals {
    /// None.
    pub const fn new() -> Self {
        Self { places: Vec::new(), count: 0 }
    }

    /// A further frame, of which nothing is known yet.
    #[inline]
    pub fn add(&mut self) -> &mut Arrival {
        if self.count == self.places.len() {
            self.places.push(Arrival::default());
        }
        self.count += 1;
        &mut self.places[self.count - 1]
    }

    fn as_slice(&self) -> &[Arrival] {
        self.places.get(..self.count).unwrap_or_default()
    }
}

impl Arrival {
    /// Its bytes.
    fn of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(self.start..self.start + self.length).unwrap_or_default()
    }
}

impl<'a> Receiver<'a> {
    /// Puts the frames that wait into buffers and queues, in their order. `bytes` is the
    /// memory that they lie in.
    pub fn deliver<Q: Queues>(&mut self, bytes: &[u8], platform: &mut Platform<Q>) {
        let mut arrivals = std::mem::take(platform.arrivals);
        let mut rest = arrivals.as_slice();
        while let Some(first) = rest.first() {
            let pool = self.pools(first).next();
            let taken = pool.map_or(0, |pool| self.deliver_run(rest, pool, bytes, platform));
            rest = rest.get(taken..).unwrap_or_default();
            if taken == 0
                && let Some((arrival, later)) = rest.split_first()
            {
                // Perhaps another pool has buffers, or one has several smaller ones.
                let outcome = self.deliver_alone(arrival, bytes, platform);
                self.count(arrival, outcome);
                rest = later;
            }
        }
        arrivals.count = 0;
        *platform.arrivals = arrivals;
    }

    /// Puts the first frames into one buffer each of the pool that they try first, as
    /// many as that has buffers for; how many.
    fn deliver_run<Q: Queues>(
        &mut self,
        arrivals: &[Arrival],
        pool: &Pool,
        bytes: &[u8],
        platform: &mut Platform<Q>,
    ) -> usize {
        let first = |arrival: &&Arrival| self.pools(arrival).next() == Some(pool);
        let wanted = arrivals.iter().take(TOGETHER).take_while(first).count();
        let mut buffers = [0; TOGETHER];
        let buffers = buffers.get_mut(..wanted).unwrap_or_default();
        let taken = platform.queues.acquire(self.side.icid, pool.bpid, buffers);
        let arrivals = arrivals.get(..taken).unwrap_or_default();
        let written = self.write(arrivals, buffers, bytes, platform);
        let mut fds = [Fd::default(); TOGETHER];
        for ((fd, arrival), buffer) in fds.iter_mut().zip(arrivals).zip(&*buffers) {
            *fd = self.with_buffer(arrival.fd, *buffer, pool.bpid, Format::Single);
        }
        let queued = enqueue(arrivals, &fds, written, platform);
        if queued.count_ones() as usize == taken && !self.interface.captured {
            for arrival in arrivals {
                self.tally.received(arrival.cast, arrival.length);
            }
            return taken;
        }
        for (place, (arrival, fd)) in arrivals.iter().zip(&fds).enumerate() {
            let is_written = written >> place & 1 != 0;
            let is_queued = queued >> place & 1 != 0;
            let outcome =
                self.queued(arrival, fd, is_written.then_some(is_queued), bytes, platform);
            if outcome.is_err() {
                platform.queues.release(self.side.icid, pool.bpid, &[fd.address], platform.pass);
            }
            self.count(arrival, outcome);
        }
        taken
    }

    /// Writes frames and their annotations to buffers, in one transaction: a bit for each
    /// that was written.
    fn write<Q: Queues>(
        &self,
        arrivals: &[Arrival],
        buffers: &[u64],
        bytes: &[u8],
        platform: &Platform<Q>,
    ) -> u64 {
        let hold = platform.memory.hold();
        let memory = hold.stream(self.side.icid);
        let private = self.side.config.layout.private;
        let written = arrivals.iter().zip(buffers).enumerate().map(|(place, (arrival, buffer))| {
            let annotation = (buffer.wrapping_add(private.into()), &arrival.annotation[..]);
            let data = (buffer.wrapping_add(self.offset.into()), arrival.of(bytes));
            u64::from(memory.write_parts([annotation, data]).is_ok()) << place
        });
        written.fold(0, |all, bit| all | bit)
    }

    /// What became of a frame, `None` being one that could not be written: it is told to
    /// who looks at frames, and counted where its queue refused it.
    fn queued<Q: Queues>(
        &self,
        arrival: &Arrival,
        fd: &Fd,
        is_queued: Option<bool>,
        bytes: &[u8],
        platform: &Platform<Q>,
    ) -> Result<(), Drop> {
        match is_queued {
            Some(true) => {
                if self.interface.captured {
                    let (id, frame) = (self.interface.id, arrival.of(bytes));
                    capture::received(id, frame, fd, &arrival.annotation, platform);
                }
                Ok(())
            }
            Some(false) => {
                let volume = Volume { frames: 1, bytes: arrival.length as u64 };
                self.interface.counters.add_refused(arrival.class, volume);
                Err(Drop::Discarded)
            }
            None => Err(Drop::Discarded),
        }
    }

    /// Puts a frame into one buffer, or, where there is none for it, into several.
    pub(super) fn deliver_alone<Q: Queues>(
        &self,
        arrival: &Arrival,
        bytes: &[u8],
        platform: &mut Platform<Q>,
    ) -> Result<(), Drop> {
        let mut buffer = [0];
        for pool in self.pools(arrival) {
            if platform.queues.acquire(self.side.icid, pool.bpid, &mut buffer) == 0 {
                continue;
            }
            let fd = self.with_buffer(arrival.fd, buffer[0], pool.bpid, Format::Single);
            let is_written =
                self.write(std::slice::from_ref(arrival), &buffer, bytes, platform) != 0;
            let is_queued =
                is_written.then(|| platform.queues.enqueue(arrival.fqid, &fd, platform.pass));
            return self.queued(arrival, &fd, is_queued, bytes, platform).inspect_err(|_| {
                platform.queues.release(self.side.icid, pool.bpid, &buffer, platform.pass);
            });
        }
        for pool in self.all_pools(arrival) {
            match self.scatter(arrival, pool, bytes, platform) {
                Err(Drop::NoBuffer) => {}
                done => return done,
            }
        }
        Err(Drop::NoBuffer)
    }

    /// Puts a frame into several buffers of a pool, and the table of them into
    /// a further one. Data lies at the start of each buffer: Linux relies on
    /// that for all but the first.
    fn scatter<Q: Queues>(
        &self,
        arrival: &Arrival,
        pool: &Pool,
        bytes: &[u8],
        platform: &mut Platform<Q>,
    ) -> Result<(), Drop> {
        let icid = self.side.icid;
        let size = usize::from(pool.size);
        let count = arrival.length.div_ceil(size.max(1));
        let room = size.saturating_sub(usize::from(self.offset)) / SgEntry::SIZE;
        if count > room {
            return Err(Drop::NoBuffer);
        }
        // The table's own buffer comes last.
        let mut buffers = [0; MOST_PIECES + 1];
        let Some(buffers) = buffers.get_mut(..count + 1) else { return Err(Drop::NoBuffer) };
        let taken = platform.queues.acquire(icid, pool.bpid, buffers);
        if taken < count + 1 {
            let taken = buffers.get(..taken).unwrap_or_default();
            platform.queues.release(icid, pool.bpid, taken, platform.pass);
            return Err(Drop::NoBuffer);
        }
        let Some((address, pieces)) = buffers.split_last() else { return Err(Drop::NoBuffer) };
        let fd = self.with_buffer(arrival.fd, *address, pool.bpid, Format::ScatterGather);
        let is_written = self.write_pieces(arrival, pool, pieces, *address, bytes, platform);
        let is_queued =
            is_written.then(|| platform.queues.enqueue(arrival.fqid, &fd, platform.pass));
        self.queued(arrival, &fd, is_queued, bytes, platform).inspect_err(|_| {
            platform.queues.release(icid, pool.bpid, &[*address], platform.pass);
            platform.queues.release(icid, pool.bpid, pieces, platform.pass);
        })
    }

    /// Writes a frame to the pieces of a scattered one, and table and annotation to the
    /// buffer at `address`; whether all could be written.
    fn write_pieces<Q: Queues>(
        &self,
        arrival: &Arrival,
        pool: &Pool,
        pieces: &[u64],
        address: u64,
        bytes: &[u8],
        platform: &Platform<Q>,
    ) -> bool {
        let mut table = [0; MOST_PIECES * SgEntry::SIZE];
        let hold = platform.memory.hold();
        let memory = hold.stream(self.side.icid);
        let parts = arrival.of(bytes).chunks(pool.size.max(1).into()).zip(pieces);
        for ((place, (part, piece)), slot) in
            parts.enumerate().zip(table.chunks_exact_mut(SgEntry::SIZE))
        {
            let last = place + 1 == pieces.len();
            let entry = SgEntry::new(*piece, 0, part.len() as u32, pool.bpid, last);
            slot.copy_from_slice(&entry.to_bytes());
            if memory.write(*piece, part).is_err() {
                return false;
            }
        }
        let table = table.get(..pieces.len() * SgEntry::SIZE).unwrap_or_default();
        let private = self.side.config.layout.private;
        let annotation = (address.wrapping_add(private.into()), &arrival.annotation[..]);
        memory.write_parts([annotation, (address.wrapping_add(self.offset.into()), table)]).is_ok()
    }

    fn count(&mut self, arrival: &Arrival, outcome: Result<(), Drop>) {
        match outcome {
            Ok(()) => self.tally.received(arrival.cast, arrival.length),
            Err(reason) => self.count_drop(reason),
        }
    }

    fn with_buffer(&self, fd: Fd, address: u64, bpid: u16, format: Format) -> Fd {
        Fd { address, ..fd }.with_layout(self.offset, format).with_pool(Some(bpid))
    }

    /// The pools with buffers that a frame fits into, in the order in which they are
    /// tried.
    fn pools(&self, arrival: &Arrival) -> impl Iterator<Item = &'a Pool> + use<'a> {
        let tail_room = self.side.config.layout.tail_room;
        let needed = usize::from(self.offset) + arrival.length + usize::from(tail_room);
        self.all_pools(arrival).filter(move |pool| usize::from(pool.size) >= needed)
    }

    /// The pools that a frame may use.
    fn all_pools(&self, arrival: &Arrival) -> impl Iterator<Item = &'a Pool> + use<'a> {
        let bit = arrival.pools;
        let uses = move |pool: &&Pool| pool.selector == 0 || pool.selector & bit != 0;
        self.side.config.pools.iter().filter(uses)
    }
}

/// Appends descriptors to their queues where `written` has a bit, in their order: a bit
/// for each that its queue took.
fn enqueue<Q: Queues>(
    arrivals: &[Arrival],
    fds: &[Fd],
    written: u64,
    platform: &mut Platform<Q>,
) -> u64 {
    let mut queued = written;
    let mut from = 0;
    while let Some(Arrival { fqid, .. }) = arrivals.get(from) {
        let together = |(place, arrival): &(usize, &Arrival)| {
            arrival.fqid == *fqid && written >> place & 1 != 0
        };
        let count = arrivals.iter().enumerate().skip(from).take_while(together).count();
        let run = fds.get(from..from + count).unwrap_or_default();
        let refused = &mut |place: usize| queued &= !(1 << (from + place));
        if !run.is_empty() {
            platform.queues.enqueue_many(*fqid, run, platform.pass, refused);
        }
        from += count.max(1);
    }
    queued
}
