// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How an interface's frames are metered, scheduled and dropped.

use super::{Answer, Call, State, addressed};
use crate::mc::interfaces::{at_most, checked};
use mc_abi::{
    Status,
    blocks::TailDrop,
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
    flooding_meter: Option<dpsw::IfSetFloodingMetering>,
    meters: [Option<dpsw::IfSetMetering>; CLASSES],
    /// I/O virtual address of each class's drop curve.
    early_drop: [u64; CLASSES],
    shaper: Option<dpsw::IfSetTxShaping>,
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Status> {
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
                return Err(Status::ConfigurationError);
            }
            check_meter(set.mode, set.units)?;
            switch.port(set.if_id)?.flow.kept.flooding_meter = Some(set.clone());
        }
        Command::IfSetMetering(set) => {
            if !switch.has(options::METERING_EN) {
                return Err(Status::ConfigurationError);
            }
            check_meter(set.mode, set.units)?;
            *class(&mut switch.port(set.if_id)?.flow.kept.meters, set.tc_id)? = Some(set.clone());
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
fn class<T>(all: &mut [T; CLASSES], tc: u8) -> Result<&mut T, Status> {
    all.get_mut(usize::from(tc)).ok_or(Status::ConfigurationError)
}

fn check_meter(mode: u8, units: u8) -> Result<(), Status> {
    at_most(mode, 2)?;
    at_most(units, 1)
}

fn check_selection(set: &dpsw::IfSetTxSelection) -> Result<(), Status> {
    at_most(set.priority_selector, 2)?;
    for tc in set.tc_id {
        at_most(tc, dpsw::TRAFFIC_CLASSES - 1)?;
    }
    for schedule in &set.tc_sched {
        at_most(schedule.mode, 1)?;
        if schedule.mode == 1 && !WEIGHTS.contains(&schedule.delta_bandwidth) {
            return Err(Status::ConfigurationError);
        }
    }
    Ok(())
}
