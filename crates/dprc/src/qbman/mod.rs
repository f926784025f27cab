// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Software portals of the queue and buffer manager: frames and buffers go in and out.
//!
//! A [`Portal`] belongs to one thread, therefore `&mut`. Addresses are I/O virtual ones
//! (IOVA), as [`Mapped::iova`](crate::Mapped::iova) gives them.
//!
//! A portal that has not answered in time ([`Error::PortalSilent`](crate::Error::PortalSilent))
//! refuses everything afterwards ([`Error::PortalLost`](crate::Error::PortalLost)): what comes
//! late could not be told from the answer to the next command.

mod command;
mod dequeue;
mod enqueue;
mod portal;
mod push;
mod release;
mod rings;
#[cfg(test)]
pub(crate) mod testing;

pub use portal::{Portal, PortalConfig};
pub use push::Pushed;
pub use qbman_abi::management::{QueueState, Schedule};
pub use qbman_abi::{
    DequeueEntry, Fd, Format, Notice, NoticeKind, SgEntry, Source, Status, Target,
};
