// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod container;
mod contents;
mod in_process;
mod interrupts;
mod physical;
mod portal;
mod regions;
mod space;

pub use container::InProcessContainer;
pub use contents::Contents;
pub use in_process::{Error, InProcessBoard, Options};
