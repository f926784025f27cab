// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is in a container.

use dprc::{McPortal, OpenObject, PortalError, manage};
use mc_abi::common::Created;
use mc_abi::{ObjectId, ObjectType, Request, dpbp, dpcon, dpio, dpmcp, dpni, dprc as container};

/// How many objects of each family a container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Command portals.
    pub dpmcp: u32,
    /// Software portals, with a notification channel of 8 priorities each.
    pub dpio: u32,
    /// Buffer pools.
    pub dpbp: u32,
    /// Channels, of 2 priorities each.
    pub dpcon: u32,
    /// Network interfaces.
    pub dpni: u32,
    /// Connect the interfaces by pairs: the first with the second, and so on.
    pub connected: bool,
}

impl Contents {
    /// What a program needs that forwards frames between two interfaces, which are connected
    /// with each other.
    pub const fn pair_of_interfaces() -> Self {
        Self { dpmcp: 1, dpio: 2, dpbp: 2, dpcon: 1, dpni: 2, connected: true }
    }

    /// Makes the objects in an open container, plugged in, by commands through its root's
    /// portal.
    pub(crate) fn make(
        &self,
        portal: &mut McPortal,
        root: OpenObject,
        child: OpenObject,
    ) -> Result<Vec<ObjectId>, PortalError> {
        let mut made = Vec::new();
        let mut add = |portal: &mut McPortal, kind, id| {
            let object = ObjectId::new(kind, id);
            made.push(object);
            manage::assign(portal, child, object, child.object, true)
        };
        for _ in 0..self.dpmcp {
            let request = dpmcp::Create { portal: dpmcp::PORTAL_FROM_POOL, options: 0 };
            let id = create(portal, child, &request)?;
            add(portal, ObjectType::Dpmcp, id)?;
        }
        for _ in 0..self.dpio {
            let request = dpio::Create { channel_mode: 1, num_priorities: 8 };
            let id = create(portal, child, &request)?;
            add(portal, ObjectType::Dpio, id)?;
        }
        for _ in 0..self.dpbp {
            let id = create(portal, child, &dpbp::Create {})?;
            add(portal, ObjectType::Dpbp, id)?;
        }
        for _ in 0..self.dpcon {
            let id = create(portal, child, &dpcon::Create { num_priorities: 2 })?;
            add(portal, ObjectType::Dpcon, id)?;
        }
        let mut interfaces = Vec::new();
        for _ in 0..self.dpni {
            let id = create(portal, child, &dpni::Create::default())?;
            add(portal, ObjectType::Dpni, id)?;
            interfaces.push(id);
        }
        for pair in interfaces.chunks_exact(2).filter(|_| self.connected) {
            let kind = ObjectType::Dpni;
            let (id1, id2) = (pair[0], pair[1]);
            let connect =
                container::Connect { id1, kind1: kind, id2, kind2: kind, ..Default::default() };
            portal.call(root, &connect)?;
        }
        Ok(made)
    }
}

fn create<R: Request<Reply = Created>>(
    portal: &mut McPortal,
    container: OpenObject,
    request: &R,
) -> Result<u32, PortalError> {
    Ok(portal.call(container, request)?.id)
}
