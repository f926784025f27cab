// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Command portal: what a layout says of a `dpmcp`.

use crate::dpl::fields::{Fields, Symbol, Writing, symbol};

/// `DPMCP_OPT_*` of firmware 10.40 (`fsl_dpmcp.h`).
pub const OPTIONS: &[Symbol] = &[symbol("DPMCP_OPT_HIGH_PRIO_CMD_DIS", 0x1)];

/// What the create command of a `dpmcp` carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DpmcpConfig {
    /// Number of the portal; none takes one of the pool.
    pub portal_id: Option<u32>,
    /// [`OPTIONS`].
    pub options: u32,
}

impl DpmcpConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self {
            portal_id: super::pooled(fields, "portal_id", "DPMCP_GET_PORTAL_ID_FROM_POOL"),
            options: fields.options("options", OPTIONS, &[], 32) as u32,
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        if let Some(portal) = self.portal_id {
            to.number("portal_id", portal);
        }
        to.options("options", self.options.into(), OPTIONS);
    }
}
