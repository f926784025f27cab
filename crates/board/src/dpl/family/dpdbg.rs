// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Debug object: what a layout says of a `dpdbg`.

use crate::dpl::fields::{Fields, Writing};

/// What the create command of a `dpdbg` carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DpdbgConfig {
    /// `restool` gives 0.
    pub dpdbg_id: u32,
    /// The container it looks into; none: the one it is placed in.
    pub dpdbg_container_id: Option<u32>,
}

impl DpdbgConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self {
            dpdbg_id: fields.number("dpdbg_id", 0..=u32::MAX).unwrap_or(0),
            dpdbg_container_id: fields.number("dpdbg_container_id", 0..=u32::MAX),
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.nonzero("dpdbg_id", self.dpdbg_id);
        if let Some(container) = self.dpdbg_container_id {
            to.number("dpdbg_container_id", container);
        }
    }
}
