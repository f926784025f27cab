// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

pub mod bus;
pub mod errno;
pub mod ioctl;
pub mod kmsg;
pub mod mapping;
pub mod proc;
pub mod program;

pub use mapping::{Mapping, Word, dma_fence};
