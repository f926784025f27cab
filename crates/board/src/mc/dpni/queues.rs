// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Queues: where their frames go, and what happens when they fill up.

use super::{Answer, Call, Interface, State, addressed, resources::Resources};
use mc_abi::{
    Status,
    blocks::{CongestionNotification, Destination, TailDrop},
    common::OrderRestorationReply,
    dpni::{self, options, queue_options as change, queue_type, queues::Command},
};
use std::collections::BTreeMap;

/// All traffic classes, or all queues of a class.
const ALL: u8 = u8::MAX;
/// Congestion messages are written to multiples of this.
const MESSAGE_ALIGN: u64 = 16;
/// `DPNI_CONG_OPT_WRITE_MEM_ON_ENTER` and `_ON_EXIT`.
const WRITES_MEMORY: u16 = 0x3;
/// Bit of [`dpni::SetOpr::options`].
const OPR_ASSIGN: u8 = 0x4;
/// Flag of [`dpni::GetOpr`]: the record is named by its own number.
const OPR_BY_RECORD: u8 = 0x1;

/// Queues and congestion.
#[derive(Debug)]
pub(super) struct Settings {
    /// By their place, see [`Resources`].
    queues: Vec<Queue>,
    pub taildrops: BTreeMap<Point, TailDrop>,
    notifications: BTreeMap<Point, CongestionNotification>,
    /// Addresses of drop curves.
    early_drops: BTreeMap<Point, u64>,
}

/// A queue as software sets it up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Queue {
    pub destination: Destination,
    pub hold_active: bool,
    stash_control: bool,
    pub flow_context: u64,
    pub user_context: u64,
    congestion_group: Option<u8>,
    /// The order point record that was assigned to it.
    record: Option<u8>,
}

/// What a fill level is watched of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    /// A queue, by its place.
    Queue(usize),
    /// The queues of a traffic class.
    Class { kind: u8, channel: u8, tc: u8 },
    /// A congestion group that queues were put into one by one.
    Group(u8),
}

impl Settings {
    pub fn new(resources: &Resources) -> Self {
        Self {
            queues: vec![Queue::default(); resources.queue_count()],
            taildrops: BTreeMap::new(),
            notifications: BTreeMap::new(),
            early_drops: BTreeMap::new(),
        }
    }

    /// A queue by its place.
    pub fn queue(&self, place: usize) -> Option<&Queue> {
        self.queues.get(place)
    }

    /// The destinations are not beside the interface any more.
    pub fn forget_destinations(&mut self) {
        for queue in &mut self.queues {
            queue.destination = Destination::default();
        }
        self.notifications.clear();
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Status> {
    match command {
        Command::SetQueue(set) if set.options & change::DESTINATION != 0 => {
            state.check_destination(call.object, set.destination)?;
        }
        Command::SetCongestionNotification(set) => {
            state.check_destination(call.object, set.notification.destination)?;
        }
        _ => {}
    }
    let interface = addressed(state, call)?;
    match command {
        Command::GetQdid(get) => {
            let qdid = interface.qdids(get.queue_type)?.first().copied().unwrap_or(0);
            return call.reply(get, dpni::GetQdidReply { qdid: qdid as u16 });
        }
        Command::GetQdidEx(get) => {
            let mut qdids = [0; 16];
            for (slot, qdid) in qdids.iter_mut().zip(interface.qdids(get.queue_type)?) {
                *slot = *qdid as u16;
            }
            return call.reply(get, dpni::GetQdidExReply { qdids });
        }
        // Storage profiles matter to accelerators, which this board has not.
        Command::GetSpInfo(_) => return Err(Status::UnsupportedOperation),
        Command::GetQueue(get) => return call.reply(get, interface.queue(get)?),
        Command::SetQueue(set) => interface.set_queue(set)?,
        Command::GetTaildrop(get) => return call.reply(get, interface.taildrop(get)?),
        Command::SetTaildrop(set) => interface.set_taildrop(set)?,
        Command::SetCongestionNotification(set) => {
            interface.set_notification(set, call.version)?;
        }
        Command::GetCongestionNotification(get) => {
            return call.reply(get, interface.notification(get, call.version)?);
        }
        Command::SetEarlyDrop(set) => {
            let point = interface.class(set.queue_type, set.channel, set.tc)?;
            interface.settings.queues.early_drops.insert(point, set.iova);
        }
        // The MC would have to write guest memory.
        Command::GetEarlyDrop(_) => return Err(Status::UnsupportedOperation),
        Command::SetOpr(set) => interface.set_order(set)?,
        Command::GetOpr(get) => return call.reply(get, interface.order(get)?),
    }
    Ok(Answer::DONE)
}

/// Queues.
impl Interface {
    /// Queuing destinations: only what is sent has one.
    fn qdids(&self, kind: u8) -> Result<&[u32], Status> {
        match kind {
            queue_type::TX => Ok(&self.resources.qdids),
            _ => Err(Status::ConfigurationError),
        }
    }

    fn queue(&self, get: &dpni::GetQueue) -> Result<dpni::GetQueueReply, Status> {
        let place = self.resources.place(get.queue_type, get.channel, get.tc, get.index)?;
        let queue = self.settings.queues.queues.get(place).copied().unwrap_or_default();
        Ok(dpni::GetQueueReply {
            destination: queue.destination,
            congestion_group_valid: queue.congestion_group.is_some(),
            stash_control: queue.stash_control,
            hold_active: queue.hold_active,
            flow_context: queue.flow_context,
            user_context: queue.user_context,
            fqid: self.resources.fqid(place),
            // The bins of a queuing destination are its senders.
            qdbin: if get.queue_type == queue_type::TX { get.index.into() } else { 0 },
            congestion_group: queue.congestion_group.unwrap_or(0),
        })
    }

    fn set_queue(&mut self, set: &dpni::SetQueue) -> Result<(), Status> {
        let group = if set.options & change::SET_CONGESTION_GROUP != 0 {
            if set.congestion_group >= self.limits.congestion_groups {
                return Err(Status::ConfigurationError);
            }
            Some(Some(set.congestion_group))
        } else {
            (set.options & change::CLEAR_CONGESTION_GROUP != 0).then_some(None)
        };
        let tcs = match set.queue_type {
            queue_type::RX => self.limits.rx_tcs,
            _ => self.limits.tx_tcs,
        };
        for tc in chosen(set.tc, tcs) {
            for index in chosen(set.index, self.limits.queues) {
                let place = self.resources.place(set.queue_type, set.channel, tc, index)?;
                let queue = self.settings.queues.queues.get_mut(place);
                let queue = queue.ok_or(Status::ConfigurationError)?;
                // Headers: for transmit, everything else is ignored.
                if set.queue_type != queue_type::TX {
                    queue.change(set);
                }
                if let Some(group) = group {
                    queue.congestion_group = group;
                }
            }
        }
        Ok(())
    }
}

/// One number, or all of them.
fn chosen(number: u8, count: u8) -> std::ops::RangeInclusive<u8> {
    match number {
        ALL => 0..=count.saturating_sub(1),
        one => one..=one,
    }
}

impl Queue {
    fn change(&mut self, set: &dpni::SetQueue) {
        let has = |option| set.options & option != 0;
        if has(change::USER_CONTEXT) {
            self.user_context = set.user_context;
        }
        if has(change::DESTINATION) {
            self.destination = set.destination;
        }
        if has(change::FLOW_CONTEXT) {
            self.flow_context = set.flow_context;
            self.stash_control = set.stash_control;
        }
        if has(change::HOLD_ACTIVE) {
            self.hold_active = set.hold_active;
        }
    }
}

/// Congestion.
impl Interface {
    fn taildrop(&self, get: &dpni::GetTaildrop) -> Result<dpni::GetTaildropReply, Status> {
        let point =
            self.point(get.congestion_point, get.queue_type, 0, get.tc, get.index, get.index)?;
        let drop = self.settings.queues.taildrops.get(&point).copied().unwrap_or_default();
        Ok(dpni::GetTaildropReply { drop })
    }

    fn set_taildrop(&mut self, set: &dpni::SetTaildrop) -> Result<(), Status> {
        const QUEUE: u8 = 0;
        let point = self.point(
            set.congestion_point,
            set.queue_type,
            set.channel,
            set.tc,
            set.index,
            set.index,
        )?;
        let wrong_queue = set.congestion_point == QUEUE && set.queue_type != queue_type::RX;
        let wrong_kind = !matches!(set.queue_type, queue_type::RX | queue_type::TX);
        // A queue counts bytes whatever the units say.
        let wrong_units = set.congestion_point != QUEUE && set.drop.units > 1;
        if wrong_queue || wrong_kind || wrong_units || set.drop.enable && set.drop.threshold == 0 {
            return Err(Status::ConfigurationError);
        }
        let mut drop = set.drop;
        if set.congestion_point == QUEUE {
            drop.units = 0;
        }
        let queues = &mut self.settings.queues;
        if matches!(point, Point::Class { .. }) {
            // Headers: the other measures of the class end.
            queues.notifications.remove(&point);
            queues.early_drops.remove(&point);
        }
        queues.taildrops.insert(point, drop);
        Ok(())
    }

    fn set_notification(
        &mut self,
        set: &dpni::SetCongestionNotification,
        version: u8,
    ) -> Result<(), Status> {
        let point = self.notified(
            set.congestion_point,
            set.queue_type,
            set.channel,
            set.tc,
            set.congestion_group,
            version,
        )?;
        let CongestionNotification { mode, units, message_iova, .. } = set.notification;
        let misplaced = mode & WRITES_MEMORY != 0 && !message_iova.is_multiple_of(MESSAGE_ALIGN);
        if misplaced || units > 1 {
            return Err(Status::ConfigurationError);
        }
        self.settings.queues.notifications.insert(point, set.notification);
        Ok(())
    }

    fn notification(
        &self,
        get: &dpni::GetCongestionNotification,
        version: u8,
    ) -> Result<dpni::GetCongestionNotificationReply, Status> {
        let point = self.notified(
            get.congestion_point,
            get.queue_type,
            get.channel,
            get.tc,
            get.congestion_group,
            version,
        )?;
        let set = self.settings.queues.notifications.get(&point);
        let notification = set.copied().unwrap_or_default();
        Ok(dpni::GetCongestionNotificationReply { notification })
    }

    /// What a notification is about. Version 1 of the commands knows traffic
    /// classes only; the commands have no field for a queue's number.
    fn notified(
        &self,
        point: u8,
        kind: u8,
        channel: u8,
        tc: u8,
        group: u8,
        version: u8,
    ) -> Result<Point, Status> {
        if version < 2 {
            return self.class(kind, channel, tc);
        }
        self.point(point, kind, channel, tc, 0, group)
    }

    fn point(
        &self,
        point: u8,
        kind: u8,
        channel: u8,
        tc: u8,
        index: u8,
        group: u8,
    ) -> Result<Point, Status> {
        match point {
            0 => self.resources.place(kind, channel, tc, index).map(Point::Queue),
            1 => self.class(kind, channel, tc),
            // Headers: only with an option for the number of groups. But a board
            // reports a group without it, and DPDK uses what is reported.
            2 if group < self.limits.congestion_groups => Ok(Point::Group(group)),
            _ => Err(Status::ConfigurationError),
        }
    }

    fn class(&self, kind: u8, channel: u8, tc: u8) -> Result<Point, Status> {
        self.resources.place(kind, channel, tc, 0)?;
        match kind {
            queue_type::RX => {
                let shared = self.limits.has(options::SHARED_CONGESTION);
                Ok(Point::Class { kind, channel: 0, tc: if shared { 0 } else { tc } })
            }
            queue_type::TX | queue_type::TX_CONFIRM => Ok(Point::Class { kind, channel, tc }),
            _ => Err(Status::ConfigurationError),
        }
    }
}

/// Order restoration.
impl Interface {
    /// The record of a queue: one of its own, one of its class, or the one that
    /// was assigned.
    fn record_of(&self, tc: u8, index: u8) -> Result<u8, Status> {
        let place = self.resources.place(queue_type::RX, 0, tc, index)?;
        let assigned = self.settings.queues.queues.get(place).and_then(|queue| queue.record);
        let own = || {
            let first = tc.checked_mul(self.limits.queues)?;
            first.checked_add(index)
        };
        match assigned {
            Some(record) => Ok(record),
            None if self.limits.has(options::OPR_PER_TC) => Ok(tc),
            None => own().ok_or(Status::ConfigurationError),
        }
    }

    fn set_order(&mut self, set: &dpni::SetOpr) -> Result<(), Status> {
        let custom = self.limits.has(options::CUSTOM_OPR);
        let record = if custom { set.record } else { self.record_of(set.tc, set.index)? };
        let place = self.resources.place(queue_type::RX, 0, set.tc, set.index);
        self.order.set(record, set.options, set.settings)?;
        if custom
            && set.options == OPR_ASSIGN
            && let Some(queue) = self.settings.queues.queues.get_mut(place?)
        {
            queue.record = Some(record);
        }
        Ok(())
    }

    fn order(&self, get: &dpni::GetOpr) -> Result<OrderRestorationReply, Status> {
        self.order.get(match get.flags & OPR_BY_RECORD {
            0 => self.record_of(get.tc, get.index)?,
            _ => get.record,
        })
    }
}
