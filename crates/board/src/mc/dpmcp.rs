// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Command portals: ways to talk to the MC that a container's drivers share.

use super::{
    Answer, Body, Call, Family, PORTAL_STRIDE, Region, State, object::RegionWindow, portals::Owner,
};
use crate::dpl::{self, Fields, Properties, Symbol, Writing, symbol};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, Refusal};
use crate::soc::Soc;
use mc_abi::{
    Status,
    dpmcp::{self, Command},
};

/// A command portal.
#[derive(Debug)]
pub(crate) struct CommandPortal {
    /// Number of the portal.
    pub portal: u32,
    options: u32,
}

impl Family for CommandPortal {
    // As firmware 10.39 reports (board observation).
    const VERSION: (u16, u16) = (4, 1);
    const IRQS: u8 = 1;
    type Create = dpmcp::Create;

    fn create(
        state: &mut State,
        id: u32,
        container: u32,
        request: &dpmcp::Create,
    ) -> Result<Self, Refusal> {
        if request.options & !dpmcp::OPT_HIGH_PRIORITY_DISABLED != 0 {
            return Err(Status::ConfigurationError.because("unknown options"));
        }
        let portal = state.take_portal(request.portal, Owner { container, dpmcp: Some(id) })?;
        Ok(Self { portal, options: request.options })
    }

    /// The portal is free again, though not listed as such: see
    /// [`Config::quirks`](super::Config::quirks).
    fn destroy(self, state: &mut State, _id: u32) {
        state.portals.set_owner(self.portal, None);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        match command {
            Command::GetAttributes(get) => {
                let options = state.body::<Self>(id)?.options;
                call.reply(get, dpmcp::GetAttributesReply { options, id })
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER)),
        }
    }

    /// A portal has no state that outlives a command.
    fn reset(_state: &mut State, _id: u32) {}

    /// Its commands have the authority of the container that holds it now.
    fn moved(state: &mut State, id: u32, container: u32) {
        if let Ok(portal) = state.body::<Self>(id).map(|body| body.portal) {
            state.portals.set_owner(portal, Some(Owner { container, dpmcp: Some(id) }));
        }
    }
}

impl Body for CommandPortal {
    fn regions(&self, _soc: &Soc) -> Vec<Region> {
        vec![Region {
            window: RegionWindow::Mc,
            offset: u64::from(self.portal) * PORTAL_STRIDE,
            size: PORTAL_STRIDE as u32,
            flags: 0,
        }]
    }
}

/// `DPMCP_OPT_*` of firmware 10.40 (`fsl_dpmcp.h`).
const OPTIONS: &[Symbol] =
    &[symbol("DPMCP_OPT_HIGH_PRIO_CMD_DIS", dpmcp::OPT_HIGH_PRIORITY_DISABLED as u64)];

impl Properties for dpmcp::Create {
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let portal = dpl::pooled(fields, "portal_id", "DPMCP_GET_PORTAL_ID_FROM_POOL");
        Self {
            portal: portal.unwrap_or(dpmcp::PORTAL_FROM_POOL),
            options: fields.options("options", OPTIONS, &[], 32) as u32,
        }
    }

    fn write(&self, to: &mut Writing) {
        if self.portal != dpmcp::PORTAL_FROM_POOL {
            to.number("portal_id", self.portal);
        }
        to.options("options", self.options.into(), OPTIONS);
    }
}
