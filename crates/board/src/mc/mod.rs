// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The Management Complex: what its firmware does.
//!
//! A command comes in through a `portal`, is matched to an open object
//! by its token (`session`), decoded by `mc-abi`, and handled by the object's
//! family: one file each, named after it. What a command causes outside (an
//! interrupt) is collected in a [pass](crate::fabric::Pass) and performed when the state
//! is no longer locked.

mod assignment;
mod call;
mod connections;
mod containers;
mod delayed;
mod dispatch;
mod families;
mod interfaces;
#[cfg(any(test, fuzzing))]
mod invariants;
mod inventory;
mod irq;
mod loader;
mod memory;
mod object;
mod opr;
mod pools;
mod portal;
mod portals;
mod queue;
mod resources;
mod session;
mod state;

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
pub use portal::{Mc, PORTAL_STRIDE, Performer, Tracer};
pub use state::Config;

pub(crate) use crate::dpl::Endpoint;
pub(crate) use call::{Answer, Call};
pub(crate) use families::{Family, Kind};
pub(crate) use irq::Irq;
pub(crate) use object::{Object, Region};
pub(crate) use state::State;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
