// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Moving objects and resources between a container and its children, and
//! plugging objects in.

use super::{
    State, containers,
    pools::Hop,
    resources::{self, Ask},
};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    ObjectId, ObjectType, Status,
    dprc::{self, event, request},
};

/// Hands objects or resources of `container` to a child; or, with its own
/// number, plugs or unplugs an object.
///
/// # Errors
/// [`Status::NoPrivilege`] where `container` is locked or the destination is
/// neither itself nor a child (board observation), [`Status::InvalidState`]
/// for an object that is plugged or open, else see [`resources::hand_over`].
pub(crate) fn assign(
    state: &mut State,
    container: u32,
    assign: &dprc::Assign,
) -> Result<(), Refusal> {
    state.unlocked(container)?;
    let ask = Ask {
        kind: assign.kind,
        options: assign.options,
        count: assign.count,
        base_or_align: assign.base_or_align,
    };
    let to_itself = assign.container == container;
    if !to_itself {
        containers::check_child(state, container, assign.container)?;
    }
    let Some(kind) = object_type(&ask) else {
        return if to_itself {
            Err(Status::ConfigurationError
                .because("resources are handed to a child, not to the container itself"))
        } else {
            // Where the container has too few, those around it help out.
            let path = state.draw_path(container);
            resources::hand_over(state, container, &path, assign.container, &ask)
        };
    };
    let plugged = ask.options & request::PLUGGED != 0;
    if to_itself {
        return plug(state, container, kind, &ask, plugged);
    }
    for id in movable(state, container, kind, &ask)? {
        state.object_mut(id)?.plugged = plugged;
        state.relocate(id, assign.container)?;
    }
    Ok(())
}

/// Takes objects or resources back from a child.
///
/// # Errors
/// As [`assign`].
pub(crate) fn unassign(
    state: &mut State,
    container: u32,
    unassign: &dprc::Unassign,
) -> Result<(), Refusal> {
    state.unlocked(container)?;
    containers::check_child(state, container, unassign.child)?;
    let ask = Ask {
        kind: unassign.kind,
        options: unassign.options,
        count: unassign.count,
        base_or_align: unassign.base_or_align,
    };
    let Some(kind) = object_type(&ask) else {
        let own = [Hop { container: unassign.child, may_allocate: false }].into();
        return resources::hand_over(state, unassign.child, &own, container, &ask);
    };
    for id in movable(state, unassign.child, kind, &ask)? {
        state.object_mut(id)?.plugged = ask.options & request::PLUGGED != 0;
        state.relocate(id, container)?;
    }
    Ok(())
}

/// The family, where the request is about objects.
fn object_type(ask: &Ask) -> Option<ObjectType> {
    ObjectType::ALL.into_iter().find(|kind| kind.name().as_bytes() == ask.kind.as_bytes())
}

/// The objects of a request: one by its number, or any of the family.
///
/// The count does not matter for an object by its number: restool leaves it
/// unset there, and real firmware takes that.
fn chosen(
    state: &State,
    container: u32,
    kind: ObjectType,
    ask: &Ask,
    fits: impl Fn(ObjectId) -> Result<(), Refusal>,
) -> Result<Vec<ObjectId>, Refusal> {
    if ask.options & request::EXPLICIT != 0 {
        let id = ObjectId::new(kind, ask.base_or_align);
        if state.object(id)?.container != container {
            return Err(Status::NoPrivilege.because(format!("{id} is not in dprc.{container}")));
        }
        fits(id)?;
        return Ok(vec![id]);
    }
    if ask.count == 0 {
        return Err(Status::ConfigurationError.because("the number of objects is 0"));
    }
    let members = state.members(container).iter().copied();
    let ids: Vec<_> = members
        .filter(|id| id.kind == kind && fits(*id).is_ok())
        .take(ask.count as usize)
        .collect();
    if ids.len() == ask.count as usize {
        Ok(ids)
    } else {
        Err(Status::NoResource.because(format!(
            "dprc.{container} has fewer than {} of {kind} that may be moved",
            ask.count
        )))
    }
}

/// The objects of a request that may leave their container.
///
/// What the firmware says of a plugged or open object is not known: tools
/// refuse before they ask it. A container itself is never moved.
fn movable(
    state: &State,
    container: u32,
    kind: ObjectType,
    ask: &Ask,
) -> Result<Vec<ObjectId>, Refusal> {
    if kind == ObjectType::Dprc {
        return Err(Status::ConfigurationError.because("a container is never moved"));
    }
    chosen(state, container, kind, ask, |id| {
        if state.object(id)?.plugged || state.sessions.is_open(id) {
            Err(Status::InvalidState
                .because(format!("{id} is plugged or open; unplug it and end what uses it first")))
        } else {
            Ok(())
        }
    })
}

/// Plugs objects of a container in or out: drivers bind to what is plugged.
fn plug(
    state: &mut State,
    container: u32,
    kind: ObjectType,
    ask: &Ask,
    plugged: bool,
) -> Result<(), Refusal> {
    for id in chosen(state, container, kind, ask, |_| Ok(()))? {
        let object = state.object_mut(id)?;
        if std::mem::replace(&mut object.plugged, plugged) != plugged {
            let event = if plugged { event::OBJ_ADDED } else { event::OBJ_REMOVED };
            state.raise(containers::name(container), 0, event);
        }
    }
    Ok(())
}
