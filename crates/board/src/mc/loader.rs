// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the MC does with its layout at boot: containers, objects, placements
//! and connections are made the way commands make them.

use super::{
    State,
    connections::Rates,
    containers::{self, Container},
    families,
};
use crate::dpl::{self, Dpc, Dpl};
use crate::mc::refusal::Refusal;
use mc_abi::{Label, ObjectId, Status, dprc};
use std::collections::HashMap;

/// Why the MC cannot make what a layout asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the layout cannot be made: {object}: {reason}; {advice}")]
pub struct LoadError {
    /// What could not be made: an object, a container or a connection.
    pub object: String,
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub advice: String,
}

impl LoadError {
    fn new(object: impl ToString, reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { object: object.to_string(), reason: reason.into(), advice: advice.into() }
    }
}

impl State {
    /// Makes what a layout and a configuration say. A layout without
    /// containers gives the root alone.
    ///
    /// # Errors
    /// [`LoadError`] names the first thing that cannot be made. The state is
    /// of no use then.
    pub fn load(&mut self, layout: &Dpl, configuration: Option<&Dpc>) -> Result<(), LoadError> {
        self.load_containers(layout)?;
        if let Some(configuration) = configuration {
            self.ports.clone_from(&configuration.ports);
        }
        self.load_objects(layout)?;
        self.load_connections(layout)?;
        // From here on (board: DPMAC-I1 and V-DPMAC-2 of the ledger). Layouts of
        // reference boards use ports that the configuration beside them lacks.
        self.only_these_ports = !self.ports.is_empty();
        // Nobody was there whom the MC could have notified.
        for object in self.objects.values_mut() {
            for irq in &mut object.irqs {
                irq.forget();
            }
        }
        self.pass = Default::default();
        self.program();
        Ok(())
    }

    fn load_containers(&mut self, layout: &Dpl) -> Result<(), LoadError> {
        let containers = layout.containers_parents_first();
        if layout.containers.is_empty() {
            let root = dpl::Container { id: containers::ROOT, ..Default::default() };
            return self.load_container(&root);
        }
        if let Some(lost) =
            layout.containers.iter().find(|c| !containers.iter().any(|k| k.id == c.id))
        {
            let name = containers::name(lost.id);
            return Err(LoadError::new(
                name,
                "it does not descend from a container with parent = \"none\"",
                "correct its parent",
            ));
        }
        containers.into_iter().try_for_each(|container| self.load_container(container))
    }

    fn load_container(&mut self, container: &dpl::Container) -> Result<(), LoadError> {
        let name = containers::name(container.id);
        let label = container.label.as_deref().map(Label::new).unwrap_or_default();
        let portal = match (container.portal_id, container.parent) {
            (Some(portal), _) => portal,
            // Linux's device tree points at the first portal for the root.
            (None, None) => 0,
            (None, Some(_)) => dprc::PORTAL_FROM_POOL,
        };
        let request = dprc::CreateContainer {
            options: container.options,
            icid: container.icid.map_or(dprc::ICID_FROM_POOL, u32::from),
            portal,
            label,
        };
        // These stand for the MC itself and for nobody.
        if matches!(container.id, containers::MC_CONTAINER | containers::NOBODY) {
            return Err(LoadError::new(
                name,
                "no container has this number",
                "give it another one, from 2 up",
            ));
        }
        let made = match container.parent {
            None if container.id != containers::ROOT => {
                return Err(LoadError::new(
                    name,
                    "the root container has the number 1",
                    "name it dprc@1",
                ));
            }
            None => containers::create_root(self, &request),
            Some(parent) => self.create::<Container>(Some(container.id), parent, parent, &request),
        };
        made.map_err(|refusal| self.container_refused(container, &refusal))?;
        self.place(name, container.parent.is_some(), label)
            .map_err(|refusal| refused(name, &refusal))
    }

    fn container_refused(&self, container: &dpl::Container, refusal: &Refusal) -> LoadError {
        let name = containers::name(container.id);
        if self.objects.contains_key(&name) {
            return LoadError::new(name, "it is there twice", "give each container its own number");
        }
        let config = &self.config;
        let last = u32::from(config.first_icid) + u32::from(config.icids).saturating_sub(1);
        let range = format!("{} to {last}", config.first_icid);
        match container.icid {
            Some(icid) if self.pools.icid.take_would_fail(icid.into()) => LoadError::new(
                name,
                format!("icid {icid} is taken, or none of this board's ({range})"),
                "choose another one, or leave icid out",
            ),
            _ if self.pools.icid.free() == 0 => LoadError::new(
                name,
                format!("this board has {} isolation ids ({range})", config.icids),
                "use fewer containers",
            ),
            _ => refused(name, refusal),
        }
    }

    fn load_objects(&mut self, layout: &Dpl) -> Result<(), LoadError> {
        let mut places = HashMap::new();
        for container in &layout.containers {
            for placement in &container.objects {
                places.insert(placement.object, (container.id, placement));
            }
        }
        for object in &layout.objects {
            let name = object.name();
            // An object that no container holds is not made: the loader of
            // the layout has warned of it.
            let Some((container, placement)) = places.remove(&name) else { continue };
            if self.objects.contains_key(&name) {
                return Err(LoadError::new(
                    name,
                    "it is there twice",
                    "give each object its own number",
                ));
            }
            let label = placement.label.as_deref().map(Label::new).unwrap_or_default();
            families::create_as(self, object.id, container, &object.config)
                .and_then(|_| self.place(name, placement.plugged, label))
                .map_err(|refusal| refused(name, &refusal))?;
            if let Some(address) = object.mac_address {
                self.object_mut(name)
                    .map(|object| object.body.set_mac(address))
                    .map_err(|refusal| refused(name, &refusal))?;
            }
        }
        match places.into_values().next() {
            None => Ok(()),
            Some((container, placement)) => Err(LoadError::new(
                placement.object,
                format!("dprc.{container} holds it, but it is not defined"),
                "define it under /objects",
            )),
        }
    }

    fn place(&mut self, id: ObjectId, plugged: bool, label: Label) -> Result<(), Refusal> {
        let object = self.object_mut(id)?;
        object.label = label;
        // The root is not plugged in anywhere (board observation).
        object.plugged = plugged;
        Ok(())
    }

    fn load_connections(&mut self, layout: &Dpl) -> Result<(), LoadError> {
        for connection in &layout.connections {
            let (one, two) = (connection.endpoint1, connection.endpoint2);
            let rates = Rates { committed: connection.committed_rate, max: connection.max_rate };
            self.connect(one, two, rates).map_err(|refusal| {
                LoadError::new(
                    format!("connection of {one} and {two}"),
                    refusal.reason,
                    match refusal.status {
                        Status::NoResource => {
                            "define and place both objects; a switch or demultiplexer has as many \
                             interfaces as num_ifs says"
                        }
                        _ => {
                            "an interface has one connection; see the reference manual for what \
                             connects to what"
                        }
                    },
                )
            })?;
        }
        Ok(())
    }
}

/// An object that the MC did not make.
fn refused(name: ObjectId, refusal: &Refusal) -> LoadError {
    let advice = match refusal.status {
        Status::NoResource => "use fewer or smaller objects, or another number where one is given",
        _ => "correct the object's properties",
    };
    LoadError::new(name, refusal.reason.clone(), advice)
}
