// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A data path layout as the Management Complex understands it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::config::Config;
use super::fields::{Symbol, symbol};
use mc_abi::{MacAddr, ObjectId, ObjectType};

/// Value of `dpl-version` for firmware 10.
pub const DPL_VERSION: u32 = 10;

/// `DPRC_CFG_OPT_*` of firmware 10.40 (`fsl_dprc.h`).
pub const CONTAINER_OPTIONS: &[Symbol] = &[
    symbol("DPRC_CFG_OPT_SPAWN_ALLOWED", 0x01),
    symbol("DPRC_CFG_OPT_ALLOC_ALLOWED", 0x02),
    symbol("DPRC_CFG_OPT_OBJ_CREATE_ALLOWED", 0x04),
    symbol("DPRC_CFG_OPT_TOPOLOGY_CHANGES_ALLOWED", 0x08),
    symbol("DPRC_CFG_OPT_AIOP", OPTION_AIOP as u64),
    symbol("DPRC_CFG_OPT_IRQ_CFG_ALLOWED", 0x40),
    symbol("DPRC_CFG_OPT_PL_ALLOWED", 0x80),
];
pub(super) const OPTION_AIOP: u32 = 0x20;

/// Longest label: 16 bytes on the wire, the last of them zero.
pub const MAX_LABEL: usize = 15;

/// A data path layout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dpl {
    /// `dpl-version`; older layouts have none.
    pub version: Option<u32>,
    /// Containers in the order of the file. A layout that was loaded has
    /// exactly one without parent, and every other descends from it.
    pub containers: Vec<Container>,
    /// Objects in the order of the file.
    pub objects: Vec<Object>,
    /// Connections in the order of the file.
    pub connections: Vec<Connection>,
}

/// A container (`dprc`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Container {
    /// Its number: 1 for `dprc@1`.
    pub id: u32,
    /// The container that contains it; none for the root.
    pub parent: Option<u32>,
    /// [`CONTAINER_OPTIONS`].
    pub options: u32,
    /// Isolation context id; none takes one of the pool.
    pub icid: Option<u16>,
    /// Command portal; none takes one of the pool.
    pub portal_id: Option<u32>,
    /// Label, at most [`MAX_LABEL`] bytes.
    pub label: Option<String>,
    /// Objects that it holds.
    pub objects: Vec<Placement>,
}

/// That a container holds an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The object.
    pub object: ObjectId,
    /// Whether drivers see it; true unless the layout says otherwise.
    pub plugged: bool,
    /// Label, at most [`MAX_LABEL`] bytes.
    pub label: Option<String>,
}

/// An object and its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its number within its family.
    pub id: u32,
    /// Its family and how it is created.
    pub config: Config,
    /// Primary address of a `dpni`. No part of the create command: boot loaders
    /// write it into the layout, and the firmware sets it after creation.
    pub mac_address: Option<MacAddr>,
}

/// A connection of two endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// One side.
    pub endpoint1: Endpoint,
    /// The other side.
    pub endpoint2: Endpoint,
    /// Guaranteed rate in Mbit/s; 0: none.
    pub committed_rate: u32,
    /// Highest rate in Mbit/s; 0: unlimited.
    pub max_rate: u32,
}

/// One side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The object.
    pub object: ObjectId,
    /// Its interface: the port of a switch or demultiplexer, 0 for others.
    pub interface: u16,
}

/// The name of an object as layouts spell it: `dpni@0`.
pub(super) fn node_name(object: ObjectId) -> String {
    format!("{}@{}", object.kind, object.id)
}

/// Displayed as `dpni.0` or, where the object has several interfaces, `dpsw.0.1`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if has_ports(self.object.kind) {
            write!(f, "{}.{}", self.object, self.interface)
        } else {
            self.object.fmt(f)
        }
    }
}

impl Endpoint {
    /// An interface of object `id` of a family.
    pub const fn new(kind: ObjectType, id: u32, interface: u16) -> Self {
        Self { object: ObjectId::new(kind, id), interface }
    }

    /// The endpoint as layouts spell it: `dpni@0`, `dpsw@0/if@1`.
    pub fn node_name(self) -> String {
        let object = node_name(self.object);
        if has_ports(self.object.kind) { format!("{object}/if@{}", self.interface) } else { object }
    }
}

impl Object {
    /// Object `id` of the family that `config` is about.
    pub fn new(id: u32, config: Config) -> Self {
        Self { id, config, mac_address: None }
    }

    /// Family and number.
    pub fn name(&self) -> ObjectId {
        ObjectId::new(self.config.kind(), self.id)
    }
}

impl Dpl {
    /// The container without parent.
    pub fn root(&self) -> Option<&Container> {
        self.containers.iter().find(|container| container.parent.is_none())
    }

    /// The container of this number.
    pub fn container(&self, id: u32) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == id)
    }

    /// The object of this name.
    pub fn object(&self, name: ObjectId) -> Option<&Object> {
        self.objects.iter().find(|object| object.name() == name)
    }

    /// Containers so that each comes after its parent; otherwise in the order
    /// of the file. Those that do not descend from the root are left out.
    pub fn containers_parents_first(&self) -> Vec<&Container> {
        let mut children: HashMap<Option<u32>, Vec<&Container>> = HashMap::new();
        for container in &self.containers {
            children.entry(container.parent).or_default().push(container);
        }
        let mut ordered = children.remove(&None).unwrap_or_default();
        let mut next = 0;
        while let Some(container) = ordered.get(next) {
            let below = children.remove(&Some(container.id)).unwrap_or_default();
            ordered.extend(below);
            next += 1;
        }
        ordered
    }

    /// Objects that no container holds: the firmware has nowhere to create them.
    pub fn unplaced_objects(&self) -> impl Iterator<Item = &Object> {
        let placements = self.containers.iter().flat_map(|container| &container.objects);
        let placed: HashSet<_> = placements.map(|placement| placement.object).collect();
        self.objects.iter().filter(move |object| !placed.contains(&object.name()))
    }
}

/// Whether an endpoint of this family is one of several interfaces.
pub(super) fn has_ports(family: ObjectType) -> bool {
    matches!(family, ObjectType::Dpsw | ObjectType::Dpdmux)
}
