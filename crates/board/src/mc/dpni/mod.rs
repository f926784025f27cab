// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Network interfaces.
//!
//! An interface has a fixed part, decided at creation (`limits`, `resources`),
//! and a part that software sets up and a reset puts back (`settings`). The
//! modules below follow those of the command set: each holds one part of the
//! settings and the commands that concern it.
//!
//! What commands refer to in memory is read or written when they are executed.
//!
//! After a command that changed anything, `program` writes what the settings come
//! to into the data plane's tables.

mod congestion;
mod dump;
mod filters;
mod frames;
mod interface;
mod layout;
mod limits;
mod link;
mod program;
mod queues;
mod resources;
mod statistics;
mod tables;
mod transmit;

#[cfg(test)]
mod tests;

pub(crate) use limits::Limits;

use super::{Answer, Body, Call, Endpoint, Family, Object, State, opr::OrderRestoration};
use crate::fabric::Pass;
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use mc_abi::{
    MacAddr, ObjectId, ObjectType, Status,
    blocks::{LinkConfig, LinkState},
    dpni::{self, Command, events},
};
use resources::Resources;

/// A network interface.
#[derive(Debug)]
pub(crate) struct Interface {
    pub limits: Limits,
    resources: Resources,
    order: OrderRestoration,
    enabled: bool,
    /// The link as it was last reported to software.
    reported: LinkState,
    settings: Settings,
}

/// All that a reset puts back, but for the primary address: that outlives it (board:
/// V-DPNI-3 of the ledger).
#[derive(Debug)]
struct Settings {
    interface: interface::Settings,
    link: link::Settings,
    frames: frames::Settings,
    filters: filters::Settings,
    queues: queues::Settings,
    congestion: congestion::Settings,
    transmit: transmit::Settings,
    tables: tables::Settings,
}

impl Settings {
    fn new(limits: &Limits, resources: &Resources, address: MacAddr) -> Self {
        Self {
            interface: Default::default(),
            link: Default::default(),
            frames: Default::default(),
            filters: filters::Settings::new(address),
            queues: queues::Settings::new(resources),
            congestion: Default::default(),
            transmit: transmit::Settings::new(limits),
            tables: tables::Settings::new(limits),
        }
    }
}

/// The version of the interface under firmware 10.39 (board observation; the
/// headers of 10.40 say 8.6).
const VERSION: (u16, u16) = (8, 5);

impl Family for Interface {
    const VERSION: (u16, u16) = VERSION;
    const IRQS: u8 = 1;
    type Create = dpni::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpni::Create,
    ) -> Result<Self, Refusal> {
        let limits = Limits::of(request)?;
        let resources = Resources::take(&mut state.pools, &limits)?;
        let records = usize::from(limits.order_records());
        let order = OrderRestoration::new(&mut state.pools.opr, records, false)?;
        let settings = Settings::new(&limits, &resources, MacAddr::ZERO);
        Ok(Self {
            limits,
            resources,
            order,
            enabled: false,
            reported: LinkState::default(),
            settings,
        })
    }

    fn destroy(self, state: &mut State, id: u32) {
        program::withdraw(&self, state, id);
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // What the interface leads to stays behind in another isolation
        // context, and so do its frames and what software wrote beside them.
        purge(state, id);
        if let Ok(interface) = state.body_mut::<Self>(id) {
            interface.enabled = false;
            interface.settings.interface.forget_pools();
            interface.settings.queues.reset();
            interface.settings.congestion.forget_notifications();
            interface.settings.tables.forget_redirections();
        }
        link::refresh_both(state, id);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        match command {
            Command::Interface(command) => interface::handle(state, call, command),
            Command::Link(command) => link::handle(state, call, command),
            Command::Frames(command) => frames::handle(state, call, command),
            Command::Filters(command) => filters::handle(state, call, command),
            Command::Queues(command) => queues::handle(state, call, command),
            Command::Transmit(command) => transmit::handle(state, call, command),
            Command::Tables(command) => tables::handle(state, call, command),
            // Programs run where frames are parsed, which is not there yet.
            Command::Parser(_) => Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED)),
            // No port of this board encrypts: that can be asked, the rest not
            // be done.
            Command::Macsec(dpni::macsec::Command::IsMacsecCapable(get)) => {
                call.reply(get, dpni::IsMacsecCapableReply { capable: false })
            }
            Command::Macsec(_) => Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED)),
        }
    }

    fn reset(state: &mut State, id: u32) {
        purge(state, id);
        if let Ok(interface) = state.body_mut::<Self>(id) {
            interface.enabled = false;
            interface.order.reset();
            let address = interface.settings.filters.primary;
            interface.settings = Settings::new(&interface.limits, &interface.resources, address);
            // Who resets knows what that does to the link.
            interface.reported = LinkState::default();
        }
        link::refresh_both(state, id);
    }

    fn link_changed(state: &mut State, id: u32, _interface: u16) {
        link::refresh(state, id);
    }

    /// Tells software of the other peer, and what that does to the link.
    fn connected(state: &mut State, id: u32, _interface: u16, peer: Option<Endpoint>) {
        let port = peer.is_some_and(|peer| peer.object.kind == ObjectType::Dpmac);
        if let Ok(limits) = state.body::<Self>(id).map(|interface| interface.limits) {
            resources::take_for_port(&mut state.pools, name(id), &limits, port);
        }
        let address = state.port_address(link::end(id));
        if let Ok(interface) = state.body_mut::<Self>(id) {
            // A port's own settings are those of the port that was there.
            interface.settings.interface.forget_port();
            // One without an address takes the port's (the ledger: at the connection). That it
            // is the interface's own from then on is inferred.
            let primary = &mut interface.settings.filters.primary;
            if *primary == MacAddr::ZERO {
                *primary = address;
            }
        }
        state.raise(name(id), 0, events::ENDPOINT_CHANGED);
        link::refresh(state, id);
    }

    fn switched(state: &mut State, id: u32, on: bool) {
        state.switch_port(link::end(id), on);
        link::refresh_both(state, id);
    }
}

impl Body for Interface {
    fn program(&self, state: &State, object: &Object, icid: u16, pass: &mut Pass) {
        program::program(self, state, object.id, icid, pass);
    }

    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    fn link_ready(&self, _interface: u16) -> bool {
        self.enabled
    }

    fn interfaces(&self) -> u16 {
        1
    }

    fn link_wanted(&self, _interface: u16) -> LinkConfig {
        self.settings.link.wanted
    }

    fn max_frame_length(&self) -> Option<u16> {
        Some(self.settings.frames.max_length)
    }

    fn set_mac(&mut self, address: MacAddr) {
        self.settings.filters.primary = address;
    }

    /// Rules may send frames to another interface, until that is gone or a token
    /// of it closed.
    fn leads_to(&self, other: ObjectId) -> bool {
        let redirects = other.kind == ObjectType::Dpni && self.settings.tables.leads_to(other);
        redirects
            || self.settings.interface.leads_to(other)
            || self.settings.queues.leads_to(other)
            || self.settings.congestion.leads_to(other)
    }

    /// Interfaces that rules lead to are known by their tokens, which nobody has again.
    fn forget(&mut self, gone: ObjectId) {
        self.settings.interface.forget(gone);
        self.settings.queues.forget(gone);
        self.settings.congestion.forget(gone);
    }
}

/// Empties the queues of an interface, which stops first: frames of before are
/// nobody's business any more.
fn purge(state: &mut State, id: u32) {
    state.fabric.wriop().configure_interface(id, None);
    let Ok(interface) = state.body::<Interface>(id) else { return };
    for fqid in interface.resources.fqids().to_vec() {
        state.fabric.qbman().configure_queue(fqid, None, &mut state.pass);
    }
}

/// The interface that a command addresses.
fn addressed<'a>(state: &'a mut State, call: &Call) -> Result<&'a mut Interface, Refusal> {
    state.body_mut::<Interface>(call.object.id)
}

/// Its name from its number.
const fn name(id: u32) -> ObjectId {
    ObjectId::new(ObjectType::Dpni, id)
}
