// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Placeholder.

pub use crate::common::Created;

commands! {
    /// Placeholder.
    Create = 0x903, version 1 {} -> Created;
}
