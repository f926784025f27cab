// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One congestion group: what is in its queues together, when that is too much,
//! and who is notified.

use super::{
    channel::{Link, Work},
    config::{GroupConfig, Unit},
};
use qbman_abi::{
    Fd, Notice, NoticeKind, Rejection,
    annotation::control,
    management::{EarlyDrop, GroupCounts, GroupFields, GroupThreshold, GroupWrite},
};

/// Bytes of a state change notification in memory: those that have a meaning.
pub(super) const MESSAGE: usize = 16;

/// Bits of [`GroupFields::to_memory`] and [`GroupFields::to_work_queue`].
const ON_ENTRY: u8 = 1 << 0;
const ON_EXIT: u8 = 1 << 1;

/// A congestion group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// As the MC has programmed it.
    programmed: Option<GroupConfig>,
    /// The same, and what software has changed of it since.
    config: Option<GroupConfig>,
    frames: u64,
    bytes: u64,
    congested: bool,
    /// A notification was sent to a work queue and has not arrived.
    on_the_way: bool,
    rejected: GroupCounts,
    dice: Dice,
}

/// Who is notified of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// Isolation id, address and bytes of a message in memory.
    pub message: Option<(u16, u64, [u8; MESSAGE])>,
    /// A notification for a work queue.
    pub link: Option<Link>,
}

impl Group {
    /// The configuration; `None`: nobody's.
    pub fn config(&self) -> Option<&GroupConfig> {
        self.config.as_ref()
    }

    /// Gives the group to somebody, or takes it away. What software has changed
    /// stays until something else is programmed. Who gets messages in memory is
    /// given the state at once, since the memory may hold anything.
    pub fn configure(&mut self, number: u32, config: Option<GroupConfig>) -> Option<Change> {
        if config == self.programmed {
            return None;
        }
        let owner = |config: &Option<GroupConfig>| config.as_ref().map(|config| config.icid);
        if owner(&config) != owner(&self.programmed) {
            self.congested = false;
            self.on_the_way = false;
            self.rejected = GroupCounts::default();
        }
        self.programmed.clone_from(&config);
        self.config = config;
        let change = self.update(number);
        let message = change.and_then(|change| change.message).or_else(|| self.message(number));
        Some(Change { message, link: change.and_then(|change| change.link) })
    }

    /// Frames and bytes in the group's queues, and whether it is congested.
    pub fn state(&self) -> (u64, u64, bool) {
        (self.frames, self.bytes, self.congested)
    }

    /// A frame comes into one of the queues.
    ///
    /// # Errors
    /// The reason where the group does not let it.
    pub fn admit(&mut self, number: u32, fd: &Fd) -> Result<Option<Change>, Rejection> {
        let length = u64::from(fd.length());
        // Frames count whoever owns the group: they may be there longer.
        let Some(config) = &self.config else {
            self.enter(1, length);
            return Ok(None);
        };
        let after = config.count(self.frames + 1, self.bytes + length);
        let reject = if config.tail_drop.is_some_and(|threshold| after > threshold) {
            Err(Rejection::GroupTailDrop)
        } else if early_drop(config, fd).is_some_and(|curve| self.dice.drops(curve, after)) {
            Err(Rejection::EarlyDrop)
        } else {
            Ok(())
        };
        if let Err(rejection) = reject {
            self.rejected.frames += 1;
            self.rejected.bytes += length;
            return Err(rejection);
        }
        self.enter(1, length);
        Ok(self.update(number))
    }

    /// Frames that are there already count from now on.
    pub fn join(&mut self, number: u32, frames: u64, bytes: u64) -> Option<Change> {
        self.enter(frames, bytes);
        self.update(number)
    }

    /// Frames leave the queues.
    pub fn leave(&mut self, number: u32, frames: u64, bytes: u64) -> Option<Change> {
        self.frames = self.frames.saturating_sub(frames);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.update(number)
    }

    /// The notification arrives: what it tells.
    pub fn arrived(&mut self, number: u32) -> Option<Notice> {
        let config = self.config.as_ref()?;
        let kind = NoticeKind::CongestionToQueue;
        std::mem::take(&mut self.on_the_way).then(|| self.notice(number, kind, config.context))
    }

    /// What has been rejected; `clear` starts over.
    pub fn rejected(&mut self, clear: bool) -> GroupCounts {
        let counts = self.rejected;
        if clear {
            self.rejected = GroupCounts::default();
        }
        counts
    }

    fn enter(&mut self, frames: u64, bytes: u64) {
        self.frames += frames;
        self.bytes += bytes;
    }

    /// Whether the state is to change, and who is notified.
    fn update(&mut self, number: u32) -> Option<Change> {
        let config = self.config.as_ref()?;
        let count = config.count(self.frames, self.bytes);
        let congested = match self.congested {
            false => config.enter.is_some_and(|enter| count > enter),
            // A threshold of zero could not be undercut.
            true => config.enter.is_some() && count >= config.exit.max(1),
        };
        if congested == self.congested {
            return None;
        }
        self.congested = congested;
        let notified = |on_entry: bool, on_exit: bool| if congested { on_entry } else { on_exit };
        let message = config.memory.filter(|to| notified(to.on_entry, to.on_exit));
        let message = message.and_then(|_| self.message(number));
        let queue = config.work_queue.filter(|to| notified(to.on_entry, to.on_exit));
        let link = queue.filter(|_| !std::mem::replace(&mut self.on_the_way, true)).map(|to| {
            Link { channel: to.channel, priority: to.priority, work: Work::Congestion(number) }
        });
        Some(Change { message, link })
    }

    fn message(&self, number: u32) -> Option<(u16, u64, [u8; MESSAGE])> {
        let config = self.config.as_ref()?;
        let to = config.memory?;
        let notice = self.notice(number, NoticeKind::CongestionToMemory, config.context);
        let bytes = *notice.to_bytes().first_chunk()?;
        Some((config.icid, to.address, bytes))
    }

    fn notice(&self, resource: u32, kind: NoticeKind, context: u64) -> Notice {
        let state = if self.congested { Notice::CONGESTED } else { 0 };
        Notice { kind, state, resource, context }
    }
}

/// Commands of software.
impl Group {
    /// What a query tells.
    pub fn fields(&self, number: u32) -> GroupFields {
        let Some(config) = &self.config else { return GroupFields::default() };
        let flags = |on_entry, on_exit| {
            (if on_entry { ON_ENTRY } else { 0 }) | if on_exit { ON_EXIT } else { 0 }
        };
        let queue = config.work_queue;
        let count = config.count(self.frames, self.bytes);
        GroupFields {
            to_work_queue: queue.map_or(0, |to| flags(to.on_entry, to.on_exit)),
            overhead: config.overhead as u16 & 0x0fff,
            mode: if config.unit == Unit::Frames { 1 } else { 0 },
            to_memory: config.memory.map_or(0, |to| flags(to.on_entry, to.on_exit)),
            tail_drop_on: u8::from(config.tail_drop.is_some()),
            enter: GroupThreshold::from_value(config.enter.unwrap_or(0)),
            exit: GroupThreshold::from_value(config.exit),
            tail_drop: GroupThreshold::from_value(config.tail_drop.unwrap_or(0)),
            work_queue: queue.map_or(0, |to| (to.channel as u16) << 3 | u16::from(to.priority & 7)),
            number: number as u16,
            icid: config.icid,
            address: config.memory.map_or(0, |to| to.address),
            context: config.context,
            count,
            // Nothing is averaged: early drop goes by the count as it is.
            average: count,
        }
    }

    /// Sets what software may set: thresholds, what is counted, and messages to
    /// memory of its own. `None`: it asks for something else.
    pub fn set_fields(
        &mut self,
        number: u32,
        written: GroupWrite,
        fields: &GroupFields,
    ) -> Option<Option<Change>> {
        const ALLOWED: GroupWrite = GroupWrite::MODE
            .with(GroupWrite::TO_MEMORY)
            .with(GroupWrite::TAIL_DROP_ON)
            .with(GroupWrite::ENTER)
            .with(GroupWrite::EXIT)
            .with(GroupWrite::TAIL_DROP)
            .with(GroupWrite::ADDRESS)
            .with(GroupWrite::CONTEXT);
        let config = self.config.as_mut()?;
        if written.without(ALLOWED).0 != 0 || written.has(GroupWrite::MODE) && fields.mode & 3 > 1 {
            return None;
        }
        if written.has(GroupWrite::MODE) {
            config.unit = if fields.mode & 3 == 1 { Unit::Frames } else { Unit::Bytes };
        }
        if written.has(GroupWrite::TO_MEMORY) {
            let to = config.memory.get_or_insert_default();
            to.on_entry = fields.to_memory & ON_ENTRY != 0;
            to.on_exit = fields.to_memory & ON_EXIT != 0;
        }
        if written.has(GroupWrite::ADDRESS) {
            config.memory.get_or_insert_default().address = fields.address;
        }
        if written.has(GroupWrite::CONTEXT) {
            config.context = fields.context;
        }
        if written.has(GroupWrite::ENTER) {
            config.enter = Some(fields.enter.value()).filter(|threshold| *threshold != 0);
        }
        if written.has(GroupWrite::EXIT) {
            config.exit = fields.exit.value();
        }
        if written.has(GroupWrite::TAIL_DROP) {
            config.tail_drop = Some(fields.tail_drop.value());
        }
        if written.has(GroupWrite::TAIL_DROP_ON) && fields.tail_drop_on & 1 == 0 {
            config.tail_drop = None;
        }
        Some(self.update(number))
    }

    /// The curves of early drop, and which are on.
    pub fn curves(&self) -> [(bool, EarlyDrop); EarlyDrop::PRIORITIES] {
        const NONE: EarlyDrop = EarlyDrop { min: 0, max: 0, probability: 1 };
        let curves = self.config.as_ref().map(|config| config.early_drop);
        curves.map_or([(false, NONE); EarlyDrop::PRIORITIES], |curves| {
            curves.map(|curve| (curve.is_some(), curve.unwrap_or(NONE)))
        })
    }

    /// Sets curves. One that is switched on without having been set drops
    /// everything, as its thresholds of zero say.
    pub fn set_curves(
        &mut self,
        written: [(Option<bool>, Option<EarlyDrop>); EarlyDrop::PRIORITIES],
    ) {
        let before = self.curves();
        let Some(config) = self.config.as_mut() else { return };
        let places = config.early_drop.iter_mut().zip(before).zip(written);
        for ((place, (was_on, old)), (on, curve)) in places {
            *place = on.unwrap_or(was_on).then(|| curve.unwrap_or(old));
        }
    }
}

impl GroupConfig {
    fn count(&self, frames: u64, bytes: u64) -> u64 {
        match self.unit {
            Unit::Frames => frames,
            Unit::Bytes => {
                let overhead = i64::from(self.overhead).saturating_mul(frames as i64);
                bytes.saturating_add_signed(overhead)
            }
        }
    }
}

fn early_drop(config: &GroupConfig, fd: &Fd) -> Option<EarlyDrop> {
    let priority = fd.ctrl >> control::DROP_PRIORITY_SHIFT & 7;
    config.early_drop.get(priority as usize).copied().flatten()
}

/// Numbers that look random, the same ones in each run.
#[derive(Debug)]
struct Dice(u64);

impl Default for Dice {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Dice {
    /// Whether a frame is dropped with which a count is reached.
    fn drops(&mut self, curve: EarlyDrop, count: u64) -> bool {
        if count <= curve.min {
            return false;
        }
        if count > curve.max {
            return true;
        }
        // Xorshift, 64 bits.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let length = u128::from(curve.max - curve.min);
        let above = u128::from(count - curve.min) * u128::from(curve.probability);
        // above / length / 64, against a number of 32 bits.
        u128::from(self.0 >> 32) * length * 64 < above << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_dropped_as_the_curve_says() {
        let curve = EarlyDrop { min: 1000, max: 2000, probability: 16 };
        let mut dice = Dice::default();
        let mut share = |count| {
            let dropped = (0..100_000).filter(|_| dice.drops(curve, count)).count();
            dropped as f64 / 100_000.0
        };
        assert_eq!((share(1000), share(2001)), (0.0, 1.0));
        // A quarter at the end, and in proportion before.
        for (count, expected) in [(1100, 0.025), (1500, 0.125), (2000, 0.25)] {
            let share = share(count);
            assert!((share - expected).abs() < 0.005, "{share} at {count}");
        }
    }
}
