// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Communication interface: what a layout says of a `dpci`.

use crate::dpl::fields::{Fields, Symbol, Writing, symbol};

/// `DPCI_OPT_*` of firmware 10.40 (`fsl_dpci.h`).
pub const OPTIONS: &[Symbol] =
    &[symbol("DPCI_OPT_HAS_OPR", 0x40), symbol("DPCI_OPT_OPR_SHARED", 0x80)];

/// `DPCI_PRIO_NUM`. Tools allow 2 only.
const MAX_PRIORITIES: u32 = 4;

/// What the create command of a `dpci` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpciConfig {
    /// [`OPTIONS`]. No public client puts them into its create command.
    pub options: u32,
    /// Receive queues, 1 to 4.
    pub num_of_priorities: u8,
}

impl Default for DpciConfig {
    /// What `restool` uses.
    fn default() -> Self {
        Self { options: 0, num_of_priorities: 1 }
    }
}

impl DpciConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let number = fields.number("num_of_priorities", 1..=MAX_PRIORITIES);
        Self {
            options: fields.options("options", OPTIONS, &[], 32) as u32,
            num_of_priorities: number.map_or(Self::default().num_of_priorities, |n| n as u8),
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.options("options", self.options.into(), OPTIONS);
        to.number("num_of_priorities", self.num_of_priorities);
    }
}
