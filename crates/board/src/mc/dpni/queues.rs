// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Queues: where their frames go.

use super::{Answer, Call, Interface, State, addressed, congestion, resources::Resources};
use crate::mc::queue::{destination_object, forget_destination};
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use mc_abi::{
    ObjectId, Status,
    blocks::Destination,
    common::OrderRestorationReply,
    dpni::{self, options, queue_options as change, queue_type, queues::Command},
};

/// All traffic classes, or all queues of a class.
const ALL: u8 = u8::MAX;
/// Bit of [`dpni::SetOpr::options`].
const OPR_ASSIGN: u8 = 0x4;
/// Flag of [`dpni::GetOpr`]: the record is named by its own number.
const OPR_BY_RECORD: u8 = 0x1;

/// Queues.
#[derive(Debug)]
pub(super) struct Settings {
    /// By their place, see [`Resources`].
    queues: Vec<Queue>,
}

/// A queue as software sets it up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Queue {
    pub destination: Destination,
    pub hold_active: bool,
    stash_control: bool,
    pub flow_context: u64,
    pub user_context: u64,
    pub congestion_group: Option<u8>,
    /// The order point record that was assigned to it.
    record: Option<u8>,
}

impl Settings {
    pub fn new(resources: &Resources) -> Self {
        Self { queues: vec![Queue::default(); resources.queue_count()] }
    }

    /// A queue by its place.
    pub fn queue(&self, place: usize) -> Option<&Queue> {
        self.queues.get(place)
    }

    /// Everything as after creation.
    pub fn reset(&mut self) {
        self.queues.fill(Queue::default());
    }

    /// Whether the frames of a queue go to `other`.
    pub fn leads_to(&self, other: ObjectId) -> bool {
        self.queues.iter().any(|queue| destination_object(queue.destination) == Some(other))
    }

    /// Parks the queues that led to what is gone.
    pub fn forget(&mut self, gone: ObjectId) {
        for queue in &mut self.queues {
            forget_destination(&mut queue.destination, gone);
        }
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    match command {
        Command::SetQueue(set) if set.options & change::DESTINATION != 0 => {
            state.check_destination(call.object, set.destination)?;
        }
        Command::GetTaildrop(_)
        | Command::SetTaildrop(_)
        | Command::SetCongestionNotification(_)
        | Command::GetCongestionNotification(_)
        | Command::SetEarlyDrop(_)
        | Command::GetEarlyDrop(_) => return congestion::handle(state, call, command),
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
        Command::GetSpInfo(_) => {
            return Err(
                Status::UnsupportedOperation.because("there are no storage profiles on this board")
            );
        }
        Command::GetQueue(get) => return call.reply(get, interface.queue(get)?),
        Command::SetQueue(set) => interface.set_queue(set)?,
        Command::SetOpr(set) => interface.set_order(set)?,
        Command::GetOpr(get) => return call.reply(get, interface.order(get)?),
        // Executed above.
        _ => return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED)),
    }
    Ok(Answer::DONE)
}

/// Queues.
impl Interface {
    /// Queuing destinations: only what is sent has one.
    fn qdids(&self, kind: u8) -> Result<&[u32], Refusal> {
        match kind {
            queue_type::TX => Ok(&self.resources.qdids),
            _ => Err(Status::ConfigurationError
                .because("only queues of type 1 (transmit) have queuing destinations")),
        }
    }

    fn queue(&self, get: &dpni::GetQueue) -> Result<dpni::GetQueueReply, Refusal> {
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

    fn set_queue(&mut self, set: &dpni::SetQueue) -> Result<(), Refusal> {
        let group = if set.options & change::SET_CONGESTION_GROUP != 0 {
            if set.congestion_group >= self.limits.congestion_groups {
                return Err(Status::ConfigurationError
                    .because(format!("there is no congestion group {}", set.congestion_group)));
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
                let queue = queue.ok_or_else(|| {
                    Status::ConfigurationError
                        .because(format!("there is no queue {index} in class {tc}"))
                })?;
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

/// Order restoration.
impl Interface {
    /// The record of a queue: one of its own, one of its class, or the one that
    /// was assigned.
    pub(super) fn record_of(&self, tc: u8, index: u8) -> Result<u8, Refusal> {
        let place = self.resources.place(queue_type::RX, 0, tc, index)?;
        let assigned = self.settings.queues.queues.get(place).and_then(|queue| queue.record);
        let own = || {
            let first = tc.checked_mul(self.limits.queues)?;
            first.checked_add(index)
        };
        match assigned {
            Some(record) => Ok(record),
            None if self.limits.has(options::OPR_PER_TC) => Ok(tc),
            None => own().ok_or_else(|| {
                Status::ConfigurationError
                    .because(format!("there is no record for queue {index} of class {tc}"))
            }),
        }
    }

    fn set_order(&mut self, set: &dpni::SetOpr) -> Result<(), Refusal> {
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

    fn order(&self, get: &dpni::GetOpr) -> Result<OrderRestorationReply, Refusal> {
        self.order.get(match get.flags & OPR_BY_RECORD {
            0 => self.record_of(get.tc, get.index)?,
            _ => get.record,
        })
    }
}
