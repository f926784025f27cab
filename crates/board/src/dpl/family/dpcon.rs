// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Concentrator: what a layout says of a `dpcon`.

use crate::dpl::fields::{Fields, Writing};

/// What the create command of a `dpcon` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpconConfig {
    /// Priorities (work queues) of the channel, 1 to 8.
    pub num_priorities: u8,
}

impl Default for DpconConfig {
    /// What `restool` uses.
    fn default() -> Self {
        Self { num_priorities: 2 }
    }
}

impl DpconConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        match fields.number("num_priorities", 1..=8) {
            Some(number) => Self { num_priorities: number as u8 },
            None => Self::default(),
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.number("num_priorities", self.num_priorities);
    }
}
