// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the settings of a switch come to in the data plane's tables.

use super::Switch;
use crate::{
    fabric::{Engine, Pass},
    mc::{Endpoint, State, connections},
    wriop::SwitchConfig,
};
use mc_abi::ObjectId;

/// Ethernet types of the tags of C-VLANs and S-VLANs.
const TPIDS: [u16; 2] = [0x8100, 0x88a8];

/// Writes a switch and the queues of its control interface into the tables.
pub(super) fn program(switch: &Switch, state: &State, id: ObjectId, icid: u16, pass: &mut Pass) {
    let control = switch.control.as_ref();
    let control = control.and_then(|control| control.program(state, id, icid, &switch.qdids, pass));
    let wakes = control.is_some();
    let settings = &switch.settings;
    let ports = (0..).zip(&settings.ports).map(|(interface, port)| {
        let end = Endpoint { object: id, interface };
        let peer = state.peer(end).filter(|_| state.link_up(end));
        port.program(peer.and_then(connections::in_data_plane), settings.filters.of(interface))
    });
    let config = SwitchConfig {
        icid,
        ports: ports.collect(),
        vlans: settings.vlans.program(&switch.limits, &settings.tables),
        lists: settings.filters.lists(),
        groups: settings.switch.groups(),
        tpid: TPIDS.get(usize::from(switch.limits.component_type)).copied().unwrap_or(0),
        tpids: settings.switch.tpids(),
        mirror: settings.switch.mirror,
        control,
    };
    state.fabric.wriop().configure_switch(id.id, Some(config));
    // What has waited for this goes now.
    if wakes {
        pass.wake(Engine::Switch(id.id));
    }
}

/// Takes it all back.
pub(super) fn withdraw(switch: &Switch, state: &mut State, id: u32) {
    state.fabric.wriop().configure_switch(id, None);
    if let Some(control) = &switch.control {
        control.withdraw(state, &switch.qdids);
    }
}

/// Empties the queues of the control interface: frames of before are nobody's
/// business any more.
pub(super) fn purge(state: &mut State, id: u32) {
    let Ok(switch) = state.body_mut::<Switch>(id) else { return };
    // Taken out for as long as the state is needed beside it.
    let Some(control) = switch.control.take() else { return };
    let qdids = switch.qdids.clone();
    control.withdraw(state, &qdids);
    if let Ok(switch) = state.body_mut::<Switch>(id) {
        switch.control = Some(control);
    }
}
