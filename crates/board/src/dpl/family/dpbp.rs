// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Buffer pool: what a layout says of a `dpbp`.

use crate::dpl::fields::{Fields, Writing};

/// What the create command of a `dpbp` carries: a word of options of which
/// none is defined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DpbpConfig {
    /// Reserved.
    pub options: u32,
}

impl DpbpConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self { options: fields.options("options", &[], &[], 32) as u32 }
    }

    pub(super) fn write(&self, to: &mut Writing) {
        to.options("options", self.options.into(), &[]);
    }
}
