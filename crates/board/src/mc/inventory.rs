// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What there is: a copy of the containers, objects and connections, for
//! people and tests to look at.

use super::{Config, LoadError, Mc, Object, State, containers::Container};
use crate::{
    dpl::{CONTAINER_OPTIONS, Dpc, Dpl},
    fabric::Fabric,
    host::SystemClock,
};
use mc_abi::{Label, ObjectId, ObjectType};
use std::{fmt, sync::Arc};

/// All containers, objects and connections at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// By number; a parent may come after its child.
    pub containers: Vec<ContainerInventory>,
    /// Both ends of each connection, once.
    pub connections: Vec<(String, String)>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInventory {
    /// Its name.
    pub id: ObjectId,
    /// The container that holds it; the root has none.
    pub parent: Option<ObjectId>,
    /// Isolation id.
    pub icid: u16,
    /// Command portal.
    pub portal: u32,
    /// What it may do.
    pub options: ContainerOptions,
    /// What it holds besides containers, in the order of families and numbers.
    pub objects: Vec<ObjectInventory>,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInventory {
    /// Its name.
    pub id: ObjectId,
    /// The name that software gave it.
    pub label: Label,
    /// Whether a driver may bind to it.
    pub plugged: bool,
    /// Version of its family's interface: major, minor.
    pub version: (u16, u16),
}

/// Options of a container, displayed by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerOptions(pub u32);

impl fmt::Display for ContainerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::from(self.0);
        let mut first = true;
        for symbol in
            CONTAINER_OPTIONS.iter().filter(|symbol| u64::from(self.0) & symbol.value != 0)
        {
            let name = symbol.name.trim_start_matches("DPRC_CFG_OPT_");
            write!(f, "{}{name}", if first { "" } else { " " })?;
            rest &= !symbol.value;
            first = false;
        }
        match (first, rest) {
            (true, 0) => f.write_str("no options"),
            (_, 0) => Ok(()),
            (_, rest) => write!(f, "{}{rest:#x}", if first { "" } else { " " }),
        }
    }
}

impl Inventory {
    /// What a board has after it has booted with a layout.
    ///
    /// # Errors
    /// [`LoadError`] where the MC cannot make what the layout asks for.
    pub fn of_layout(config: Config, layout: &Dpl, ports: Option<&Dpc>) -> Result<Self, LoadError> {
        let clock = Arc::new(SystemClock::default());
        let config = config.within(ports);
        let mut state = {
            let fabric = Fabric::detached(&config.soc);
            State::new(config, fabric, clock)
        };
        state.load(layout, ports)?;
        Ok(Self::of(&state))
    }

    pub(crate) fn of(state: &State) -> Self {
        let containers = state.objects.keys().filter(|id| id.kind == ObjectType::Dprc);
        let containers = containers.filter_map(|id| container(state, *id)).collect();
        let links = state.connections.iter();
        // Each is there from both sides.
        let connections = links
            .filter(|(end, link)| *end <= link.peer)
            .map(|(end, link)| (end.to_string(), link.peer.to_string()))
            .collect();
        Self { containers, connections }
    }
}

impl Mc {
    /// What there is at this moment.
    pub fn inventory(&self) -> Inventory {
        self.with_state(|state| Inventory::of(state))
    }
}

fn container(state: &State, id: ObjectId) -> Option<ContainerInventory> {
    let body = state.body::<Container>(id.id).ok()?;
    let held_by = state.object(id).ok()?.container;
    let parent = ObjectId::new(ObjectType::Dprc, held_by);
    let objects = state
        .objects
        .values()
        .filter(|object| object.container == id.id && object.id.kind != ObjectType::Dprc)
        .map(|object| {
            let Object { id, label, plugged, functions, .. } = *object;
            let version = functions.version;
            ObjectInventory { id, label, plugged, version }
        })
        .collect();
    Some(ContainerInventory {
        id,
        parent: state.objects.contains_key(&parent).then_some(parent),
        icid: body.icid,
        portal: body.portal,
        options: ContainerOptions(body.options),
        objects,
    })
}
