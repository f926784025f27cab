// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Sending: frames out of the transmit queues, to what the interface is
//! connected to, and then their confirmation or the release of their buffers.

use super::{
    Platform, Queues, Wriop, capture, checksum,
    config::{Endpoint, TransmitQueue},
    counters::{Cast, Tally, Volume},
    forward::Onward,
    frame::{self, Frame},
    interface::{Interface, TransmitSide},
    parser::parse,
    port::Port,
    receive::Receiver,
};
use qbman_abi::{
    EgressAction, Fd, Format,
    annotation::{control, frc, status_bytes},
};

/// Frames that are sent before the interface's configuration may change.
const BATCH: usize = 64;
/// Frames that a thread sends before it looks after the rest of its pass.
const TURN: usize = 256;
/// Buffers that are released at once.
const RELEASED_AT_ONCE: usize = 7;

/// Sends what waits in the queues of an interface.
pub(super) fn transmit<Q: Queues>(
    wriop: &Wriop,
    interface: &Interface,
    platform: &mut Platform<Q>,
    frame: &mut Vec<u8>,
) {
    if !interface.take_turn() {
        return;
    }
    let mut left = TURN;
    loop {
        interface.start_turn();
        loop {
            let sent = batch(wriop, interface, platform, frame);
            wriop.forward(platform);
            left = left.saturating_sub(sent);
            if sent < BATCH {
                break;
            }
            if left == 0 {
                interface.abandon_turn();
                platform.pass.wake(interface.engine);
                return;
            }
        }
        if interface.end_turn() {
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
    let peer = peer.as_deref().map(|peer| (peer, peer.receive.read()));
    let mut way = match (&peer, &port) {
        (Some((peer, side)), _) => Way::Interface(Receiver::new(peer, side)),
        (None, Some(port)) => Way::Port(wriop, port),
        (None, None) => match side.peer {
            Some(to @ (Endpoint::Switch { .. } | Endpoint::Demux { .. })) => {
                Way::Onward(Onward::Into { to, from: Some(interface.end) })
            }
            _ => Way::Nowhere,
        },
    };
    let mut tally = Tally::default();
    let mut sent = 0;
    for queue in &side.config.queues {
        let mut volume = Volume::default();
        while sent < BATCH
            && let Some(fd) = platform.queues.dequeue(queue.fqid)
        {
            sent += 1;
            volume.count(fd.length());
            send(&side, queue, &fd, &mut way, platform, bytes, &mut tally);
        }
        if volume.frames > 0 {
            interface.counters.add_dequeued(queue.channel, queue.class, volume);
        }
    }
    if sent > 0 {
        interface.counters.add(&tally);
    }
    if let Way::Interface(receiver) = way {
        receiver.finish();
    }
    sent
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

/// Sends one frame.
fn send<Q: Queues>(
    side: &TransmitSide,
    queue: &TransmitQueue,
    fd: &Fd,
    way: &mut Way,
    platform: &mut Platform<Q>,
    bytes: &mut Vec<u8>,
    tally: &mut Tally,
) {
    let mut errors = 0;
    match frame::read(platform.memory, side.icid, fd, bytes) {
        Ok(()) => {
            let config = &side.config;
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
            if let Some(id) = side.captured {
                capture::sent(id, bytes, fd, side, platform);
            }
            match way {
                Way::Interface(receiver) => {
                    tally.sent(Cast::of(bytes), bytes.len());
                    receiver.receive(&Frame { bytes, parsed }, platform);
                }
                Way::Port(wriop, port) => {
                    tally.sent(Cast::of(bytes), bytes.len());
                    wriop.send(port, bytes);
                }
                Way::Onward(to) if platform.works.add(*to, bytes) => {
                    tally.sent(Cast::of(bytes), bytes.len());
                }
                Way::Onward(_) | Way::Nowhere => tally.egress_discarded += 1,
            }
        }
        Err(error) => {
            errors = error;
            tally.egress_discarded += 1;
        }
    }
    finish(side, queue, fd, errors, platform, tally);
}

/// Confirms a frame or releases its buffers, as the queue or the frame's own
/// annotation asks for.
fn finish<Q: Queues>(
    side: &TransmitSide,
    queue: &TransmitQueue,
    fd: &Fd,
    mut errors: u32,
    platform: &mut Platform<Q>,
    tally: &mut Tally,
) {
    let mut confirmation = queue.confirmation;
    let mut deallocates = confirmation.is_none();
    match egress_action(side, fd, platform) {
        Ok(None) => {}
        Ok(Some((action, annotation))) => {
            match action.confirmation() {
                Some(0) => confirmation = None,
                // Only the interface's own: another queue is nobody's business.
                Some(fqid) if is_own(side, fqid) => confirmation = Some(fqid),
                Some(_) => errors |= control::ANNOTATION_ERROR,
                None => {}
            }
            deallocates = action.deallocates().unwrap_or(confirmation.is_none());
            if action.updates_annotation() {
                let mut update = [0; 16];
                let (status, time) = update.split_at_mut(8);
                status.copy_from_slice(&status_bytes(0, 0, 0));
                time.copy_from_slice(&platform.pass.now().to_le_bytes());
                if platform.memory.write(side.icid, annotation, &update).is_err() {
                    errors |= control::BUS_ERROR;
                }
            }
        }
        Err(error) => errors |= error,
    }
    if let Some(fqid) = confirmation {
        let ctrl = fd.ctrl & !control::ERRORS | errors;
        if platform.queues.enqueue(fqid, &Fd { ctrl, ..*fd }, platform.pass) {
            tally.egress_confirmed += 1;
            return;
        }
        deallocates = true;
    }
    if deallocates {
        release(side.icid, fd, platform);
    }
}

fn is_own(side: &TransmitSide, fqid: u32) -> bool {
    side.config.queues.iter().any(|queue| queue.confirmation == Some(fqid))
}

/// The egress action descriptor of a frame, and where its annotation lies.
///
/// # Errors
/// The error bit of a descriptor's control word.
fn egress_action<Q: Queues>(
    side: &TransmitSide,
    fd: &Fd,
    platform: &Platform<Q>,
) -> Result<Option<(EgressAction, u64)>, u32> {
    /// The annotation ends behind the descriptor only where it is this long.
    const LENGTH: u32 = 2;
    const PRIVATE: u64 = 64;
    let length = (fd.ctrl & Fd::CTRL_ASAL) >> control::ANNOTATION_LENGTH_SHIFT;
    if fd.frc & frc::EGRESS_ACTION_VALID == 0 || length < LENGTH {
        return Ok(None);
    }
    let private = if fd.ctrl & Fd::CTRL_PTA != 0 { PRIVATE } else { 0 };
    let annotation = fd.address.wrapping_add(private);
    let mut bytes = [0; EgressAction::SIZE];
    let at = annotation.wrapping_add(EgressAction::OFFSET);
    platform.memory.read(side.icid, at, &mut bytes).map_err(|_| control::BUS_ERROR)?;
    Ok(Some((EgressAction::from_bytes(&bytes), annotation)))
}

/// Gives the buffers of a frame back to their pools: those of a table's
/// entries, then the descriptor's own.
fn release<Q: Queues>(icid: u16, fd: &Fd, platform: &mut Platform<Q>) {
    if fd.format() == Format::ScatterGather {
        let table = fd.address.wrapping_add(u64::from(fd.offset()));
        let mut gathered = Buffers::default();
        // Where the table ends too early the rest of its buffers is lost: it
        // is software's to name them.
        let _ = frame::each_entry(platform.memory, icid, table, |entry| {
            if let Some(pool) = entry.pool() {
                gathered.add(icid, pool, entry.address, platform.queues, platform.pass);
            }
            true
        });
        gathered.release(icid, platform.queues, platform.pass);
    }
    if let Some(pool) = fd.pool() {
        platform.queues.release(icid, pool, &[fd.address], platform.pass);
    }
}

/// Buffers of one pool that are to be released.
#[derive(Default)]
struct Buffers {
    pool: u16,
    buffers: [u64; RELEASED_AT_ONCE],
    count: usize,
}

impl Buffers {
    fn add<Q: Queues>(
        &mut self,
        icid: u16,
        pool: u16,
        buffer: u64,
        queues: &Q,
        pass: &mut crate::fabric::Pass,
    ) {
        if self.count == RELEASED_AT_ONCE || self.count > 0 && self.pool != pool {
            self.release(icid, queues, pass);
        }
        self.pool = pool;
        if let Some(slot) = self.buffers.get_mut(self.count) {
            *slot = buffer;
            self.count += 1;
        }
    }

    fn release<Q: Queues>(&mut self, icid: u16, queues: &Q, pass: &mut crate::fabric::Pass) {
        if let Some(buffers @ [_, ..]) = self.buffers.get(..self.count) {
            queues.release(icid, self.pool, buffers, pass);
        }
        self.count = 0;
    }
}
