// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Compression interface: what a layout says of a `dpdcei`.

use crate::dpl::fields::{Fields, Symbol, Writing, symbol};

/// `enum dpdcei_engine` (`fsl_dpdcei.h`).
pub const ENGINES: &[Symbol] =
    &[symbol("DPDCEI_ENGINE_COMPRESSION", 0), symbol("DPDCEI_ENGINE_DECOMPRESSION", 1)];

/// What the create command of a `dpdcei` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpdceiConfig {
    /// Value of one of [`ENGINES`].
    pub engine: u8,
    /// Priority in the engine, 1 to 8.
    pub priority: u8,
}

impl Default for DpdceiConfig {
    /// The lowest number of each. Layouts that tools generate leave the
    /// priority out; what the firmware takes then is documented nowhere.
    fn default() -> Self {
        Self { engine: 0, priority: 1 }
    }
}

impl DpdceiConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let default = Self::default();
        Self {
            engine: fields.choice("engine", ENGINES).map_or(default.engine, |e| e as u8),
            priority: fields.number("priority", 1..=8).map_or(default.priority, |p| p as u8),
        }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.symbol("engine", self.engine.into(), ENGINES);
        to.number("priority", self.priority);
    }
}
