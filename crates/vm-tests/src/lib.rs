// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What tests that boot a guest have in common: a machine with a time limit,
//! commands in it, and a look at its console in the end.
#![forbid(unsafe_code)]

mod console;
pub mod fuzz;
pub mod hosts;
pub mod inner;
pub mod iperf;
mod line_session;
pub mod skips;
mod test_vm;

pub use console::complaints;
pub use fslmc::{artifacts::Driver, kernel::KernelChoice};
pub use line_session::LineSession;
pub use test_vm::{
    Output, PACKAGES, TestVm, TestVmBuilder, artifacts, artifacts_of, artifacts_with,
    guest_programs, layout, layout_of, patience,
};
