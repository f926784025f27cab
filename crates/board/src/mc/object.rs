// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What all objects have in common.

use super::{
    Irq,
    family::{Body, Functions},
};
use mc_abi::{Label, ObjectId};

/// An object of the MC.
#[derive(Debug)]
pub(crate) struct Object {
    pub id: ObjectId,
    /// Number of the container that holds it; 0 for the root container, which
    /// the MC itself holds.
    pub container: u32,
    /// Number of the container through whose portal it was made: only that one
    /// may destroy it (board observation: a moved object cannot be destroyed
    /// from its new home).
    pub creator: u32,
    pub label: Label,
    /// Whether a driver may bind to it.
    pub plugged: bool,
    pub irqs: Vec<Irq>,
    /// What only its family knows.
    pub body: Box<dyn Body>,
    /// Its family's functions.
    pub functions: &'static Functions,
}

/// A range of addresses that software uses to talk to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    /// Which of the chip's windows it lies in.
    pub window: RegionWindow,
    /// Offset in that window, bytes.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// Bit 0 cacheable, bit 1 shareable.
    pub flags: u32,
}

/// A window of the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegionWindow {
    /// Command portals: region type 0 on the wire.
    Mc,
    /// QBMan software portals, register and memory-backed: region type 1.
    Qbman,
}
