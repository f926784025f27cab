// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What software and the queue and buffer manager (QBMan) of a DPAA2 chip hand
//! each other in memory and registers: frame descriptors, ring entries,
//! management commands, annotations. Everything is little-endian.
//!
//! Both ends use this crate: the emulated board, and programs that drive a
//! portal. It knows layouts only; what they mean in a given state is the
//! business of whoever reads them.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod annotation;
mod fd;

pub use annotation::{EgressAction, ParseResult, ReceiveAnnotation};
pub use fd::{Fd, Format, SgEntry};
