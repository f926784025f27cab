// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The link: what software wants, what there is, and who is told of changes.
//!
//! A link is up while both ends are ready: an interface is when it is enabled,
//! a port when its physical side is up. Linux switches its carrier on and off
//! by the interrupt alone, so every change raises it.

use super::{Answer, Call, Interface, State, addressed, name};
use crate::mc::{Endpoint, dpmac::Port, families};
use mc_abi::{
    MacAddr, ObjectId, ObjectType, Status,
    blocks::{LinkConfig, LinkState},
    dpni::{self, events, link::Command},
};

/// Rate of a link without hardware port, Mbit/s, where the connection sets no
/// limit. What a real MC says there is not known.
pub(crate) const VIRTUAL_RATE: u32 = 10_000;

/// What software wants.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub wanted: LinkConfig,
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Status> {
    match command {
        Command::GetLinkState(get) => {
            let link = current(state, call.object.id);
            call.reply(get, dpni::GetLinkStateReply { link })
        }
        Command::SetLinkCfg(set) => {
            addressed(state, call)?.settings.link.wanted = set.link;
            if let Some(port) = port(state, call.object) {
                state.raise(port, 0, mc_abi::dpmac::events::LINK_CFG_REQ);
            }
            refresh_both(state, call.object.id);
            Ok(Answer::DONE)
        }
        Command::GetLinkCfg(get) => {
            let link = addressed(state, call)?.settings.link.wanted;
            call.reply(get, dpni::GetLinkCfgReply { link })
        }
        Command::GetPortMacAddr(get) => {
            let address = port_address(state, call.object);
            call.reply(get, dpni::GetPortMacAddrReply { address })
        }
        // Firmware 10.40 has it, the 10.39 that this board reports has not.
        Command::GetMacSpeedCapability(_) => Err(Status::UnsupportedOperation),
    }
}

/// The endpoint that an interface is.
pub(super) const fn end(id: u32) -> Endpoint {
    Endpoint::new(ObjectType::Dpni, id, 0)
}

/// What an interface is connected to.
pub(super) fn peer(state: &State, id: ObjectId) -> Option<ObjectId> {
    state.peer(end(id.id)).map(|peer| peer.object)
}

/// The port that an interface is connected to.
fn port(state: &State, id: ObjectId) -> Option<ObjectId> {
    peer(state, id).filter(|peer| peer.kind == ObjectType::Dpmac)
}

/// The address of the port that an interface is connected to; all zeros where
/// there is none.
pub(super) fn port_address(state: &State, id: ObjectId) -> MacAddr {
    port(state, id)
        .and_then(|port| state.body::<Port>(port.id).ok())
        .map_or(MacAddr::ZERO, |port| port.address)
}

/// The link of an interface as it is now.
fn current(state: &State, id: u32) -> LinkState {
    let Some(link) = state.connections.link(end(id)) else { return LinkState::default() };
    if !state.link_up(end(id)) {
        return LinkState::default();
    }
    let peer = link.peer.object;
    if let (ObjectType::Dpmac, Ok(port)) = (peer.kind, state.body::<Port>(peer.id)) {
        return LinkState { up: true, ..port.link };
    }
    let rate = if link.rates.max == 0 { VIRTUAL_RATE } else { link.rates.max };
    // Nothing negotiates: what both ends want is what they get.
    let wanted = |id| super::wanted_link(state, id).options;
    let options = match peer.kind {
        ObjectType::Dpni => wanted(id) & wanted(peer.id),
        _ => wanted(id),
    };
    LinkState { up: true, rate, options, ..LinkState::default() }
}

/// Tells software where the link is not as it was told before.
pub(super) fn refresh(state: &mut State, id: u32) {
    let link = current(state, id);
    let Ok(interface) = state.body_mut::<Interface>(id) else { return };
    if interface.told != link {
        interface.told = link;
        state.raise(name(id), 0, events::LINK_CHANGED);
    }
}

/// The same for both ends.
pub(super) fn refresh_both(state: &mut State, id: u32) {
    refresh(state, id);
    if let Some(peer) = state.peer(end(id)) {
        families::link_changed(state, peer);
    }
}

/// Tells the driver of the port that the interface was switched.
pub(super) fn tell_port(state: &mut State, id: u32, on: bool) {
    if let Some(port) = port(state, name(id)) {
        let event = if on {
            mc_abi::dpmac::events::LINK_UP_REQ
        } else {
            mc_abi::dpmac::events::LINK_DOWN_REQ
        };
        state.raise(port, 0, event);
    }
}
