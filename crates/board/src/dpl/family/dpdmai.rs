// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! DMA interface: what a layout says of a `dpdmai`.

use crate::dpl::fields::{Fields, Symbol, Writing, symbol};

/// `DPDMAI_OPT_*` of firmware 10.40 (`fsl_dpdmai.h`).
pub const OPTIONS: &[Symbol] = &[symbol("DPDMAI_OPT_CG_PER_PRIORITY", 0x1)];

/// Priorities that the create command has room for.
pub const MAX_PRIORITIES: usize = 2;

/// The engine of an LX2160A has one queue per core.
const MAX_QUEUES: u8 = 16;

/// What the create command of a `dpdmai` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpdmaiConfig {
    /// Queues, at most 16; 0: 1, as observed on firmware 10.39.
    pub num_queues: u8,
    /// Priorities, 1 to 8 each; one or two of them.
    pub priorities: Vec<u8>,
    /// [`OPTIONS`].
    pub options: u32,
}

impl Default for DpdmaiConfig {
    /// The priorities that `restool` uses.
    fn default() -> Self {
        Self { num_queues: 0, priorities: vec![1, 2], options: 0 }
    }
}

impl DpdmaiConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self {
            num_queues: fields.byte("num_queues", MAX_QUEUES),
            priorities: super::priorities(fields, "priorities", MAX_PRIORITIES)
                .unwrap_or(Self::default().priorities),
            options: fields.options("options", OPTIONS, &[], 32) as u32,
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.nonzero("num_queues", self.num_queues);
        to.cells("priorities", self.priorities.iter().map(|p| u32::from(*p)));
        to.options("options", self.options.into(), OPTIONS);
    }
}
