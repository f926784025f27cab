// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The link: what software wants, what there is, and who hears of changes.
//!
//! A link is up while both ends are ready: an interface is when it is enabled,
//! a port when its physical side is up. Linux switches its carrier on and off
//! by the interrupt alone, so every change raises it.

use super::{Answer, Call, Interface, State, addressed, name};
use crate::mc::Endpoint;
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    ObjectId, ObjectType, Status,
    blocks::LinkConfig,
    dpni::{self, events, link::Command},
};

/// What software wants.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub wanted: LinkConfig,
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    match command {
        Command::GetLinkState(get) => {
            let link = state.link(end(call.object.id));
            call.reply(get, dpni::GetLinkStateReply { link })
        }
        Command::SetLinkCfg(set) => {
            addressed(state, call)?.settings.link.wanted = set.link;
            state.configure_port(end(call.object.id));
            refresh_both(state, call.object.id);
            Ok(Answer::DONE)
        }
        Command::GetLinkCfg(get) => {
            let link = addressed(state, call)?.settings.link.wanted;
            call.reply(get, dpni::GetLinkCfgReply { link })
        }
        Command::GetPortMacAddr(get) => {
            let address = state.port_address(end(call.object.id));
            call.reply(get, dpni::GetPortMacAddrReply { address })
        }
        // Firmware 10.40 has it, the 10.39 that this board reports has not.
        Command::GetMacSpeedCapability(_) => Err(Status::UnsupportedOperation
            .because("firmware 10.40 has this command, the one here has not")),
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

/// Reports the link to software where it changed.
pub(super) fn refresh(state: &mut State, id: u32) {
    let link = state.link(end(id));
    let Ok(interface) = state.body_mut::<Interface>(id) else { return };
    if interface.reported != link {
        interface.reported = link;
        state.raise(name(id), 0, events::LINK_CHANGED);
    }
}

/// The same for both ends.
pub(super) fn refresh_both(state: &mut State, id: u32) {
    refresh(state, id);
    state.tell_peer(end(id));
}
