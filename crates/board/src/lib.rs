// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! An emulated DPAA2 board: the Management Complex with its objects and
//! containers, the QBMan software portals as far as a driver's probe looks,
//! and the MMU-500 that isolates the containers from each other.
//!
//! The board knows nothing of the machine that hosts it. It reaches guest
//! memory, the memory of the software portals, interrupt lines and time through
//! the traits in [`host`].
#![forbid(unsafe_code)]

mod board;
mod control;
pub mod dpl;
pub mod fabric;
mod families;
pub mod faults;
pub mod host;
pub mod mc;
pub mod qbman;
pub mod qdma;
pub mod smmu;
pub mod soc;
pub mod wriop;

pub use board::{Board, BoardConfig, Window};
pub use soc::Soc;
