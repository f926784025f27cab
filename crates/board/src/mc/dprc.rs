// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Containers.

use super::{
    Answer, Call, Family, Object, Region, State,
    families::{self, Outcome},
    object::RegionWindow,
};
use mc_abi::{
    DecodeError, ObjectId, ObjectType, Params, Status,
    dprc::{self, Command},
};

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub icid: u16,
    pub portal: u32,
    pub options: u32,
    pub locked: bool,
}

impl Family for Container {
    const TYPE: ObjectType = ObjectType::Dprc;
    const VERSION: (u16, u16) = (6, 7);
    const IRQS: u8 = 1;
    type Create = dprc::Create;
    type Command = Command;

    fn decode(number: u16, version: u8, params: &Params) -> Result<Command, DecodeError> {
        Command::decode(number, version, params)
    }

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        _request: &dprc::Create,
    ) -> Result<Self, Status> {
        let icid = state.pools.icid.take()? as u16;
        let portal = match state.pools.mcp.take() {
            Ok(portal) => portal,
            Err(status) => {
                state.pools.icid.give(u32::from(icid));
                return Err(status);
            }
        };
        Ok(Self { icid, portal, options: 0, locked: false })
    }

    fn destroy(self, state: &mut State, _id: u32) {
        state.pools.icid.give(u32::from(self.icid));
        state.pools.mcp.give(self.portal);
    }

    fn handle(_state: &mut State, _call: &Call, _command: &Command) -> Result<Answer, Status> {
        Err(Status::UnsupportedOperation)
    }

    fn reset(_state: &mut State, _id: u32) {}

    fn regions(&self) -> Vec<Region> {
        let offset = u64::from(self.portal) * super::PORTAL_STRIDE;
        vec![Region { window: RegionWindow::Mc, offset, size: 0x1_0000, flags: 0 }]
    }
}

/// Makes an object in the container that `call` addresses.
pub(crate) fn create_object(
    state: &mut State,
    call: &Call,
    kind: ObjectType,
    params: &Params,
) -> Outcome {
    let Some(facts) = families::facts(kind) else {
        return (None, Err(Status::UnsupportedOperation));
    };
    (facts.create)(state, call, params, call.object.id)
}

/// Destroys an object on behalf of the container that `call` addresses.
pub(crate) fn destroy_object(state: &mut State, _call: &Call, id: ObjectId) -> Result<(), Status> {
    state.remove(id)
}

impl State {
    /// The container that a portal belongs to.
    pub fn portal_container(&self, portal: u32) -> Option<u32> {
        self.objects.values().find_map(|object: &Object| match &object.kind {
            super::Kind::Dprc(container) if container.portal == portal => Some(object.id.id),
            _ => None,
        })
    }
}
