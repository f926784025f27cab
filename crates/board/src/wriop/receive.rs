// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Receiving: filters, errors, and the queue of a frame.

use super::{
    Platform, Queues, checksum,
    config::{Endpoint, Layout, ReceiveQueue},
    counters::{Cast, Tally},
    deliver::Arrival,
    distribution::{Choice, Chosen},
    filter::Verdict,
    forward::Onward,
    frame::Frame,
    interface::{Interface, ReceiveSide},
    meter::Color,
    parser::{Parsed, parse},
};
use qbman_abi::{
    Fd, ReceiveAnnotation,
    annotation::{control, frc, status},
};

/// Bytes of the hardware's annotation in a received frame's buffer, which is
/// there whatever is written to it: both clients count on 64.
const ANNOTATION: usize = ReceiveAnnotation::SIZE;

/// Most bytes in front of a frame: the field of a descriptor has twelve bits.
const MOST_OFFSET: u16 = 0xfff;

/// The receive side of an interface, for a batch of frames.
pub(super) struct Receiver<'a> {
    pub(super) interface: &'a Interface,
    pub(super) side: &'a ReceiveSide,
    pub(super) tally: Tally,
    /// Where the data of a received frame starts in its buffer, bytes.
    pub(super) offset: u16,
}

/// Why a frame is not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drop {
    Filtered,
    Discarded,
    NoBuffer,
}

/// What became of a frame that is received.
enum Taken {
    /// It waits for a buffer.
    Waits,
    /// It went to other interfaces.
    GoesOn,
}

/// Where a frame goes, and what is said of it.
struct Destination {
    queue: ReceiveQueue,
    class: u8,
    /// Number of the queue in its class.
    number: u16,
    hash: u32,
    color: Color,
}

impl<'a> Receiver<'a> {
    pub fn new(interface: &'a Interface, side: &'a ReceiveSide) -> Self {
        let offset = offset(&side.config.layout);
        Self { interface, side, tally: Tally::default(), offset }
    }

    /// Whether a frame has found no buffer.
    pub fn is_starved(&self) -> bool {
        self.tally.ingress_no_buffer > 0
    }

    /// Adds what was counted to the interface's counters.
    pub fn finish(self) {
        if self.tally != Tally::default() {
            self.interface.counters.add(&self.tally);
        }
    }

    /// Takes a frame in, which waits for [`Receiver::deliver`] then: its bytes lie at
    /// `start` of what that gets.
    pub fn receive<Q: Queues>(&mut self, frame: &Frame, start: usize, platform: &mut Platform<Q>) {
        match self.take(frame, start, platform) {
            Ok(Taken::Waits) => {}
            Ok(Taken::GoesOn) => self.tally.received(Cast::of(frame.bytes), frame.bytes.len()),
            Err(reason) => self.count_drop(reason),
        }
    }

    pub(super) fn count_drop(&mut self, reason: Drop) {
        match reason {
            Drop::Filtered => self.tally.ingress_filtered += 1,
            Drop::Discarded => self.tally.ingress_discarded += 1,
            Drop::NoBuffer => self.tally.ingress_no_buffer += 1,
        }
    }

    /// Finds the queue of a frame.
    #[inline]
    fn take<Q: Queues>(
        &self,
        frame: &Frame,
        start: usize,
        platform: &mut Platform<Q>,
    ) -> Result<Taken, Drop> {
        let side = self.side;
        let config = &side.config;
        if !side.enabled || self.offset > MOST_OFFSET {
            return Err(Drop::Discarded);
        }
        let Some(station) = frame.bytes.first_chunk().copied() else {
            return Err(Drop::Discarded);
        };
        let Verdict::Taken(by_station) = side.stations.verdict(station) else {
            return Err(Drop::Filtered);
        };
        let mut found_here = Parsed::NOTHING;
        let parsed = match frame.parsed {
            Some(parsed) if config.tpids == [0; 2] => parsed,
            _ => {
                found_here.fill(frame.bytes, config.tpids);
                &found_here
            }
        };
        let Verdict::Taken(by_vlan) = side.vlans.verdict(parsed.vlan) else {
            return Err(Drop::Filtered);
        };
        let mut found = parsed.errors;
        if frame.bytes.len() > usize::from(config.max_length) {
            found |= status::FRAME_LENGTH_ERROR;
        }
        if config.l3_checksum {
            found |= checksum::check_l3(frame.bytes, parsed);
        }
        if config.l4_checksum {
            found |= checksum::check_l4(frame.bytes, parsed);
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
                color: Color::Green,
            }
        } else {
            match side.distributor.choose(frame.bytes, parsed, by_station.or(by_vlan)) {
                Chosen::Queue(choice) => {
                    let now = platform.pass.now();
                    let color = self.police(choice.class, frame.bytes, parsed, now)?;
                    Destination { color, ..self.destination(choice, &mut found)? }
                }
                Chosen::Discard => return Err(Drop::Discarded),
                Chosen::Redirect { class, index } => {
                    return self
                        .redirect(frame.bytes, class, index, platform)
                        .map(|()| Taken::GoesOn);
                }
            }
        };
        let cast = Cast::of(frame.bytes);
        found |= match cast {
            Cast::Unicast => 0,
            Cast::Multicast => status::MULTICAST,
            Cast::Broadcast => status::BROADCAST,
        };
        let status = found & !config.errors.unnoted;
        let received = Received { start, length: frame.bytes.len(), cast, parsed, status };
        let arrival = platform.arrivals.add();
        self.describe(&received, &destination, platform.pass.now(), arrival);
        Ok(Taken::Waits)
    }

    /// Puts a frame into a queue of the first class, past filters and rules.
    pub fn put<Q: Queues>(
        &self,
        number: u16,
        frame: &Frame,
        platform: &mut Platform<Q>,
    ) -> Result<(), Drop> {
        let config = &self.side.config;
        if self.offset > MOST_OFFSET {
            return Err(Drop::Discarded);
        }
        let class = config.classes.first().ok_or(Drop::Discarded)?;
        let queue = *class.queues.get(usize::from(number)).ok_or(Drop::Discarded)?;
        let parsed = parse(frame.bytes, config.tpids);
        let (length, cast) = (frame.bytes.len(), Cast::of(frame.bytes));
        let received = Received { start: 0, length, cast, parsed: &parsed, status: 0 };
        let destination = Destination { queue, class: 0, number, hash: 0, color: Color::Green };
        let mut arrival = Arrival::default();
        self.describe(&received, &destination, platform.pass.now(), &mut arrival);
        self.deliver_alone(&arrival, frame.bytes, platform)
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

    /// Holds a frame against the limit of its class: its colour.
    #[inline(always)]
    fn police(&self, class: u8, bytes: &[u8], parsed: &Parsed, now: u64) -> Result<Color, Drop> {
        let place = usize::from(class);
        let policer = self.side.config.classes.get(place).and_then(|class| class.policer);
        let Some(policer) = policer else { return Ok(Color::Green) };
        let before = if policer.from_layer3 { parsed.ip.map_or(0, |ip| ip.start) } else { 0 };
        let length = bytes.len().saturating_sub(before);
        let color = match self.side.meters.get(place) {
            Some(Some(meter)) => meter.color(length, now),
            _ => policer.initial,
        };
        self.interface.counters.add_policed(class, color);
        if policer.drops && color == Color::Red { Err(Drop::Discarded) } else { Ok(color) }
    }

    /// The queue that was chosen.
    #[inline(always)]
    fn destination(&self, choice: Choice, found: &mut u32) -> Result<Destination, Drop> {
        *found |= choice.errors;
        let classes = &self.side.config.classes;
        let class = classes.get(usize::from(choice.class)).ok_or(Drop::Discarded)?;
        let mut queue = *class.queues.get(usize::from(choice.queue)).ok_or(Drop::Discarded)?;
        queue.flow_context = choice.flow_context.unwrap_or(queue.flow_context);
        let Choice { class, queue: number, hash, .. } = choice;
        Ok(Destination { queue, class, number, hash, color: Color::Green })
    }

    /// Notes all that is said of a frame, for its queue and for its buffer.
    #[inline(always)]
    fn describe(
        &self,
        frame: &Received,
        destination: &Destination,
        now: u64,
        arrival: &mut Arrival,
    ) {
        let annotation = ReceiveAnnotation {
            policy: 0,
            // Interfaces have fewer numbers than the field.
            interface: self.interface.id as u16,
            status: frame.status,
            timestamp: if self.side.config.layout.timestamp { now } else { 0 },
            parse: frame.parsed.result,
        };
        let by_queue = self.side.config.pools_by_queue;
        let selected = if by_queue { destination.number } else { destination.class.into() };
        arrival.start = frame.start;
        arrival.length = frame.length;
        arrival.cast = frame.cast;
        arrival.fqid = destination.queue.fqid;
        arrival.class = destination.class;
        arrival.pools = 1u8.checked_shl(selected.into()).unwrap_or(0);
        arrival.fd = self.descriptor(frame, destination);
        annotation.write(&mut arrival.annotation);
    }

    /// The descriptor of a frame, without its buffer.
    #[inline(always)]
    fn descriptor(&self, frame: &Received, destination: &Destination) -> Fd {
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
        ctrl |= destination.color.drop_priority() << control::DROP_PRIORITY_SHIFT;
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
        // Longer frames than 32 bits count there are not.
        Fd { length_word: frame.length as u32, frc: context, ctrl, flc, ..Fd::default() }
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
    /// Where its bytes lie in the memory for frames.
    start: usize,
    length: usize,
    cast: Cast,
    parsed: &'a Parsed,
    /// Bits of [`status`].
    status: u32,
}
