// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The side of the Management Complex.
//!
//! A number that does not exist is traced as an error and otherwise ignored: it
//! is a mistake of who calls, not of a guest.

use super::{
    ChannelConfig, DestinationConfig, Kicks, PoolConfig, PortalConfig, Qbman, QueueConfig,
    queue::Wake,
};
use crate::fabric::Pass;

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
    /// are gone then. Frames of a queue that stays with its owner stay.
    pub fn configure_queue(&self, fqid: u32, config: Option<QueueConfig>, pass: &mut Pass) {
        let Some(queue) = find(&self.queues, "frame queue", fqid) else { return };
        let wake = match config {
            Some(config) => queue.lock().configure(fqid, config),
            None => {
                queue.lock().clear(&self.budget);
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
        let Some((channel, _)) = find(&self.channels, "channel", number) else { return };
        let (due, mut kicks) = {
            let mut channel = channel.lock();
            channel.configure(config);
            (channel.due(), channel.takers())
        };
        kicks |= self.notify(number, due);
        self.settle(kicks, pass);
    }

    /// Gives a buffer pool to somebody, or takes it away (`None`), which empties
    /// it.
    pub fn configure_pool(&self, bpid: u32, config: Option<PoolConfig>, _pass: &mut Pass) {
        let Some(pool) = find(&self.pools, "buffer pool", bpid) else { return };
        pool.lock().configure(config, &self.budget);
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

    /// Buffers in a pool; none where there is no such pool.
    pub fn free_buffers(&self, bpid: u32) -> u32 {
        self.pools.get(bpid as usize).map_or(0, |pool| pool.lock().free())
    }

    /// Whether there is a portal of this number.
    pub fn has_portal(&self, number: u32) -> bool {
        self.portals.get(number as usize).is_some()
    }
}

impl Qbman {
    /// Tells whoever is to be told of a queue; portals whose rings are to be
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
