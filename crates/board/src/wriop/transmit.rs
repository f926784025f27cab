// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Sending: frames out of the transmit queues, to what the interface is
//! connected to.

use super::{
    MAX_FRAME_LENGTH, Platform, Queues, Wriop, capture, checksum,
    config::{Endpoint, TransmitQueue},
    counters::{Cast, Tally, Volume},
    finish::Finisher,
    forward::Onward,
    frame::{self, Frame},
    interface::{Interface, TransmitSide},
    parser::parse,
    port::Port,
    receive::Receiver,
    schedule::Sending,
};
use crate::fabric::Engine;
use qbman_abi::Fd;
use std::ops::Range;

/// Frames that are sent before the interface's configuration may change.
const BATCH: usize = 64;
/// Frames that a thread sends before it looks after the rest of its pass.
const BUDGET: usize = 256;
/// Frames that are worked on together, at most 64.
const BURST: usize = 32;
/// Bytes of memory for frames that are worked on together: the longest fits.
const MEMORY: usize = 0x1_0000;
/// Where frames start in that memory: copies are faster then.
const ALIGNMENT: usize = 64;

/// Sends what waits in the queues of an interface.
pub(super) fn transmit<Q: Queues>(
    wriop: &Wriop,
    interface: &Interface,
    platform: &mut Platform<Q>,
    bytes: &mut Vec<u8>,
) {
    if !interface.claim_sending() {
        return;
    }
    let mut left = BUDGET;
    loop {
        interface.start_sending();
        loop {
            let sent = batch(wriop, interface, platform, bytes);
            wriop.forward(platform);
            // A look counts as well: whoever keeps having this look again gets no longer turn.
            left = left.saturating_sub(sent.max(1));
            if left == 0 {
                interface.abandon_sending();
                platform.pass.wake(interface.engine);
                return;
            }
            if sent < BATCH {
                break;
            }
        }
        if interface.end_sending() {
            return;
        }
    }
}

/// Sends up to [`BATCH`] frames; how many.
fn batch<Q: Queues>(
    wriop: &Wriop,
    interface: &Interface,
    platform: &mut Platform<Q>,
    bytes: &mut Vec<u8>,
) -> usize {
    let side = interface.transmit.read();
    if !side.enabled {
        return 0;
    }
    let (peer, port) = match side.peer {
        Some(Endpoint::Interface(id)) => (wriop.interface(id), None),
        Some(Endpoint::Port(id)) => (None, wriop.port(id)),
        Some(Endpoint::Switch { .. } | Endpoint::Demux { .. }) | None => (None, None),
    };
    // What the software of a switch sends is not held: nobody would wake it.
    let is_held = matches!(interface.engine, Engine::Interface(_));
    let port_held = port.as_ref().filter(|_| is_held);
    if let Some(until) = port_held.and_then(|port| port.held(platform.pass.now())) {
        wriop.wait(interface, until);
        return 0;
    }
    let peer = peer.as_deref().map(|peer| (peer, peer.receive.read()));
    let way = match (&peer, &port) {
        (Some((peer, side)), _) => Way::Interface(Receiver::new(peer, side)),
        (None, Some(port)) => Way::Port(wriop, port),
        (None, None) => match side.peer {
            Some(to @ (Endpoint::Switch { .. } | Endpoint::Demux { .. })) => {
                Way::Onward(Onward::Into { to, from: Some(interface.end) })
            }
            _ => Way::Nowhere,
        },
    };
    bytes.resize(MEMORY, 0);
    let mut sender = Sender { side: &side, way, bytes, tally: Tally::default() };
    let mut burst = Burst::new();
    let sent = match &side.scheduler {
        Some(scheduler) => {
            let mut sending = scheduler.start(platform.pass.now());
            let sent = in_turns(interface, &mut sending, &mut burst, &mut sender, platform);
            if let Some(due) = sending.deadline().filter(|_| sent < BATCH) {
                wriop.wait(interface, due);
            }
            sent
        }
        None => in_order(interface, &mut burst, &mut sender, platform),
    };
    sender.send(&burst, platform);
    let Sender { way, tally, .. } = sender;
    if sent > 0 {
        interface.counters.add(&tally);
    }
    if let Way::Interface(receiver) = way {
        receiver.finish();
    }
    sent
}

/// Sends frames of one queue after the other.
fn in_order<'a, Q: Queues>(
    interface: &Interface,
    burst: &mut Burst<'a>,
    sender: &mut Sender<'a>,
    platform: &mut Platform<Q>,
) -> usize {
    let mut sent = 0;
    for queue in &sender.side.config.queues {
        let mut volume = Volume::default();
        while sent < BATCH {
            let room = burst.room(BATCH - sent);
            let taken = platform.queues.dequeue_many(queue.fqid, room);
            room.iter().take(taken).for_each(|fd| volume.count(fd.length()));
            let wanted = room.len();
            sent += taken;
            burst.add(taken, queue);
            if burst.is_full() {
                sender.send(burst, platform);
                burst.clear();
            }
            if taken < wanted {
                break;
            }
        }
        if volume.frames > 0 {
            interface.counters.add_dequeued(queue.channel, queue.class, volume);
        }
    }
    sent
}

/// Sends frames as their queues' turns and rates are.
fn in_turns<'a, Q: Queues>(
    interface: &Interface,
    sending: &mut Sending,
    burst: &mut Burst<'a>,
    sender: &mut Sender<'a>,
    platform: &mut Platform<Q>,
) -> usize {
    let side = sender.side;
    for sent in 0..BATCH {
        let take = |queue: &TransmitQueue| platform.queues.dequeue(queue.fqid);
        let Some((fd, queue)) = sending.next(&side.config.queues, take) else { return sent };
        let mut volume = Volume::default();
        volume.count(fd.length());
        interface.counters.add_dequeued(queue.channel, queue.class, volume);
        burst.put(fd, queue);
        if burst.is_full() {
            sender.send(burst, platform);
            burst.clear();
        }
    }
    BATCH
}

/// Frames that were taken from queues, with their queues.
struct Burst<'a> {
    fds: [Fd; BURST],
    queues: [Option<&'a TransmitQueue>; BURST],
    count: usize,
}

impl<'a> Burst<'a> {
    fn new() -> Self {
        Self { fds: [Fd::default(); BURST], queues: [None; BURST], count: 0 }
    }

    /// Room for up to so many frames.
    fn room(&mut self, most: usize) -> &mut [Fd] {
        let end = BURST.min(self.count + most);
        self.fds.get_mut(self.count..end).unwrap_or_default()
    }

    /// So many frames of a queue were put into the room.
    fn add(&mut self, count: usize, queue: &'a TransmitQueue) {
        self.queues.iter_mut().skip(self.count).take(count).for_each(|one| *one = Some(queue));
        self.count += count;
    }

    /// One more frame.
    fn put(&mut self, fd: Fd, queue: &'a TransmitQueue) {
        if let [place, ..] = self.room(1) {
            *place = fd;
            self.add(1, queue);
        }
    }

    fn is_full(&self) -> bool {
        self.count == BURST
    }

    fn clear(&mut self) {
        self.count = 0;
    }

    /// The frames and their queues.
    fn frames(&self) -> (&[Fd], &[Option<&'a TransmitQueue>]) {
        let fds = self.fds.get(..self.count).unwrap_or_default();
        (fds, self.queues.get(..self.count).unwrap_or_default())
    }
}

/// Where the frames of a batch go.
enum Way<'a> {
    Interface(Receiver<'a>),
    Port(&'a Wriop, &'a Port),
    /// A switch or a demultiplexer, which looks at them after the batch.
    Onward(Onward),
    /// Nothing is connected, or the link is down.
    Nowhere,
}

/// Sends the frames of a batch.
struct Sender<'a> {
    side: &'a TransmitSide,
    way: Way<'a>,
    /// Memory for frames, [`MEMORY`] bytes.
    bytes: &'a mut [u8],
    tally: Tally,
}

/// What became of a frame: its place in [`Sender::bytes`], or the error bit of a
/// descriptor's control word.
type Read = Result<Range<usize>, u32>;

impl Sender<'_> {
    /// Sends frames: as many at a time as there is memory for.
    fn send<Q: Queues>(&mut self, burst: &Burst, platform: &mut Platform<Q>) {
        let (mut fds, mut queues) = burst.frames();
        while !fds.is_empty() {
            let mut read = [const { Err(0) }; BURST];
            let count = self.read(fds, &mut read, platform);
            let mut finisher = Finisher::new(self.side);
            for ((fd, queue), read) in fds.iter().zip(queues).zip(read).take(count) {
                let errors = match read {
                    Ok(place) => {
                        self.send_one(fd, place, platform);
                        0
                    }
                    Err(error) => {
                        self.tally.egress_discarded += 1;
                        error
                    }
                };
                let confirmation = queue.and_then(|queue| queue.confirmation);
                finisher.finish(confirmation, fd, errors, platform, &mut self.tally);
            }
            finisher.flush(platform, &mut self.tally);
            if let Way::Interface(receiver) = &mut self.way {
                receiver.deliver(self.bytes, platform);
            }
            // The longest frame fits: there is at least one less.
            fds = fds.get(count.max(1)..).unwrap_or_default();
            queues = queues.get(count.max(1)..).unwrap_or_default();
        }
    }

    /// Reads frames out of guest memory, in one transaction; how many there was memory
    /// for.
    fn read<Q: Queues>(
        &mut self,
        fds: &[Fd],
        read: &mut [Read; BURST],
        platform: &Platform<Q>,
    ) -> usize {
        let hold = platform.memory.hold();
        let memory = hold.stream(self.side.icid);
        let (mut count, mut free) = (0, 0);
        for (fd, read) in fds.iter().zip(read) {
            let length = fd.length() as usize;
            // What is too long is not read.
            let length = if length > MAX_FRAME_LENGTH { 0 } else { length };
            let Some(place) = self.bytes.get_mut(free..free + length) else { break };
            *read = frame::read(&memory, fd, place).map(|()| free..free + length);
            free = (free + length).next_multiple_of(ALIGNMENT);
            count += 1;
        }
        count
    }

    /// Sends a frame that is in memory.
    fn send_one<Q: Queues>(&mut self, fd: &Fd, place: Range<usize>, platform: &mut Platform<Q>) {
        let Some(bytes) = self.bytes.get_mut(place.clone()) else { return };
        let config = &self.side.config;
        let parsed = (config.l3_checksum || config.l4_checksum).then(|| {
            let parsed = parse(bytes, config.tpids);
            if config.l3_checksum {
                checksum::fill_l3(bytes, &parsed);
            }
            if config.l4_checksum {
                checksum::fill_l4(bytes, &parsed);
            }
            parsed
        });
        if let Some(id) = self.side.captured {
            capture::sent(id, bytes, fd, self.side, platform);
        }
        match &mut self.way {
            Way::Interface(receiver) => {
                self.tally.sent(Cast::of(bytes), bytes.len());
                // A receiver may know other kinds of tags.
                let parsed = parsed.as_ref().filter(|_| config.tpids == [0; 2]);
                receiver.receive(&Frame { bytes, parsed }, place.start, platform);
            }
            Way::Port(wriop, port) => {
                self.tally.sent(Cast::of(bytes), bytes.len());
                wriop.send(port, bytes);
            }
            Way::Onward(to) if platform.works.add(*to, bytes) => {
                self.tally.sent(Cast::of(bytes), bytes.len());
            }
            Way::Onward(_) | Way::Nowhere => self.tally.egress_discarded += 1,
        }
    }
}
