// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! From the model back to a device tree and to source text.

use std::collections::HashSet;
use std::fmt::{self, Write};

use super::fdt::Node;
use super::fields::{Writing, as_strings};
use super::model::{CONTAINER_OPTIONS, Connection, Container, Dpl, Object, Placement, node_name};
use mc_abi::ObjectType;

impl Dpl {
    /// The device tree that says this layout.
    pub fn to_tree(&self) -> Node {
        let mut root = Writing::default();
        if let Some(version) = self.version {
            root.number("dpl-version", version);
        }
        let list = |name: &str, children| Node { children, ..Node::new(name) };
        let connections = self.connections.iter().enumerate();
        Node {
            children: vec![
                list("containers", self.containers.iter().map(container).collect()),
                list("objects", self.objects.iter().map(object).collect()),
                list("connections", connections.map(connection).collect()),
            ],
            ..root.into_node("")
        }
    }
}

/// The layout as source text.
impl fmt::Display for Dpl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dts-v1/;\n\n{}", Source(&self.to_tree()))
    }
}

fn container(container: &Container) -> Node {
    let mut node = Writing::default();
    match container.parent {
        Some(parent) => node.strings("parent", [format!("dprc@{parent}").as_str()]),
        None => node.strings("parent", ["none"]),
    }
    node.options("options", container.options.into(), CONTAINER_OPTIONS);
    if let Some(icid) = container.icid {
        node.number("icid", icid);
    }
    if let Some(portal) = container.portal_id {
        node.number("portal_id", portal);
    }
    if let Some(label) = &container.label {
        node.strings("label", [label.as_str()]);
    }
    let mut objects = Node::new("objects");
    objects.children = placements(&container.objects);
    Node { children: vec![objects], ..node.into_node(format!("dprc@{}", container.id)) }
}

/// One `obj_set` for each run of plain placements of a family, one `obj` for
/// each placement with a label or without plug.
fn placements(placements: &[Placement]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut sets: HashSet<ObjectType> = HashSet::new();
    let mut rest = placements;
    while let Some(first) = rest.first() {
        let family = first.object.kind;
        let plain = |p: &&Placement| p.plugged && p.label.is_none() && p.object.kind == family;
        let run = rest.iter().take_while(plain).count();
        let mut node = Writing::default();
        if run == 0 {
            node.strings("obj_name", [node_name(first.object).as_str()]);
            if !first.plugged {
                node.number("plugged", 0u32);
            }
            if let Some(label) = &first.label {
                node.strings("label", [label.as_str()]);
            }
            nodes.push(node.into_node(format!("obj@{}", nodes.len())));
        } else {
            node.strings("type", [family.name()]);
            node.cells("ids", rest.iter().take(run).map(|p| p.object.id));
            // A second run of a family needs another name.
            let name = if sets.insert(family) {
                format!("obj_set@{family}")
            } else {
                format!("obj_set@{family}-{}", nodes.len())
            };
            nodes.push(node.into_node(name));
        }
        rest = rest.get(run.max(1)..).unwrap_or_default();
    }
    nodes
}

fn object(object: &Object) -> Node {
    let mut node = Writing::default();
    object.config.write(&mut node);
    if let Some(address) = object.mac_address {
        node.cells("mac_addr", address.0.map(u32::from));
    }
    node.into_node(node_name(object.name()))
}

fn connection((index, connection): (usize, &Connection)) -> Node {
    let mut node = Writing::default();
    node.strings("endpoint1", [connection.endpoint1.node_name().as_str()]);
    node.strings("endpoint2", [connection.endpoint2.node_name().as_str()]);
    node.nonzero("committed_rate", connection.committed_rate);
    node.nonzero("max_rate", connection.max_rate);
    node.into_node(format!("connection@{}", index + 1))
}

/// A tree as source text. A property whose bytes read as strings is written as
/// strings, else as cells, else as bytes: what compiles to the same bytes.
pub struct Source<'a>(pub &'a Node);

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_node(f, self.0, 0)
    }
}

fn write_node(f: &mut fmt::Formatter<'_>, node: &Node, depth: usize) -> fmt::Result {
    let indent = "\t".repeat(depth);
    let name = if node.name.is_empty() { "/" } else { &node.name };
    writeln!(f, "{indent}{name} {{")?;
    for property in &node.properties {
        write!(f, "{indent}\t{}", property.name)?;
        write_value(f, &property.value)?;
        f.write_str(";\n")?;
    }
    for (index, child) in node.children.iter().enumerate() {
        if index > 0 || !node.properties.is_empty() {
            f.write_char('\n')?;
        }
        write_node(f, child, depth + 1)?;
    }
    writeln!(f, "{indent}}};")
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &[u8]) -> fmt::Result {
    if value.is_empty() {
        return Ok(());
    }
    f.write_str(" = ")?;
    if let Some(strings) = as_strings(value) {
        for (index, text) in strings.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "{comma}\"{escaped}\"")?;
        }
        return Ok(());
    }
    let (cells, rest) = value.as_chunks::<4>();
    let (open, close, items): (_, _, Vec<String>) = if rest.is_empty() {
        let cells = cells.iter().map(|cell| u32::from_be_bytes(*cell).to_string());
        ('<', '>', cells.collect())
    } else {
        ('[', ']', value.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    write!(f, "{open}{}{close}", items.join(" "))
}
