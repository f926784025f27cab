// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands about pools of resources: counting, listing, handing over, quotas.

use super::{
    State,
    containers::{self, check_child},
    pools::{DrawPath, Pool},
};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    ResourceType, Status,
    dprc::{self, event, iteration, request},
};

/// The pool of a name.
///
/// # Errors
/// [`Status::ConfigurationError`] for a name that no pool has.
fn pool<'a>(state: &'a State, kind: &ResourceType) -> Result<&'a Pool, Refusal> {
    state
        .pools
        .named(kind.as_bytes())
        .ok_or_else(|| Status::ConfigurationError.because(format!("there is no pool of {kind}")))
}

/// The name of the pool at a place in the list.
///
/// # Errors
/// [`Status::ConfigurationError`] past the end.
pub(crate) fn pool_name(state: &State, index: u32) -> Result<ResourceType, Refusal> {
    let pools = state.pools.all();
    let (name, _) = pools.get(index as usize).ok_or_else(|| {
        Status::ConfigurationError.because(format!("there are {} pools", pools.len()))
    })?;
    Ok(ResourceType::new(name))
}

/// How many free resources a container holds itself.
///
/// # Errors
/// [`Status::ConfigurationError`] for a name that no pool has.
pub(crate) fn count(state: &State, container: u32, kind: &ResourceType) -> Result<u32, Refusal> {
    Ok(pool(state, kind)?.free_of(container).count() as u32)
}

/// The next range of numbers of free resources that a container holds itself.
///
/// # Errors
/// [`Status::NoResource`] where there is none (any more).
pub(crate) fn next_range(
    state: &State,
    container: u32,
    ask: &dprc::GetResourceIds,
) -> Result<dprc::GetResourceIdsReply, Refusal> {
    let first = match ask.iteration {
        iteration::FIRST => 0,
        iteration::MORE => ask
            .last
            .checked_add(1)
            .ok_or_else(|| Status::NoResource.because("there are no more"))?,
        _ => {
            return Err(Status::ConfigurationError
                .because(format!("{} is no state of an iteration", ask.iteration)));
        }
    };
    let mut numbers = pool(state, &ask.kind)?.free_of(container).skip_while(|n| *n < first);
    let base = numbers.next().ok_or_else(|| {
        Status::NoResource
            .because(format!("dprc.{container} holds none, or no more, of {}", ask.kind))
    })?;
    let mut last = base;
    let mut more = false;
    for number in numbers {
        if Some(number) != last.checked_add(1) {
            more = true;
            break;
        }
        last = number;
    }
    let iteration = if more { iteration::MORE } else { iteration::LAST };
    Ok(dprc::GetResourceIdsReply { iteration, base, last })
}

/// Hands free resources of `from`, a container on the way `path` (and of what
/// else is on it, as far as options and quotas let it), over to another one.
///
/// # Errors
/// [`Status::NoResource`] where fewer are free, [`Status::ConfigurationError`]
/// for a name that no pool has or a malformed request.
pub(crate) fn hand_over(
    state: &mut State,
    from: u32,
    path: &DrawPath,
    to: u32,
    ask: &Ask,
) -> Result<(), Refusal> {
    let pool = state.pools.named_mut(ask.kind.as_bytes()).ok_or_else(|| {
        Status::ConfigurationError.because(format!("there is no pool of {}", ask.kind))
    })?;
    if ask.count == 0 {
        return Err(Status::ConfigurationError.because("the number of resources is 0"));
    }
    let numbers = choose(&pool.drawable(path), ask)?;
    if !pool.within_quotas(path, &numbers) {
        return Err(Status::NoResource.because(format!(
            "a quota on the way keeps {} of {} from dprc.{to}",
            numbers.len(),
            ask.kind
        )));
    }
    pool.hand_over(&numbers, to);
    state.raise(containers::name(from), 0, event::RES_REMOVED);
    state.raise(containers::name(to), 0, event::RES_ADDED);
    Ok(())
}

/// What an assign or unassign command asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub kind: ResourceType,
    pub options: u32,
    pub count: u32,
    pub base_or_align: u32,
}

/// The numbers to hand over, out of what is free, in the order of preference.
fn choose(free: &[u32], ask: &Ask) -> Result<Vec<u32>, Refusal> {
    let run = |base: u32| -> Option<Vec<u32>> {
        let end = base.checked_add(ask.count)?;
        // No more numbers than are free can be found.
        if ask.count as usize > free.len() {
            return None;
        }
        (base..end).map(|number| free.contains(&number).then_some(number)).collect()
    };
    let chosen = if ask.options & request::EXPLICIT != 0 {
        run(ask.base_or_align)
    } else if ask.options & request::ALIGNED != 0 {
        let align = ask.base_or_align.max(1);
        free.iter().filter(|base| base.is_multiple_of(align)).find_map(|base| run(*base))
    } else {
        free.get(..ask.count as usize).map(<[u32]>::to_vec)
    };
    chosen.ok_or_else(|| {
        Status::NoResource.because(format!("{} of {} are not to be had so", ask.count, ask.kind))
    })
}

/// Limits what a child may draw from its parent.
///
/// # Errors
/// [`Status::NoPrivilege`] for what is no child; [`Status::ConfigurationError`]
/// for a name that no pool has.
pub(crate) fn set_quota(
    state: &mut State,
    parent: u32,
    ask: &dprc::SetResourceQuota,
) -> Result<(), Refusal> {
    check_child(state, parent, ask.child)?;
    state.unlocked(parent)?;
    let quota = (ask.quota != dprc::QUOTA_BY_OPTIONS).then_some(ask.quota);
    let pool = state.pools.named_mut(ask.kind.as_bytes()).ok_or_else(|| {
        Status::ConfigurationError.because(format!("there is no pool of {}", ask.kind))
    })?;
    pool.set_quota(ask.child, quota);
    Ok(())
}

/// What a child may draw from its parent.
///
/// # Errors
/// As [`set_quota`].
pub(crate) fn quota(
    state: &State,
    parent: u32,
    ask: &dprc::GetResourceQuota,
) -> Result<u16, Refusal> {
    check_child(state, parent, ask.child)?;
    let quota = pool(state, &ask.kind)?.quota(ask.child);
    Ok(quota.unwrap_or(dprc::QUOTA_BY_OPTIONS))
}
