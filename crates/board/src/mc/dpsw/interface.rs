// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One interface: its switch, link, and what it lets in.

use super::{Answer, Call, State, Switch, addressed, flow, forwarding};
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use crate::{
    mc::{
        Endpoint,
        interfaces::{self, DEFAULT_FRAME_LENGTH, MAX_FRAME_LENGTH, Side, at_most},
    },
    wriop::{Admit, Floods, Mirrors, SwitchPortConfig},
};
use mc_abi::{
    Status,
    dpsw::{self, interface::Command},
};

/// VLAN of frames without tag after a reset: that of Linux's comment "switch
/// starts with all ports configured to VLAN 1".
const DEFAULT_VLAN: u16 = 1;
/// `DPSW_ADMIT_ALL` and `DPSW_ADMIT_ONLY_VLAN_TAGGED`.
const ADMIT: [u8; 2] = [1, 3];

/// An interface.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub side: Side,
    tag: Tag,
    admit: u8,
    accept_all_vlan: bool,
    max_frame_length: u16,
    mirrored: Vec<Mirrored>,
    egress: Egress,
    pub flow: flow::Settings,
}

#[derive(Debug, Clone, Copy)]
struct Tag {
    vlan: u16,
    dei: bool,
    pcp: u8,
}

/// Which frames are mirrored: all, or those of a VLAN.
type Mirrored = Option<u16>;

/// What no command reads back.
#[derive(Debug, Clone)]
struct Egress {
    unaccepted: u8,
    flooding: bool,
    broadcast: bool,
    multicast: bool,
    errors: Option<dpsw::IfSetErrorsBehavior>,
    learning: u8,
    lag_tx: bool,
}

impl Port {
    /// The interface as the data plane needs it: `peer` is what it is connected to
    /// while its link is up, `list` its access control list.
    pub fn program(
        &self,
        peer: Option<crate::wriop::Endpoint>,
        list: Option<usize>,
    ) -> SwitchPortConfig {
        const TAGGED_ONLY: u8 = 3;
        const LENGTH_ERROR: u32 = 0x2000;
        const CONTINUE: u8 = 1;
        let Tag { vlan, dei, pcp } = self.tag;
        let errors = self.egress.errors.as_ref();
        let lets_through = |set: &dpsw::IfSetErrorsBehavior| {
            set.action == CONTINUE && set.errors & LENGTH_ERROR != 0
        };
        SwitchPortConfig {
            peer,
            tag: u16::from(pcp) << 13 | u16::from(dei) << 12 | vlan,
            admit: match self.admit {
                TAGGED_ONLY => Admit::Tagged { others_to_control: self.egress.unaccepted != 0 },
                _ => Admit::All,
            },
            accept_all_vlans: self.accept_all_vlan,
            max_length: self.max_frame_length,
            accept_long: errors.is_some_and(lets_through),
            learning: forwarding::learning(self.egress.learning),
            floods: Floods {
                unknown: self.egress.flooding,
                broadcast: self.egress.broadcast,
                multicast: self.egress.multicast,
            },
            mirrors: Mirrors {
                all: self.mirrored.contains(&None),
                vlans: self.mirrored.iter().filter_map(|vlan| *vlan).collect(),
            },
            list,
            priority: self.flow.priority(),
            classes: self.flow.classes(),
            meters: self.flow.meters(),
            flooding_meter: self.flow.flooding_meter(),
            aggregates: self.egress.lag_tx,
        }
    }
}

impl Default for Port {
    fn default() -> Self {
        Self {
            side: Side::new(false),
            tag: Tag { vlan: DEFAULT_VLAN, dei: false, pcp: 0 },
            admit: ADMIT[0],
            accept_all_vlan: false,
            max_frame_length: DEFAULT_FRAME_LENGTH,
            mirrored: Vec::new(),
            egress: Egress {
                unaccepted: 0,
                flooding: true,
                broadcast: true,
                multicast: true,
                errors: None,
                learning: 1,
                lag_tx: true,
            },
            flow: flow::Settings::default(),
        }
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let end = |interface| Endpoint { object: call.object, interface };
    match command {
        Command::IfEnable(set) => interfaces::switch::<Switch>(state, end(set.if_id), true)?,
        Command::IfDisable(set) => interfaces::switch::<Switch>(state, end(set.if_id), false)?,
        Command::IfSetLinkCfg(set) => {
            interfaces::want::<Switch>(state, end(set.if_id), set.link)?;
        }
        Command::IfGetLinkState(get) => {
            addressed(state, call)?.port(get.if_id)?;
            let link = state.link(end(get.if_id));
            return call.reply(get, dpsw::IfGetLinkStateReply { link });
        }
        Command::IfGetPortMacAddr(get) => {
            addressed(state, call)?.port(get.if_id)?;
            let address = state.port_address(end(get.if_id));
            return call.reply(get, dpsw::IfGetPortMacAddrReply { address });
        }
        Command::IfGetAttributes(get) => {
            let switch = addressed(state, call)?;
            let qdid = switch.qdids.get(usize::from(get.if_id)).copied().unwrap_or(0) as u16;
            let port = switch.port(get.if_id)?;
            let reply = dpsw::IfGetAttributesReply {
                admit_untagged: port.admit,
                enabled: port.side.enabled,
                accept_all_vlan: port.accept_all_vlan,
                num_tcs: dpsw::TRAFFIC_CLASSES,
                qdid,
                options: 0,
                // No shaper: what the link carries.
                rate: 0,
            };
            return call.reply(get, reply);
        }
        Command::IfGetCounter(get) => {
            check_port(state, call, get.if_id)?;
            at_most(get.kind, dpsw::COUNTERS - 1)?;
            let wriop = state.fabric.wriop();
            let counter = wriop.switch_counter(call.object.id, get.if_id, get.kind).unwrap_or(0);
            return call.reply(get, dpsw::IfGetCounterReply { counter });
        }
        Command::IfSetCounter(set) => {
            check_port(state, call, set.if_id)?;
            at_most(set.kind, dpsw::COUNTERS - 1)?;
            let wriop = state.fabric.wriop();
            wriop.set_switch_counter(call.object.id, set.if_id, set.kind, set.counter);
        }
        Command::IfGetTci(get) => {
            let Tag { vlan, dei, pcp } = addressed(state, call)?.port(get.if_id)?.tag;
            return call.reply(get, dpsw::IfGetTciReply { vlan_id: vlan, dei, pcp });
        }
        Command::IfGetMaxFrameLength(get) => {
            let frame_length = addressed(state, call)?.port(get.if_id)?.max_frame_length;
            return call.reply(get, dpsw::IfGetMaxFrameLengthReply { frame_length });
        }
        other => configure(addressed(state, call)?, other)?,
    }
    Ok(Answer::DONE)
}

/// Checks that there is such an interface; touches nothing.
fn check_port(state: &State, call: &Call, interface: u16) -> Result<(), Refusal> {
    let switch = state.body::<Switch>(call.object.id)?;
    let there = usize::from(interface) < switch.settings.ports.len();
    if there {
        Ok(())
    } else {
        Err(Status::ConfigurationError.because(format!("there is no interface {interface}")))
    }
}

/// Commands that change settings of an interface and nothing else.
fn configure(switch: &mut Switch, command: &Command) -> Result<(), Refusal> {
    match command {
        // Linux parks interfaces at VLAN 4095, which no frame can have.
        Command::IfSetTci(set) => {
            switch.port(set.if_id)?.tag = Tag { vlan: set.vlan_id, dei: set.dei, pcp: set.pcp };
        }
        Command::IfSetStp(set) => {
            const FORWARDING: u8 = 3;
            switch.port(set.if_id)?;
            at_most(set.state, FORWARDING)?;
            switch.settings.vlans.set_stp(set.vlan_id, set.if_id, set.state)?;
        }
        Command::IfSetAcceptedFrames(set) => {
            at_most(set.unaccepted, 1)?;
            if !ADMIT.contains(&set.kind) {
                return Err(Status::ConfigurationError.because("unknown kind of frames"));
            }
            let port = switch.port(set.if_id)?;
            (port.admit, port.egress.unaccepted) = (set.kind, set.unaccepted);
        }
        Command::IfSetAcceptAllVlan(set) => {
            switch.port(set.if_id)?.accept_all_vlan = set.accept_all;
        }
        Command::IfSetMaxFrameLength(set) => {
            if !(1..=MAX_FRAME_LENGTH).contains(&set.frame_length) {
                return Err(Status::ConfigurationError
                    .because(format!("a frame has 1 to {MAX_FRAME_LENGTH} bytes")));
            }
            switch.port(set.if_id)?.max_frame_length = set.frame_length;
        }
        Command::IfAddReflection(add) => {
            let mirrored = mirrored(switch, add.filter, add.vlan_id)?;
            // Mirrored frames need somewhere to go.
            if switch.settings.switch.mirror.is_none() {
                return Err(
                    Status::InvalidState.because("the switch has no interface for mirrored frames")
                );
            }
            let all = &mut switch.port(add.if_id)?.mirrored;
            if all.contains(&mirrored) {
                return Err(Status::ConfigurationError.because("it is mirrored already"));
            }
            all.push(mirrored);
        }
        Command::IfRemoveReflection(remove) => {
            // The VLAN may be gone.
            let mirrored = (remove.filter == 1).then_some(remove.vlan_id);
            at_most(remove.filter, 1)?;
            let all = &mut switch.port(remove.if_id)?.mirrored;
            let at = all.iter().position(|one| *one == mirrored);
            all.remove(at.ok_or_else(|| Status::ConfigurationError.because("it is not mirrored"))?);
        }
        Command::IfSetFlooding(set) => switch.port(set.if_id)?.egress.flooding = set.enable,
        Command::IfSetBroadcast(set) => switch.port(set.if_id)?.egress.broadcast = set.enable,
        Command::IfSetMulticast(set) => switch.port(set.if_id)?.egress.multicast = set.enable,
        Command::IfSetErrorsBehavior(set) => {
            at_most(set.action, 1)?;
            switch.port(set.if_id)?.egress.errors = Some(set.clone());
        }
        Command::IfSetLearningMode(set) => {
            const SECURE: u8 = 3;
            at_most(set.mode, SECURE)?;
            switch.port(set.if_id)?.egress.learning = set.mode;
        }
        Command::IfSetLagState(set) => {
            switch.port(set.if_id)?;
            if !switch.settings.switch.aggregated(set.if_id) {
                return Err(Status::ConfigurationError
                    .because(format!("interface {} is in no group", set.if_id)));
            }
            switch.port(set.if_id)?.egress.lag_tx = set.tx_enabled;
        }
        // Handled before.
        Command::IfEnable(_)
        | Command::IfDisable(_)
        | Command::IfSetLinkCfg(_)
        | Command::IfGetLinkState(_)
        | Command::IfGetPortMacAddr(_)
        | Command::IfGetAttributes(_)
        | Command::IfGetCounter(_)
        | Command::IfSetCounter(_)
        | Command::IfGetTci(_)
        | Command::IfGetMaxFrameLength(_) => {
            return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED));
        }
    }
    Ok(())
}

fn mirrored(switch: &Switch, filter: u8, vlan: u16) -> Result<Mirrored, Refusal> {
    at_most(filter, 1)?;
    if filter == 0 {
        return Ok(None);
    }
    switch.settings.vlans.get(vlan)?;
    Ok(Some(vlan))
}
