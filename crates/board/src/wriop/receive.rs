// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Receiving: filters, errors, the queue of a frame, and its buffers.

use super::{
    Platform, Queues, capture, checksum,
    config::{Endpoint, Layout, Pool, ReceiveQueue},
    counters::{Cast, Tally, Volume},
    distribution::{Choice, Chosen},
    filter::Verdict,
    forward::Onward,
    frame::Frame,
    interface::{Interface, ReceiveSide},
    meter::Color,
    parser::{Parsed, parse},
};
use qbman_abi::{
    Fd, Format, ReceiveAnnotation, SgEntry,
    annotation::{control, frc, status},
};

/// Bytes of the hardware's annotation in a received frame's buffer, which is
/// there whatever is written to it: both clients count on 64.
const ANNOTATION: usize = ReceiveAnnotation::SIZE;
/// Most buffers of one frame beside that of the table.
const MOST_PIECES: usize = 256;

/// The receive side of an interface, for a batch of frames.
pub(super) struct Receiver<'a> {
    interface: &'a Interface,
    side: &'a ReceiveSide,
    tally: Tally,
}

/// Why a frame is not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drop {
    Filtered,
    Discarded,
    NoBuffer,
}

/// Where a frame goes, and what is said of it.
struct Destination {
    queue: ReceiveQueue,
    class: u8,
    /// Number of the queue in its class.
    number: u16,
    hash: u32,
}

impl<'a> Receiver<'a> {
    pub fn new(interface: &'a Interface, side: &'a ReceiveSide) -> Self {
        Self { interface, side, tally: Tally::default() }
    }

    /// Adds what was counted to the interface's counters.
    pub fn finish(self) {
        if self.tally != Tally::default() {
            self.interface.counters.add(&self.tally);
        }
    }

    /// Takes a frame in.
    pub fn receive<Q: Queues>(&mut self, frame: &Frame, platform: &mut Platform<Q>) {
        match self.take(frame, platform) {
            Ok(()) => self.tally.received(Cast::of(frame.bytes), frame.bytes.len()),
            Err(Drop::Filtered) => self.tally.ingress_filtered += 1,
            Err(Drop::Discarded) => self.tally.ingress_discarded += 1,
            Err(Drop::NoBuffer) => self.tally.ingress_no_buffer += 1,
        }
    }

    fn take<Q: Queues>(&self, frame: &Frame, platform: &mut Platform<Q>) -> Result<(), Drop> {
        let side = self.side;
        let config = &side.config;
        if !side.enabled {
            return Err(Drop::Discarded);
        }
        let Some(station) = frame.bytes.first_chunk().copied() else {
            return Err(Drop::Discarded);
        };
        let Verdict::Taken(by_station) = side.stations.verdict(station) else {
            return Err(Drop::Filtered);
        };
        let parsed = match frame.parsed {
            Some(parsed) if config.tpids == [0; 2] => parsed,
            _ => parse(frame.bytes, config.tpids),
        };
        let Verdict::Taken(by_vlan) = side.vlans.verdict(parsed.vlan) else {
            return Err(Drop::Filtered);
        };
        let mut found = parsed.errors;
        if frame.bytes.len() > usize::from(config.max_length) {
            found |= status::FRAME_LENGTH_ERROR;
        }
        if config.l3_checksum {
            found |= checksum::check_l3(frame.bytes, &parsed);
        }
        if config.l4_checksum {
            found |= checksum::check_l4(frame.bytes, &parsed);
        }
        let errors = found & status::ERRORS;
        if errors & config.errors.discard != 0 {
            return Err(Drop::Discarded);
        }
        let destination = if errors & config.errors.divert != 0 {
            Destination {
                queue: ReceiveQueue { fqid: config.error_queue, flow_context: 0 },
                class: 0,
                number: 0,
                hash: 0,
            }
        } else {
            match side.distributor.choose(frame.bytes, &parsed, by_station.or(by_vlan)) {
                Chosen::Queue(choice) => {
                    self.police(choice.class, frame.bytes, &parsed, platform.pass.now())?;
                    self.destination(choice, &mut found)?
                }
                Chosen::Discard => return Err(Drop::Discarded),
                Chosen::Redirect { class, index } => {
                    return self.redirect(frame.bytes, class, index, platform);
                }
            }
        };
        found |= match Cast::of(frame.bytes) {
            Cast::Unicast => 0,
            Cast::Multicast => status::MULTICAST,
            Cast::Broadcast => status::BROADCAST,
        };
        let status = found & !config.errors.unnoted;
        let received = Received { bytes: frame.bytes, parsed: &parsed, status };
        self.deliver(&received, &destination, platform)
    }

    /// Puts a frame into a queue of the first class, past filters and rules.
    pub fn put<Q: Queues>(
        &self,
        number: u16,
        frame: &Frame,
        platform: &mut Platform<Q>,
    ) -> Result<(), Drop> {
        let config = &self.side.config;
        let class = config.classes.first().ok_or(Drop::Discarded)?;
        let queue = *class.queues.get(usize::from(number)).ok_or(Drop::Discarded)?;
        let parsed = parse(frame.bytes, config.tpids);
        let received = Received { bytes: frame.bytes, parsed: &parsed, status: 0 };
        let destination = Destination { queue, class: 0, number, hash: 0 };
        self.deliver(&received, &destination, platform)
    }

    /// Sends a frame on to other interfaces, for a rule.
    fn redirect<Q: Queues>(
        &self,
        bytes: &[u8],
        class: u8,
        index: u16,
        platform: &mut Platform<Q>,
    ) -> Result<(), Drop> {
        let class = self.side.config.classes.get(usize::from(class)).ok_or(Drop::Discarded)?;
        let steering = class.distribution.steering.as_ref().ok_or(Drop::Discarded)?;
        let redirect = steering.redirects.get(usize::from(index)).ok_or(Drop::Discarded)?;
        let mut sent = false;
        for target in &redirect.targets {
            let onward = match redirect.transmit {
                true => Onward::OutOf(*target),
                false => Onward::Into { to: Endpoint::Interface(*target), from: None },
            };
            sent |= platform.works.add(onward, bytes);
        }
        if sent { Ok(()) } else { Err(Drop::Discarded) }
    }

    /// Holds a frame against the limit of its class.
    fn police(&self, class: u8, bytes: &[u8], parsed: &Parsed, now: u64) -> Result<(), Drop> {
        let place = usize::from(class);
        let policer = self.side.config.classes.get(place).and_then(|class| class.policer);
        let Some(policer) = policer else { return Ok(()) };
        let before = if policer.from_layer3 { parsed.ip.map_or(0, |ip| ip.start) } else { 0 };
        let length = bytes.len().saturating_sub(before);
        let color = match self.side.meters.get(place) {
            Some(Some(meter)) => meter.color(length, now),
            _ => policer.initial,
        };
        self.interface.counters.add_policed(class, color);
        if policer.drops && color == Color::Red { Err(Drop::Discarded) } else { Ok(()) }
    }

    /// The queue that was chosen.
    fn destination(&self, choice: Choice, found: &mut u32) -> Result<Destination, Drop> {
        *found |= choice.errors;
        let classes = &self.side.config.classes;
        let class = classes.get(usize::from(choice.class)).ok_or(Drop::Discarded)?;
        let mut queue = *class.queues.get(usize::from(choice.queue)).ok_or(Drop::Discarded)?;
        queue.flow_context = choice.flow_context.unwrap_or(queue.flow_context);
        let Choice { class, queue: number, hash, .. } = choice;
        Ok(Destination { queue, class, number, hash })
    }

    /// Puts a frame into one buffer, or, where it is too long for any, into
    /// several, and its descriptor into the queue.
    fn deliver<Q: Queues>(
        &self,
        frame: &Received,
        destination: &Destination,
        platform: &mut Platform<Q>,
    ) -> Result<(), Drop> {
        /// The field of a descriptor has twelve bits.
        const MOST_OFFSET: u16 = 0xfff;
        let layout = &self.side.config.layout;
        let offset = offset(layout);
        if offset > MOST_OFFSET {
            return Err(Drop::Discarded);
        }
        let needed = usize::from(offset) + frame.bytes.len() + usize::from(layout.tail_room);
        let mut buffer = [0];
        for pool in self.pools(destination).filter(|pool| usize::from(pool.size) >= needed) {
            if platform.queues.acquire(self.side.icid, pool.bpid, &mut buffer) == 0 {
                continue;
            }
            let [address] = buffer;
            let placed =
                Placed { address, pool: pool.bpid, offset, format: Format::Single, pieces: &[] };
            return self
                .write(&placed, frame.bytes, platform)
                .and_then(|()| self.enqueue(&placed, frame, destination, platform))
                .inspect_err(|_| self.give_back(&placed, platform));
        }
        for pool in self.pools(destination) {
            match self.scatter(frame, offset, pool, destination, platform) {
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
        frame: &Received,
        offset: u16,
        pool: &Pool,
        destination: &Destination,
        platform: &mut Platform<Q>,
    ) -> Result<(), Drop> {
        let icid = self.side.icid;
        let size = usize::from(pool.size);
        let count = frame.bytes.len().div_ceil(size.max(1));
        let room = size.saturating_sub(usize::from(offset)) / SgEntry::SIZE;
        if count > room {
            return Err(Drop::NoBuffer);
        }
        // The table's own buffer comes last.
        let mut buffers = [0; MOST_PIECES + 1];
        let Some(buffers) = buffers.get_mut(..count + 1) else { return Err(Drop::NoBuffer) };
        let taken = platform.queues.acquire(icid, pool.bpid, buffers);
        let Some((&mut address, pieces)) = buffers.split_last_mut() else {
            return Err(Drop::NoBuffer);
        };
        if taken < count + 1 {
            let taken = pieces.get(..taken).unwrap_or_default();
            platform.queues.release(icid, pool.bpid, taken, platform.pass);
            return Err(Drop::NoBuffer);
        }
        let format = Format::ScatterGather;
        let placed = Placed { address, pool: pool.bpid, offset, format, pieces };
        let mut table = [0; MOST_PIECES * SgEntry::SIZE];
        self.fill(&placed, frame.bytes, size, &mut table, platform)
            .and_then(|table| self.write(&placed, table, platform))
            .and_then(|()| self.enqueue(&placed, frame, destination, platform))
            .inspect_err(|_| self.give_back(&placed, platform))
    }

    /// Writes a frame to the pieces of a scattered one; the table of them.
    fn fill<'t, Q: Queues>(
        &self,
        placed: &Placed,
        bytes: &[u8],
        size: usize,
        table: &'t mut [u8],
        platform: &Platform<Q>,
    ) -> Result<&'t [u8], Drop> {
        let mut used = 0;
        let pieces = bytes.chunks(size).zip(placed.pieces);
        for ((piece, address), slot) in pieces.zip(table.chunks_exact_mut(SgEntry::SIZE)) {
            used += 1;
            let last = used == placed.pieces.len();
            let entry = SgEntry::new(*address, 0, piece.len() as u32, placed.pool, last);
            slot.copy_from_slice(&entry.to_bytes());
            if platform.memory.write(self.side.icid, *address, piece).is_err() {
                return Err(Drop::Discarded);
            }
        }
        Ok(table.get(..used * SgEntry::SIZE).unwrap_or_default())
    }

    /// Writes what the descriptor's own buffer holds behind the head room.
    fn write<Q: Queues>(
        &self,
        placed: &Placed,
        bytes: &[u8],
        platform: &Platform<Q>,
    ) -> Result<(), Drop> {
        let at = placed.address.wrapping_add(u64::from(placed.offset));
        platform.memory.write(self.side.icid, at, bytes).map_err(|_| Drop::Discarded)
    }

    /// Writes the annotation and appends the descriptor to the queue.
    fn enqueue<Q: Queues>(
        &self,
        placed: &Placed,
        frame: &Received,
        destination: &Destination,
        platform: &mut Platform<Q>,
    ) -> Result<(), Drop> {
        let layout = &self.side.config.layout;
        let annotation = ReceiveAnnotation {
            policy: 0,
            // Interfaces have fewer numbers than the field.
            interface: self.interface.id as u16,
            status: frame.status,
            timestamp: if layout.timestamp { platform.pass.now() } else { 0 },
            parse: frame.parsed.result,
        };
        let at = placed.address.wrapping_add(u64::from(layout.private));
        let written = platform.memory.write(self.side.icid, at, &annotation.to_bytes());
        written.map_err(|_| Drop::Discarded)?;
        let fd = self.descriptor(placed, frame, destination);
        if platform.queues.enqueue(destination.queue.fqid, &fd, platform.pass) {
            if self.interface.captured {
                capture::received(self.interface.id, frame.bytes, &fd, &annotation, platform);
            }
            return Ok(());
        }
        let volume = Volume { frames: 1, bytes: frame.bytes.len() as u64 };
        self.interface.counters.add_refused(destination.class, volume);
        Err(Drop::Discarded)
    }

    fn descriptor(&self, placed: &Placed, frame: &Received, destination: &Destination) -> Fd {
        let layout = &self.side.config.layout;
        let errors = frame.status & status::ERRORS;
        let mut context = u32::from(frame.parsed.summary(errors)) << frc::SUMMARY_SHIFT;
        if layout.status {
            context |= frc::STATUS_VALID;
        }
        if layout.parse_result {
            context |= frc::PARSE_VALID;
        }
        const UNITS: u32 = (ANNOTATION / 64) as u32;
        let mut ctrl = UNITS << control::ANNOTATION_LENGTH_SHIFT;
        if layout.private > 0 {
            ctrl |= Fd::CTRL_PTA;
        }
        if errors != 0 {
            ctrl |= control::ANNOTATION_ERROR;
        }
        let flc = match self.side.config.hash_in_flow_context {
            // The lower half stays what it is: stashing.
            true => u64::from(destination.hash) << 32 | destination.queue.flow_context & 0x3f,
            false => destination.queue.flow_context,
        };
        let fd = Fd {
            address: placed.address,
            // Longer frames than 32 bits count there are not.
            length_word: frame.bytes.len() as u32,
            frc: context,
            ctrl,
            flc,
            ..Fd::default()
        };
        fd.with_layout(placed.offset, placed.format).with_pool(Some(placed.pool))
    }

    /// The pools that frames of a queue may use, in the order in which they are
    /// tried.
    fn pools(&self, destination: &Destination) -> impl Iterator<Item = &Pool> {
        let by_queue = self.side.config.pools_by_queue;
        let selected = if by_queue { destination.number } else { destination.class.into() };
        let bit = 1u8.checked_shl(selected.into()).unwrap_or(0);
        let uses = move |pool: &&Pool| pool.selector == 0 || pool.selector & bit != 0;
        self.side.config.pools.iter().filter(uses)
    }

    fn give_back<Q: Queues>(&self, placed: &Placed, platform: &mut Platform<Q>) {
        let icid = self.side.icid;
        platform.queues.release(icid, placed.pool, &[placed.address], platform.pass);
        if !placed.pieces.is_empty() {
            platform.queues.release(icid, placed.pool, placed.pieces, platform.pass);
        }
    }
}

/// Where the data of a received frame starts in its buffer, bytes.
fn offset(layout: &Layout) -> u16 {
    let before = layout.private.saturating_add(ANNOTATION as u16).saturating_add(layout.head_room);
    match layout.align {
        0 => before,
        align => before.checked_next_multiple_of(align).unwrap_or(u16::MAX),
    }
}

/// A frame with what is said of it.
struct Received<'a> {
    bytes: &'a [u8],
    parsed: &'a Parsed,
    /// Bits of [`status`].
    status: u32,
}

/// Buffers of one pool that hold a frame.
struct Placed<'a> {
    /// The buffer that the descriptor names.
    address: u64,
    pool: u16,
    /// Where the frame, or the table, starts in it.
    offset: u16,
    format: Format,
    /// The buffers of the table's entries.
    pieces: &'a [u64],
}
