// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The side of the Management Complex.
//!
//! A number that does not exist is traced as an error and otherwise ignored: it
//! is a mistake of who calls, not of a guest.

use super::{
    ChannelConfig, DestinationConfig, GroupConfig, Kicks, OrderConfig, PoolConfig, PortalConfig,
    Qbman, QueueConfig, queue::Wake,
};
use crate::fabric::Pass;
use std::sync::atomic::Ordering;

/// A congestion group as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupState {
    /// Frames in its queues.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Whether it is congested.
    pub congested: bool,
    /// Frames that it has rejected.
    pub rejected_frames: u64,
    /// Bytes of them.
    pub rejected_bytes: u64,
}

/// An order restoration record as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrderState {
    /// The number that the next dequeued frame gets.
    pub next_dispensed: u16,
    /// The number whose turn it is.
    pub next_expected: u16,
    /// Frames that wait for their turn.
    pub waiting: usize,
}

/// Looks an object up.
fn find<'a, T>(objects: &'a [T], kind: &str, number: u32) -> Option<&'a T> {
    let found = objects.get(number as usize);
    if found.is_none() {
        tracing::error!(kind, number, "the queue manager has no such object");
    }
    found
}

impl Qbman {
    /// Brings a portal into its state after power-on, its memory too. To whom it
    /// belongs stays. Entries of its dequeue ring are lost, as on silicon.
    pub fn reset_portal(&self, number: u32, pass: &mut Pass) {
        let Some(portal) = find(&self.portals, "portal", number) else { return };
        let kicks = portal.reset(self, pass);
        self.settle(kicks, pass);
    }

    /// Gives a portal to somebody, or takes it away (`None`).
    pub fn configure_portal(&self, number: u32, config: Option<PortalConfig>, pass: &mut Pass) {
        let Some(portal) = find(&self.portals, "portal", number) else { return };
        let kicks = portal.configure(self, config, pass);
        self.settle(kicks, pass);
    }

    /// Gives a frame queue to somebody, or takes it away (`None`): its frames
    /// are gone then. Frames of a queue that stays with its owner (its isolation id) stay.
    pub fn configure_queue(&self, fqid: u32, config: Option<QueueConfig>, pass: &mut Pass) {
        let Some(queue) = find(&self.queues, "frame queue", fqid) else { return };
        let wake = match config {
            Some(config) => queue.lock().configure(fqid, config, &self.shared),
            None => {
                queue.lock().clear(&self.shared);
                Wake::Nobody
            }
        };
        let kicks = self.wake(wake, pass);
        self.settle(kicks, pass);
    }

    /// Gives a channel to somebody, or takes it away (`None`).
    ///
    /// A portal's own channel needs no configuration to carry its
    /// notifications; it needs one for software to dequeue from it or to set
    /// its data notification.
    pub fn configure_channel(&self, number: u32, config: Option<ChannelConfig>, pass: &mut Pass) {
        let Some((channel, ready)) = find(&self.channels, "channel", number) else { return };
        let (due, mut kicks) = {
            let mut channel = channel.lock();
            channel.configure(config);
            (channel.due(ready, |work, icid| self.counts(work, icid)), channel.takers())
        };
        kicks |= self.notify(number, due);
        self.settle(kicks, pass);
    }

    /// Gives a buffer pool to somebody, or takes it away (`None`), which empties
    /// it.
    pub fn configure_pool(&self, bpid: u32, config: Option<PoolConfig>, pass: &mut Pass) {
        let Some(pool) = find(&self.pools, "buffer pool", bpid) else { return };
        pool.lock().configure(bpid, config, &self.shared);
        self.settle(Kicks::NONE, pass);
    }

    /// Gives a congestion group to somebody, or takes it away (`None`).
    pub fn configure_group(&self, cgid: u32, config: Option<GroupConfig>, pass: &mut Pass) {
        let Some(group) = find(&self.shared.groups, "congestion group", cgid) else { return };
        {
            let mut group = group.lock();
            let change = group.configure(cgid, config);
            self.shared.tell(change);
        }
        self.settle(Kicks::NONE, pass);
    }

    /// Gives an order restoration record to somebody, or takes it away (`None`):
    /// frames that wait in it are lost then, and numbers start at 0.
    pub fn configure_order(&self, number: u32, config: Option<OrderConfig>) {
        let Some((record, next)) = find(&self.records, "order restoration record", number) else {
            return;
        };
        let mut record = record.lock();
        if record.config() != config.as_ref() {
            next.store(0, Ordering::Relaxed);
        }
        let lost = record.configure(config);
        if lost != 0 {
            tracing::debug!(number, lost, "frames lost with their order restoration record");
        }
    }

    /// Gives a queuing destination to somebody, or takes it away (`None`).
    pub fn configure_destination(&self, qdid: u32, config: Option<DestinationConfig>) {
        let Some(place) = find(&self.destinations, "queuing destination", qdid) else { return };
        *place.write() = config;
    }

    /// Frames and bytes in a queue; none where there is no such queue.
    pub fn queue_state(&self, fqid: u32) -> (u32, u64) {
        self.queues.get(fqid as usize).map_or((0, 0), |queue| queue.lock().counts())
    }

    /// Frames in all queues.
    pub fn frames_waiting(&self) -> u64 {
        self.queues.iter().map(|queue| u64::from(queue.lock().counts().0)).sum()
    }

    /// Buffers in each pool, by its number.
    pub fn all_free_buffers(&self) -> Vec<u32> {
        self.pools.iter().map(|pool| pool.lock().free()).collect()
    }

    /// Buffers in a pool; none where there is no such pool.
    pub fn free_buffers(&self, bpid: u32) -> u32 {
        self.pools.get(bpid as usize).map_or(0, |pool| pool.lock().free())
    }

    /// Whether a pool is depleted, and whether it is in surplus.
    pub fn pool_thresholds(&self, bpid: u32) -> (bool, bool) {
        self.pools.get(bpid as usize).map_or((false, false), |pool| pool.lock().thresholds())
    }

    /// A congestion group as it is; nothing where there is no such group.
    pub fn group_state(&self, cgid: u32) -> GroupState {
        let Some(group) = self.shared.groups.get(cgid as usize) else {
            return GroupState::default();
        };
        let mut group = group.lock();
        let (frames, bytes, congested) = group.state();
        let rejected = group.rejected(false);
        GroupState {
            frames,
            bytes,
            congested,
            rejected_frames: rejected.frames,
            rejected_bytes: rejected.bytes,
        }
    }

    /// An order restoration record as it is.
    pub fn order_state(&self, number: u32) -> OrderState {
        let Some((record, next)) = self.records.get(number as usize) else {
            return OrderState::default();
        };
        let record = record.lock();
        OrderState {
            next_dispensed: next.load(Ordering::Relaxed) & 0x3fff,
            next_expected: record.next(),
            waiting: record.waiting(),
        }
    }

    /// Notifications that were dropped since power-on because who would have got them has
    /// another isolation id than what they tell of.
    pub fn notifications_crossed(&self) -> u64 {
        self.shared.crossed.load(Ordering::Relaxed)
    }

    /// Whether there is a portal of this number.
    pub fn has_portal(&self, number: u32) -> bool {
        self.portals.get(number as usize).is_some()
    }
}

impl Qbman {
    /// Notifies whoever is to be notified of a queue; portals whose rings are to be
    /// filled.
    pub(super) fn wake(&self, wake: Wake, pass: &mut Pass) -> Kicks {
        match wake {
            Wake::Nobody => Kicks::NONE,
            Wake::Engine(engine) => {
                pass.wake(engine);
                Kicks::NONE
            }
            Wake::Channel(link) => self.link(link, false),
        }
    }
}
