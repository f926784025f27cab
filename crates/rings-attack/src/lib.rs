// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What somebody who means harm does with the software portals of a container: random and
//! mutated entries of rings, doorbells in any order, and descriptors that name memory, queues
//! and pools of others. From a seed, so that a run can be repeated; the portal's own answers
//! are looked at, and no other effect.
//!
//! Over a trait of `dprc`, so that it is the same on VFIO, past the kernel of a guest
//! ([`PastKernel`]), and on a board in this process.
#![forbid(unsafe_code)]

mod addresses;
mod attack;
mod commands;
mod past_kernel;
mod report;
mod target;

pub use addresses::{Addresses, kernels_memory};
pub use attack::{Attack, MEMORY_SIZE, Options};
pub use past_kernel::PastKernel;
pub use report::Report;
