// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What becomes of sent frames: their confirmation or the release of their buffers.

use super::{Platform, Queues, counters::Tally, frame, interface::TransmitSide};
use qbman_abi::{
    EgressAction, Fd, Format,
    annotation::{control, frc, status_bytes},
};

/// Frames that are confirmed, or buffers that are released, at once: at most 64.
const TOGETHER: usize = 32;

/// Confirms frames or releases their buffers, several at once.
pub(super) struct Finisher<'a> {
    side: &'a TransmitSide,
    confirmations: Confirmations,
    buffers: Buffers,
}

impl<'a> Finisher<'a> {
    pub fn new(side: &'a TransmitSide) -> Self {
        Self { side, confirmations: Confirmations::new(), buffers: Buffers::new(side.icid) }
    }

    /// Confirms a frame or releases its buffers, as its queue (which names the queue of
    /// confirmations) or its own annotation asks for: at [`Finisher::flush`] at the latest.
    #[inline]
    pub fn finish<Q: Queues>(
        &mut self,
        confirmation: Option<u32>,
        fd: &Fd,
        errors: u32,
        platform: &mut Platform<Q>,
        tally: &mut Tally,
    ) {
        let plan = Plan { confirmation, deallocates: confirmation.is_none(), errors };
        let plan = match has_egress_action(fd) {
            true => self.asked_for(plan, fd, platform),
            false => plan,
        };
        if let Some(fqid) = plan.confirmation {
            let ctrl = fd.ctrl & !control::ERRORS | plan.errors;
            if self.confirmations.is_full_for(fqid) {
                self.confirm(platform, tally);
            }
            self.confirmations.add(fqid, Fd { ctrl, ..*fd }, plan.deallocates);
        } else if plan.deallocates {
            self.buffers.add_frame(fd, platform);
        }
    }

    /// What a frame's annotation makes of a plan.
    #[inline(never)]
    fn asked_for<Q: Queues>(&self, plan: Plan, fd: &Fd, platform: &Platform<Q>) -> Plan {
        let side = self.side;
        let Plan { mut confirmation, mut errors, .. } = plan;
        let (action, annotation) = match egress_action(side, fd, platform) {
            Ok(found) => found,
            Err(error) => return Plan { errors: errors | error, ..plan },
        };
        match action.confirmation() {
            Some(0) => confirmation = None,
            // Only the interface's own: another queue is nobody's business.
            Some(fqid) if is_own(side, fqid) => confirmation = Some(fqid),
            Some(_) => errors |= control::ANNOTATION_ERROR,
            None => {}
        }
        let deallocates = action.deallocates().unwrap_or(confirmation.is_none());
        if action.updates_annotation() {
            let mut update = [0; 16];
            let (status, time) = update.split_at_mut(8);
            status.copy_from_slice(&status_bytes(0, 0, 0));
            time.copy_from_slice(&platform.pass.now().to_le_bytes());
            if platform.memory.write(side.icid, annotation, &update).is_err() {
                errors |= control::BUS_ERROR;
            }
        }
        Plan { confirmation, deallocates, errors }
    }

    /// Confirms and releases what waits for that.
    pub fn flush<Q: Queues>(&mut self, platform: &mut Platform<Q>, tally: &mut Tally) {
        self.confirm(platform, tally);
        self.buffers.release(platform);
    }

    /// Frames whose confirmation is refused are released where they asked for that. Others
    /// are software's still, whatever their pool word says: Linux leaves zero there.
    fn confirm<Q: Queues>(&mut self, platform: &mut Platform<Q>, tally: &mut Tally) {
        let fqid = self.confirmations.fqid;
        let deallocates = self.confirmations.deallocates;
        let fds = self.confirmations.take();
        if fds.is_empty() {
            return;
        }
        let mut refused = 0u64;
        let note = &mut |place: usize| refused |= 1 << place;
        platform.queues.enqueue_many(fqid, fds, platform.pass, note);
        let lost = u64::from(refused.count_ones());
        tally.egress_confirmed += fds.len() as u64 - lost;
        tally.egress_unconfirmed += lost;
        let released = refused & deallocates;
        for (_, fd) in fds.iter().enumerate().filter(|(place, _)| released >> place & 1 != 0) {
            self.buffers.add_frame(fd, platform);
        }
    }
}

/// What is to become of a frame.
struct Plan {
    /// The queue that it is confirmed on.
    confirmation: Option<u32>,
    /// Without one, or where that is refused, its buffers are released.
    deallocates: bool,
    /// What its confirmation tells: bits of a descriptor's control word.
    errors: u32,
}

/// Frames that are to be confirmed on a queue.
struct Confirmations {
    fqid: u32,
    fds: [Fd; TOGETHER],
    /// Which of them are to be released where they cannot be confirmed, a bit each.
    deallocates: u64,
    count: usize,
}

impl Confirmations {
    fn new() -> Self {
        Self { fqid: 0, fds: [Fd::default(); TOGETHER], deallocates: 0, count: 0 }
    }

    /// Whether those that there are go before a further one of a queue.
    fn is_full_for(&self, fqid: u32) -> bool {
        self.count == TOGETHER || self.count > 0 && self.fqid != fqid
    }

    fn add(&mut self, fqid: u32, fd: Fd, deallocates: bool) {
        if let Some(place) = self.fds.get_mut(self.count) {
            *place = fd;
            self.fqid = fqid;
            self.deallocates |= u64::from(deallocates) << self.count;
            self.count += 1;
        }
    }

    /// Those that there are; none are left.
    fn take(&mut self) -> &[Fd] {
        self.deallocates = 0;
        self.fds.get(..std::mem::take(&mut self.count)).unwrap_or_default()
    }
}

fn is_own(side: &TransmitSide, fqid: u32) -> bool {
    side.config.queues.iter().any(|queue| queue.confirmation == Some(fqid))
}

/// Whether the annotation of a frame has an egress action descriptor.
#[inline]
fn has_egress_action(fd: &Fd) -> bool {
    /// The annotation ends behind the descriptor only where it is this long.
    const LENGTH: u32 = 2;
    let length = (fd.ctrl & Fd::CTRL_ASAL) >> control::ANNOTATION_LENGTH_SHIFT;
    fd.frc & frc::EGRESS_ACTION_VALID != 0 && length >= LENGTH
}

/// The egress action descriptor of a frame, and where its annotation lies.
///
/// # Errors
/// The error bit of a descriptor's control word.
fn egress_action<Q: Queues>(
    side: &TransmitSide,
    fd: &Fd,
    platform: &Platform<Q>,
) -> Result<(EgressAction, u64), u32> {
    const PRIVATE: u64 = 64;
    let private = if fd.ctrl & Fd::CTRL_PTA != 0 { PRIVATE } else { 0 };
    let annotation = fd.address.wrapping_add(private);
    let mut bytes = [0; EgressAction::SIZE];
    let at = annotation.wrapping_add(EgressAction::OFFSET);
    platform.memory.read(side.icid, at, &mut bytes).map_err(|_| control::BUS_ERROR)?;
    Ok((EgressAction::from_bytes(&bytes), annotation))
}

/// Buffers of one pool that are to be released.
struct Buffers {
    icid: u16,
    pool: u16,
    buffers: [u64; TOGETHER],
    count: usize,
}

impl Buffers {
    fn new(icid: u16) -> Self {
        Self { icid, pool: 0, buffers: [0; TOGETHER], count: 0 }
    }

    /// The buffers of a frame go back to their pools: those of a table's entries, then
    /// the descriptor's own. An entry within the table's own buffer has none to itself,
    /// whatever pool it names: DPDK names the same pool there as in the descriptor.
    #[inline]
    fn add_frame<Q: Queues>(&mut self, fd: &Fd, platform: &mut Platform<Q>) {
        if fd.format() == Format::ScatterGather {
            self.add_table(fd.address.wrapping_add(u64::from(fd.offset())), platform);
        }
        if let Some(pool) = fd.pool() {
            self.add(pool, fd.address, platform);
        }
    }

    #[inline(never)]
    fn add_table<Q: Queues>(&mut self, table: u64, platform: &mut Platform<Q>) {
        let (memory, icid) = (platform.memory, self.icid);
        let read = |at, bytes: &mut [u8]| memory.read(icid, at, bytes);
        // Where the table ends too early the rest of its buffers is lost: it
        // is software's to name them.
        let _ = frame::each_entry(read, table, |entry| {
            match entry.pool() {
                Some(pool) if entry.format() != Format::List => {
                    self.add(pool, entry.address, platform);
                }
                _ => {}
            }
            true
        });
    }

    #[inline]
    fn add<Q: Queues>(&mut self, pool: u16, buffer: u64, platform: &mut Platform<Q>) {
        if self.count == TOGETHER || self.count > 0 && self.pool != pool {
            self.release(platform);
        }
        self.pool = pool;
        if let Some(slot) = self.buffers.get_mut(self.count) {
            *slot = buffer;
            self.count += 1;
        }
    }

    fn release<Q: Queues>(&mut self, platform: &mut Platform<Q>) {
        if let Some(buffers @ [_, ..]) = self.buffers.get(..self.count) {
            platform.queues.release(self.icid, self.pool, buffers, platform.pass);
        }
        self.count = 0;
    }
}
