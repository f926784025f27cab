// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Switches.
//!
//! What software sets up is kept, checked, given back, and written to the data
//! plane, which moves the frames. The modules below follow those of the command set: each holds one part
//! of the settings and the commands that concern it.

mod control;
mod dump;
mod filters;
mod flow;
mod forwarding;
mod interface;
mod layout;
mod program;
mod switch;
mod vlans;

#[cfg(test)]
mod tests;

#[cfg(test)]
use mc_abi::blocks::Destination;

use super::{
    Answer, Body, Call, Endpoint, Family, Object, State,
    interfaces::{self, Bridge, Side},
};
use crate::fabric::Pass;
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    ObjectId, ObjectType, Status,
    blocks::LinkConfig,
    dpsw::{self, Command, options},
};

/// A switch.
#[derive(Debug)]
pub(crate) struct Switch {
    limits: dpsw::Create,
    /// Queuing destinations of what software sends, one an interface.
    qdids: Vec<u32>,
    /// Whether the switch as a whole was put on last.
    enabled: bool,
    settings: Settings,
    control: Option<control::Control>,
}

/// All that a reset puts back, without the control interface.
#[derive(Debug)]
struct Settings {
    switch: switch::Settings,
    ports: Vec<interface::Port>,
    vlans: vlans::Vlans,
    tables: forwarding::Tables,
    filters: filters::Filters,
}

impl Settings {
    fn new(limits: &dpsw::Create) -> Self {
        Self {
            switch: Default::default(),
            ports: vec![interface::Port::default(); usize::from(limits.num_ifs)],
            vlans: vlans::Vlans::new(all(limits.num_ifs)),
            tables: forwarding::Tables::new(limits),
            filters: Default::default(),
        }
    }
}

impl Family for Switch {
    /// Of the headers of firmware 10.39.
    const VERSION: (u16, u16) = (8, 13);
    /// Interfaces, and the switch itself (`fsl_dpsw.h`).
    const IRQS: u8 = 2;
    type Create = dpsw::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpsw::Create,
    ) -> Result<Self, Refusal> {
        let limits = switch::limits(request)?;
        let qdids = state.pools.qd.take_many(usize::from(limits.num_ifs))?;
        let control = if limits.options & options::CTRL_IF_DIS != 0 {
            None
        } else {
            Some(control::Control::take(&mut state.pools, limits.num_ifs)?)
        };
        let settings = Settings::new(&limits);
        Ok(Self { limits, qdids, enabled: false, settings, control })
    }

    fn destroy(self, state: &mut State, id: u32) {
        program::withdraw(&self, state, id);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        if is_question(command) {
            state.asking(|state| handle(state, call, command))
        } else {
            handle(state, call, command)
        }
    }

    fn reset(state: &mut State, id: u32) {
        program::purge(state, id);
        if let Ok(switch) = state.body_mut::<Self>(id) {
            switch.enabled = false;
            switch.settings = Settings::new(&switch.limits);
            if let Some(control) = &mut switch.control {
                control.reset();
            }
        }
        // Who gets it next learns nothing of what passed before.
        state.fabric.wriop().reset_switch_counters(id);
        interfaces::refresh_all::<Self>(state, name(id));
    }

    fn switched(state: &mut State, id: u32, on: bool) {
        interfaces::switch_all::<Self>(state, name(id), on);
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // What the control interface leads to stays behind in another isolation context,
        // and so do its frames.
        program::purge(state, id);
        if let Ok(Self { control: Some(control), .. }) = state.body_mut::<Self>(id) {
            control.reset();
        }
    }

    fn link_changed(state: &mut State, id: u32, interface: u16) {
        interfaces::refresh::<Self>(state, Endpoint { object: name(id), interface });
    }

    fn connected(state: &mut State, id: u32, interface: u16, _peer: Option<Endpoint>) {
        interfaces::connected::<Self>(state, Endpoint { object: name(id), interface });
    }
}

impl Body for Switch {
    fn program(&self, state: &State, object: &Object, icid: u16, pass: &mut Pass) {
        program::program(self, state, object.id, icid, pass);
    }

    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    /// The control interface cannot be connected.
    fn interfaces(&self) -> u16 {
        self.limits.num_ifs
    }

    fn link_ready(&self, interface: u16) -> bool {
        self.side(interface).is_some_and(|side| side.enabled)
    }

    fn link_wanted(&self, interface: u16) -> LinkConfig {
        self.side(interface).map_or_else(LinkConfig::default, |side| side.wanted)
    }

    fn leads_to(&self, other: ObjectId) -> bool {
        self.control.as_ref().is_some_and(|control| control.leads_to(other))
    }

    fn forget(&mut self, gone: ObjectId) {
        if let Some(control) = &mut self.control {
            control.forget(gone);
        }
    }
}

impl Bridge for Switch {
    fn side(&self, interface: u16) -> Option<&Side> {
        self.settings.ports.get(usize::from(interface)).map(|port| &port.side)
    }

    fn side_mut(&mut self, interface: u16) -> Option<&mut Side> {
        self.settings.ports.get_mut(usize::from(interface)).map(|port| &mut port.side)
    }
}

impl Switch {
    /// An interface.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where there is no such one.
    fn port(&mut self, interface: u16) -> Result<&mut interface::Port, Refusal> {
        let port = self.settings.ports.get_mut(usize::from(interface));
        port.ok_or_else(|| {
            Status::ConfigurationError.because(format!("there is no interface {interface}"))
        })
    }

    fn has(&self, option: u64) -> bool {
        self.limits.options & option != 0
    }

    /// Of the control interface: whether it is on, and what is set of its queue of received
    /// frames.
    #[cfg(test)]
    pub(crate) fn control_state(&self) -> (bool, u64, Destination) {
        self.control.as_ref().map_or_else(Default::default, control::Control::received)
    }

    /// Numbers of the control interface's pools, and whether they are for want of others.
    #[cfg(test)]
    pub(crate) fn control_pools(&self) -> Vec<(u32, bool)> {
        self.control.as_ref().map_or_else(Vec::new, control::Control::named_pools)
    }
}

fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    match command {
        Command::Switch(command) => switch::handle(state, call, command),
        Command::Interface(command) => interface::handle(state, call, command),
        Command::Flow(command) => flow::handle(state, call, command),
        Command::Vlans(command) => vlans::handle(state, call, command),
        Command::Forwarding(command) => forwarding::handle(state, call, command),
        Command::Filters(command) => filters::handle(state, call, command),
        Command::Control(command) => control::handle(state, call, command),
    }
}

/// Whether a command leaves alone what the data plane has of a switch. Entries of forwarding
/// tables do, too: the data plane shares these tables.
fn is_question(command: &Command) -> bool {
    use dpsw::{
        control::Command as Control, filters::Command as Filters, flow::Command as Flow,
        forwarding::Command as Forwarding, interface::Command as Interface,
        switch::Command as Whole, vlans::Command as Vlans,
    };
    match command {
        Command::Switch(command) => matches!(
            command,
            Whole::GetAttributes(_)
                | Whole::GetIrqStatus(_)
                | Whole::ClearIrqStatus(_)
                | Whole::LagGetCfg(_)
                | Whole::DumpTable(_)
        ),
        Command::Interface(command) => matches!(
            command,
            Interface::IfGetTci(_)
                | Interface::IfGetCounter(_)
                | Interface::IfSetCounter(_)
                | Interface::IfGetAttributes(_)
                | Interface::IfGetMaxFrameLength(_)
                | Interface::IfGetLinkState(_)
                | Interface::IfGetPortMacAddr(_)
        ),
        Command::Flow(command) => matches!(command, Flow::IfGetTaildrop(_)),
        Command::Vlans(command) => matches!(
            command,
            Vlans::VlanGetIf(_)
                | Vlans::VlanGetIfFlooding(_)
                | Vlans::VlanGetIfUntagged(_)
                | Vlans::VlanGetAttributes(_)
        ),
        Command::Forwarding(command) => matches!(
            command,
            Forwarding::FdbAddUnicast(_)
                | Forwarding::FdbRemoveUnicast(_)
                | Forwarding::FdbGetUnicast(_)
                | Forwarding::FdbAddMulticast(_)
                | Forwarding::FdbRemoveMulticast(_)
                | Forwarding::FdbGetMulticast(_)
                | Forwarding::FdbGetAttributes(_)
                | Forwarding::FdbDump(_)
        ),
        Command::Filters(command) => matches!(command, Filters::AclGetAttributes(_)),
        Command::Control(command) => matches!(command, Control::CtrlIfGetAttributes(_)),
    }
}

/// The switch that a command addresses.
fn addressed<'a>(state: &'a mut State, call: &Call) -> Result<&'a mut Switch, Refusal> {
    state.body_mut::<Switch>(call.object.id)
}

/// Its name from its number.
const fn name(id: u32) -> ObjectId {
    ObjectId::new(ObjectType::Dpsw, id)
}

/// The bitmap of the first `count` interfaces.
fn all(count: u16) -> u64 {
    1u64.checked_shl(count.into()).map_or(u64::MAX, |end| end - 1)
}

/// A set of interfaces out of a command's bitmap.
///
/// # Errors
/// [`Status::ConfigurationError`] where it names none, or one that there is
/// not.
fn set(limits: &dpsw::Create, words: &[u64; 4]) -> Result<u64, Refusal> {
    let [set, rest @ ..] = *words;
    if set == 0 || set & !all(limits.num_ifs) != 0 || rest != [0; 3] {
        return Err(Status::ConfigurationError
            .because(format!("name some of the interfaces 0 to {}", limits.num_ifs - 1)));
    }
    Ok(set)
}

/// A set of interfaces as a reply carries it: how many, and the bitmap.
fn words(set: u64) -> (u16, [u64; 4]) {
    (set.count_ones() as u16, [set, 0, 0, 0])
}
