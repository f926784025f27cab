// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What happens when queues fill up: limits, drop curves, and who is notified.
//!
//! A measure is about a queue, about the queues of a traffic class, or about a
//! numbered congestion group that queues were put into one by one. In the queue
//! manager a queue counts in one congestion group: the numbered one that it was
//! put into; else one of its own, where there is a notification about it; else
//! that of its class, where there is a measure of the class. What a real MC does
//! where these meet is not known.

use super::{Answer, Call, Interface, State, addressed};
use crate::mc::queue::destination_object;
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use crate::{
    fabric::Pass,
    mc::memory,
    qbman::{self, Consumer, GroupConfig, MemoryNotification, Unit, WorkQueueNotification},
};
use mc_abi::{
    ObjectId, Status,
    blocks::{CongestionNotification, TailDrop},
    dpni::{self, options, queue_type, queues::Command},
};
use qbman_abi::management::EarlyDrop;
use std::collections::BTreeMap;

/// Congestion messages are written to multiples of this.
const MESSAGE_ALIGN: u64 = 16;
/// `DPNI_CONG_OPT_*`.
mod mode {
    pub const MEMORY_ON_ENTRY: u16 = 0x01;
    pub const MEMORY_ON_EXIT: u16 = 0x02;
    pub const DESTINATION_ON_ENTRY: u16 = 0x08;
    pub const DESTINATION_ON_EXIT: u16 = 0x10;
}
/// Bytes of drop curves in guest memory (`struct dpni_early_drop`).
const CURVES: usize = 96;
/// Units: bytes, frames.
const FRAMES: u8 = 1;

/// Limits, notifications and drop curves, by what they are about.
#[derive(Debug, Default)]
pub(super) struct Settings {
    taildrops: BTreeMap<Point, TailDrop>,
    notifications: BTreeMap<Point, CongestionNotification>,
    /// Drop curves as they lay in guest memory.
    early_drops: BTreeMap<Point, [u8; CURVES]>,
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
    /// Whom to notify is forgotten: those who were are not beside the interface any more.
    pub fn forget_notifications(&mut self) {
        self.notifications.clear();
    }

    /// Whether `other` is notified.
    pub fn leads_to(&self, other: ObjectId) -> bool {
        let mut told = self.notifications.values().map(|set| destination_object(set.destination));
        told.any(|object| object == Some(other))
    }

    /// Who is gone is notified no more.
    pub fn forget(&mut self, gone: ObjectId) {
        for set in self.notifications.values_mut() {
            if destination_object(set.destination) == Some(gone) {
                set.destination = Default::default();
                set.mode &= !(mode::DESTINATION_ON_ENTRY | mode::DESTINATION_ON_EXIT);
            }
        }
    }

    fn concerns(&self, point: &Point) -> bool {
        self.taildrops.contains_key(point)
            || self.notifications.contains_key(point)
            || self.early_drops.contains_key(point)
    }
}

/// Executes a command about congestion.
pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    if let Command::SetCongestionNotification(set) = command {
        state.check_destination(call.object, set.notification.destination)?;
    }
    let mut curves = [0; CURVES];
    if let Command::SetEarlyDrop(set) = command {
        memory::read(state, call.object, set.iova, &mut curves)?;
        check_curves(&curves)?;
    }
    let interface = addressed(state, call)?;
    match command {
        Command::GetTaildrop(get) => return call.reply(get, interface.taildrop(get)?),
        Command::SetTaildrop(set) => interface.set_taildrop(set)?,
        Command::SetCongestionNotification(set) => interface.set_notification(set, call.version)?,
        Command::GetCongestionNotification(get) => {
            return call.reply(get, interface.notification(get, call.version)?);
        }
        Command::SetEarlyDrop(set) => {
            let point = interface.class(set.queue_type, set.channel, set.tc)?;
            interface.settings.congestion.early_drops.insert(point, curves);
        }
        Command::GetEarlyDrop(get) => {
            let point = interface.class(get.queue_type, get.channel, get.tc)?;
            let curves = interface.settings.congestion.early_drops.get(&point).copied();
            let curves = curves.unwrap_or([0; CURVES]);
            memory::write(state, call.object, get.iova, &curves)?;
        }
        _ => return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED)),
    }
    Ok(Answer::DONE)
}

/// Commands.
impl Interface {
    fn taildrop(&self, get: &dpni::GetTaildrop) -> Result<dpni::GetTaildropReply, Refusal> {
        let point =
            self.point(get.congestion_point, get.queue_type, 0, get.tc, get.index, get.index)?;
        let drop = self.settings.congestion.taildrops.get(&point).copied().unwrap_or_default();
        Ok(dpni::GetTaildropReply { drop })
    }

    fn set_taildrop(&mut self, set: &dpni::SetTaildrop) -> Result<(), Refusal> {
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
        let wrong_units = set.congestion_point != QUEUE && set.drop.units > FRAMES;
        if wrong_queue || wrong_kind || wrong_units || set.drop.enable && set.drop.threshold == 0 {
            return Err(Status::ConfigurationError
                .because("no such congestion point, kind of queue or unit, or a threshold of 0"));
        }
        let mut drop = set.drop;
        if set.congestion_point == QUEUE {
            drop.units = 0;
        }
        let congestion = &mut self.settings.congestion;
        if matches!(point, Point::Class { .. }) {
            // Headers: the other measures of the class end.
            congestion.notifications.remove(&point);
            congestion.early_drops.remove(&point);
        }
        congestion.taildrops.insert(point, drop);
        Ok(())
    }

    fn set_notification(
        &mut self,
        set: &dpni::SetCongestionNotification,
        version: u8,
    ) -> Result<(), Refusal> {
        let point = self.notified(
            set.congestion_point,
            set.queue_type,
            set.channel,
            set.tc,
            set.congestion_group,
            version,
        )?;
        let CongestionNotification { mode, units, message_iova, .. } = set.notification;
        let writes = mode & (mode::MEMORY_ON_ENTRY | mode::MEMORY_ON_EXIT) != 0;
        if writes && !message_iova.is_multiple_of(MESSAGE_ALIGN) || units > FRAMES {
            return Err(Status::ConfigurationError.because(format!(
                "the address is no multiple of {MESSAGE_ALIGN}, or there is no such unit"
            )));
        }
        self.settings.congestion.notifications.insert(point, set.notification);
        Ok(())
    }

    fn notification(
        &self,
        get: &dpni::GetCongestionNotification,
        version: u8,
    ) -> Result<dpni::GetCongestionNotificationReply, Refusal> {
        let point = self.notified(
            get.congestion_point,
            get.queue_type,
            get.channel,
            get.tc,
            get.congestion_group,
            version,
        )?;
        let set = self.settings.congestion.notifications.get(&point);
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
    ) -> Result<Point, Refusal> {
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
    ) -> Result<Point, Refusal> {
        match point {
            0 => self.resources.place(kind, channel, tc, index).map(Point::Queue),
            1 => self.class(kind, channel, tc),
            // Headers: only with an option for the number of groups. But a board
            // reports a group without it, and DPDK uses what is reported.
            2 if group < self.limits.congestion_groups => Ok(Point::Group(group)),
            _ => Err(Status::ConfigurationError
                .because(format!("there is no congestion point {point} with this queue or group"))),
        }
    }

    fn class(&self, kind: u8, channel: u8, tc: u8) -> Result<Point, Refusal> {
        self.resources.place(kind, channel, tc, 0)?;
        match kind {
            queue_type::RX => {
                let shared = self.limits.has(options::SHARED_CONGESTION);
                Ok(Point::Class { kind, channel: 0, tc: if shared { 0 } else { tc } })
            }
            queue_type::TX | queue_type::TX_CONFIRM => Ok(Point::Class { kind, channel, tc }),
            _ => Err(Status::ConfigurationError
                .because(format!("class {tc} has no congestion of queues of type {kind}"))),
        }
    }
}

/// Drop curves are given by maximum, minimum and probability in percent, for
/// green, yellow and red frames.
fn curves(bytes: &[u8; CURVES]) -> impl Iterator<Item = EarlyDrop> {
    bytes.chunks_exact(32).map(|curve| {
        let word = |at: usize| {
            curve
                .get(at..)
                .and_then(<[u8]>::first_chunk)
                .map_or(0, |word| u64::from_le_bytes(*word))
        };
        let percent = word(8) as u8;
        // The hardware has steps of 1/64.
        let probability = (u32::from(percent.min(100)) * 64 / 100).max(1) as u8;
        EarlyDrop { max: word(16), min: word(24), probability }
    })
}

/// Whether drop curves are in force.
fn enabled(bytes: &[u8; CURVES]) -> bool {
    bytes[0] & 1 != 0
}

fn unit_of_curves(bytes: &[u8; CURVES]) -> u8 {
    bytes[0] >> 2 & 3
}

fn check_curves(bytes: &[u8; CURVES]) -> Result<(), Refusal> {
    const MOST: u64 = 1 << 39;
    let wrong = |curve: EarlyDrop| curve.max >= MOST || curve.min > curve.max;
    if enabled(bytes) && (unit_of_curves(bytes) > FRAMES || curves(bytes).any(wrong)) {
        return Err(Status::ConfigurationError
            .because("the curve has an unknown unit, or its least is above its most"));
    }
    Ok(())
}

/// What it comes to in the queue manager.
impl Interface {
    /// The limit of a queue. A queue counts bytes.
    pub fn tail_drop(&self, place: usize) -> Option<qbman::TailDrop> {
        let set = self.settings.congestion.taildrops.get(&Point::Queue(place))?;
        set.enable.then(|| qbman::TailDrop {
            unit: Unit::Bytes,
            threshold: set.threshold.into(),
            overhead: sign_extended(set.overhead),
        })
    }

    /// The congestion group that a queue counts in.
    pub fn group_of(&self, state: &State, place: usize) -> Option<u32> {
        let settings = &self.settings.congestion;
        let put = self.settings.queues.queue(place).and_then(|queue| queue.congestion_group);
        if let Some(group) = put {
            return self.resources.group(group);
        }
        if settings.notifications.contains_key(&Point::Queue(place)) {
            return Some(state.own_group(self.resources.fqid(place)));
        }
        let point = self.class_of(place)?;
        settings.concerns(&point).then(|| self.group_at(state, point)).flatten()
    }

    fn class_of(&self, place: usize) -> Option<Point> {
        let (kind, channel, tc) = self.resources.class(place)?;
        self.class(kind, channel, tc).ok()
    }

    /// The congestion group that watches a point.
    fn group_at(&self, state: &State, point: Point) -> Option<u32> {
        match point {
            Point::Queue(place) => Some(state.own_group(self.resources.fqid(place))),
            Point::Group(group) => self.resources.group(group),
            Point::Class { kind: queue_type::RX, tc, .. } if self.resources.group(tc).is_some() => {
                self.resources.group(tc)
            }
            // The hardware has groups of their own for these.
            Point::Class { kind, channel, tc } => {
                let place = self.resources.place(kind, channel, tc, 0).ok()?;
                Some(state.own_group(self.resources.fqid(place)))
            }
        }
    }

    /// Writes the congestion groups into the queue manager's tables.
    pub fn program_groups(&self, state: &State, id: ObjectId, icid: u16, pass: &mut Pass) {
        let settings = &self.settings.congestion;
        let mut groups: BTreeMap<u32, GroupConfig> = BTreeMap::new();
        for group in 0..self.limits.congestion_groups {
            if let Some(cgid) = self.resources.group(group) {
                groups.insert(cgid, GroupConfig::new(icid, Unit::Bytes));
            }
        }
        // Measures of a class first: those of a numbered group take their
        // place.
        let points = settings.taildrops.keys().chain(settings.notifications.keys());
        let mut points: Vec<Point> = points.chain(settings.early_drops.keys()).copied().collect();
        points.sort_unstable();
        points.dedup();
        for point in points {
            if matches!(point, Point::Queue(_)) && !settings.notifications.contains_key(&point) {
                continue;
            }
            if let Some(cgid) = self.group_at(state, point) {
                groups.insert(cgid, self.group_config(state, id, icid, &point));
            }
        }
        for (cgid, config) in groups {
            state.fabric.qbman().configure_group(cgid, Some(config), pass);
        }
    }

    fn group_config(&self, state: &State, id: ObjectId, icid: u16, point: &Point) -> GroupConfig {
        let settings = &self.settings.congestion;
        // The limit of a single queue is the queue's own.
        let limit = settings.taildrops.get(point).filter(|set| set.enable);
        let limit = limit.filter(|_| !matches!(point, Point::Queue(_)));
        let notification = settings.notifications.get(point);
        let drops = settings.early_drops.get(point).filter(|bytes| enabled(bytes));
        // A group counts one thing: what its limit counts, else what others do.
        let unit = limit
            .map(|set| set.units)
            .or(notification.map(|set| set.units))
            .or(drops.map(unit_of_curves))
            .unwrap_or(0);
        let unit = if unit == FRAMES { Unit::Frames } else { Unit::Bytes };
        let mut config = GroupConfig::new(icid, unit);
        if let Some(set) = limit {
            config.tail_drop = Some(set.threshold.into());
            config.overhead = sign_extended(set.overhead);
        }
        if let Some(bytes) = drops {
            let slots = config.early_drop.iter_mut();
            slots.zip(curves(bytes)).for_each(|(slot, curve)| *slot = Some(curve));
        }
        if let Some(set) = notification {
            config.enter = (set.threshold_entry != 0).then(|| set.threshold_entry.into());
            config.exit = set.threshold_exit.into();
            config.context = set.message_context;
            let has = |bits| set.mode & bits != 0;
            let (on_entry, on_exit) = (has(mode::MEMORY_ON_ENTRY), has(mode::MEMORY_ON_EXIT));
            config.memory = (on_entry || on_exit).then_some(MemoryNotification {
                address: set.message_iova,
                on_entry,
                on_exit,
            });
            let (on_entry, on_exit) =
                (has(mode::DESTINATION_ON_ENTRY), has(mode::DESTINATION_ON_EXIT));
            config.work_queue = match state.consumer(id, set.destination) {
                Consumer::Channel { channel, priority }
                | Consumer::Notify { channel, priority }
                    if on_entry || on_exit =>
                {
                    Some(WorkQueueNotification { channel, priority, on_entry, on_exit })
                }
                _ => None,
            };
        }
        config
    }

    /// Takes the congestion groups back.
    pub fn withdraw_groups(&self, state: &mut State) {
        let groups = (0..self.limits.congestion_groups).filter_map(|g| self.resources.group(g));
        let own = self.resources.fqids().iter().map(|fqid| state.own_group(*fqid));
        let groups: Vec<u32> = groups.chain(own).collect();
        for cgid in groups {
            state.fabric.qbman().configure_group(cgid, None, &mut state.pass);
        }
    }
}

/// A number of twelve bits in two's complement.
fn sign_extended(overhead: u16) -> i16 {
    (overhead << 4) as i16 >> 4
}
