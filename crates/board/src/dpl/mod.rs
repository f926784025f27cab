// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Data path layouts and configurations: what the Management Complex is told
//! at boot.
//!
//! A **layout** (DPL) says which containers, objects and connections it
//! creates; a **configuration** (DPC) says facts of the board such as its
//! Ethernet ports. Both are device trees, as sources (`.dts`) or blobs (`.dtb`).
//!
//! [`Loader`] takes either form of either kind. Everything that is wrong with a
//! file is found in one go, each finding with its place:
//!
//! ```text
//! eth.dts:41: error: /objects/dpni@0: num_queues: 300 is more than 32; use 0 to 32
//! ```
//!
//! Properties that nobody knows, and objects that no container holds, are
//! warnings: the layouts of real boards have both.

mod check;
mod config;
mod dpc;
mod dts;
pub mod fdt;
mod fields;
pub mod layouts;
mod load;
mod model;
mod problem;
mod read;
mod write;

pub use config::Config;
pub(crate) use config::{Properties, pooled, priorities, write_priorities};
pub use dpc::{Console, Dpc, EthInterface, FecMode, IcidPool, LinkType, Log, Port};
pub use dts::{Dtc, DtsError, DtsMessage};
pub use fields::Symbol;
pub(crate) use fields::{Fields, Writing, symbol};
pub use load::{Kind, Layout, LoadError, Loaded, Loader};
pub use model::{
    CONTAINER_OPTIONS, Connection, Container, DPL_VERSION, Dpl, Endpoint, MAX_LABEL, Object,
    Placement,
};
pub use problem::{MAX_PROBLEMS, Place, Problem, Problems, Severity};
pub use write::Source;
