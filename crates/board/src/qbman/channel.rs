// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One channel: eight work queues of frame queues that have frames, and of
//! notifications.

use super::{
    config::{ChannelConfig, NotificationConfig},
    kicks::Kicks,
    queue::Ticket,
};
use qbman_abi::management::{self, ChannelNotification};
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU8, Ordering},
};

/// Work queues of a channel.
pub(super) const WORK_QUEUES: usize = 8;

/// Things that a work queue has before somebody looks which of them are void.
const MANY: usize = 64;

/// Something in a work queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A frame queue that can be served.
    Queue(Ticket),
    /// A frame queue has data: a notification.
    Data(Ticket),
    /// A channel has data: a notification.
    Available(u32),
    /// A congestion group has changed its state: a notification.
    Congestion(u32),
}

/// Something for a certain work queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub channel: u32,
    pub priority: u8,
    pub work: Work,
}

/// A data notification that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Isolation id of the channel.
    pub icid: u16,
    /// Where it goes.
    pub to: NotificationConfig,
}

/// Which work queues have something, for a look without the lock. Who adds
/// something looks afterwards himself, or has somebody else look, under a lock
/// that both take.
#[derive(Debug, Default)]
pub(super) struct Ready(AtomicU8);

impl Ready {
    /// Whether one of the work queues of a mask has something.
    pub fn any(&self, mask: u8) -> bool {
        self.0.load(Ordering::Relaxed) & mask != 0
    }
}

/// A channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    config: Option<ChannelConfig>,
    work: [VecDeque<Work>; WORK_QUEUES],
    /// So many things were left in a work queue by the last look at which are void.
    left: usize,
    ready: u8,
    takers: Kicks,
    armed: bool,
    /// A notification was sent and has not arrived.
    on_the_way: bool,
    context: u64,
}

impl Channel {
    /// The configuration; `None`: nobody's.
    pub fn config(&self) -> Option<&ChannelConfig> {
        self.config.as_ref()
    }

    /// Gives the channel to somebody, or takes it away. What is in the work
    /// queues stays: tickets of other owners count for nothing.
    pub fn configure(&mut self, config: Option<ChannelConfig>) {
        let notification = |config: &Option<ChannelConfig>| config.and_then(|c| c.notification);
        let (before, after) = (notification(&self.config), notification(&config));
        if config.map(|c| c.icid) != self.config.map(|c| c.icid) {
            self.armed = false;
            self.context = 0;
        }
        // Who takes the notification away does not wait for one any more.
        self.armed &= before.is_none() || after.is_some();
        if after != before {
            self.on_the_way = false;
            self.context = after.map_or(self.context, |after| after.context);
        }
        self.config = config;
    }

    /// Portals into whose dequeue ring the channel pushes.
    pub fn takers(&self) -> Kicks {
        self.takers
    }

    /// Adds or removes a portal.
    pub fn set_taker(&mut self, portal: u32, takes: bool) {
        self.takers = if takes { self.takers.with(portal) } else { self.takers.without(portal) };
    }

    /// Adds something, in front of or behind what is there. `stands`: whether a thing in
    /// a work queue is not void. Software that changes queues and takes nothing out leaves
    /// any number of void ones: they are looked for before the work queue grows.
    pub fn add(
        &mut self,
        priority: u8,
        work: Work,
        front: bool,
        ready: &Ready,
        stands: impl Fn(&Work) -> bool,
    ) {
        let last = self.config.map_or(WORK_QUEUES, |config| config.priorities.into());
        let at = usize::from(priority).min(last.saturating_sub(1)).min(WORK_QUEUES - 1);
        let queue = &mut self.work[at];
        // A notification that was called back and is there still tells of this.
        let is_notification = matches!(work, Work::Available(_) | Work::Congestion(_));
        if is_notification && queue.contains(&work) {
            return;
        }
        if queue.len() >= MANY.max(2 * self.left) {
            queue.retain(stands);
            self.left = queue.len();
        }
        match front {
            true => queue.push_front(work),
            false => queue.push_back(work),
        }
        self.set_ready(self.ready | 1 << at, ready);
    }

    /// Takes the first thing of the first work queue of a mask.
    pub fn take(&mut self, mask: u8, ready: &Ready) -> Option<(u8, Work)> {
        let at = (self.ready & mask).trailing_zeros() as u8;
        let queue = self.work.get_mut(usize::from(at))?;
        let work = queue.pop_front()?;
        if queue.is_empty() {
            self.set_ready(self.ready & !(1 << at), ready);
        }
        Some((at, work))
    }

    /// What a query tells. `notification` is the work queue that the data
    /// notification goes to.
    pub fn state(&self, number: u32, notification: u16) -> management::ChannelState {
        management::ChannelState {
            channel: number as u16,
            armed: self.armed,
            notification,
            context: self.context,
            lengths: self.lengths().map(|length| length as u32),
        }
    }

    /// How many things are in each work queue.
    pub fn lengths(&self) -> [usize; WORK_QUEUES] {
        self.work.each_ref().map(VecDeque::len)
    }

    /// What software sets of the notification.
    pub fn set_notification(&mut self, command: &ChannelNotification) {
        self.context = command.context.unwrap_or(self.context);
        self.armed = command.enable.unwrap_or(self.armed);
        // Who disarms it may free what the context refers to.
        self.on_the_way &= self.armed || command.enable.is_none();
    }

    /// The notification, and whose it is, if it is armed and there is something to tell. It is
    /// disarmed then. `counts`: whether something in a work queue is still to be had,
    /// for who has this isolation id. What is not is thrown away: a driver that has
    /// just armed the channel is not to hear of what was its predecessor's.
    pub fn due(&mut self, ready: &Ready, counts: impl Fn(&Work, u16) -> bool) -> Option<Due> {
        let config = self.config.filter(|config| config.notifies)?;
        let notification = config.notification.filter(|_| self.armed && self.ready != 0)?;
        if !self.has_any(ready, |work| counts(work, config.icid)) {
            return None;
        }
        self.armed = false;
        self.on_the_way = true;
        Some(Due { icid: config.icid, to: notification })
    }

    /// Whether something in a work queue counts; takes out what does not, up to the first
    /// that does.
    fn has_any(&mut self, ready: &Ready, counts: impl Fn(&Work) -> bool) -> bool {
        for at in 0..WORK_QUEUES {
            while let Some(work) = self.work[at].front() {
                if counts(work) {
                    return true;
                }
                self.work[at].pop_front();
            }
            self.set_ready(self.ready & !(1 << at), ready);
        }
        false
    }

    /// A notification arrives: whose it is, and what it carries. Nothing where it was
    /// called back, or is not where it goes now.
    pub fn arrived(&mut self, is_here: impl Fn(u32) -> bool) -> Option<(u16, u64)> {
        let config = self.config.filter(|_| self.on_the_way)?;
        config.notification.filter(|to| is_here(to.portal))?;
        self.on_the_way = false;
        Some((config.icid, self.context))
    }

    /// The notification has nowhere to go.
    pub fn lose_notification(&mut self) {
        self.on_the_way = false;
    }

    fn set_ready(&mut self, mask: u8, ready: &Ready) {
        self.ready = mask;
        ready.0.store(mask, Ordering::Relaxed);
    }
}
