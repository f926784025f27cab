// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The tree of containers: who holds what, who may do what where, and what
//! becomes of it when a container is made, locked, reset or destroyed.

use super::{Call, Irq, State, pools};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    Label, ObjectId, ObjectType, Status,
    dprc::{self, event, option},
};
use std::cmp::Reverse;

/// Number of the container that the MC itself is; tools call it `mc.global`.
pub(crate) const MC_CONTAINER: u32 = pools::MC;

/// Number of the container that software starts with.
pub(crate) const ROOT: u32 = 1;

/// Creator of what is left of a container that is gone.
pub(crate) const NOBODY: u32 = u32::MAX;

/// The name of a container.
pub(crate) const fn name(container: u32) -> ObjectId {
    ObjectId::new(ObjectType::Dprc, container)
}

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    /// Isolation id of all that it holds.
    pub icid: u16,
    /// Number of its own command portal.
    pub portal: u32,
    /// See [`option`].
    pub options: u32,
    /// Whether it and all below refuse to be changed.
    pub locked: bool,
    /// What lies right in it, by [`list_key`].
    pub members: Vec<ObjectId>,
}

/// Where an object stands in the list of its container: by family, then the highest
/// number first (board: `containers` of `models/board/baselines/reference.json` in
/// the ledger). Where families stand that the board of the record has no object of is
/// not known: behind the others, but for containers, which are in front. Linux lists by
/// index, takes for gone what it does not see because something before it goes
/// meanwhile, and would take a container from its user so.
pub(crate) fn list_key(id: ObjectId) -> (usize, Reverse<u32>) {
    use ObjectType::{
        Dpaiop, Dpbp, Dpci, Dpcon, Dpdbg, Dpdcei, Dpdmai, Dpdmux, Dpio, Dpmac, Dpmcp, Dpni, Dprc,
        Dprtc, Dpseci, Dpsw,
    };
    const ORDER: [ObjectType; 16] = [
        Dprc, Dpni, Dpbp, Dpmac, Dpseci, Dpmcp, Dprtc, Dpio, Dpcon, Dpci, Dpdmai, Dpdcei, Dpsw,
        Dpdmux, Dpaiop, Dpdbg,
    ];
    let family = ORDER.iter().position(|kind| *kind == id.kind).unwrap_or(ORDER.len());
    (family, Reverse(id.id))
}

/// Walking the tree.
impl State {
    /// The container around a container; the MC's own for the root.
    pub fn parent(&self, container: u32) -> Option<u32> {
        self.objects.get(&name(container)).map(|object| object.container)
    }

    /// A container and those around it, up to and without the MC's own.
    pub fn ancestors(&self, container: u32) -> impl Iterator<Item = u32> + '_ {
        let known = |at: &u32| self.objects.contains_key(&name(*at));
        // The tree cannot be deeper than there are objects: a bound that holds
        // even if the tree were broken.
        std::iter::successors(Some(container).filter(known), move |at| {
            self.parent(*at).filter(|parent| *parent != MC_CONTAINER)
        })
        .take(self.objects.len())
    }

    /// Whether `container` is `ancestor` or lies below it.
    pub fn within(&self, container: u32, ancestor: u32) -> bool {
        container == ancestor
            || ancestor == MC_CONTAINER
            || self.ancestors(container).any(|at| at == ancestor)
    }

    /// Whether a portal of `container` may address `id`: what lies in it or in
    /// a container below, and the container itself.
    pub fn reaches(&self, container: u32, id: ObjectId) -> bool {
        match self.objects.get(&id) {
            // The usual case: the container itself, or something right in it.
            Some(object) if object.container == container => true,
            Some(_) if id.kind == ObjectType::Dprc => self.within(id.id, container),
            Some(object) => self.within(object.container, container),
            // The MC's own container is in nobody's list; the root may look.
            None => id == name(MC_CONTAINER) && container == ROOT,
        }
    }

    /// Why a portal of `container` does not reach `id`, in words.
    pub fn out_of_reach(&self, container: u32, id: ObjectId) -> String {
        if self.objects.contains_key(&id) {
            format!("{id} is not in dprc.{container} or below")
        } else {
            format!("there is no {id}")
        }
    }

    /// Whether a container or one around it is locked.
    pub fn locked(&self, container: u32) -> bool {
        self.ancestors(container)
            .any(|at| self.body::<Container>(at).is_ok_and(|container| container.locked))
    }

    /// Refuses a change of what `container` holds while it is locked.
    ///
    /// # Errors
    /// [`Status::NoPrivilege`] (board observation).
    pub fn unlocked(&self, container: u32) -> Result<(), Refusal> {
        if self.locked(container) {
            Err(Status::NoPrivilege
                .because(format!("dprc.{container} or a container around it is locked")))
        } else {
            Ok(())
        }
    }

    /// The objects right in a container, in the order of their list.
    pub fn members(&self, container: u32) -> &[ObjectId] {
        if container == MC_CONTAINER {
            return const { &[name(ROOT)] };
        }
        self.body::<Container>(container).map_or(&[], |c| c.members.as_slice())
    }

    /// The way that what is made in `container` draws resources along: the
    /// container's own, its parent's where it may allocate, and so on up.
    pub fn draw_path(&self, container: u32) -> pools::DrawPath {
        let hop = |at| pools::Hop {
            container: at,
            may_allocate: self
                .body::<Container>(at)
                .is_ok_and(|container| container.options & option::ALLOC != 0),
        };
        let top = pools::Hop { container: MC_CONTAINER, may_allocate: false };
        self.ancestors(container).map(hop).chain([top]).collect()
    }

    /// The isolation id of a container.
    pub fn icid(&self, container: u32) -> Option<u16> {
        self.body::<Container>(container).ok().map(|c| c.icid)
    }
}

/// Moving objects about.
impl State {
    /// Enters an object into the list of its container.
    pub(super) fn enter(&mut self, id: ObjectId, container: u32) {
        if let Ok(container) = self.body_mut::<Container>(container)
            && let Err(at) = place(&container.members, id)
        {
            container.members.insert(at, id);
        }
    }

    /// Strikes an object off the list of its container. Those that it leaves
    /// may have led to it.
    pub(super) fn leave(&mut self, id: ObjectId, container: u32) {
        let Ok(container) = self.body_mut::<Container>(container) else { return };
        let Ok(at) = place(&container.members, id) else { return };
        container.members.remove(at);
        let leads = |member: &&ObjectId| may_lead(member.kind, id.kind);
        let left: Vec<ObjectId> = container.members.iter().filter(leads).copied().collect();
        left.into_iter().for_each(|member| self.touch(member));
    }

    /// Moves an object to another container and tells both and the object's
    /// family.
    ///
    /// # Errors
    /// [`Status::NoResource`] where there is no such object.
    pub fn relocate(&mut self, id: ObjectId, to: u32) -> Result<(), Refusal> {
        let object = self.object_mut(id)?;
        let from = std::mem::replace(&mut object.container, to);
        // Where its messages went belongs to the isolation context that it leaves. The new
        // owner hears of nothing before it says where to.
        object.irqs.fill(Irq::default());
        self.leave(id, from);
        self.enter(id, to);
        let functions = self.object(id)?.functions;
        (functions.moved)(self, id.id, to);
        self.object_mut(id)?.irqs.iter_mut().for_each(Irq::forget);
        self.raise(name(from), 0, event::OBJ_REMOVED);
        self.raise(name(to), 0, event::OBJ_ADDED);
        Ok(())
    }
}

/// Whether objects of a family may lead to one of another beside them.
fn may_lead(from: ObjectType, to: ObjectType) -> bool {
    use ObjectType::{Dpbp, Dpci, Dpcon, Dpdmai, Dpdmux, Dpio, Dpni, Dpseci, Dpsw};
    match from {
        // To where their frames go, and where their buffers come from.
        Dpci | Dpdmai | Dpdmux | Dpni | Dpseci | Dpsw => matches!(to, Dpbp | Dpcon | Dpio),
        // To who is notified.
        Dpcon => to == Dpio,
        // To whose frames it takes.
        Dpio => to == Dpcon,
        _ => false,
    }
}

/// Where an object is in a container's list, or belongs.
fn place(members: &[ObjectId], id: ObjectId) -> Result<usize, usize> {
    members.binary_search_by_key(&list_key(id), |member| list_key(*member))
}

/// Destroys an object on behalf of the container that `call` addresses, which
/// must be the one that made it (board observation, and what the reference
/// manual says of each family).
///
/// # Errors
/// [`Status::NoPrivilege`] for what another container made, or in a locked
/// container; [`Status::NoResource`] for what is not there.
pub(crate) fn destroy_object(state: &mut State, call: &Call, id: ObjectId) -> Result<(), Refusal> {
    if call.object.kind != ObjectType::Dprc || id.kind == ObjectType::Dprc {
        return Err(Status::UnsupportedOperation.because(format!(
            "a {} does not destroy a {} with this command",
            call.object.kind, id.kind
        )));
    }
    let object = state.object(id)?;
    let (creator, container) = (object.creator, object.container);
    if creator != call.object.id || !state.reaches(creator, id) {
        let reason = match creator {
            NOBODY => format!("the container that made {id} is gone"),
            creator => format!("dprc.{creator} made {id}, and this is {}", call.object),
        };
        return Err(Status::NoPrivilege.because(reason));
    }
    state.unlocked(container)?;
    state.remove(id)
}

/// Makes a container in `parent`.
///
/// # Errors
/// [`Status::ConfigurationError`] where the parent may have no children (board
/// observation) or for unknown options, [`Status::NoPrivilege`] in a locked
/// one, [`Status::NoResource`] where isolation ids or portals are out.
pub(crate) fn create_container(
    state: &mut State,
    parent: u32,
    request: &dprc::CreateContainer,
) -> Result<u32, Refusal> {
    state.unlocked(parent)?;
    if state.body::<Container>(parent)?.options & option::SPAWN == 0 {
        return Err(
            Status::ConfigurationError.because(format!("dprc.{parent} lacks the option SPAWN"))
        );
    }
    let child = state.create::<Container>(None, parent, parent, request)?;
    state.object_mut(name(child))?.label = request.label;
    Ok(child)
}

/// Destroys `child` of `parent` and all that was made in it. What was given to
/// it goes to its parent, unplugged; so do the resources that it holds (board
/// observation).
///
/// # Errors
/// [`Status::NoResource`] where there is no such container,
/// [`Status::NoPrivilege`] where it is not a child of `parent`, or `parent` is
/// locked.
pub(crate) fn destroy_container(state: &mut State, parent: u32, child: u32) -> Result<(), Refusal> {
    check_child(state, parent, child)?;
    state.unlocked(parent)?;
    demolish(state, child, parent);
    Ok(())
}

/// Takes a container down, the containers in it first: what they were given
/// lies in this one afterwards.
fn demolish(state: &mut State, container: u32, heir: u32) {
    for id in state.members(container).to_vec() {
        if id.kind == ObjectType::Dprc {
            demolish(state, id.id, container);
        }
    }
    // Its portals are gone with it, and nobody else would close what was opened there.
    state.close_all(|session| session.opener == container);
    for id in state.members(container).to_vec() {
        let made_here = state.object(id).is_ok_and(|object| object.creator == container);
        // The list comes from the state, so the object is there.
        let _ = if made_here { state.remove(id) } else { evict(state, id, heir) };
    }
    let _ = state.remove(name(container));
    state.pools.inherit(container, heir);
    // What it made and gave away outlives it, and nobody may destroy it any
    // more: a later container of the same number has not made it.
    for object in state.objects.values_mut() {
        if object.creator == container {
            object.creator = NOBODY;
        }
    }
    state.raise(name(heir), 0, event::CONTAINER_DESTROYED);
}

fn evict(state: &mut State, id: ObjectId, heir: u32) -> Result<(), Refusal> {
    state.object_mut(id)?.plugged = false;
    state.relocate(id, heir)
}

/// Locks or unlocks a child and all below.
///
/// # Errors
/// [`Status::NoPrivilege`] where it is not a child of `parent`, or `parent` is
/// itself in a locked hierarchy.
pub(crate) fn set_locked(
    state: &mut State,
    parent: u32,
    child: u32,
    locked: bool,
) -> Result<(), Refusal> {
    check_child(state, parent, child)?;
    state.unlocked(parent)?;
    state.body_mut::<Container>(child)?.locked = locked;
    Ok(())
}

/// Resets a container below `container`, or itself: every object in it returns
/// to its initial state, and so do the containers below, unless `recursive` is
/// off.
///
/// # Errors
/// [`Status::NoPrivilege`] where the one is not in the other.
pub(crate) fn reset(
    state: &mut State,
    container: u32,
    target: u32,
    recursive: bool,
) -> Result<(), Refusal> {
    state.object(name(target))?;
    if !state.within(target, container) {
        return Err(Status::NoPrivilege
            .because(format!("dprc.{target} is not dprc.{container} or below it")));
    }
    reset_members(state, target, recursive);
    Ok(())
}

fn reset_members(state: &mut State, container: u32, recursive: bool) {
    // Containers stay open: who resets its own container goes on using it.
    state.close_all(|session| {
        session.opener == container && session.object.kind != ObjectType::Dprc
    });
    let (inner, objects): (Vec<ObjectId>, Vec<ObjectId>) =
        state.members(container).iter().partition(|id| id.kind == ObjectType::Dprc);
    if recursive {
        inner.into_iter().for_each(|id| reset_members(state, id.id, true));
    }
    state.reset(&objects);
}

/// Refuses a container that is no child of `parent`.
///
/// # Errors
/// [`Status::NoResource`] where there is none, [`Status::NoPrivilege`] where it
/// is another's.
pub(crate) fn check_child(state: &State, parent: u32, child: u32) -> Result<(), Refusal> {
    if state.object(name(child))?.container == parent {
        Ok(())
    } else {
        Err(Status::NoPrivilege.because(format!("dprc.{child} is no child of dprc.{parent}")))
    }
}

/// Gives an object a name.
///
/// # Errors
/// [`Status::NoResource`] where it is not in `container` or below. A lock does
/// not stand in the way (board observation).
pub(crate) fn set_label(
    state: &mut State,
    container: u32,
    id: ObjectId,
    label: Label,
) -> Result<(), Refusal> {
    if !state.reaches(container, id) {
        return Err(Status::NoResource.because(state.out_of_reach(container, id)));
    }
    state.object_mut(id)?.label = label;
    Ok(())
}

/// Options that the root has whatever its layout says: the layouts of real
/// boards name only three, and yet tools make and connect objects there.
const ROOT_OPTIONS: u32 =
    option::SPAWN | option::ALLOC | option::OBJ_CREATE | option::TOPOLOGY_CHANGES | option::IRQ_CFG;

/// The container that software starts with.
///
/// # Errors
/// What [`Container`]'s creation refuses.
pub(crate) fn create_root(
    state: &mut State,
    request: &dprc::CreateContainer,
) -> Result<u32, Refusal> {
    let request =
        dprc::CreateContainer { options: request.options | ROOT_OPTIONS, ..request.clone() };
    state.create::<Container>(Some(ROOT), MC_CONTAINER, MC_CONTAINER, &request)
}

/// Refuses to set where interrupts go through a portal of a container that may
/// not (the status is not known from a board).
///
/// # Errors
/// [`Status::NoPrivilege`].
pub(crate) fn check_irq_privilege(state: &State, call: &Call) -> Result<(), Refusal> {
    if state.body::<Container>(call.portal_container)?.options & option::IRQ_CFG == 0 {
        return Err(Status::NoPrivilege
            .because(format!("dprc.{} lacks the option IRQ_CFG", call.portal_container)));
    }
    Ok(())
}
