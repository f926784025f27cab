// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The layouts and configurations of real boards, and those of the project.

use std::fs;
use std::path::{Path, PathBuf};

use board::dpl::{Config, Kind, Layout, LinkType, Loaded, Loader, layouts};
use board::mc::{self, Inventory};

use mc_abi::{ObjectId, ObjectType};

use crate::{clean, directory, dtc, have_dtc};

/// Sources of NXP's boards, beside the checkout. Not part of the project.
const REAL_BOARDS: &str = "../../../shared/boards";

#[test]
fn every_file_of_real_boards_loads() {
    let test = "every_file_of_real_boards_loads";
    let Some(directory) = directory(test, REAL_BOARDS).filter(|_| have_dtc(test)) else { return };
    let mut files = Vec::new();
    find_sources(&directory, &mut files);
    assert_eq!(files.len(), 26);
    for file in files {
        let loaded = load(&file);
        let name = file.file_name().unwrap().to_str().unwrap();
        let expected = if name.starts_with("dpl") { Kind::Dpl } else { Kind::Dpc };
        assert_eq!(loaded.kind(), expected, "{name}");
        let Layout::Dpl(dpl) = &loaded.layout else { continue };
        let text = without_comments(&fs::read_to_string(&file).unwrap());
        assert_eq!(dpl.objects.len(), count_definitions(&text), "{name}");
        assert_eq!(dpl.connections.len(), text.matches("endpoint1").count(), "{name}");
        // Loading what is written gives the same layout.
        assert_eq!(&clean(name, &dpl.to_string()).objects, &dpl.objects, "{name}");
        assert_eq!(clean(name, &dpl.to_string()), *dpl, "{name}");
    }
}

#[test]
fn a_real_layout_is_understood() {
    let test = "a_real_layout_is_understood";
    let Some(directory) = directory(test, REAL_BOARDS).filter(|_| have_dtc(test)) else { return };
    let loaded = load(&directory.join("lx2160a/Bluebox3/dpl-eth.31.dts"));
    let dpl = loaded.into_dpl().unwrap();
    assert_eq!(dpl.version, Some(10));
    assert_eq!(dpl.containers.len(), 1);
    let root = dpl.root().unwrap();
    assert_eq!((root.id, root.options, root.icid), (1, 0x43, None));
    let count = |family| root.objects.iter().filter(|p| p.object.kind == family).count();
    assert_eq!(count(ObjectType::Dpni), 6);
    assert_eq!(count(ObjectType::Dpcon), 96);
    assert_eq!(count(ObjectType::Dpmcp), 39);
    let config = |family, id| &dpl.object(ObjectId::new(family, id)).unwrap().config;
    let Config::Dpni(dpni) = config(ObjectType::Dpni, 5) else { panic!() };
    assert_eq!((dpni.options, dpni.num_queues, dpni.num_tcs), (0, 16, 1));
    let Config::Dpseci(dpseci) = config(ObjectType::Dpseci, 0) else { panic!() };
    assert_eq!((dpseci.options, dpseci.num_tx_queues), (0x20, 16));
    assert_eq!((dpseci.priorities, dpseci.priorities2), ([1; 8], [1; 8]));
    let Config::Dpdmai(dpdmai) = config(ObjectType::Dpdmai, 1) else { panic!() };
    assert_eq!(dpdmai.priorities, [2, 5]);
    let Config::Dpmac(dpmac) = config(ObjectType::Dpmac, 17) else { panic!() };
    assert_eq!(dpmac.mac, 17);
    let last = dpl.connections.last().unwrap();
    assert_eq!(last.endpoint1.node_name(), "dpni@5");
    assert_eq!(last.endpoint2.node_name(), "dpmac@18");
}

#[test]
fn a_real_configuration_is_understood() {
    let test = "a_real_configuration_is_understood";
    let Some(directory) = directory(test, REAL_BOARDS).filter(|_| have_dtc(test)) else { return };
    let loaded = load(&directory.join("lx2160a/Bluebox3/dpc_31.dts"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let dpc = loaded.into_dpc().unwrap();
    assert_eq!(dpc.wq_ch_conversion, Some(32));
    assert_eq!(dpc.icid_pools.len(), 1);
    assert_eq!((dpc.icid_pools[0].base, dpc.icid_pools[0].count), (0, 100));
    assert_eq!(dpc.ports.iter().map(|p| p.id).collect::<Vec<_>>(), [5, 6, 9, 10, 17, 18]);
    assert_eq!(dpc.ports[0].link_type, Some(LinkType::Phy));
    assert_eq!(dpc.ports[4].link_type, Some(LinkType::Fixed));
    assert!(!dpc.console.unwrap().on && dpc.log.unwrap().on);
}

#[test]
fn the_projects_layouts_load_without_warnings() {
    if !have_dtc("the_projects_layouts_load_without_warnings") {
        return;
    }
    for layout in layouts::ALL {
        let dpl = clean(layout.name, layout.source);
        assert_eq!(dpl.unplaced_objects().count(), 0, "{}", layout.name);
        assert_eq!(clean(layout.name, &dpl.to_string()), dpl, "{}", layout.name);
    }
    assert_eq!(layouts::find("default"), layouts::ALL.first());
    assert_eq!(layouts::find("nothing"), None);
}

/// What drivers ask of a container: a command portal for each I/O portal and
/// interface, a buffer pool for each interface, channels for each processor.
#[test]
fn the_default_layout_suffices_for_two_processors_and_dpdk() {
    if !have_dtc("the_default_layout_suffices_for_two_processors_and_dpdk") {
        return;
    }
    let dpl = clean("default", layouts::ALL[0].source);
    let count = |container: u32, family| {
        let objects = &dpl.container(container).unwrap().objects;
        objects.iter().filter(|p| p.object.kind == family).count()
    };
    assert_eq!(count(1, ObjectType::Dpio), 2);
    assert_eq!(count(1, ObjectType::Dpni), 2);
    assert!(count(1, ObjectType::Dpmcp) >= 2 + 2 + 6);
    assert!(count(1, ObjectType::Dpcon) >= 2 * 2);
    assert!(count(1, ObjectType::Dpbp) >= 2);
    let child = [
        ObjectType::Dpmcp,
        ObjectType::Dpbp,
        ObjectType::Dpio,
        ObjectType::Dpcon,
        ObjectType::Dpni,
    ];
    assert_eq!(child.map(|family| count(2, family)), [3, 4, 5, 4, 2]);
    assert_eq!(dpl.container(2).unwrap().parent, Some(1));
    let eight = clean("eight-containers", layouts::find("eight-containers").unwrap().source);
    assert_eq!(eight.containers.len(), 1 + 8);
    let everything = clean("everything", layouts::find("everything").unwrap().source);
    for family in Config::FAMILIES.iter().filter(|family| **family != ObjectType::Dpaiop) {
        assert!(everything.objects.iter().any(|o| o.name().kind == *family), "{family}");
    }
}

/// The Management Complex makes what the project's layouts say.
#[test]
fn every_layout_of_the_project_can_be_made() {
    if !have_dtc("every_layout_of_the_project_can_be_made") {
        return;
    }
    for layout in layouts::ALL {
        let dpl = clean(layout.name, layout.source);
        let made = Inventory::of_layout(mc::Config::default(), &dpl, None);
        made.unwrap_or_else(|error| panic!("{}: {error}", layout.name));
    }
}

fn load(file: &Path) -> Loaded {
    Loader::new(&dtc).file(file).unwrap_or_else(|error| panic!("{error}"))
}

fn find_sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "dts") {
            files.push(path);
        }
    }
}

fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(part.split_once("*/").map_or("", |(_, code)| code));
    }
    kept
}

/// Nodes called `dpX@N`, counted without the reader.
fn count_definitions(text: &str) -> usize {
    text.split('{')
        .filter_map(|before| {
            before.rsplit([';', '{', '}', '\n']).map(str::trim).find(|s| !s.is_empty())
        })
        .filter(|name| name.starts_with("dp") && !name.starts_with("dprc@") && name.contains('@'))
        .count()
}
