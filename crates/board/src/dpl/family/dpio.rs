// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! I/O portal: what a layout says of a `dpio`.

use crate::dpl::fields::{Fields, Symbol, Writing, symbol};

/// `enum dpio_channel_mode` (`fsl_dpio.h`).
pub const CHANNEL_MODES: &[Symbol] =
    &[symbol("DPIO_NO_CHANNEL", 0), symbol("DPIO_LOCAL_CHANNEL", LOCAL_CHANNEL)];
const LOCAL_CHANNEL: u64 = 1;

/// What the create command of a `dpio` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpioConfig {
    /// Value of one of [`CHANNEL_MODES`].
    pub channel_mode: u8,
    /// Priorities of the notification channel, 1 to 8; meaningless without one.
    pub num_priorities: u8,
}

impl Default for DpioConfig {
    /// What `restool` uses, and every layout of a real board states.
    fn default() -> Self {
        Self { channel_mode: LOCAL_CHANNEL as u8, num_priorities: 8 }
    }
}

impl DpioConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let default = Self::default();
        let mode = fields.choice("channel_mode", CHANNEL_MODES);
        let channel_mode = mode.map_or(default.channel_mode, |mode| mode as u8);
        let least = u32::from(channel_mode != 0);
        let num_priorities = fields.number("num_priorities", least..=8);
        Self {
            channel_mode,
            num_priorities: num_priorities.map_or(default.num_priorities, |n| n as u8),
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.symbol("channel_mode", self.channel_mode.into(), CHANNEL_MODES);
        to.number("num_priorities", self.num_priorities);
    }
}
