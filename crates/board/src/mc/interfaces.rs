// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the interfaces of a switch and of a demultiplexer have in common: a
//! switch, a link, and who hears of its changes.

use super::{Endpoint, Family, State};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    ObjectId, Status,
    blocks::{LinkConfig, LinkState, TailDrop},
};

/// Events of interrupt 0, the same numbers in both families.
const LINK_CHANGED: u32 = 1;
const ENDPOINT_CHANGED: u32 = 2;

/// Longest frame that is taken, and what is taken before software says
/// otherwise, bytes. What a real MC takes is not known; those of a `dpni`.
pub(crate) const MAX_FRAME_LENGTH: u16 = 10_240;
/// See [`MAX_FRAME_LENGTH`].
pub(crate) const DEFAULT_FRAME_LENGTH: u16 = 1536;

/// The link of an interface from this side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    pub enabled: bool,
    /// The link as it was last reported to software.
    reported: LinkState,
    pub wanted: LinkConfig,
}

impl Side {
    /// As after creation.
    pub fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }
}

/// Checks a limit of a queue.
///
/// # Errors
/// [`Status::ConfigurationError`] for a unit that there is not.
pub(crate) fn checked(drop: TailDrop) -> Result<TailDrop, Refusal> {
    at_most(drop.units, 2)?;
    Ok(drop)
}

/// Checks a field whose meanings are numbered from 0.
///
/// # Errors
/// [`Status::ConfigurationError`] past the last one.
pub(crate) fn at_most(value: u8, last: u8) -> Result<(), Refusal> {
    if value <= last {
        Ok(())
    } else {
        Err(Status::ConfigurationError
            .because(format!("{value} has no meaning here: the last that has is {last}")))
    }
}

/// A family whose objects have several interfaces.
pub(crate) trait Bridge: Family {
    /// An interface's side of its link.
    fn side(&self, interface: u16) -> Option<&Side>;
    /// The same, to be changed.
    fn side_mut(&mut self, interface: u16) -> Option<&mut Side>;
}

/// Reports the link to software where it changed.
pub(crate) fn refresh<B: Bridge>(state: &mut State, end: Endpoint) {
    let link = state.link(end);
    let Ok(bridge) = state.body_mut::<B>(end.object.id) else { return };
    let Some(side) = bridge.side_mut(end.interface) else { return };
    if side.reported != link {
        side.reported = link;
        state.raise_at(end, LINK_CHANGED);
    }
}

/// The same for both ends.
fn refresh_both<B: Bridge>(state: &mut State, end: Endpoint) {
    refresh::<B>(state, end);
    state.tell_peer(end);
}

/// The same for all interfaces and their peers.
pub(crate) fn refresh_all<B: Bridge>(state: &mut State, id: ObjectId) {
    for interface in 0..count::<B>(state, id) {
        refresh_both::<B>(state, Endpoint { object: id, interface });
    }
}

/// Puts an interface on or off.
///
/// # Errors
/// [`Status::ConfigurationError`] where there is no such interface.
pub(crate) fn switch<B: Bridge>(state: &mut State, end: Endpoint, on: bool) -> Result<(), Refusal> {
    side_mut::<B>(state, end)?.enabled = on;
    state.switch_port(end, on);
    refresh_both::<B>(state, end);
    Ok(())
}

/// Puts all interfaces on or off: what enabling and disabling the object does.
/// Linux says so of a switch, which it therefore never enables as a whole.
pub(crate) fn switch_all<B: Bridge>(state: &mut State, id: ObjectId, on: bool) {
    for interface in 0..count::<B>(state, id) {
        // The interface is there: it was just counted.
        let _ = switch::<B>(state, Endpoint { object: id, interface }, on);
    }
}

/// Says what link software wants.
///
/// # Errors
/// [`Status::ConfigurationError`] where there is no such interface.
pub(crate) fn want<B: Bridge>(
    state: &mut State,
    end: Endpoint,
    wanted: LinkConfig,
) -> Result<(), Refusal> {
    side_mut::<B>(state, end)?.wanted = wanted;
    state.configure_port(end);
    refresh_both::<B>(state, end);
    Ok(())
}

/// Tells software of another peer, and what that does to the link.
pub(crate) fn connected<B: Bridge>(state: &mut State, end: Endpoint) {
    state.raise_at(end, ENDPOINT_CHANGED);
    refresh::<B>(state, end);
}

fn count<B: Bridge>(state: &State, id: ObjectId) -> u16 {
    state.body::<B>(id.id).map_or(0, |bridge| bridge.interfaces())
}

fn side_mut<'a, B: Bridge + 'a>(
    state: &'a mut State,
    end: Endpoint,
) -> Result<&'a mut Side, Refusal> {
    let side = state.body_mut::<B>(end.object.id)?.side_mut(end.interface);
    side.ok_or_else(|| {
        Status::ConfigurationError
            .because(format!("{} has no interface {}", end.object, end.interface))
    })
}
