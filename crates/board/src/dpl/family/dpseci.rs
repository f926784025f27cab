// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Crypto interface: what a layout says of a `dpseci`.

use crate::dpl::fields::{Fields, Symbol, Writing, symbol};

/// `DPSECI_OPT_*` of firmware 10.40 (`fsl_dpseci.h`).
pub const OPTIONS: &[Symbol] = &[
    symbol("DPSECI_OPT_HAS_CG", 0x20),
    symbol("DPSECI_OPT_HAS_OPR", 0x40),
    symbol("DPSECI_OPT_OPR_SHARED", 0x80),
];

/// `DPSECI_MAX_QUEUE_NUM`.
pub const MAX_QUEUES: usize = 16;

const OBSOLETE: &[(&str, &str)] = &[("sec_if_id", "")];

/// What the create command of a `dpseci` carries. A layout has no count of
/// queues: each priority is one queue towards the engine and one back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpseciConfig {
    /// [`OPTIONS`].
    pub options: u32,
    /// Priority of each queue pair, 1 to 8; 1 to [`MAX_QUEUES`] of them.
    pub priorities: Vec<u8>,
}

impl Default for DpseciConfig {
    /// One queue pair: the firmware's default is documented nowhere, and no
    /// public layout relies on it.
    fn default() -> Self {
        Self { options: 0, priorities: vec![1] }
    }
}

impl DpseciConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        fields.obsolete(OBSOLETE);
        let default = Self::default();
        Self {
            options: fields.options("options", OPTIONS, &[], 32) as u32,
            priorities: super::priorities(fields, "priorities", MAX_QUEUES)
                .unwrap_or(default.priorities),
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.options("options", self.options.into(), OPTIONS);
        to.cells("priorities", self.priorities.iter().map(|p| u32::from(*p)));
    }
}
