// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! DPAA2 without hardware: what the `fslmc` command is made of.
//!
//! [`machine::Machine`] boots unmodified Linux on an emulated board and gives
//! orders to the agent in it; tests and benches use it as the command does.
#![forbid(unsafe_code)]

pub mod agent;
pub mod artifacts;
pub mod check;
pub mod cli;
pub mod control;
pub mod demo;
pub mod faults;
pub mod image;
mod interrupt;
pub mod kernel;
pub mod log;
pub mod machine;
pub mod nested;
mod progress;
pub mod replay;
pub mod root;
pub mod run;
pub mod session;
mod terminal;
pub mod trace;
pub mod wire;

pub use progress::progress;
