// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Transmission: rates, priorities, confirmation.

use super::{Answer, Call, Limits, State, addressed, interface::needs_port};
use crate::{
    mc::refusal::{Because, Refusal},
    wriop::{ChannelSchedule, ClassTurn, Schedule, ShaperConfig},
};
use mc_abi::{
    Status,
    dpni::{self, options, transmit::Command},
};

/// Confirmation: each queue has its own (`DPNI_CONF_AFFINE`).
const AFFINE: u8 = 0;
/// Confirmation: all queues share one (`DPNI_CONF_SINGLE`).
const SINGLE: u8 = 1;
/// Confirmation: none (`DPNI_CONF_DISABLE`).
const NONE: u8 = 2;
/// Overhead is a number of 11 bits.
const MAX_OVERHEAD: u16 = 0x7ff;
/// Weights of `dpni_tx_schedule_cfg`.
const WEIGHTS: std::ops::RangeInclusive<u16> = 100..=10_000;
/// Scheduling modes.
const STRICT: u8 = 0;
const GROUP_A: u8 = 1;
const GROUP_B: u8 = 2;
/// Traffic classes that one command describes.
const CLASSES: u8 = 8;

/// By channel.
#[derive(Debug)]
pub(super) struct Settings {
    channels: Vec<Channel>,
    whole: Option<dpni::SetTxShaping>,
}

/// An egress channel.
#[derive(Debug, Clone)]
struct Channel {
    shaping: Option<dpni::SetTxShaping>,
    priorities: Option<dpni::SetTxPriorities>,
    confirmation: u8,
    /// By queue.
    confirmations: Vec<u8>,
}

impl Settings {
    pub fn new(limits: &Limits) -> Self {
        let confirmation = if limits.has(options::TX_FRAME_RELEASE) { NONE } else { AFFINE };
        let channel = Channel {
            shaping: None,
            priorities: None,
            confirmation,
            confirmations: vec![confirmation; usize::from(limits.queues)],
        };
        Self { channels: vec![channel; usize::from(limits.channels)], whole: None }
    }

    /// The number of the queue that what a sender of a channel sends is confirmed
    /// on; `None`: nowhere.
    pub fn confirmation(&self, channel: u8, sender: u8) -> Option<u8> {
        let channel = self.channels.get(usize::from(channel))?;
        match *channel.confirmations.get(usize::from(sender))? {
            AFFINE => Some(sender),
            SINGLE => Some(0),
            _ => None,
        }
    }

    /// The order and rates of frames; `None` where software has set neither.
    pub fn schedule(&self, limits: &Limits) -> Option<Schedule> {
        let is_set = |channel: &Channel| channel.shaping.is_some() || channel.priorities.is_some();
        if self.whole.is_none() && !self.channels.iter().any(is_set) {
            return None;
        }
        let channels = self.channels.iter().map(|channel| ChannelSchedule {
            shaper: channel.shaping.as_ref().map(shaper),
            classes: turns(limits, channel.priorities.as_ref()),
        });
        Some(Schedule { whole: self.whole.as_ref().map(shaper), channels: channels.collect() })
    }

    fn channel(&mut self, channel: u8) -> Result<&mut Channel, Refusal> {
        self.channels.get_mut(usize::from(channel)).ok_or_else(|| {
            Status::ConfigurationError.because(format!("there is no channel {channel}"))
        })
    }

    fn queue(&mut self, channel: u8, index: u8) -> Result<&mut u8, Refusal> {
        let modes = &mut self.channel(channel)?.confirmations;
        modes
            .get_mut(usize::from(index))
            .ok_or_else(|| Status::ConfigurationError.because(format!("there is no queue {index}")))
    }
}

fn shaper(set: &dpni::SetTxShaping) -> ShaperConfig {
    /// Rates are in Mbit/s.
    const MEGA: u64 = 1_000_000;
    ShaperConfig {
        committed_rate: u64::from(set.committed_rate) * MEGA,
        committed_burst: set.committed_burst.into(),
        excess_rate: u64::from(set.excess_rate) * MEGA,
        excess_burst: set.excess_burst.into(),
        coupled: set.coupled,
        overhead: set.overhead,
    }
}

/// When the classes have their turns. Class 0 is the most urgent one of those with strict
/// priorities (Linux, `dpaa2_eth_tx`), which is what they have until software says
/// otherwise.
///
/// Chosen, since no source says it: a group's priority is the number of the class with a
/// strict priority that it comes after; groups that are not separate are one, of group A's
/// priority.
fn turns(limits: &Limits, set: Option<&dpni::SetTxPriorities>) -> Vec<ClassTurn> {
    let first = if limits.tx_tcs > CLASSES { CLASSES } else { 0 };
    let turn = |class: u8| {
        let strict = ClassTurn { rank: class * 2, weight: *WEIGHTS.start() };
        let described = set.zip(class.checked_sub(first).map(usize::from));
        let Some((set, place)) = described else { return strict };
        let mode = set.modes.get(place / 2).map_or(STRICT, |pair| pair >> (place % 2 * 4) & 0xf);
        let weight = set.weights.get(place).copied().unwrap_or_default();
        let priority = match mode {
            GROUP_A => set.priority_a,
            GROUP_B if set.separate_groups => set.priority_b,
            GROUP_B => set.priority_a,
            _ => return strict,
        };
        ClassTurn { rank: priority * 2 + 1, weight }
    };
    (0..limits.tx_tcs).map(turn).collect()
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    if matches!(command, Command::SetTxShaping(set) if set.whole_interface) {
        needs_port(state, call.object)?;
    }
    let interface = addressed(state, call)?;
    let (limits, enabled) = (interface.limits, interface.enabled);
    let transmit = &mut interface.settings.transmit;
    match command {
        Command::SetTxShaping(set) if set.overhead > MAX_OVERHEAD => {
            return Err(Status::ConfigurationError
                .because(format!("a frame costs at most {MAX_OVERHEAD} bytes more")));
        }
        Command::SetTxShaping(set) if set.whole_interface => transmit.whole = Some(set.clone()),
        Command::SetTxShaping(set) => {
            transmit.channel(set.channel)?.shaping = Some(set.clone());
        }
        // Version 1 had another layout; no client sends it.
        Command::SetTxPriorities(_) if call.version < 2 => {
            return Err(Status::UnsupportedOperation
                .because("version 1 had another layout, which nothing sends"));
        }
        // Headers: only while the interface is disabled.
        Command::SetTxPriorities(_) if enabled => {
            return Err(Status::InvalidState.because("the interface is enabled"));
        }
        Command::SetTxPriorities(set) => {
            check_priorities(&limits, set)?;
            transmit.channel(set.channel)?.priorities = Some(set.clone());
        }
        Command::SetTxConfirmationMode(set) => {
            check_confirmation(&limits, set.mode)?;
            let channel = transmit.channel(set.channel)?;
            channel.confirmation = set.mode;
            channel.confirmations.fill(set.mode);
        }
        Command::GetTxConfirmationMode(get) => {
            let mode = transmit.channel(get.channel)?.confirmation;
            return call.reply(get, dpni::GetTxConfirmationModeReply { mode });
        }
        Command::SetQueueTxConfirmationMode(set) => {
            check_confirmation(&limits, set.mode)?;
            *transmit.queue(set.channel, set.index)? = set.mode;
        }
        Command::GetQueueTxConfirmationMode(get) => {
            let (channel, index) = (get.channel, get.index);
            let mode = *transmit.queue(channel, index)?;
            let reply = dpni::GetQueueTxConfirmationModeReply { channel, index, mode };
            return call.reply(get, reply);
        }
    }
    Ok(Answer::DONE)
}

/// Without confirmation queues there is only one mode.
fn check_confirmation(limits: &Limits, mode: u8) -> Result<(), Refusal> {
    let least = if limits.has(options::TX_FRAME_RELEASE) { NONE } else { AFFINE };
    if (least..=NONE).contains(&mode) {
        Ok(())
    } else {
        Err(Status::ConfigurationError.because(format!("the mode is {least} to {NONE}")))
    }
}

/// With up to eight traffic classes, the command describes them all; beyond,
/// the upper ones, whose first four must be in group A and the others in group
/// B (headers).
fn check_priorities(limits: &Limits, set: &dpni::SetTxPriorities) -> Result<(), Refusal> {
    let many = limits.tx_tcs > CLASSES;
    let classes = if many { limits.tx_tcs - CLASSES } else { limits.tx_tcs };
    let modes = set.modes.iter().flat_map(|pair| [pair & 0xf, pair >> 4]);
    let mut described = modes.zip(set.weights).zip(0..classes);
    let fits = described.all(|((mode, weight), class)| {
        let wanted = if class < CLASSES / 2 { GROUP_A } else { GROUP_B };
        match mode {
            STRICT => !many,
            GROUP_A | GROUP_B => WEIGHTS.contains(&weight) && (!many || mode == wanted),
            _ => false,
        }
    });
    if fits && set.priority_a < CLASSES && set.priority_b < CLASSES {
        Ok(())
    } else {
        Err(Status::ConfigurationError
            .because("a class has an unknown mode, or a weight that is none"))
    }
}
