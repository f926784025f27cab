// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! I/O processor: what a layout says of a `dpaiop`.

use crate::dpl::fields::{Fields, Writing};

/// What the create command of a `dpaiop` carries. The LX2160A has no such
/// processor; layouts of other SoCs of the family name it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DpaiopConfig {
    /// Which processor.
    pub aiop_id: u32,
    /// The container that holds its objects.
    pub aiop_container_id: u32,
}

impl DpaiopConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let container = fields.number("aiop_container_id", 0..=u32::MAX);
        if container.is_none() {
            let remedy = "give the number of a container with DPRC_CFG_OPT_AIOP";
            fields.error_in("aiop_container_id", "the property is needed", remedy);
        }
        Self {
            aiop_id: fields.number("aiop_id", 0..=u32::MAX).unwrap_or(0),
            aiop_container_id: container.unwrap_or(0),
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.nonzero("aiop_id", self.aiop_id);
        to.number("aiop_container_id", self.aiop_container_id);
    }
}
