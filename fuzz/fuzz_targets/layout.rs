// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layouts and configurations: no blob makes the loader panic, and no layout
//! that it takes makes the MC panic or break its invariants.
#![no_main]

mod host;

use arbitrary::{Arbitrary, Unstructured};
use board::{
    Board, BoardConfig,
    dpl::{
        Dpc, Dpl, Layout, Loader,
        fdt::{self, Node, Property},
        layouts,
    },
    host::{Host, NoLines, NoMemory, private_portal_memory},
};
use host::compile;
use libfuzzer_sys::fuzz_target;
use std::{
    process::Command,
    sync::{Arc, LazyLock},
};
use vm_fdt::FdtWriter;

/// A configuration with something of everything.
const CONFIGURATION: &str = r#"/dts-v1/; / {
    resources { icid_pools { icid_pool@1 { num = <100>; base_icid = <0>; }; }; };
    mc_general {
        log { mode = "LOG_MODE_ON"; level = "LOG_LEVEL_WARNING"; };
        console { mode = "CONSOLE_MODE_OFF"; uart_id = <4>; level = "LOG_LEVEL_WARNING"; };
    };
    controllers { qbman { wq_ch_conversion = <32>; total_bman_buffers = <0x100000>; }; };
    board_info { ports {
        mac@1 { link_type = "MAC_LINK_TYPE_PHY"; enet_if = "USXGMII"; port_mac_address = [02 00 00 00 00 01]; };
        mac@17 { link_type = "MAC_LINK_TYPE_FIXED"; fec_mode = "rs"; };
    }; };
};"#;

/// Blobs to begin with: the layouts that come with the project.
static BLOBS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let sources = layouts::ALL.iter().map(|layout| layout.source).chain([CONFIGURATION]);
    sources.map(compile).collect()
});

static TREES: LazyLock<Vec<Node>> =
    LazyLock::new(|| BLOBS.iter().map(|blob| fdt::parse(blob).expect("dtc made it")).collect());

/// Names that mean something somewhere.
const NAMES: &[&str] = &[
    "containers",
    "objects",
    "connections",
    "dpl-version",
    "parent",
    "options",
    "icid",
    "portal_id",
    "label",
    "type",
    "ids",
    "obj@1",
    "obj_set@dpni",
    "obj_name",
    "plugged",
    "connection@1",
    "endpoint1",
    "endpoint2",
    "dprc@1",
    "dprc@2",
    "dprc@1000",
    "dpni@0",
    "dpni@4294967295",
    "dpsw@0",
    "dpdmux@0",
    "dpmac@1",
    "dpio@0",
    "dpci@0",
    "dpseci@0",
    "dpdmai@0",
    "dpcon@0",
    "dpbp@0",
    "dpmcp@1",
    "dprtc@0",
    "dpaiop@0",
    "num_queues",
    "num_tcs",
    "num_ifs",
    "max_vlans",
    "num_priorities",
    "priorities",
    "channel_mode",
    "mac_id",
    "mac@1",
    "board_info",
    "ports",
];

/// Values that mean something somewhere.
const TEXTS: &[&str] = &[
    "none",
    "dprc@1",
    "dprc@2",
    "dpni",
    "dpni@0",
    "dpni@1",
    "dpmac@1",
    "dpsw@0",
    "dpsw@0/if@1",
    "dpdmux@0/if@0",
    "dpci@0",
    "DPRC_CFG_OPT_SPAWN_ALLOWED",
    "DPNI_OPT_TX_FRM_RELEASE",
    "DPIO_LOCAL_CHANNEL",
    "DPIO_NO_CHANNEL",
    "DPRC_GET_ICID_FROM_POOL",
    "DPMAC_LINK_TYPE_PHY",
    "",
    "a label that is much too long for the sixteen bytes",
];

#[derive(Debug, Arbitrary)]
enum Input {
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// A good blob with a few bytes changed.
    Bytes { base: u8, changes: Vec<(u16, u8)>, cut: Option<u16> },
    /// A good tree with a few nodes and properties changed.
    Tree { base: u8, edits: Vec<Edit> },
}

#[derive(Debug, Arbitrary)]
struct Edit {
    /// Which node, counted from the root.
    node: u16,
    change: Change,
}

#[derive(Debug, Arbitrary)]
enum Change {
    Remove {
        child: u8,
    },
    RemoveProperty {
        property: u8,
    },
    Rename {
        name: u8,
    },
    Number {
        id: u8,
    },
    Duplicate {
        child: u8,
    },
    /// A copy of another node.
    Graft {
        from: u16,
    },
    Add {
        name: u8,
    },
    Set {
        property: u8,
        value: Value,
    },
    SetNamed {
        name: u8,
        value: Value,
    },
}

#[derive(Debug, Arbitrary)]
enum Value {
    Cells(Vec<Cell>),
    Text(u8),
    Texts(u8, u8),
    Bytes(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum Cell {
    Small(u8),
    Any(u32),
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        let text = |n: u8| format!("{}\0", TEXTS[usize::from(n) % TEXTS.len()]).into_bytes();
        match self {
            Self::Cells(cells) => cells
                .iter()
                .flat_map(|cell| match cell {
                    Cell::Small(n) => u32::from(*n).to_be_bytes(),
                    Cell::Any(n) => n.to_be_bytes(),
                })
                .collect(),
            Self::Text(n) => text(*n),
            Self::Texts(a, b) => [text(*a), text(*b)].concat(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// Node number `at`, counted down from the root in the order of the source.
fn find<'a>(node: &'a mut Node, at: &mut usize) -> Option<&'a mut Node> {
    if *at == 0 {
        return Some(node);
    }
    *at -= 1;
    node.children.iter_mut().find_map(|child| find(child, at))
}

fn count(node: &Node) -> usize {
    1 + node.children.iter().map(count).sum::<usize>()
}

fn name(n: u8) -> String {
    NAMES[usize::from(n) % NAMES.len()].to_owned()
}

fn edit(tree: &mut Node, Edit { node, change }: &Edit) {
    let nodes = count(tree);
    // Grafts of grafts grow fast.
    if nodes > 2000 {
        return;
    }
    let graft = match change {
        Change::Graft { from } => find(tree, &mut (usize::from(*from) % nodes)).cloned(),
        _ => None,
    };
    let Some(node) = find(tree, &mut (usize::from(*node) % nodes)) else { return };
    let (children, properties) = (node.children.len(), node.properties.len());
    match change {
        Change::Remove { child } if children > 0 => {
            node.children.remove(usize::from(*child) % children);
        }
        Change::RemoveProperty { property } if properties > 0 => {
            node.properties.remove(usize::from(*property) % properties);
        }
        Change::Rename { name: n } => node.name = name(*n),
        Change::Number { id } => node.name = format!("{}@{id}", node.base_name()),
        Change::Duplicate { child } if children > 0 => {
            let copy = node.children[usize::from(*child) % children].clone();
            node.children.push(copy);
        }
        Change::Graft { .. } => node.children.extend(graft),
        Change::Add { name: n } => node.children.push(Node::new(name(*n))),
        Change::Set { property, value } if properties > 0 => {
            node.properties[usize::from(*property) % properties].value = value.bytes();
        }
        Change::SetNamed { name: n, value } => {
            let value = value.bytes();
            match node.properties.iter_mut().find(|property| property.name == name(*n)) {
                Some(property) => property.value = value,
                None => node.properties.push(Property { name: name(*n), value }),
            }
        }
        _ => {}
    }
}

/// The blob of a tree, where it makes one.
fn write(root: &Node) -> Option<Vec<u8>> {
    fn add(writer: &mut FdtWriter, node: &Node) -> vm_fdt::FdtWriterResult<()> {
        let open = writer.begin_node(&node.name)?;
        for property in &node.properties {
            writer.property(&property.name, &property.value)?;
        }
        node.children.iter().try_for_each(|child| add(writer, child))?;
        writer.end_node(open)
    }
    let mut writer = FdtWriter::new().ok()?;
    add(&mut writer, root).ok()?;
    writer.finish().ok()
}

fn blob(input: &Input) -> Option<Vec<u8>> {
    match input {
        Input::Raw(bytes) => Some(bytes.clone()),
        Input::Bytes { base, changes, cut } => {
            let mut blob = BLOBS[usize::from(*base) % BLOBS.len()].clone();
            for (at, byte) in changes {
                let at = usize::from(*at) % blob.len();
                blob[at] = *byte;
            }
            if let Some(cut) = cut {
                blob.truncate(usize::from(*cut));
            }
            Some(blob)
        }
        Input::Tree { base, edits } => {
            let mut tree = TREES[usize::from(*base) % TREES.len()].clone();
            edits.iter().for_each(|e| edit(&mut tree, e));
            // The writer wants a root without a name.
            tree.name.clear();
            write(&tree)
        }
    }
}

fn power_on(layout: Dpl, ports: Option<Dpc>) {
    let config = BoardConfig { layout, ports, ..BoardConfig::default() };
    // What the loader takes may still be more than the chip has.
    let portals = private_portal_memory().expect("there is that much address space");
    let host = Host::new(Arc::new(NoMemory), Arc::new(NoLines), portals);
    if let Ok(board) = Board::new(config, host) {
        board.mc().check_invariants();
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let Some(blob) = blob(&input) else { return };
    let loader = Loader::new(&|| Command::new("dtc"));
    let loaded = match loader.blob("fuzz", &blob) {
        Ok(loaded) => loaded,
        Err(error) => {
            // The messages are part of what must not panic.
            let _ = error.to_string();
            return;
        }
    };
    let _ = loaded.warnings.to_string();
    match loaded.layout {
        Layout::Dpl(layout) => power_on(layout, None),
        Layout::Dpc(ports) => {
            let layout = loader.blob("default", &BLOBS[0]).and_then(|l| l.into_dpl());
            power_on(layout.expect("it comes with the project"), Some(ports));
        }
    }
});
