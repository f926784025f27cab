// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How frames come into queues and out of channels.

use super::{
    Kicks, Qbman, QueueConfig,
    channel::{Due, Link, Work},
    portal::Portal,
    queue::{Queue, Ticket, Wake},
};
use crate::fabric::Pass;
use qbman_abi::{DequeueEntry, Fd, Notice, NoticeKind, Rejection, Status, Target};
use std::sync::atomic::Ordering;

/// Something that a dequeue from a channel gives.
#[derive(Debug)]
pub(super) enum Served {
    /// Frames of one queue.
    Frames,
    /// A notification.
    Notice(Notice),
}

/// What a dequeue from a channel takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dequeue {
    /// Whose queues count.
    pub icid: u16,
    /// Whether the channel may be somebody else's: nothing is taken then.
    pub checks_owner: bool,
    /// Frames of the queue at most.
    pub most: usize,
    /// Whether the queue keeps its place in front of others.
    pub keep_place: bool,
    /// Whether the channel pushes: entries may hold the queue, and there are
    /// notifications.
    pub pushed: bool,
}

impl Qbman {
    /// Frames that a portal enqueues, in their order: the queue that they go to, and
    /// portals whose rings are to be filled. Calls `refused` with the place in `fds` of
    /// each that is rejected, and the reason.
    pub(super) fn enqueue_for(
        &self,
        icid: u16,
        target: Target,
        fds: &[Fd],
        pass: &mut Pass,
        refused: &mut impl FnMut(usize, Rejection),
    ) -> (u32, Kicks) {
        let number = self.resolve(icid, target);
        let allows = |config: &QueueConfig| config.icid == icid || config.peer == Some(icid);
        let queue = number.and_then(|number| self.queues.get(number as usize));
        let queue = queue.map(|queue| queue.lock());
        let queue = queue.filter(|queue| queue.config().is_some_and(allows));
        // A target without a queue is reported as queue 0.
        let number = number.unwrap_or(0);
        let Some(mut queue) = queue else {
            (0..fds.len()).for_each(|place| refused(place, Rejection::Error));
            return (number, Kicks::NONE);
        };
        let wake = self.push(&mut queue, number, fds.iter().copied(), refused);
        drop(queue);
        (number, self.wake(wake, pass))
    }

    /// Appends frames to a queue, whose lock the caller has: see [`Queue::push`].
    pub(super) fn push(
        &self,
        queue: &mut Queue,
        number: u32,
        fds: impl IntoIterator<Item = Fd>,
        refused: &mut impl FnMut(usize, Rejection),
    ) -> Wake {
        let wake = queue.push(number, fds, &self.shared, refused);
        if let Some(filled) = self.filled.get(number as usize)
            && !filled.load(Ordering::Relaxed)
        {
            filled.store(true, Ordering::Release);
        }
        wake
    }

    /// The queue that a target stands for.
    fn resolve(&self, icid: u16, target: Target) -> Option<u32> {
        let (id, bin, priority) = match target {
            Target::Queue(number) => return Some(number),
            Target::Destination { id, bin, priority } => (id, bin, priority),
        };
        let place = self.destinations.get(id as usize)?.read();
        let config = place.as_ref().filter(|config| config.icid == icid)?;
        config.queues.get(usize::from(priority))?.get(usize::from(bin)).copied()
    }

    /// Enqueues as a portal of an isolation id does, for tests that have no portal.
    #[cfg(test)]
    pub(crate) fn enqueue_as(&self, icid: u16, fqid: u32, fd: &Fd, pass: &mut Pass) -> bool {
        let mut taken = true;
        let target = Target::Queue(fqid);
        self.enqueue_for(icid, target, std::slice::from_ref(fd), pass, &mut |_, _| taken = false);
        taken
    }

    /// The queue of a destination, for tests that have no portal.
    #[cfg(test)]
    pub(crate) fn destination_queue(
        &self,
        icid: u16,
        id: u32,
        priority: u8,
        bin: u16,
    ) -> Option<u32> {
        self.resolve(icid, Target::Destination { id, bin, priority })
    }

    /// Puts something into a channel's work queue; portals whose rings are to be
    /// filled. A channel that does not exist takes nothing.
    pub(super) fn link(&self, link: Link, front: bool) -> Kicks {
        let Some((channel, ready)) = self.channels.get(link.channel as usize) else {
            return Kicks::NONE;
        };
        let (due, mut kicks) = {
            let mut channel = channel.lock();
            channel.add(link.priority, link.work, front, ready, |work| self.stands(work));
            (channel.due(ready, |work, icid| self.counts(work, icid)), channel.takers())
        };
        kicks |= self.notify(link.channel, due);
        kicks
    }

    /// Whether something in a work queue stands for anything; who asks throws away what does
    /// not. The channel may be locked.
    pub(super) fn counts(&self, work: &Work, icid: u16) -> bool {
        let queue = |ticket: Ticket| Some(self.queues.get(ticket.queue as usize)?.lock());
        match work {
            Work::Queue(ticket) => queue(*ticket).is_some_and(|mut queue| {
                let counts = queue.honours(*ticket, icid);
                if !counts {
                    queue.lose(*ticket);
                }
                counts
            }),
            Work::Data(ticket) => {
                queue(*ticket).is_some_and(|queue| queue.notified(*ticket).is_some())
            }
            Work::Available(_) | Work::Congestion(_) => true,
        }
    }

    /// Whether something in a work queue is not void, whosever it is. The channel may be
    /// locked.
    fn stands(&self, work: &Work) -> bool {
        match work {
            Work::Queue(ticket) | Work::Data(ticket) => {
                let queue = self.queues.get(ticket.queue as usize);
                queue.is_some_and(|queue| queue.lock().is_current(*ticket))
            }
            Work::Available(_) | Work::Congestion(_) => true,
        }
    }

    /// Sends a channel's data notification to a portal's own channel. No channel may be
    /// locked.
    pub(super) fn notify(&self, source: u32, due: Option<Due>) -> Kicks {
        let Some(Due { icid, to }) = due else { return Kicks::NONE };
        let portal = self.portals.get(to.portal as usize);
        let own = portal.and_then(|portal| portal.own_channel());
        if own.is_some_and(|(owner, _)| owner != icid) {
            self.crossed(NoticeKind::ChannelData, source);
        }
        let own = own.filter(|(owner, _)| *owner == icid);
        let place = own.and_then(|(_, own)| self.channels.get(own as usize));
        let Some((channel, ready)) = place else {
            tracing::debug!(source, portal = to.portal, "a data notification has nowhere to go");
            if let Some((channel, _)) = self.channels.get(source as usize) {
                channel.lock().lose_notification();
            }
            return Kicks::NONE;
        };
        let mut channel = channel.lock();
        channel.add(to.priority, Work::Available(source), false, ready, |work| self.stands(work));
        channel.takers()
    }

    /// Takes something out of a channel: the entries of one queue go to `out`. `None`:
    /// there is nothing.
    pub(super) fn serve(
        &self,
        number: u32,
        mask: u8,
        dequeue: Dequeue,
        out: &mut impl FnMut(DequeueEntry, Option<Ticket>),
        kicks: &mut Kicks,
        pass: &mut Pass,
    ) -> Option<Served> {
        let (channel, ready) = self.channels.get(number as usize)?;
        if !ready.any(mask) {
            return None;
        }
        // Each step takes something out, and void tickets are not put back: the
        // loop ends, even if others add something meanwhile.
        let bound: usize = {
            let channel = channel.lock();
            let owner = channel.config().map(|config| config.icid);
            if dequeue.checks_owner && owner != Some(dequeue.icid) {
                return None;
            }
            channel.lengths().iter().sum()
        };
        for _ in 0..bound {
            let (priority, work) = channel.lock().take(mask, ready)?;
            match work {
                Work::Queue(ticket) => {
                    let link = self.dequeue_scheduled(ticket, dequeue, out);
                    let Some((taken, wake)) = link else { continue };
                    *kicks |= match wake {
                        Wake::Channel(link) => self.link(link, dequeue.keep_place),
                        wake => self.wake(wake, pass),
                    };
                    if taken {
                        return Some(Served::Frames);
                    }
                }
                Work::Data(_) | Work::Available(_) | Work::Congestion(_) if !dequeue.pushed => {
                    channel.lock().add(priority, work, false, ready, |work| self.stands(work));
                }
                Work::Data(ticket) => {
                    let Some(queue) = self.queues.get(ticket.queue as usize) else { continue };
                    let Some(arrived) = queue.lock().arrived(ticket, dequeue.icid) else {
                        continue;
                    };
                    let (kind, resource) = (NoticeKind::QueueData, ticket.queue);
                    let Ok(context) = arrived else {
                        self.crossed(kind, resource);
                        continue;
                    };
                    let notice = Notice { kind, state: 0, resource, context };
                    return Some(Served::Notice(notice));
                }
                Work::Available(source) => {
                    let Some((channel, _)) = self.channels.get(source as usize) else { continue };
                    let is_here = |portal: u32| {
                        let own = self.portals.get(portal as usize).and_then(Portal::own_channel);
                        own.is_some_and(|(_, own)| own == number)
                    };
                    let arrived = channel.lock().arrived(is_here);
                    let Some((owner, context)) = arrived else { continue };
                    let kind = NoticeKind::ChannelData;
                    if owner != dequeue.icid {
                        self.crossed(kind, source);
                        continue;
                    }
                    let notice = Notice { kind, state: 0, resource: source, context };
                    return Some(Served::Notice(notice));
                }
                Work::Congestion(number) => {
                    let Some(group) = self.shared.groups.get(number as usize) else { continue };
                    let (owner, arrived) = {
                        let mut group = group.lock();
                        (group.config().map(|config| config.icid), group.arrived(number))
                    };
                    let Some(notice) = arrived else { continue };
                    if owner != Some(dequeue.icid) {
                        self.crossed(notice.kind, number);
                        continue;
                    }
                    return Some(Served::Notice(notice));
                }
            }
        }
        None
    }

    /// Dequeues from a queue: whether it gave something, and who is to be notified that
    /// there is more. `None` where the ticket is void.
    fn dequeue_scheduled(
        &self,
        ticket: Ticket,
        dequeue: Dequeue,
        out: &mut impl FnMut(DequeueEntry, Option<Ticket>),
    ) -> Option<(bool, Wake)> {
        let number = ticket.queue;
        let mut queue = self.queues.get(number as usize)?.lock();
        if !queue.honours(ticket, dequeue.icid) {
            queue.lose(ticket);
            return None;
        }
        let holds = dequeue.pushed && queue.config().is_some_and(|config| config.hold_active);
        let hold = holds.then(|| queue.ticket(number));
        let most = if queue.eligible() { dequeue.most } else { 0 };
        let mut out = |entry: DequeueEntry| {
            let held = if holds { Status::HELD_ACTIVE } else { Status::default() };
            out(DequeueEntry { status: entry.status.with(held), ..entry }, hold);
        };
        let numbers = |record| self.next_number(record);
        let taken = queue.entries(number, most, &self.shared, numbers, &mut out);
        if holds {
            queue.hold(taken as u32);
        }
        Some((taken > 0, queue.served(number)))
    }

    /// A notification that would tell the container of another isolation id of something is
    /// dropped.
    fn crossed(&self, kind: NoticeKind, source: u32) {
        self.shared.crossed.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(?kind, source, "a notification for another isolation id is dropped");
    }

    /// The next number of an order.
    pub(super) fn next_number(&self, record: u32) -> Option<u16> {
        let (_, number) = self.records.get(record as usize)?;
        Some(number.fetch_add(1, Ordering::Relaxed) & 0x3fff)
    }
}
