// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What queues and pools need of the rest: memory, congestion groups, and a
//! place for notifications that others deliver.

use super::{
    budget::Budget,
    channel::Link,
    group::{Change, Group},
};
use crate::fabric::Dma;
use parking_lot::Mutex;
use qbman_abi::{Fd, Rejection};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is shared by all queues and pools.
pub(super) struct Shared {
    pub budget: Budget,
    pub dma: Dma,
    pub groups: Box<[Mutex<Group>]>,
    /// Messages of groups and pools whose memory is not there.
    pub faults: AtomicU64,
    /// Notifications that were for another isolation id.
    pub crossed: AtomicU64,
    waiting: AtomicBool,
    links: Mutex<Vec<Link>>,
}

impl Shared {
    /// Nothing is congested, nothing waits.
    pub fn new(bytes: usize, dma: Dma, groups: Box<[Mutex<Group>]>) -> Self {
        Self {
            budget: Budget::new(bytes),
            dma,
            groups,
            faults: AtomicU64::new(0),
            crossed: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            links: Mutex::default(),
        }
    }

    /// A frame comes into a queue of a group.
    ///
    /// # Errors
    /// The reason where the group does not let it.
    pub fn admit(&self, group: Option<u32>, fd: &Fd) -> Result<(), Rejection> {
        self.with(group, Ok(()), |number, group| {
            let change = group.admit(number, fd)?;
            self.tell(change);
            Ok(())
        })
    }

    /// Frames that are in a queue come into a group with it.
    pub fn join(&self, group: Option<u32>, frames: u64, bytes: u64) {
        if frames != 0 {
            self.with(group, (), |number, group| self.tell(group.join(number, frames, bytes)));
        }
    }

    /// Frames leave a queue of a group.
    pub fn leave(&self, group: Option<u32>, frames: u64, bytes: u64) {
        if frames != 0 {
            self.with(group, (), |number, group| self.tell(group.leave(number, frames, bytes)));
        }
    }

    /// Notifies whoever is to be notified of a group's change, under the lock of the
    /// group, so that messages stay in order. Work queues are notified by
    /// [`Shared::take_link`].
    pub fn tell(&self, change: Option<Change>) {
        let Some(Change { message, link }) = change else { return };
        if let Some((icid, address, bytes)) = message {
            self.write(icid, address, &bytes);
        }
        if let Some(link) = link {
            self.links.lock().push(link);
            self.waiting.store(true, Ordering::Release);
        }
    }

    /// Writes a message.
    pub fn write(&self, icid: u16, address: u64, bytes: &[u8]) {
        if let Err(fault) = self.dma.write(icid, address, bytes) {
            self.faults.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(icid, address, %fault, "state change message lost");
        }
    }

    /// Whether notifications wait for somebody to deliver them.
    pub fn waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes a notification that waits.
    pub fn take_link(&self) -> Option<Link> {
        if !self.waiting() {
            return None;
        }
        let mut links = self.links.lock();
        let link = links.pop();
        self.waiting.store(!links.is_empty(), Ordering::Release);
        link
    }

    fn with<T>(&self, group: Option<u32>, none: T, work: impl FnOnce(u32, &mut Group) -> T) -> T {
        let place = group.and_then(|number| Some((number, self.groups.get(number as usize)?)));
        match place {
            Some((number, group)) => work(number, &mut group.lock()),
            None => none,
        }
    }
}
