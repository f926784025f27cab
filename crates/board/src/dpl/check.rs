// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Whether the parts of a layout fit each other.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::config::Config;
use super::model::{Container, Endpoint, OPTION_AIOP, Object, node_name};
use super::problem::{At, Collector};
use super::read::{Draft, Located};
use crate::soc::{Lack, Soc};
use mc_abi::{ObjectId, ObjectType};

pub(super) fn layout(draft: &Draft, soc: Option<&Soc>, problems: &Collector) {
    let containers = containers(draft, problems);
    let objects = objects(draft, problems);
    let placed = placements(draft, &objects, problems);
    for located in &draft.objects {
        let name = located.value.name();
        if !placed.contains_key(&name) {
            let reason = format!("no container holds {}", node_name(name));
            let remedy = "it is not created; add it to the objects of a container";
            problems.warn(At::node(&located.path), reason, remedy);
        }
        aiop(located, &containers, problems);
        let lack = soc.and_then(|soc| soc.lack(name.kind, name.id));
        if let Some(Lack { reason, remedy }) = lack {
            problems.error(At::node(&located.path), reason, remedy);
        }
    }
    connections(draft, &objects, &placed, problems);
}

/// Checks that containers form one tree. Returns them by number.
fn containers<'d>(draft: &'d Draft, problems: &Collector) -> HashMap<u32, &'d Container> {
    let mut by_id: HashMap<u32, &Container> = HashMap::new();
    let mut root: Option<&Located<Container>> = None;
    for located in &draft.containers {
        let container = &located.value;
        if by_id.insert(container.id, container).is_some() {
            let reason = format!("there are two containers of number {}", container.id);
            problems.error(At::node(&located.path), reason, "give each its own number");
        }
        match (container.parent, root) {
            (None, None) => root = Some(located),
            (None, Some(first)) => {
                let reason = format!("{} is a root already", first.path);
                let remedy = format!("give it a parent such as \"dprc@{}\"", first.value.id);
                problems.error(At::property(&located.path, "parent"), reason, remedy);
            }
            (Some(_), _) => {}
        }
    }
    match root {
        // A container that could not be read has been reported already.
        None if draft.incomplete => {}
        None => {
            let remedy = "define a container such as dprc@1 with parent = \"none\"";
            problems.error(At::node("/containers"), "there is no root container", remedy);
        }
        Some(root) if root.value.id != 1 => {
            let reason = format!("the root container is number {}", root.value.id);
            problems.warn(At::node(&root.path), reason, "on a real board it is dprc@1");
        }
        Some(_) => {}
    }
    let mut reaching: HashMap<u32, bool> = HashMap::new();
    for located in &draft.containers {
        let at = At::property(&located.path, "parent");
        match located.value.parent {
            Some(parent) if !by_id.contains_key(&parent) => {
                if draft.incomplete {
                    continue;
                }
                let reason = format!("there is no container dprc@{parent}");
                problems.error(at, reason, "define it, or name another parent");
            }
            _ if !reaches_root(located.value.id, &by_id, &mut reaching) => {
                let reason = "the container is among its own ancestors";
                problems.error(at, reason, "let the chain of parents end at the root");
            }
            _ => {}
        }
    }
    by_id
}

/// Whether the chain of parents from `id` ends, be it at a root or at a parent
/// that is missing (which is reported elsewhere). Remembers what it learnt, so
/// that all containers together cost one walk.
fn reaches_root(
    id: u32,
    by_id: &HashMap<u32, &Container>,
    reaching: &mut HashMap<u32, bool>,
) -> bool {
    let mut chain = Vec::new();
    let mut on_chain = HashSet::new();
    let mut current = Some(id);
    let ends = loop {
        let Some(id) = current else { break true };
        if let Some(known) = reaching.get(&id) {
            break *known;
        }
        if !on_chain.insert(id) {
            break false;
        }
        chain.push(id);
        current = match by_id.get(&id) {
            Some(container) => container.parent,
            None => break true,
        };
    };
    reaching.extend(chain.into_iter().map(|id| (id, ends)));
    ends
}

/// Checks that names are unique. Returns objects by name.
fn objects<'d>(draft: &'d Draft, problems: &Collector) -> HashMap<ObjectId, &'d Object> {
    let mut by_name = HashMap::new();
    for located in &draft.objects {
        let name = located.value.name();
        match by_name.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(&located.value);
            }
            Entry::Occupied(_) => {
                // `dpni@1` and `dpni@0x1` are different nodes of the same object.
                let reason = format!("{} is defined twice", node_name(name));
                problems.error(At::node(&located.path), reason, "give each its own number");
            }
        }
    }
    by_name
}

/// Checks placements. Returns the container of each placed object.
fn placements(
    draft: &Draft,
    objects: &HashMap<ObjectId, &Object>,
    problems: &Collector,
) -> HashMap<ObjectId, u32> {
    let mut placed = HashMap::new();
    for located in &draft.placements {
        let object = located.value.placement.object;
        let container = located.value.container;
        let name = node_name(object);
        let at = At::property(&located.path, located.value.property);
        if !objects.contains_key(&object) {
            let remedy = format!("define /objects/{name}, or remove it here");
            problems.error(at, format!("there is no object {name}"), remedy);
        }
        match placed.entry(object) {
            Entry::Vacant(entry) => {
                entry.insert(container);
            }
            Entry::Occupied(first) => {
                let reason = format!("dprc@{} holds {name} already", first.get());
                problems.error(at, reason, "an object is in one container, and once");
            }
        }
    }
    placed
}

fn aiop(located: &Located<Object>, containers: &HashMap<u32, &Container>, problems: &Collector) {
    let Config::Dpaiop(config) = &located.value.config else { return };
    let at = At::property(&located.path, "aiop_container_id");
    match containers.get(&config.aiop_container_id) {
        None => {
            let reason = format!("there is no container dprc@{}", config.aiop_container_id);
            problems.error(at, reason, "define it");
        }
        Some(container) if container.options & OPTION_AIOP == 0 => {
            let reason = format!("dprc@{} lacks the option DPRC_CFG_OPT_AIOP", container.id);
            problems.warn(at, reason, "add it to the container's options");
        }
        Some(_) => {}
    }
}

fn connections(
    draft: &Draft,
    objects: &HashMap<ObjectId, &Object>,
    placed: &HashMap<ObjectId, u32>,
    problems: &Collector,
) {
    let mut used: HashMap<Endpoint, &str> = HashMap::new();
    for located in &draft.connections {
        let connection = &located.value;
        let (one, two) = (connection.endpoint1, connection.endpoint2);
        for (property, endpoint) in [("endpoint1", one), ("endpoint2", two)] {
            // A loopback is one use of its interface.
            if property == "endpoint2" && one == two {
                continue;
            }
            let at = At::property(&located.path, property);
            endpoint_exists(endpoint, at, objects, placed, problems);
            match used.entry(endpoint) {
                Entry::Vacant(entry) => {
                    entry.insert(&located.path);
                }
                Entry::Occupied(first) => {
                    let reason =
                        format!("{} is connected by {} already", endpoint.node_name(), first.get());
                    problems.error(at, reason, "an interface has one connection");
                }
            }
        }
        if let Some(reason) = unfit(one, two) {
            let remedy = "connect a dpni, or a port of a dpsw or dpdmux, to one of these or to \
                          a dpmac; a dpci to a dpci";
            problems.error(At::node(&located.path), reason, remedy);
        }
        let (committed, max) = (connection.committed_rate, connection.max_rate);
        if committed > max {
            let reason = format!("the rate {committed} is more than max_rate, which is {max}");
            let at = At::property(&located.path, "committed_rate");
            problems.error(at, reason, "give both rates, the committed one not above the other");
        }
    }
}

fn endpoint_exists(
    endpoint: Endpoint,
    at: At<'_>,
    objects: &HashMap<ObjectId, &Object>,
    placed: &HashMap<ObjectId, u32>,
    problems: &Collector,
) {
    let name = node_name(endpoint.object);
    let Some(object) = objects.get(&endpoint.object) else {
        let remedy = format!("define /objects/{name} and place it");
        problems.error(at, format!("there is no object {name}"), remedy);
        return;
    };
    if !placed.contains_key(&endpoint.object) {
        let remedy = "add it to the objects of a container";
        problems.error(at, format!("{name} is in no container"), remedy);
    }
    let last = match &object.config {
        Config::Dpsw(config) => config.num_ifs.saturating_sub(1),
        // The uplink comes on top.
        Config::Dpdmux(config) => config.num_ifs,
        _ => 0,
    };
    if endpoint.interface > last {
        let reason = format!("{name} has no interface {}", endpoint.interface);
        problems.error(at, reason, format!("use 0 to {last}, or raise num_ifs of {name}"));
    }
}

/// Why two endpoints cannot be connected.
fn unfit(one: Endpoint, two: Endpoint) -> Option<String> {
    use ObjectType::{Dpci, Dpdmux, Dpmac, Dpni, Dpsw};
    let is_uplink = |e: Endpoint| e.object.kind == Dpdmux && e.interface == 0;
    for (this, other) in [(one, two), (two, one)] {
        // Enforced by firmware since 10.37.
        if is_uplink(this) && other.object.kind != Dpmac {
            return Some(format!(
                "{} is an uplink, which connects to a dpmac only",
                this.node_name()
            ));
        }
    }
    // A dpni may be connected to itself; an interface of the others may not.
    if one == two && one.object.kind != Dpni {
        return Some(format!("{} is connected to itself", one.node_name()));
    }
    let fits = match (one.object.kind, two.object.kind) {
        (Dpci, Dpci) => true,
        (Dpmac, Dpmac) => false,
        (Dpni | Dpsw | Dpdmux | Dpmac, Dpni | Dpsw | Dpdmux | Dpmac) => true,
        _ => false,
    };
    (!fits).then(|| format!("a {} does not connect to a {}", one.object.kind, two.object.kind))
}
