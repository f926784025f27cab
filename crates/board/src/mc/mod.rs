// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The Management Complex: what its firmware does.
//!
//! A command comes in through a `portal`, is matched to an open object
//! by its token (`session`), decoded by `mc-abi`, and handled by the object's
//! family: one file each, named after it. What a command causes outside (an
//! interrupt) is collected in a [pass](crate::fabric::Pass) and performed when the state
//! is no longer locked.
//!
//! # Layers
//! Each names those above it in this list only; a test holds the modules to it.
//! - Plain data: `pools`, `session`, `irq`, `delayed`, `call`, `refusal`.
//! - Services, most of them methods of `State`: `state`, `object`, `family`,
//!   `containers`, `portals`, `connections`, `link`, `queue`, and on top of these
//!   `interfaces`, `opr`, `rules`, `table_dump`, `assignment` and `resources`. They
//!   see an object as what the traits of `family` say of it. The first six name each
//!   other: a family's functions take the state, which holds objects with their
//!   family's functions, and the tree of containers is made of objects.
//! - Families (`dp*`): each names services, and no other family.
//! - `families`: what is made of the table of families.
//! - `dispatch`, `loader`, `inventory`: from messages and layouts to families.
//! - `portal`: the MC behind its lock.

mod assignment;
mod call;
mod connections;
mod containers;
mod delayed;
mod dispatch;
mod families;
mod family;
mod interfaces;
#[cfg(any(test, fuzzing))]
mod invariants;
mod inventory;
mod irq;
mod link;
mod loader;
mod memory;
mod object;
mod opr;
mod pools;
mod port_counters;
mod portal;
mod portals;
mod queue;
mod refusal;
mod resources;
mod rules;
mod session;
mod state;
mod table_dump;

mod dpaiop;
mod dpbp;
mod dpci;
mod dpcon;
mod dpdbg;
mod dpdcei;
mod dpdmai;
mod dpdmux;
mod dpio;
mod dpmac;
mod dpmcp;
mod dpmng;
mod dpni;
mod dprc;
mod dprtc;
mod dpseci;
mod dpsw;

pub use call::Record;
pub use inventory::{ContainerInventory, ContainerOptions, Inventory, ObjectInventory};
pub use loader::LoadError;
pub use pools::{Numbers, PoolSizes};
pub use portal::{Mc, Performer, Tracer};
pub use portals::PORTAL_STRIDE;
pub use refusal::Refusal;
pub use state::Config;

pub(crate) use crate::dpl::Endpoint;
pub(crate) use call::{Answer, Call};
pub(crate) use family::{Body, Family};
pub(crate) use irq::Irq;
pub(crate) use object::{Object, Region};
pub(crate) use state::State;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
