// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Each layout boots, and Linux finds exactly its objects.

use crate::trial;
use anyhow::{Context, Result, ensure};
use board::{
    dpl::{Dpc, Dpl, Loader},
    mc::Inventory,
};
use fslmc::session;
use guest_protocol::BusDevice;
use libtest_mimic::Trial;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use vm_tests::{TestVm, TestVmBuilder, layout, layout_of, skips};

pub fn trials() -> Vec<Trial> {
    let own = board::dpl::layouts::ALL.iter().map(|built_in| {
        let name = built_in.name;
        trial(format!("layouts::{name}"), move || boots(layout(name)?))
    });
    let boards = board_files().into_iter().map(|path| {
        let name = path.strip_prefix(boards()).unwrap_or(&path).display().to_string();
        trial(format!("layouts::boards::{name}"), move || {
            let configuration = configuration_of(&path)?;
            boots_as(layout_of(&path)?, |vm| vm.options(|options| options.ports = configuration))
        })
    });
    own.chain(boards).chain(no_boards()).collect()
}

/// Stands for the tests of real boards' layouts where there are none of those.
fn no_boards() -> Option<Trial> {
    let missing = || {
        let reason = format!("there is no {}", boards().display());
        skips::not_applicable("layouts::boards", 1, &reason);
        Ok(())
    };
    board_files().is_empty().then(|| trial("layouts::boards", missing))
}

/// Sources of real boards, which are no part of the project: used where they
/// lie beside the checkout.
fn boards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/boards")
}

fn board_files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                walk(&path, found);
            } else if name.starts_with("dpl") && name.ends_with(".dts") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&boards(), &mut found);
    found.sort();
    found
}

/// The configuration that belongs to a layout: `dpc.8.dts` to `dpl-eth.8.dts`. Some layouts
/// have more channels than there are without it.
fn configuration_of(layout: &Path) -> Result<Option<Dpc>> {
    let name = layout.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let Some((_, number)) = name.split_once('.') else { return Ok(None) };
    let file = layout.with_file_name(format!("dpc.{number}.dts"));
    if !file.is_file() {
        return Ok(None);
    }
    let packages = &vm_tests::artifacts()?.packages;
    let dtc = || session::dtc(packages);
    Ok(Some(Loader::new(&dtc).file(&file)?.into_dpc()?))
}

fn boots(layout: Dpl) -> Result<()> {
    boots_as(layout, |vm| vm)
}

/// Boots a layout on a machine that is changed beforehand.
pub fn boots_as(layout: Dpl, change: impl FnOnce(TestVmBuilder) -> TestVmBuilder) -> Result<()> {
    let expected = layout.clone();
    change(TestVm::with_layout(layout)).run(|vm| {
        vm.load(&["fsl-mc-dpio"])?;
        let devices = vm.devices()?;
        same_objects(&expected, &devices)?;
        one_group_a_container(&devices)?;
        drivers(&devices)?;
        let inventory = vm.board()?.mc().inventory();
        versions(&inventory, &devices)
    })
}

/// Exactly the objects of the layout, each in its container.
pub fn same_objects(layout: &Dpl, devices: &[BusDevice]) -> Result<()> {
    let mut wanted = BTreeMap::new();
    for container in &layout.containers {
        let parent = container.parent.map(|parent| format!("dprc.{parent}"));
        wanted.insert(format!("dprc.{}", container.id), parent);
        for placement in &container.objects {
            wanted.insert(placement.object.to_string(), Some(format!("dprc.{}", container.id)));
        }
    }
    let found: BTreeMap<_, _> =
        devices.iter().map(|d| (d.name.clone(), d.container.clone())).collect();
    let missing: Vec<_> = wanted.iter().filter(|entry| !found.contains_key(entry.0)).collect();
    let surplus: Vec<_> = found.iter().filter(|entry| !wanted.contains_key(entry.0)).collect();
    ensure!(missing.is_empty() && surplus.is_empty(), "missing: {missing:?}, surplus: {surplus:?}");
    ensure!(found == wanted, "objects in other containers: {found:?} instead of {wanted:?}");
    Ok(())
}

/// A container and its objects share a group of their own.
fn one_group_a_container(devices: &[BusDevice]) -> Result<()> {
    let mut groups: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for device in devices {
        let group = device.iommu_group.with_context(|| format!("{} has no group", device.name))?;
        let container = match device.kind.as_str() {
            "dprc" => device.name.clone(),
            _ => device.container.clone().with_context(|| format!("{} is nowhere", device.name))?,
        };
        groups.entry(container).or_default().insert(group);
    }
    let all: BTreeSet<_> = groups.values().flatten().collect();
    ensure!(
        groups.values().all(|own| own.len() == 1) && all.len() == groups.len(),
        "groups by container: {groups:?}"
    );
    Ok(())
}

/// The drivers that Linux has for what it finds.
fn drivers(devices: &[BusDevice]) -> Result<()> {
    let mut portals = 0;
    for device in devices {
        let driver = device.driver.as_deref();
        match device.kind.as_str() {
            "dprc" => ensure!(driver == Some("fsl_mc_dprc"), "{}: {driver:?}", device.name),
            "dpmcp" | "dpbp" | "dpcon" => {
                ensure!(driver == Some("fsl_mc_allocator"), "{}: {driver:?}", device.name);
            }
            "dpio" => portals += u32::from(driver == Some("fsl_mc_dpio")),
            _ => {}
        }
    }
    let any = devices.iter().any(|device| device.kind == "dpio");
    // A processor takes one; the driver leaves the others alone.
    ensure!(!any || portals > 0, "no dpio is bound");
    Ok(())
}

/// Linux was given the versions that the families have.
fn versions(inventory: &Inventory, devices: &[BusDevice]) -> Result<()> {
    let objects = inventory.containers.iter().flat_map(|container| &container.objects);
    for object in objects {
        let name = object.id.to_string();
        let device = devices.iter().find(|device| device.name == name);
        let version = device.and_then(|device| device.version);
        ensure!(version == Some(object.version), "{name}: {version:?}, not {:?}", object.version);
    }
    Ok(())
}
