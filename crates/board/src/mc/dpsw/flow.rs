// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How an interface's frames are metered, scheduled and dropped.

use super::{Answer, Call, State, addressed};
use crate::mc::refusal::{Because, Refusal};
use crate::{
    mc::interfaces::{at_most, checked},
    wriop::{Color, MeterConfig, MeterMode, MeterUnit, PrioritySource},
};
use mc_abi::{
    Status,
    blocks::{Meter, TailDrop},
    dpsw::{self, flow::Command, options},
};

const CLASSES: usize = dpsw::TRAFFIC_CLASSES as usize;
/// Weights of a weighted class (`dpsw_tx_schedule_cfg`).
const WEIGHTS: std::ops::RangeInclusive<u16> = 100..=10_000;

/// What commands set. Only the tail drop can be read back.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    taildrop: [TailDrop; CLASSES],
    kept: Kept,
}

#[derive(Debug, Clone, Default)]
struct Kept {
    selection: Option<dpsw::IfSetTxSelection>,
    selector: u8,
    flooding_meter: Option<Meter>,
    meters: [Option<Meter>; CLASSES],
    /// I/O virtual address of each class's drop curve.
    early_drop: [u64; CLASSES],
    shaper: Option<dpsw::IfSetTxShaping>,
}

impl Settings {
    /// Where the priority of a frame that comes in is taken from. "No change" is
    /// what was before: the tag.
    pub fn priority(&self) -> PrioritySource {
        const CODE_POINT: u8 = 1;
        let chosen = self.kept.selection.as_ref().map_or(0, |set| set.priority_selector);
        match self.kept.selector == CODE_POINT || chosen == CODE_POINT {
            true => PrioritySource::CodePoint,
            false => PrioritySource::Tag,
        }
    }

    /// The traffic class of each priority; each its own before software says so.
    pub fn classes(&self) -> [u8; CLASSES] {
        self.kept.selection.as_ref().map_or([0, 1, 2, 3, 4, 5, 6, 7], |set| set.tc_id)
    }

    /// What limits each traffic class.
    pub fn meters(&self) -> [Option<MeterConfig>; CLASSES] {
        self.kept.meters.map(|set| meter(&set?))
    }

    /// What limits flooded frames.
    pub fn flooding_meter(&self) -> Option<MeterConfig> {
        meter(&self.kept.flooding_meter?)
    }
}

/// A meter, from rates in kbit/s or thousands of frames per second.
fn meter(set: &Meter) -> Option<MeterConfig> {
    const THOUSAND: u64 = 1000;
    let mode = match set.mode {
        1 => MeterMode::TwoRate,
        2 => MeterMode::Differentiated,
        _ => return None,
    };
    let unit = if set.units == 0 { MeterUnit::Bytes } else { MeterUnit::Frames };
    Some(MeterConfig {
        mode,
        unit,
        committed_rate: u64::from(set.cir) * THOUSAND,
        committed_burst: set.cbs,
        excess_rate: u64::from(set.eir) * THOUSAND,
        excess_burst: set.ebs,
        initial: Color::Green,
    })
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let switch = addressed(state, call)?;
    match command {
        Command::IfSetTxSelection(set) => {
            check_selection(set)?;
            switch.port(set.if_id)?.flow.kept.selection = Some(set.clone());
        }
        Command::IfSetPrioSelector(set) => {
            at_most(set.priority_selector, 2)?;
            switch.port(set.if_id)?.flow.kept.selector = set.priority_selector;
        }
        Command::IfSetFloodingMetering(set) => {
            if switch.has(options::FLOODING_METERING_DIS) {
                return Err(Status::ConfigurationError
                    .because("the switch was made with FLOODING_METERING_DIS"));
            }
            check_meter(&set.meter)?;
            switch.port(set.if_id)?.flow.kept.flooding_meter = Some(set.meter);
        }
        Command::IfSetMetering(set) => {
            if !switch.has(options::METERING_EN) {
                return Err(
                    Status::ConfigurationError.because("the switch was made without METERING_EN")
                );
            }
            check_meter(&set.meter)?;
            *class(&mut switch.port(set.if_id)?.flow.kept.meters, set.tc_id)? = Some(set.meter);
        }
        Command::IfSetEarlyDrop(set) => {
            *class(&mut switch.port(set.if_id)?.flow.kept.early_drop, set.tc_id)? =
                set.early_drop_iova;
        }
        Command::IfSetTxShaping(set) => {
            switch.port(set.if_id)?.flow.kept.shaper = Some(set.clone());
        }
        Command::IfSetTaildrop(set) => {
            let drop = checked(set.drop)?;
            *class(&mut switch.port(set.if_id)?.flow.taildrop, set.tc)? = drop;
        }
        Command::IfGetTaildrop(get) => {
            let if_id = get.if_id;
            let drop = *class(&mut switch.port(if_id)?.flow.taildrop, get.tc)?;
            return call.reply(get, dpsw::IfGetTaildropReply { if_id, drop });
        }
    }
    Ok(Answer::DONE)
}

/// What a traffic class has.
fn class<T>(all: &mut [T; CLASSES], tc: u8) -> Result<&mut T, Refusal> {
    all.get_mut(usize::from(tc))
        .ok_or_else(|| Status::ConfigurationError.because(format!("there is no class {tc}")))
}

fn check_meter(meter: &Meter) -> Result<(), Refusal> {
    at_most(meter.mode, 2)?;
    at_most(meter.units, 1)
}

fn check_selection(set: &dpsw::IfSetTxSelection) -> Result<(), Refusal> {
    at_most(set.priority_selector, 2)?;
    for tc in set.tc_id {
        at_most(tc, dpsw::TRAFFIC_CLASSES - 1)?;
    }
    for schedule in &set.tc_sched {
        at_most(schedule.mode, 1)?;
        if schedule.mode == 1 && !WEIGHTS.contains(&schedule.delta_bandwidth) {
            return Err(Status::ConfigurationError.because(format!(
                "a weight is {} to {}",
                WEIGHTS.start(),
                WEIGHTS.end()
            )));
        }
    }
    Ok(())
}
