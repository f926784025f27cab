// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Connections: which interface's frames go where.
//!
//! Which pairs fit is what the reference manual says of each family, with the
//! differences that were observed on a board under firmware 10.39.

use super::{Endpoint, State, containers::Container};
use crate::mc::refusal::{Because, Refusal};
use crate::wriop;
use mc_abi::{
    ObjectId, ObjectType, ResourceType, Status,
    dprc::{self, option},
};
use std::collections::BTreeMap;

/// What the data plane calls an endpoint; `None` where no frame can go.
pub(crate) fn in_data_plane(end: Endpoint) -> Option<wriop::Endpoint> {
    match end.object.kind {
        ObjectType::Dpni => Some(wriop::Endpoint::Interface(end.object.id)),
        ObjectType::Dpmac => Some(wriop::Endpoint::Port(end.object.id)),
        ObjectType::Dpsw => {
            Some(wriop::Endpoint::Switch { id: end.object.id, port: end.interface })
        }
        ObjectType::Dpdmux => {
            Some(wriop::Endpoint::Demux { id: end.object.id, port: end.interface })
        }
        _ => None,
    }
}

/// Where an endpoint leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub peer: Endpoint,
    pub rates: Rates,
}

/// What a connection may carry, Mbit/s; 0 where nothing is said. Those of a
/// `dpmac` do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rates {
    pub committed: u32,
    pub max: u32,
}

/// All connections. Each is there from both sides; an interface connected to
/// itself is there once.
#[derive(Debug, Default)]
pub(crate) struct Connections(BTreeMap<Endpoint, Link>);

impl Connections {
    /// Where an endpoint leads.
    pub fn link(&self, endpoint: Endpoint) -> Option<Link> {
        self.0.get(&endpoint).copied()
    }

    /// All endpoints that lead anywhere.
    pub fn iter(&self) -> impl Iterator<Item = (Endpoint, Link)> + '_ {
        self.0.iter().map(|(endpoint, link)| (*endpoint, *link))
    }
}

/// Asking.
impl State {
    /// What an endpoint is connected to.
    pub fn peer(&self, endpoint: Endpoint) -> Option<Endpoint> {
        self.connections.link(endpoint).map(|link| link.peer)
    }

    /// Whether frames can pass: both ends are there and ready.
    pub fn link_up(&self, endpoint: Endpoint) -> bool {
        let ready = |end: Endpoint| {
            self.objects
                .get(&end.object)
                .is_some_and(|object| object.body.link_ready(end.interface))
        };
        self.peer(endpoint).is_some_and(|peer| ready(endpoint) && ready(peer))
    }

    /// Why there is no such endpoint, in words.
    fn lacks(&self, end: Endpoint) -> String {
        let Endpoint { object, interface } = end;
        if self.objects.contains_key(&object) {
            format!("{object} has no interface {interface}")
        } else {
            format!("there is no {object}")
        }
    }

    /// How many interfaces an object has that can be connected.
    fn interfaces(&self, id: ObjectId) -> u16 {
        self.objects.get(&id).map_or(0, |object| object.body.interfaces())
    }
}

/// Changing.
impl State {
    /// Connects two endpoints and tells both.
    ///
    /// # Errors
    /// [`Status::NoResource`] where an object lacks the interface,
    /// [`Status::ConfigurationError`] where the two do not fit or one of them
    /// is connected (board observation).
    pub fn connect(&mut self, one: Endpoint, two: Endpoint, rates: Rates) -> Result<(), Refusal> {
        for end in [one, two] {
            if end.interface >= self.interfaces(end.object) {
                return Err(Status::NoResource.because(self.lacks(end)));
            }
            if self.peer(end).is_some() {
                return Err(
                    Status::ConfigurationError.because(format!("{end} is connected already"))
                );
            }
        }
        if !fit(one, two) {
            return Err(
                Status::ConfigurationError.because(format!("{one} and {two} do not fit together"))
            );
        }
        self.connections.0.insert(one, Link { peer: two, rates });
        self.connections.0.insert(two, Link { peer: one, rates });
        self.tell_connected(one, Some(two));
        if two != one {
            self.tell_connected(two, Some(one));
        }
        Ok(())
    }

    /// Undoes the connection of an endpoint and tells both.
    ///
    /// # Errors
    /// [`Status::NoResource`] where there is none (board observation).
    pub fn disconnect(&mut self, endpoint: Endpoint) -> Result<(), Refusal> {
        let link =
            self.connections.0.remove(&endpoint).ok_or_else(|| {
                Status::NoResource.because(format!("{endpoint} is not connected"))
            })?;
        self.connections.0.remove(&link.peer);
        self.tell_connected(endpoint, None);
        if link.peer != endpoint {
            self.tell_connected(link.peer, None);
        }
        Ok(())
    }

    fn tell_connected(&mut self, end: Endpoint, peer: Option<Endpoint>) {
        let functions = self.objects.get(&end.object).map(|object| object.functions);
        if let Some(functions) = functions {
            (functions.connected)(self, end.object.id, end.interface, peer);
        }
    }

    /// Undoes all connections of an object that goes away.
    pub fn disconnect_all(&mut self, id: ObjectId) {
        let first = Endpoint { object: id, interface: 0 };
        let last = Endpoint { object: id, interface: u16::MAX };
        while let Some((&endpoint, _)) = self.connections.0.range(first..=last).next() {
            // The key was just found.
            let _ = self.disconnect(endpoint);
        }
    }
}

/// Whether two endpoints may be connected.
fn fit(one: Endpoint, two: Endpoint) -> bool {
    use ObjectType::{Dpci, Dpdmux, Dpmac, Dpni, Dpsw};
    let kinds = (one.object.kind, two.object.kind);
    if one == two {
        // The other families have no use for a loop.
        return kinds.0 == Dpni;
    }
    match kinds {
        (Dpci, Dpci) => true,
        (Dpni | Dpsw, Dpni | Dpsw | Dpmac) | (Dpmac, Dpni | Dpsw) => true,
        (Dpdmux, other) => fits_demux(one, other),
        (other, Dpdmux) => fits_demux(two, other),
        _ => false,
    }
}

/// Whether a demultiplexer's interface takes a peer of family `other`. The
/// uplink is for a `dpmac`; firmware 10.39 takes a `dpni` as well (board
/// observation, against its release notes).
fn fits_demux(demux: Endpoint, other: ObjectType) -> bool {
    let uplink = demux.interface == 0;
    match other {
        ObjectType::Dpni => true,
        ObjectType::Dpmac => uplink,
        ObjectType::Dpsw => !uplink,
        _ => false,
    }
}

/// Connects two endpoints on behalf of a container.
///
/// # Errors
/// [`Status::NoPrivilege`] where the container may not change the topology or
/// an object is not in it or below (board observation), else what
/// [`State::connect`] says.
pub(crate) fn connect(
    state: &mut State,
    container: u32,
    request: &dprc::Connect,
) -> Result<(), Refusal> {
    let one = Endpoint::new(request.kind1, request.id1, request.interface1);
    let two = Endpoint::new(request.kind2, request.id2, request.interface2);
    check_topology(state, container, &[one, two])?;
    let rates = Rates { committed: request.committed_rate, max: request.max_rate };
    state.connect(one, two, rates)
}

/// Undoes a connection on behalf of a container.
///
/// # Errors
/// As [`connect`]; [`Status::ConfigurationError`] between a demultiplexer and a
/// network interface: firmware 10.39 makes such a connection and does not undo
/// it before one of the two is destroyed (board observation).
pub(crate) fn disconnect(
    state: &mut State,
    container: u32,
    request: &dprc::Disconnect,
) -> Result<(), Refusal> {
    let interface = u16::try_from(request.interface).map_err(|_| {
        Status::NoResource.because(format!("an object has no interface {}", request.interface))
    })?;
    let end = Endpoint::new(request.kind, request.id, interface);
    check_topology(state, container, &[end])?;
    let peer = state
        .peer(end)
        .ok_or_else(|| Status::NoResource.because(format!("{end} is not connected")))?;
    use ObjectType::{Dpdmux, Dpni};
    if matches!((end.object.kind, peer.object.kind), (Dpdmux, Dpni) | (Dpni, Dpdmux)) {
        return Err(Status::ConfigurationError.because(format!(
            "firmware 10.39 does not undo {end} to {peer} before one of the two is destroyed"
        )));
    }
    state.disconnect(end)
}

fn check_topology(state: &State, container: u32, ends: &[Endpoint]) -> Result<(), Refusal> {
    let options = state.body::<Container>(container)?.options;
    if options & option::TOPOLOGY_CHANGES == 0 {
        let reason = format!("dprc.{container} lacks the option TOPOLOGY_CHANGES");
        return Err(Status::NoPrivilege.because(reason));
    }
    match ends.iter().find(|end| !state.reaches(container, end.object)) {
        Some(end) => Err(Status::NoPrivilege.because(state.out_of_reach(container, end.object))),
        None => Ok(()),
    }
}

/// What an endpoint of an object in `container` or below is connected to.
///
/// # Errors
/// [`Status::NoResource`] where there is no such object or interface.
pub(crate) fn get_connection(
    state: &State,
    container: u32,
    request: &dprc::GetConnection,
) -> Result<dprc::GetConnectionReply, Refusal> {
    let end = Endpoint::new(request.kind, request.id, request.interface);
    if !state.reaches(container, end.object) {
        return Err(Status::NoResource.because(state.out_of_reach(container, end.object)));
    }
    if end.interface >= state.interfaces(end.object) {
        return Err(Status::NoResource.because(state.lacks(end)));
    }
    Ok(match state.peer(end) {
        Some(peer) => dprc::GetConnectionReply {
            id: peer.object.id,
            interface: peer.interface,
            kind: ResourceType::new(peer.object.kind.name()),
            state: i32::from(state.link_up(end)),
        },
        None => dprc::GetConnectionReply { state: -1, ..Default::default() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What connects to what, from the reference manual's chapters on `dpni`,
    /// `dpmac`, `dpsw`, `dpdmux` and `dpci`, and from a board.
    #[test]
    fn pairs_fit_or_do_not() {
        use ObjectType::{Dpbp, Dpci, Dpdmux, Dpmac, Dpni, Dpsw};
        let e = Endpoint::new;
        let fitting = [
            (e(Dpni, 0, 0), e(Dpmac, 1, 0)),
            (e(Dpni, 0, 0), e(Dpni, 1, 0)),
            (e(Dpni, 0, 0), e(Dpni, 0, 0)),
            (e(Dpni, 0, 0), e(Dpsw, 0, 3)),
            (e(Dpmac, 1, 0), e(Dpsw, 0, 0)),
            (e(Dpsw, 0, 1), e(Dpsw, 1, 1)),
            (e(Dpsw, 0, 1), e(Dpsw, 0, 2)),
            (e(Dpdmux, 0, 0), e(Dpmac, 1, 0)),
            (e(Dpdmux, 0, 0), e(Dpni, 1, 0)),
            (e(Dpdmux, 0, 2), e(Dpni, 1, 0)),
            (e(Dpdmux, 0, 2), e(Dpsw, 1, 0)),
            (e(Dpci, 0, 0), e(Dpci, 1, 0)),
        ];
        let unfit = [
            (e(Dpmac, 1, 0), e(Dpmac, 2, 0)),
            (e(Dpmac, 1, 0), e(Dpmac, 1, 0)),
            (e(Dpdmux, 0, 1), e(Dpmac, 1, 0)),
            (e(Dpdmux, 0, 0), e(Dpsw, 1, 0)),
            (e(Dpdmux, 0, 0), e(Dpdmux, 1, 1)),
            (e(Dpdmux, 0, 1), e(Dpdmux, 0, 1)),
            (e(Dpsw, 0, 1), e(Dpsw, 0, 1)),
            (e(Dpci, 0, 0), e(Dpci, 0, 0)),
            (e(Dpci, 0, 0), e(Dpni, 0, 0)),
            (e(Dpbp, 0, 0), e(Dpbp, 1, 0)),
        ];
        for (one, two) in fitting {
            assert!(fit(one, two) && fit(two, one), "{one} and {two}");
        }
        for (one, two) in unfit {
            assert!(!fit(one, two) && !fit(two, one), "{one} and {two}");
        }
    }
}
