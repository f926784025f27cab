// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What must hold between any two commands, for tests and fuzzers.

use super::{
    Mc, State, connections::Link, containers, containers::Container, dpbp::BufferPool,
    dpmcp::CommandPortal,
};
use mc_abi::{ObjectId, ObjectType};
use std::collections::BTreeSet;

impl Mc {
    /// Checks that what different parts of the MC know of containers, objects,
    /// portals, pools and connections agrees.
    ///
    /// # Panics
    /// Where it does not.
    pub fn check_invariants(&self) {
        self.with_state(|state| check(state));
    }
}

/// What must hold at any time.
pub(super) fn check(state: &State) {
    let mut seen = BTreeSet::new();
    for (id, object) in &state.objects {
        assert_eq!(*id, object.id);
        if object.container != containers::MC_CONTAINER {
            let members = state.members(object.container);
            assert!(members.contains(id), "{id} is not in the list of dprc.{}", object.container);
        } else {
            assert_eq!(*id, containers::name(containers::ROOT));
        }
        if let Ok(container) = state.body::<Container>(id.id)
            && id.kind == ObjectType::Dprc
        {
            assert!(container.members.is_sorted_by_key(|id| containers::list_key(*id)));
            for member in &container.members {
                assert!(seen.insert(*member), "{member} is in two lists");
                assert_eq!(state.object(*member).map(|o| o.container), Ok(id.id));
            }
            assert_eq!(state.portal_container(container.portal), Some(id.id));
            assert_eq!(state.pools.icid.owner(container.icid.into()), Some(*id));
            assert!(state.ancestors(id.id).any(|at| at == containers::ROOT));
        }
        if let Ok(pool) = state.body::<BufferPool>(id.id)
            && id.kind == ObjectType::Dpbp
        {
            assert_eq!(state.pools.bp.owner(pool.bpid.into()), Some(*id));
        }
        if id.kind == ObjectType::Dpmcp {
            let portal = state.body::<CommandPortal>(id.id).expect("its family's").portal;
            assert_eq!(state.portal_container(portal), Some(object.container));
        }
    }
    assert_eq!(seen.len() + 1, state.objects.len(), "all but the root are in a list");
    for (name, pool) in state.pools.all().into_iter().chain(state.pools.unlisted()) {
        pool.check(name, &state.objects);
    }
    for portal in 0..state.pools.mcp.size() {
        let owner = state.portals.owner(portal).map(|owner| match owner.dpmcp {
            Some(id) => ObjectId::new(ObjectType::Dpmcp, id),
            None => containers::name(owner.container),
        });
        assert_eq!(owner, state.pools.mcp.owner(portal), "portal {portal}");
    }
    for session in state.sessions.iter() {
        let opener = containers::name(session.opener);
        assert!(state.objects.contains_key(&opener), "{opener}, gone, has {session:?}");
        let there = session.object == containers::name(containers::MC_CONTAINER)
            || state.objects.contains_key(&session.object);
        assert!(there, "{session:?} is of what is gone");
    }
    for (end, Link { peer, .. }) in state.connections.iter() {
        assert_eq!(state.peer(peer), Some(end));
        assert!(state.objects.contains_key(&end.object));
    }
}
