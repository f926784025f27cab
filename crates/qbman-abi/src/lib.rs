// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod annotation;
mod dequeue;
mod enqueue;
mod fd;
mod fields;
pub mod management;
mod portal;
mod release;

pub use annotation::{EgressAction, ParseResult, ReceiveAnnotation};
pub use dequeue::{DequeueEntry, Notice, NoticeKind, Source, Status, VolatileDequeue};
pub use enqueue::{Completion, EnqueueCommand, EnqueueResponse, Rejection, Target};
pub use fd::{Fd, Format, SgEntry};
pub use fields::Entry;
pub use portal::{Rings, interrupts, registers};
pub use release::ReleaseCommand;

/// The valid bit of every command and answer: bit 7 of the first byte, the verb.
pub const VALID: u8 = 0x80;
