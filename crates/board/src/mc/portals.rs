// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Whose command portal is whose.

use super::{Object, State};
use crate::mc::refusal::Refusal;
use mc_abi::{Header, ObjectId, ObjectType, dpmcp};

/// Bytes from one command portal to the next.
pub const PORTAL_STRIDE: u64 = 0x1_0000;

/// Portal number that asks for any free one, in all create commands.
const FROM_POOL: u32 = dpmcp::PORTAL_FROM_POOL;

/// Who owns a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The container whose authority the portal's commands have.
    pub container: u32,
    /// The `dpmcp` that it belongs to; a container's own portal has none.
    pub dpmcp: Option<u32>,
}

/// The owners of portals, by the portals' numbers.
#[derive(Debug, Default)]
pub(crate) struct Portals(Vec<Option<Owner>>);

impl Portals {
    /// The owner of a portal.
    pub fn owner(&self, portal: u32) -> Option<Owner> {
        self.0.get(portal as usize).copied().flatten()
    }

    /// Changes the owner. The number comes from the pool of portals, so the
    /// list is no longer than the pool.
    pub fn set_owner(&mut self, portal: u32, owner: Option<Owner>) {
        let at = portal as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = owner;
        }
    }
}

impl State {
    /// Takes a portal, a certain one or any, for its owner.
    ///
    /// # Errors
    /// [`NoResource`](mc_abi::Status::NoResource) where it is not free.
    pub fn take_portal(&mut self, wanted: u32, owner: Owner) -> Result<u32, Refusal> {
        let portal = match wanted {
            FROM_POOL => self.pools.mcp.take()?,
            wanted => {
                self.pools.mcp.take_exactly(wanted)?;
                wanted
            }
        };
        self.portals.set_owner(portal, Some(owner));
        Ok(portal)
    }

    /// The container that a portal belongs to, be it its own or that of a
    /// `dpmcp` which it holds now.
    pub fn portal_container(&self, portal: u32) -> Option<u32> {
        self.portals.owner(portal).map(|owner| owner.container)
    }

    /// A command that came through `portal` is done: raises the portal's
    /// interrupt, unless its sender did not want one.
    pub fn command_done(&mut self, portal: u32, header: Header) {
        let Some(Owner { dpmcp: Some(id), .. }) = self.portals.owner(portal) else { return };
        let id = ObjectId::new(ObjectType::Dpmcp, id);
        let listens = |object: &Object| object.irqs.first().is_some_and(|irq| irq.enabled);
        let unwanted = header.software_flags() & Header::INTERRUPT_DISABLED != 0;
        if !unwanted && self.objects.get(&id).is_some_and(listens) {
            self.raise(id, 0, dpmcp::EVENT_COMMAND_DONE);
        }
    }
}
