// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The links of interfaces of all families: what there is, and who hears of it.

use super::{Endpoint, State, family::PhysicalPort};
use mc_abi::{
    MacAddr, ObjectId, ObjectType,
    blocks::{LinkConfig, LinkState},
    dpmac::events,
};

/// Rate of a link without hardware port, Mbit/s, where the connection sets no
/// limit. What a real MC says there is not known.
const VIRTUAL_RATE: u32 = 10_000;

impl State {
    /// The link of an interface as it is now.
    pub fn link(&self, end: Endpoint) -> LinkState {
        let Some(link) = self.connections.link(end).filter(|_| self.link_up(end)) else {
            return LinkState::default();
        };
        if let Some(port) = self.physical_port(link.peer.object) {
            let options = port.options(self.link_wanted(end));
            return LinkState { up: true, options, ..port.link };
        }
        let rate = if link.rates.max == 0 { VIRTUAL_RATE } else { link.rates.max };
        // Nothing negotiates: what both ends want is what they get. A network
        // interface does not ask what a switch wants.
        let (own, peer) = (end.object.kind, link.peer.object.kind);
        let theirs = if own == ObjectType::Dpni && peer != ObjectType::Dpni {
            u64::MAX
        } else {
            self.link_wanted(link.peer).options
        };
        let options = self.link_wanted(end).options & theirs;
        LinkState { up: true, rate, options, ..LinkState::default() }
    }

    /// The link that software wants at an interface.
    pub fn link_wanted(&self, end: Endpoint) -> LinkConfig {
        let object = self.objects.get(&end.object);
        object.map_or_else(LinkConfig::default, |object| object.body.link_wanted(end.interface))
    }

    /// Tells the peer of an interface that the link may have changed.
    pub fn tell_peer(&mut self, end: Endpoint) {
        let Some(peer) = self.peer(end) else { return };
        let functions = self.objects.get(&peer.object).map(|object| object.functions);
        if let Some(functions) = functions {
            (functions.link_changed)(self, peer.object.id, peer.interface);
        }
    }
}

/// The port behind an interface.
impl State {
    /// The port that an interface is connected to.
    pub fn port_of(&self, end: Endpoint) -> Option<ObjectId> {
        let peer = self.peer(end).map(|peer| peer.object);
        peer.filter(|peer| self.physical_port(*peer).is_some())
    }

    /// Its address; all zeros where there is none.
    pub fn port_address(&self, end: Endpoint) -> MacAddr {
        let port = self.port_of(end).and_then(|port| self.physical_port(port));
        port.map_or(MacAddr::ZERO, |port| port.address)
    }

    /// Asks the driver of the port to bring the physical side up or down.
    pub fn switch_port(&mut self, end: Endpoint, on: bool) {
        if let Some(port) = self.port_of(end) {
            let event = if on { events::LINK_UP_REQ } else { events::LINK_DOWN_REQ };
            self.raise(port, 0, event);
        }
    }

    /// Asks the driver of the port to look at the link that is wanted.
    pub fn configure_port(&mut self, end: Endpoint) {
        if let Some(port) = self.port_of(end) {
            self.raise(port, 0, events::LINK_CFG_REQ);
        }
    }

    fn physical_port(&self, id: ObjectId) -> Option<PhysicalPort> {
        self.objects.get(&id)?.body.port()
    }
}
