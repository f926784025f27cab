// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Pure logic, shared by the kernel module and the host crate.
//!
//! Needs nothing but `core`: no allocation, no kernel types, no `unsafe`.
//! Nothing here panics, whatever it is given: the kernel turns an arithmetic
//! overflow or an index out of bounds into a crash.

pub mod command;
pub mod errno;
pub mod irq_set;
pub mod pace;
pub mod policy;
pub mod portal;
pub mod region;
pub mod usage;
pub mod vectors;

pub use errno::Errno;
