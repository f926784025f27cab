// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! From the device tree of a layout to the model, with every finding recorded.
//!
//! The grammar is that of the layouts published for real boards and of those
//! that `restool dprc generate-dpl` writes.

use std::collections::HashMap;

use super::check;
use super::config::{Config, family, parse_id, pooled};
use super::fdt::Node;
use super::fields::{Fields, join, shortened};
use super::model::{
    CONTAINER_OPTIONS, Connection, Container, DPL_VERSION, Dpl, Endpoint, MAX_LABEL, Object,
    Placement, has_ports, node_name,
};
use super::problem::{At, Collector};
use crate::soc::Soc;
use mc_abi::ObjectId;

/// A value and the path of the node that states it.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) path: String,
}

/// A layout whose parts still know where they stand.
#[derive(Default)]
pub(super) struct Draft {
    /// Whether a container is missing because its node could not be read.
    pub(super) incomplete: bool,
    pub(super) containers: Vec<Located<Container>>,
    pub(super) placements: Vec<Located<PlacementIn>>,
    pub(super) objects: Vec<Located<Object>>,
    pub(super) connections: Vec<Located<Connection>>,
}

/// A placement and the container it stands in.
pub(super) struct PlacementIn {
    pub(super) container: u32,
    /// The property that names the object.
    pub(super) property: &'static str,
    pub(super) placement: Placement,
}

/// A container may opt out of memory translation on old hardware only.
const OBSOLETE_CONTAINER_OPTIONS: &[&str] = &["DPRC_CFG_OPT_IOMMU_BYPASS"];

/// Reads the tree of a layout and checks that its parts fit each other.
pub(super) fn read(root: &Node, soc: Option<&Soc>, problems: &Collector) -> Dpl {
    let mut draft = Draft::default();
    let fields = Fields::new(root, "", problems);
    let version = fields.number("dpl-version", 0..=u32::MAX);
    if let Some(other) = version.filter(|version| *version != DPL_VERSION) {
        let reason = format!("{other} is not {DPL_VERSION}, the version of firmware 10");
        fields.warn_in("dpl-version", reason, "it is read as if it were");
    }
    for node in &root.children {
        match node.name.as_str() {
            "containers" => containers(node, problems, &mut draft),
            "objects" => objects(node, problems, &mut draft),
            "connections" => connections(node, problems, &mut draft),
            // Labels make dtc write these.
            "__symbols__" | "__fixups__" | "__local_fixups__" => {}
            "board_info" | "resources" | "mc_general" | "controllers" | "aiop" => {
                let reason = "this node belongs into a data path configuration (DPC)";
                let remedy = "move it to the board's DPC file, it has no effect here";
                problems.error(At::node(&join("/", &node.name)), reason, remedy);
            }
            _ => {
                let reason = "a layout has the nodes containers, objects and connections only";
                problems.warn(At::node(&join("/", &node.name)), reason, "it is ignored");
            }
        }
    }
    fields.finish();
    check::layout(&draft, soc, problems);
    finish(version, draft)
}

fn finish(version: Option<u32>, draft: Draft) -> Dpl {
    let mut containers: Vec<_> = draft.containers.into_iter().map(|c| c.value).collect();
    // Reversed: of two containers of one number the first one counts.
    let positions: HashMap<u32, usize> =
        containers.iter().enumerate().rev().map(|(index, c)| (c.id, index)).collect();
    for located in draft.placements {
        let PlacementIn { container, placement, .. } = located.value;
        let index = positions.get(&container).copied();
        if let Some(container) = index.and_then(|index| containers.get_mut(index)) {
            container.objects.push(placement);
        }
    }
    Dpl {
        version,
        containers,
        objects: draft.objects.into_iter().map(|object| object.value).collect(),
        connections: draft.connections.into_iter().map(|connection| connection.value).collect(),
    }
}

fn containers(node: &Node, problems: &Collector, draft: &mut Draft) {
    let fields = Fields::new(node, "/", problems);
    for child in &node.children {
        container(child, &fields.path, problems, draft);
    }
    fields.finish();
}

fn container(node: &Node, parent: &str, problems: &Collector, draft: &mut Draft) {
    let fields = Fields::new(node, parent, problems);
    let id = (node.base_name() == "dprc").then(|| node.unit_address().and_then(parse_id)).flatten();
    let Some(id) = id else {
        fields.error("this is not the name of a container", "name it dprc@1, dprc@2 and so on");
        draft.incomplete = true;
        return;
    };
    let parent = parent_of(&fields);
    let options = fields.options("options", CONTAINER_OPTIONS, OBSOLETE_CONTAINER_OPTIONS, 32);
    for child in &node.children {
        match child.name.as_str() {
            "objects" => placements(child, id, &fields.path, problems, draft),
            "resources" => {
                let reason = "resources of a container are not modelled";
                let remedy = "the node is ignored; pools are those of the board";
                problems.warn(At::node(&join(&fields.path, &child.name)), reason, remedy);
            }
            _ => {
                let path = join(&fields.path, &child.name);
                let reason = "a container has the nodes objects and resources only";
                problems.warn(At::node(&path), reason, "it is ignored");
            }
        }
    }
    let value = Container {
        id,
        parent: parent.unwrap_or_default(),
        options: options as u32,
        icid: icid(&fields),
        portal_id: pooled(&fields, "portal_id", "DPRC_GET_PORTAL_ID_FROM_POOL"),
        label: label(&fields),
        objects: Vec::new(),
    };
    let path = fields.path.clone();
    fields.finish();
    match parent {
        Some(_) => draft.containers.push(Located { value, path }),
        None => draft.incomplete = true,
    }
}

/// The container that the property names, `Some(None)` for the root, `None`
/// (after a report) where it names nothing.
fn parent_of(fields: &Fields<'_>) -> Option<Option<u32>> {
    const REMEDY: &str = "use \"none\" for the root, or a container such as \"dprc@1\"";
    match fields.string("parent") {
        Some("none") => Some(None),
        Some(name) => {
            let parent = name.strip_prefix("dprc@").and_then(parse_id);
            if parent.is_none() {
                let reason = format!("{} names no container", shortened(name));
                fields.error_in("parent", reason, REMEDY);
            }
            parent.map(Some)
        }
        None => {
            // A malformed property has been reported already.
            if fields.bytes("parent").is_none() {
                fields.error_in("parent", "the property is needed", REMEDY);
            }
            None
        }
    }
}

fn icid(fields: &Fields<'_>) -> Option<u16> {
    let number = pooled(fields, "icid", "DPRC_GET_ICID_FROM_POOL")?;
    // All ones in 16 bits is the pool's name as well.
    match u16::try_from(number) {
        Ok(u16::MAX) => None,
        Ok(icid) => Some(icid),
        Err(_) => {
            fields.error_in("icid", format!("{number} is more than 65534"), "use 0 to 65534");
            None
        }
    }
}

fn label(fields: &Fields<'_>) -> Option<String> {
    let label = fields.string("label").filter(|label| !label.is_empty())?;
    if label.len() > MAX_LABEL {
        let reason = format!("{} has {} bytes", shortened(label), label.len());
        fields.error_in("label", reason, &format!("use {MAX_LABEL} at most"));
        return None;
    }
    Some(label.to_owned())
}

fn placements(node: &Node, container: u32, parent: &str, problems: &Collector, draft: &mut Draft) {
    let list = Fields::new(node, parent, problems);
    for child in &node.children {
        let fields = Fields::new(child, &list.path, problems);
        match child.base_name() {
            "obj_set" => object_set(&fields, container, draft),
            "obj" => single_object(&fields, container, draft),
            _ => fields.error("this is not a placement", "name it obj_set@dpni or obj@1"),
        }
        fields.finish_leaf();
    }
    list.finish();
}

fn object_set(fields: &Fields<'_>, container: u32, draft: &mut Draft) {
    let name = fields.string("type");
    let ids = fields.cells("ids");
    let plugged = plugged(fields);
    if name.is_none() && fields.bytes("type").is_none() {
        fields.error_in("type", "the property is needed", "give a type such as \"dpni\"");
    }
    if ids.is_none() && fields.bytes("ids").is_none() {
        fields.error_in("ids", "the property is needed", "give the numbers such as <0 1>");
    }
    let (Some(name), Some(ids)) = (name, ids) else { return };
    let Some(kind) = family(name) else {
        fields.error_in("type", unknown_type(name), &types());
        return;
    };
    for id in ids {
        let value = PlacementIn {
            container,
            property: "ids",
            placement: Placement { object: ObjectId::new(kind, id), plugged, label: None },
        };
        draft.placements.push(Located { value, path: fields.path.clone() });
    }
}

fn single_object(fields: &Fields<'_>, container: u32, draft: &mut Draft) {
    let label = label(fields);
    let plugged = plugged(fields);
    let Some(name) = fields.string("obj_name") else {
        if fields.bytes("obj_name").is_none() {
            let remedy = "give an object such as \"dpni@0\"";
            fields.error_in("obj_name", "the property is needed", remedy);
        }
        return;
    };
    if name.starts_with("dprc@") {
        let reason = format!("{} is a container, not an object", shortened(name));
        fields.error_in("obj_name", reason, "containers nest by their property parent");
        return;
    }
    match object_name(name) {
        Ok(object) => {
            let placement = Placement { object, plugged, label };
            let value = PlacementIn { container, property: "obj_name", placement };
            draft.placements.push(Located { value, path: fields.path.clone() });
        }
        Err(fault) => fields.error_in("obj_name", fault.reason, &fault.remedy),
    }
}

/// Absent and empty mean true, as a cell 0 means false and 1 true.
fn plugged(fields: &Fields<'_>) -> bool {
    match fields.bytes("plugged") {
        None | Some([]) => true,
        Some(_) => fields.number("plugged", 0..=1) != Some(0),
    }
}

fn objects(node: &Node, problems: &Collector, draft: &mut Draft) {
    let list = Fields::new(node, "/", problems);
    for child in &node.children {
        let fields = Fields::new(child, &list.path, problems);
        match object_name(&child.name) {
            Ok(ObjectId { kind, id }) => {
                let Some((config, mac_address)) = Config::read(kind, id, &fields) else { continue };
                let value = Object { id, config, mac_address };
                draft.objects.push(Located { value, path: fields.path.clone() });
                fields.finish_leaf();
            }
            Err(fault) => fields.error(fault.reason, fault.remedy),
        }
    }
    list.finish();
}

fn connections(node: &Node, problems: &Collector, draft: &mut Draft) {
    let list = Fields::new(node, "/", problems);
    for child in &node.children {
        let fields = Fields::new(child, &list.path, problems);
        if child.base_name() != "connection" {
            fields.error("this is not a connection", "name it connection@1");
            continue;
        }
        let endpoint1 = endpoint(&fields, "endpoint1");
        let endpoint2 = endpoint(&fields, "endpoint2");
        let committed_rate = fields.number("committed_rate", 0..=u32::MAX).unwrap_or(0);
        let max_rate = fields.number("max_rate", 0..=u32::MAX).unwrap_or(0);
        if let (Some(endpoint1), Some(endpoint2)) = (endpoint1, endpoint2) {
            let value = Connection { endpoint1, endpoint2, committed_rate, max_rate };
            draft.connections.push(Located { value, path: fields.path.clone() });
        }
        fields.finish_leaf();
    }
    list.finish();
}

fn endpoint(fields: &Fields<'_>, name: &'static str) -> Option<Endpoint> {
    let Some(text) = fields.string(name) else {
        if fields.bytes(name).is_none() {
            fields.error_in(name, "the property is needed", "give an object such as \"dpni@0\"");
        }
        return None;
    };
    let (object, interface) = match text.split_once('/') {
        Some((object, interface)) => (object, Some(interface)),
        None => (text, None),
    };
    let object = match object_name(object) {
        Ok(object) => object,
        Err(fault) => {
            fields.error_in(name, fault.reason, &fault.remedy);
            return None;
        }
    };
    let Some(interface) = interface else {
        if has_ports(object.kind) {
            let remedy = format!("it is read as \"{text}/if@0\"");
            fields.warn_in(name, format!("{} names no interface", shortened(text)), &remedy);
        }
        return Some(Endpoint { object, interface: 0 });
    };
    let number = interface.strip_prefix("if@").and_then(parse_id);
    match number.and_then(|number| u16::try_from(number).ok()) {
        Some(interface) if interface == 0 || has_ports(object.kind) => {
            Some(Endpoint { object, interface })
        }
        Some(_) => {
            let reason = format!("a {} has one interface only", object.kind);
            fields.error_in(name, reason, &format!("use \"{}\"", node_name(object)));
            None
        }
        None => {
            let reason = format!("{} is not an interface", shortened(interface));
            let remedy = format!("use \"{}/if@0\"", node_name(object));
            fields.error_in(name, reason, &remedy);
            None
        }
    }
}

/// Why a text names no object.
struct NameFault {
    reason: String,
    remedy: String,
}

/// Reads `dpni@0`.
fn object_name(text: &str) -> Result<ObjectId, NameFault> {
    let fault = |reason, remedy| Err(NameFault { reason, remedy });
    let Some((name, id)) = text.split_once('@') else {
        let dotted = text.split_once('.').filter(|(name, _)| family(name).is_some());
        let reason = format!("{} names no object", shortened(text));
        return match dotted {
            Some((name, id)) => fault(reason, format!("write \"{name}@{id}\"")),
            None => fault(reason, "use a type and a number such as \"dpni@0\"".to_owned()),
        };
    };
    let Some(kind) = family(name) else {
        return fault(unknown_type(name), types());
    };
    match parse_id(id) {
        Some(id) => Ok(ObjectId::new(kind, id)),
        None => {
            let reason = format!("{} is not an object number", shortened(id));
            fault(reason, format!("use a decimal number such as \"{name}@0\""))
        }
    }
}

fn unknown_type(name: &str) -> String {
    format!("{} is not an object type", shortened(name))
}

fn types() -> String {
    let names: Vec<&str> = Config::FAMILIES.iter().map(|family| family.name()).collect();
    format!("known: {}", names.join(", "))
}
