// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What tests that boot a guest have in common: a machine with a time limit,
//! commands in it, and a look at its console in the end.
#![forbid(unsafe_code)]

mod bed;
mod console;
pub mod fuzz;
mod talk;

pub use bed::{Bed, BedBuilder, Output, guest_programs, kit, kit_with, layout, layout_of};
pub use console::complaints;
pub use fslmc::kit::Driver;
pub use talk::Talk;
