// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The switch as a whole: limits, attributes, events, mirroring, tags,
//! aggregation.

use super::{Answer, Call, State, addressed};
use crate::mc::interfaces::at_most;
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use mc_abi::{
    Status,
    dpsw::{self, options, switch::Command},
};
use std::collections::BTreeMap;

/// Protocol numbers of tags beside the usual ones, as a `dpni` has them.
const CUSTOM_TPIDS: usize = 2;

/// Mirroring, tags and aggregation.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Where mirrored frames go.
    pub mirror: Option<u16>,
    tpids: Vec<u16>,
    /// Interfaces of each group, in the order given.
    groups: BTreeMap<u8, Vec<u8>>,
}

/// The configuration of a new switch, with defaults filled in (`fsl_dpsw.h`).
///
/// # Errors
/// [`Status::ConfigurationError`] where it asks for what there is not.
pub(super) fn limits(request: &dpsw::Create) -> Result<dpsw::Create, Refusal> {
    let known = request.options & !options::ALL == 0;
    let choices = [request.component_type, request.flooding_cfg, request.broadcast_cfg];
    if !(1..=dpsw::MAX_INTERFACES).contains(&request.num_ifs)
        || !known
        || choices.iter().any(|choice| *choice > 1)
        || !request.mem_size.is_multiple_of(request.num_ifs)
    {
        return Err(Status::ConfigurationError.because(format!("it has 1 to {} interfaces, memory that they share evenly, and known options and choices", dpsw::MAX_INTERFACES)));
    }
    let or = |value: u16, default: u16| if value == 0 { default } else { value };
    Ok(dpsw::Create {
        max_fdbs: if request.max_fdbs == 0 { 16 } else { request.max_fdbs },
        max_vlans: or(request.max_vlans, 16),
        max_fdb_entries: or(request.max_fdb_entries, 1024),
        fdb_aging_time: or(request.fdb_aging_time, 300),
        max_fdb_mc_groups: or(request.max_fdb_mc_groups, 32),
        ..request.clone()
    })
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    match command {
        // Older Linux reads with the bits that are to be forgotten, newer
        // Linux clears what it saw.
        Command::GetIrqStatus(get) => {
            let status = state.take_irq_status(call.object, get.index, get.status)?;
            return call.reply(get, dpsw::GetIrqStatusReply { status });
        }
        Command::ClearIrqStatus(clear) => {
            state.take_irq_status(call.object, clear.index, clear.status)?;
            return Ok(Answer::DONE);
        }
        Command::DumpTable(dump) => {
            let num_entries = super::dump::dump(state, call.object, dump)?;
            return call.reply(dump, dpsw::DumpTableReply { num_entries });
        }
        _ => {}
    }
    let id = call.object.id;
    let switch = addressed(state, call)?;
    match command {
        Command::GetAttributes(get) => {
            let limits = &switch.limits;
            let reply = dpsw::GetAttributesReply {
                num_ifs: limits.num_ifs,
                max_fdbs: limits.max_fdbs,
                num_fdbs: switch.settings.tables.count(),
                max_vlans: limits.max_vlans,
                num_vlans: switch.settings.vlans.count(),
                max_fdb_entries: limits.max_fdb_entries,
                fdb_aging_time: limits.fdb_aging_time,
                id,
                mem_size: limits.mem_size,
                max_fdb_mc_groups: limits.max_fdb_mc_groups,
                max_meters_per_if: limits.max_meters_per_if,
                component_type: limits.component_type,
                flooding_cfg: limits.flooding_cfg,
                broadcast_cfg: limits.broadcast_cfg,
                options: limits.options,
            };
            return call.reply(get, reply);
        }
        Command::SetReflectionIf(set) => {
            switch.port(set.if_id)?;
            switch.settings.switch.mirror = Some(set.if_id);
        }
        Command::AddCustomTpid(add) => switch.settings.switch.add_tpid(add.tpid)?,
        Command::RemoveCustomTpid(remove) => {
            let tpids = &mut switch.settings.switch.tpids;
            let at = tpids.iter().position(|tpid| *tpid == remove.tpid);
            tpids.remove(at.ok_or_else(|| {
                Status::ConfigurationError.because(format!("{:#x} is not there", remove.tpid))
            })?);
        }
        Command::LagSet(set) => {
            if switch.has(options::LAG_DIS) {
                return Err(Status::ConfigurationError.because("the switch was made with LAG_DIS"));
            }
            let interfaces = switch.limits.num_ifs;
            switch.settings.switch.set_group(interfaces, set)?;
        }
        Command::LagGetCfg(get) => {
            let group = switch.settings.switch.groups.get(&get.group_id);
            let group = group.map_or(&[][..], Vec::as_slice);
            let mut if_id = [0; 8];
            for (slot, interface) in if_id.iter_mut().zip(group) {
                *slot = *interface;
            }
            let num_ifs = group.len() as u8;
            let reply = dpsw::LagGetCfgReply { group_id: get.group_id, num_ifs, if_id };
            return call.reply(get, reply);
        }
        // Programs run where frames are parsed, which is not there yet; creation
        // goes through the container's token; the rest was handled before.
        Command::DumpTable(_)
        | Command::SetSpProfile(_)
        | Command::SpEnable(_)
        | Command::Create(_)
        | Command::GetIrqStatus(_)
        | Command::ClearIrqStatus(_) => {
            return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED));
        }
    }
    Ok(Answer::DONE)
}

impl Settings {
    fn add_tpid(&mut self, tpid: u16) -> Result<(), Refusal> {
        if tpid == 0 || self.tpids.contains(&tpid) {
            return Err(
                Status::ConfigurationError.because(format!("{tpid:#x} is there already, or 0"))
            );
        }
        if self.tpids.len() >= CUSTOM_TPIDS {
            return Err(Status::NoResource.because(format!("there is room for {CUSTOM_TPIDS}")));
        }
        self.tpids.push(tpid);
        Ok(())
    }

    fn set_group(&mut self, interfaces: u16, set: &dpsw::LagSet) -> Result<(), Refusal> {
        const CHECK: u8 = 1;
        at_most(set.phase, CHECK)?;
        at_most(set.num_ifs, dpsw::MAX_LAG_INTERFACES)?;
        let members: Vec<u8> = set.if_id.iter().copied().take(usize::from(set.num_ifs)).collect();
        let taken = |member: &u8| {
            let others = self.groups.iter().filter(|(group, _)| **group != set.group_id);
            others.flat_map(|(_, members)| members).any(|other| other == member)
        };
        for (at, member) in members.iter().enumerate() {
            let twice = members.iter().take(at).any(|other| other == member);
            if u16::from(*member) >= interfaces || twice || taken(member) {
                return Err(Status::ConfigurationError
                    .because(format!("interface {member} is none, or in a group already")));
            }
        }
        if set.phase != CHECK {
            self.groups.remove(&set.group_id);
            if !members.is_empty() {
                self.groups.insert(set.group_id, members);
            }
        }
        Ok(())
    }

    /// The groups as bitmaps.
    pub fn groups(&self) -> Vec<u64> {
        let set = |members: &Vec<u8>| members.iter().fold(0, |set, member| set | 1 << member);
        self.groups.values().map(set).collect()
    }

    /// Further Ethernet types of tags; 0: none.
    pub fn tpids(&self) -> [u16; CUSTOM_TPIDS] {
        let mut tpids = [0; CUSTOM_TPIDS];
        tpids.iter_mut().zip(&self.tpids).for_each(|(to, from)| *to = *from);
        tpids
    }

    /// Whether an interface is in a group.
    pub fn aggregated(&self, interface: u16) -> bool {
        self.groups.values().flatten().any(|member| u16::from(*member) == interface)
    }
}
