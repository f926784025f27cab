// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Demultiplexers: one uplink (interface 0), shared by downlinks.
//!
//! What software sets up is kept, checked, given back, and written to the data
//! plane, which moves the frames.

mod dump;
mod layout;
mod rules;
#[cfg(test)]
mod tests;

use super::{
    Answer, Body, Call, Endpoint, Family, Object, State, connections,
    interfaces::{self, Bridge, DEFAULT_FRAME_LENGTH, MAX_FRAME_LENGTH, Side, at_most, checked},
    rules as keys,
};
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use crate::{
    fabric::Pass,
    wriop::{DemuxAdmit, DemuxConfig, DemuxPortConfig},
};
use mc_abi::{
    ObjectId, ObjectType, Status,
    blocks::{LinkConfig, TailDrop},
    dpdmux::{self, Command, method, options, skip_reset},
};
use rules::Rules;

/// Most downlinks. What the chip has is not known; with the uplink as many
/// interfaces as a switch has.
const MAX_DOWNLINKS: u16 = 63;
/// The uplink.
const UPLINK: u16 = 0;

/// A demultiplexer.
#[derive(Debug)]
pub(crate) struct Demultiplexer {
    limits: dpdmux::Create,
    enabled: bool,
    /// The downlink that takes what nothing else matches; 0: none.
    default_if: u16,
    max_frame_length: u16,
    /// What a reset leaves as it is.
    resetable: u8,
    /// The uplink, then the downlinks.
    ports: Vec<Port>,
    rules: Rules,
}

/// An interface.
#[derive(Debug, Clone)]
struct Port {
    side: Side,
    accepted_frames: u8,
    taildrop: TailDrop,
    kept: Kept,
}

#[derive(Debug, Clone, Default)]
struct Kept {
    unaccepted: u8,
    errors: Option<dpdmux::IfSetErrorsBehavior>,
}

impl Port {
    /// As after creation: on. No tool switches a demultiplexer on, and neither
    /// does DPDK, which sends frames through it.
    fn new() -> Self {
        Self {
            side: Side::new(true),
            accepted_frames: 0,
            taildrop: TailDrop::default(),
            kept: Kept::default(),
        }
    }

    /// Whether frames come in that are longer than the longest.
    fn accepts_long(&self) -> bool {
        const LENGTH_ERROR: u32 = 0x2000;
        const CONTINUE: u8 = 1;
        let errors = self.kept.errors.as_ref();
        errors.is_some_and(|set| set.action == CONTINUE && set.errors & LENGTH_ERROR != 0)
    }
}

impl Family for Demultiplexer {
    /// Of the headers of firmware 10.39.
    const VERSION: (u16, u16) = (6, 10);
    /// Interfaces, and the demultiplexer itself (`fsl_dpdmux.h`).
    const IRQS: u8 = 2;
    type Create = dpdmux::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpdmux::Create,
    ) -> Result<Self, Refusal> {
        let limits = limits(request)?;
        let interfaces = usize::from(limits.num_ifs) + 1;
        // One an interface, as a `dpni` takes one (board). What else a real one draws is
        // not known.
        state.pools.ifp.take_many(interfaces)?;
        Ok(Self {
            enabled: true,
            default_if: limits.default_if,
            max_frame_length: DEFAULT_FRAME_LENGTH,
            resetable: 0,
            ports: vec![Port::new(); interfaces],
            rules: Rules::default(),
            limits,
        })
    }

    fn destroy(self, state: &mut State, id: u32) {
        state.fabric.wriop().configure_demux(id, None);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        if is_question(command) {
            state.asking(|state| handle(state, call, command))
        } else {
            handle(state, call, command)
        }
    }

    fn reset(state: &mut State, id: u32) {
        if let Ok(demux) = state.body_mut::<Self>(id) {
            demux.reset_settings();
        }
        // Who gets it next learns nothing of what passed before.
        state.fabric.wriop().reset_demux_counters(id);
        interfaces::refresh_all::<Self>(state, name(id));
    }

    fn switched(state: &mut State, id: u32, on: bool) {
        interfaces::switch_all::<Self>(state, name(id), on);
    }

    fn link_changed(state: &mut State, id: u32, interface: u16) {
        interfaces::refresh::<Self>(state, Endpoint { object: name(id), interface });
    }

    fn connected(state: &mut State, id: u32, interface: u16, _peer: Option<Endpoint>) {
        interfaces::connected::<Self>(state, Endpoint { object: name(id), interface });
    }
}

impl Body for Demultiplexer {
    fn program(&self, state: &State, object: &Object, _icid: u16, _pass: &mut Pass) {
        let ports = (0..).zip(&self.ports).map(|(interface, port)| {
            let end = Endpoint { object: object.id, interface };
            let peer = state.peer(end).filter(|_| state.link_up(end));
            DemuxPortConfig {
                peer: peer.and_then(connections::in_data_plane),
                max_length: self.max_frame_length(state, end),
                accept_long: port.accepts_long(),
                admit: match port.accepted_frames {
                    0 => DemuxAdmit::All,
                    1 => DemuxAdmit::Tagged,
                    _ => DemuxAdmit::Untagged,
                },
            }
        });
        let config = DemuxConfig {
            ports: ports.collect(),
            method: self.rules.program(&self.limits),
            default: Some(self.default_if).filter(|default| *default != UPLINK),
            bridges: self.limits.options & options::BRIDGE_EN != 0,
            service_tags: self.limits.manip != 0,
        };
        state.fabric.wriop().configure_demux(object.id.id, Some(config));
    }

    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    fn interfaces(&self) -> u16 {
        // Not more than MAX_DOWNLINKS and the uplink.
        self.ports.len() as u16
    }

    fn link_ready(&self, interface: u16) -> bool {
        self.side(interface).is_some_and(|side| side.enabled)
    }

    fn link_wanted(&self, interface: u16) -> LinkConfig {
        self.side(interface).map_or_else(LinkConfig::default, |side| side.wanted)
    }
}

impl Bridge for Demultiplexer {
    fn side(&self, interface: u16) -> Option<&Side> {
        self.ports.get(usize::from(interface)).map(|port| &port.side)
    }

    fn side_mut(&mut self, interface: u16) -> Option<&mut Side> {
        self.ports.get_mut(usize::from(interface)).map(|port| &mut port.side)
    }
}

fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let end = |interface| Endpoint { object: call.object, interface };
    match command {
        Command::GetIrqStatus(get) => {
            let status = state.take_irq_status(call.object, get.index, get.status)?;
            call.reply(get, dpdmux::GetIrqStatusReply { status })
        }
        Command::ClearIrqStatus(clear) => {
            state.take_irq_status(call.object, clear.index, clear.status)?;
            Ok(Answer::DONE)
        }
        Command::IfEnable(set) => {
            interfaces::switch::<Demultiplexer>(state, end(set.if_id), true)?;
            Ok(Answer::DONE)
        }
        Command::IfDisable(set) => {
            interfaces::switch::<Demultiplexer>(state, end(set.if_id), false)?;
            Ok(Answer::DONE)
        }
        Command::IfSetLinkCfg(set) => {
            interfaces::want::<Demultiplexer>(state, end(set.if_id), set.link)?;
            Ok(Answer::DONE)
        }
        Command::IfGetLinkState(get) => {
            state.body_mut::<Demultiplexer>(call.object.id)?.port(get.if_id)?;
            let link = state.link(end(get.if_id));
            call.reply(get, dpdmux::IfGetLinkStateReply { link })
        }
        Command::GetMaxFrameLength(get) => {
            let demux = state.body::<Demultiplexer>(call.object.id)?;
            demux.check_port(get.if_id)?;
            let max_frame_length = demux.max_frame_length(state, end(get.if_id));
            call.reply(get, dpdmux::GetMaxFrameLengthReply { max_frame_length })
        }
        Command::IfGetCounter(get) => {
            state.body::<Demultiplexer>(call.object.id)?.check_port(get.if_id)?;
            at_most(get.kind, dpdmux::COUNTERS - 1)?;
            let wriop = state.fabric.wriop();
            let counter = wriop.demux_counter(call.object.id, get.if_id, get.kind);
            call.reply(get, dpdmux::IfGetCounterReply { counter: counter.unwrap_or(0) })
        }
        Command::UlResetCounters(_) => {
            state.fabric.wriop().reset_uplink_counters(call.object.id);
            Ok(Answer::DONE)
        }
        Command::SetCustomKey(_)
        | Command::AddCustomClsEntry(_)
        | Command::RemoveCustomClsEntry(_) => custom(state, call, command),
        Command::DumpTable(dump) => {
            let num_entries = dump::dump(state, call.object, dump)?;
            call.reply(dump, dpdmux::DumpTableReply { num_entries })
        }
        other => state.body_mut::<Demultiplexer>(call.object.id)?.run(call, other),
    }
}

/// Whether a command leaves alone what the data plane has of a demultiplexer.
fn is_question(command: &Command) -> bool {
    matches!(
        command,
        Command::GetAttributes(_)
            | Command::GetIrqStatus(_)
            | Command::ClearIrqStatus(_)
            | Command::GetMaxFrameLength(_)
            | Command::IfGetAttributes(_)
            | Command::IfGetCounter(_)
            | Command::UlResetCounters(_)
            | Command::IfGetLinkState(_)
            | Command::IfGetDefault(_)
            | Command::GetResetable(_)
            | Command::IfGetTaildrop(_)
            | Command::DumpTable(_)
    )
}

impl Demultiplexer {
    /// Commands that concern nothing but this object.
    fn run(&mut self, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        match command {
            Command::GetAttributes(get) => return call.reply(get, self.attributes(call.object.id)),
            Command::SetMaxFrameLength(set) => {
                if !(1..=MAX_FRAME_LENGTH).contains(&set.max_frame_length) {
                    return Err(Status::ConfigurationError
                        .because(format!("a frame has 1 to {MAX_FRAME_LENGTH} bytes")));
                }
                self.max_frame_length = set.max_frame_length;
            }
            Command::IfSetAcceptedFrames(set) => {
                at_most(set.kind, 2)?;
                at_most(set.unaccepted, 1)?;
                let port = self.port(set.if_id)?;
                (port.accepted_frames, port.kept.unaccepted) = (set.kind, set.unaccepted);
            }
            Command::IfGetAttributes(get) => {
                let is_default = get.if_id != UPLINK && get.if_id == self.default_if;
                let port = self.port(get.if_id)?;
                let reply = dpdmux::IfGetAttributesReply {
                    enabled: port.side.enabled,
                    is_default,
                    accepted_frames: port.accepted_frames,
                    rate: port.side.wanted.rate,
                };
                return call.reply(get, reply);
            }
            Command::IfAddL2Rule(add) => {
                self.port(add.if_id)?;
                self.rules.add(&self.limits, add)?;
            }
            Command::IfRemoveL2Rule(remove) => {
                self.port(remove.if_id)?;
                self.rules.remove(&self.limits, remove)?;
            }
            Command::IfSetDefault(set) => {
                self.port(set.if_id)?;
                self.default_if = set.if_id;
            }
            Command::IfGetDefault(get) => {
                return call.reply(get, dpdmux::IfGetDefaultReply { if_id: self.default_if });
            }
            Command::SetResetable(set) => self.resetable = set.skip_reset_flags,
            Command::GetResetable(get) => {
                let skip_reset_flags = self.resetable;
                return call.reply(get, dpdmux::GetResetableReply { skip_reset_flags });
            }
            Command::IfSetTaildrop(set) => {
                self.port(set.if_id)?.taildrop = checked(set.drop)?;
            }
            Command::IfGetTaildrop(get) => {
                let if_id = get.if_id;
                let drop = self.port(if_id)?.taildrop;
                return call.reply(get, dpdmux::IfGetTaildropReply { if_id, drop });
            }
            Command::IfSetErrorsBehavior(set) => {
                at_most(set.action, 1)?;
                self.port(set.if_id)?.kept.errors = Some(set.clone());
            }
            // Programs run where frames are parsed, which is not there yet; creation
            // goes through the container's token; the rest was handled before.
            Command::DumpTable(_)
            | Command::GetMaxFrameLength(_)
            | Command::IfGetCounter(_)
            | Command::UlResetCounters(_)
            | Command::SetCustomKey(_)
            | Command::AddCustomClsEntry(_)
            | Command::RemoveCustomClsEntry(_)
            | Command::SetSpProfile(_)
            | Command::SpEnable(_)
            | Command::Create(_)
            | Command::GetIrqStatus(_)
            | Command::ClearIrqStatus(_)
            | Command::IfEnable(_)
            | Command::IfDisable(_)
            | Command::IfSetLinkCfg(_)
            | Command::IfGetLinkState(_) => {
                return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED));
            }
        }
        Ok(Answer::DONE)
    }

    /// What a reset does to the settings: all go back, except for those that
    /// were declared not resetable.
    fn reset_settings(&mut self) {
        let skips = |flag: u8| self.resetable & flag != 0;
        // Without a default interface there is none to spare: 0 is the uplink.
        let spared = skips(skip_reset::RESET_DEFAULT_INTERFACE).then_some(self.default_if);
        let spared = spared.filter(|default| *default != UPLINK);
        for (interface, port) in self.ports.iter_mut().enumerate() {
            if spared.is_none_or(|spared| usize::from(spared) != interface) {
                *port = Port::new();
            }
        }
        let (unicast, multicast) =
            (skips(skip_reset::UNICAST_RULES), skips(skip_reset::MULTICAST_RULES));
        self.rules.reset(unicast, multicast);
        if !skips(skip_reset::MODIFY_DEFAULT_INTERFACE) {
            self.default_if = self.limits.default_if;
        }
        self.enabled = true;
        self.max_frame_length = DEFAULT_FRAME_LENGTH;
    }

    /// The longest frame that comes in at an interface: with the option for it, what the
    /// network interface behind it takes.
    fn max_frame_length(&self, state: &State, end: Endpoint) -> u16 {
        let automatic = self.limits.options & options::AUTO_MAX_FRAME_LEN != 0;
        let peer = state.peer(end).filter(|_| automatic);
        let theirs = peer.and_then(|peer| state.objects.get(&peer.object)?.body.max_frame_length());
        theirs.unwrap_or(self.max_frame_length)
    }

    fn attributes(&self, id: u32) -> dpdmux::GetAttributesReply {
        let limits = &self.limits;
        dpdmux::GetAttributesReply {
            method: limits.method,
            manip: limits.manip,
            num_ifs: limits.num_ifs,
            mem_size: limits.mem_size,
            default_if: self.default_if,
            id,
            custom_key_size: limits.custom_key_size,
            options: limits.options,
            max_dmat_entries: limits.max_dmat_entries,
            max_mc_groups: limits.max_mc_groups,
            max_vlan_ids: limits.max_vlan_ids,
        }
    }

    fn check_port(&self, interface: u16) -> Result<(), Refusal> {
        let there = usize::from(interface) < self.ports.len();
        if there { Ok(()) } else { Err(no_interface(interface)) }
    }

    fn port(&mut self, interface: u16) -> Result<&mut Port, Refusal> {
        self.ports.get_mut(usize::from(interface)).ok_or_else(|| no_interface(interface))
    }
}

/// Commands about rules whose keys lie in guest memory.
fn custom(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let id = call.object;
    let demux = state.body::<Demultiplexer>(id.id)?;
    let keys = rules::key_limits(&demux.limits)?;
    let at = |size, key, mask| keys::KeyAt { size, key, mask };
    match command {
        Command::SetCustomKey(set) => {
            demux.rules.check_key(&demux.limits)?;
            let key = keys::read_profile(state, id, set.key_cfg_iova)?;
            state.body_mut::<Demultiplexer>(id.id)?.rules.set_key(key);
        }
        Command::AddCustomClsEntry(add) => {
            demux.check_port(add.dest_if)?;
            let at = at(add.key_size, add.key_iova, add.mask_iova);
            let key = keys::read_key(state, id, keys, at)?;
            let demux = state.body_mut::<Demultiplexer>(id.id)?;
            demux.rules.add_custom(&demux.limits, key, add)?;
        }
        Command::RemoveCustomClsEntry(remove) => {
            let at = at(remove.key_size, remove.key_iova, remove.mask_iova);
            let key = keys::read_key(state, id, keys, at)?;
            state.body_mut::<Demultiplexer>(id.id)?.rules.remove_custom(&key)?;
        }
        _ => return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED)),
    }
    Ok(Answer::DONE)
}

fn no_interface(interface: u16) -> Refusal {
    Status::ConfigurationError.because(format!("there is no interface {interface}"))
}

/// The configuration of a new demultiplexer, with defaults filled in
/// (`fsl_dpdmux.h`).
///
/// # Errors
/// [`Status::ConfigurationError`] where it asks for what there is not.
fn limits(request: &dpdmux::Create) -> Result<dpdmux::Create, Refusal> {
    at_most(request.method, method::CUSTOM)?;
    at_most(request.manip, 1)?;
    at_most(request.custom_key_size, dpdmux::MAX_KEY_SIZE)?;
    let custom = request.method == method::CUSTOM;
    if !(1..=MAX_DOWNLINKS).contains(&request.num_ifs)
        || request.default_if > request.num_ifs
        || request.options & !options::ALL != 0
        || (request.custom_key_size != 0 && !custom)
    {
        return Err(Status::ConfigurationError.because(format!("it has 1 to {MAX_DOWNLINKS} downlinks, one of them the default or none, known options, and a key size only with the method CUSTOM")));
    }
    let or = |value: u16, default: u16| if value == 0 { default } else { value };
    Ok(dpdmux::Create {
        max_dmat_entries: or(request.max_dmat_entries, 64 * request.num_ifs),
        max_mc_groups: or(request.max_mc_groups, 32),
        max_vlan_ids: or(request.max_vlan_ids, 16),
        ..request.clone()
    })
}

/// A demultiplexer's name from its number.
const fn name(id: u32) -> ObjectId {
    ObjectId::new(ObjectType::Dpdmux, id)
}
