// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The driver's decisions, each against an independent statement of what it is
//! to be. One binary for all.

mod command;
mod irq_set;
mod no_panics;
mod policy;
mod portal;
mod region;
mod vectors;

use vfio_fsl_mc_core::command::TypeName;

/// A type's name as it is on the wire.
fn type_name(text: &str) -> TypeName {
    let mut name = [0; 16];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}
