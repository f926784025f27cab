// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The management interface: what one changes there, Linux sees without being asked
//! to look.

use crate::{
    guest::{driver, gone, inside, interrupts, mgmt, mgmt_refused},
    trial,
};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use mc_abi::ObjectType;
use vm_tests::TestVm;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("management::every_family", every_family),
        trial("management::moving", moving),
        trial("management::plugging", plugging),
        trial("management::connections", connections),
        trial("management::labels_and_locks", labels_and_locks),
    ]
}

/// Makes and destroys one of each family. The layout has hardly anything besides
/// command portals, and Linux none of the drivers that would take what appears.
fn every_family() -> Result<()> {
    TestVm::with("eight-containers")?.run(|vm| {
        let before = vm.board()?.mc().inventory();
        ensure!(mgmt(vm, "version")?.starts_with("10."), "firmware");
        for kind in ObjectType::ALL {
            if kind != ObjectType::Dpaiop {
                comes_and_goes(vm, kind).with_context(|| format!("making a {kind}"))?;
            }
        }
        mgmt_refused(vm, "create dpaiop", &["Create", "configuration error (0x6)"])?;
        for single in ["dprtc", "dpdbg"] {
            let name = mgmt(vm, &format!("create {single}"))?;
            mgmt_refused(vm, &format!("create {single}"), &["no resources (0x8)"])?;
            mgmt(vm, &format!("destroy {name}"))?;
        }
        mgmt_refused(vm, "destroy dpbp.77", &["Destroy", "no resources (0x8)"])?;
        mgmt_refused(vm, "open dpbp.77", &["dpbp.77", "no resources (0x8)"])?;
        let after = vm.board()?.mc().inventory();
        ensure!(after == before, "left behind: {after:#?}\nbefore: {before:#?}");
        same_devices(vm)
    })
}

fn comes_and_goes(vm: &mut TestVm, kind: ObjectType) -> Result<()> {
    let name = mgmt(vm, &format!("create {kind}"))?;
    ensure!(name.starts_with(&format!("{kind}.")), "made {name:?}");
    vm.wait_for_device(&name, |device| {
        // It is not plugged, so it has no driver.
        device.is_some_and(|d| {
            d.container.as_deref() == Some("dprc.1")
                && d.modalias == format!("fsl-mc:v00001957d{kind}")
                && d.driver.is_none()
        })
    })?;
    let shown = mgmt(vm, &format!("show {name}"))?;
    let number = name.rsplit('.').next().unwrap_or_default();
    // Those of a dpni and of a dpsw do not have the number.
    let words = match kind {
        ObjectType::Dpni => "num_queues: 1".to_owned(),
        ObjectType::Dpsw => "num_ifs: ".to_owned(),
        _ => format!("id: {number}"),
    };
    ensure!(shown.contains(&words), "attributes of {name}: {shown}");
    let opened = mgmt(vm, &format!("open {name}"))?;
    ensure!(opened.starts_with(&format!("{name} version ")), "{opened}");
    let listed = mgmt(vm, "list")?;
    ensure!(listed.contains(&format!("{name:?}")), "{name} is not listed:\n{listed}");
    mgmt(vm, &format!("destroy {name}"))?;
    vm.wait_for_device(&name, gone)
}

/// An object goes to a child container and comes back; Linux follows.
///
/// A child that Linux's driver has is not given anything here: both containers'
/// interrupts come then, and Linux, which looks at both at the same time, cannot
/// register the object in the new one while the old one still has it. Tools fill
/// a container before they plug it.
fn moving() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        let child = mgmt(vm, "create dprc")?;
        vm.wait_for_device(&child, driver(None))?;
        let shown = mgmt(vm, &format!("show {child}"))?;
        let icid = vm.icid(&child)?;
        ensure!(shown.contains(&format!("icid: {icid},")), "{shown}");
        let pool = mgmt(vm, "create dpbp")?;
        vm.wait_for_device(&pool, inside("dprc.1"))?;

        // It is out of sight until Linux's driver has the container.
        mgmt(vm, &format!("assign {pool} {child} --plugged"))?;
        vm.wait_for_device(&pool, gone)?;
        let listed = mgmt(vm, &format!("list {child}"))?;
        ensure!(listed.contains(&format!("{pool:?}")), "{listed}");
        mgmt(vm, &format!("plug {child}"))?;
        vm.wait_for_device(&child, driver(Some("fsl_mc_dprc")))?;
        vm.wait_for_device(&pool, inside(&child))?;
        vm.wait_for_device(&pool, driver(Some("fsl_mc_allocator")))?;
        let devices = vm.devices()?;
        let group = |name: &str| {
            let device = devices.iter().find(|device| device.name == name);
            device.and_then(|device| device.iommu_group)
        };
        ensure!(group(&pool) == group(&child), "{pool} is not in the group of {child}");
        ensure!(group(&pool) != group("dprc.1"), "{child} is in the group of the root");
        let own = mgmt(vm, &format!("create dpcon --in {child}"))?;
        vm.wait_for_device(&own, inside(&child))?;

        // What is plugged stays where it is.
        mgmt_refused(vm, &format!("unassign {pool} {child}"), &["Unassign", "(0xc)"])?;
        mgmt(vm, &format!("unplug {pool} --in {child}"))?;
        vm.wait_for_device(&pool, driver(None))?;
        mgmt(vm, &format!("unplug {child}"))?;
        vm.wait_for_device(&child, driver(None))?;
        vm.wait_for_device(&pool, gone)?;
        mgmt(vm, &format!("unassign {pool} {child}"))?;
        vm.wait_for_device(&pool, inside("dprc.1"))?;

        // What is in a container that goes, goes to its parent or with it.
        mgmt(vm, &format!("assign {pool} {child}"))?;
        vm.wait_for_device(&pool, gone)?;
        mgmt(vm, &format!("destroy {child}"))?;
        vm.wait_for_device(&child, gone)?;
        vm.wait_for_device(&pool, inside("dprc.1"))?;
        mgmt_refused(vm, &format!("open {own}"), &["no resources (0x8)"])?;
        mgmt(vm, &format!("destroy {pool}"))?;
        vm.wait_for_device(&pool, gone)?;
        same_devices(vm)
    })
}

/// Linux gives an object to a driver when it is plugged, and takes it away.
fn plugging() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        let seen = interrupts(vm, "dprc.1")?;
        for kind in ["dpbp", "dpcon", "dpmcp"] {
            let name = mgmt(vm, &format!("create {kind}"))?;
            vm.wait_for_device(&name, driver(None))?;
            for _ in 0..2 {
                mgmt(vm, &format!("plug {name}"))?;
                vm.wait_for_device(&name, driver(Some("fsl_mc_allocator")))?;
                mgmt(vm, &format!("unplug {name}"))?;
                vm.wait_for_device(&name, driver(None))?;
            }
            mgmt(vm, &format!("destroy {name}"))?;
            vm.wait_for_device(&name, gone)?;
        }
        let now = interrupts(vm, "dprc.1")?;
        // Six changes of each of three objects; what comes while the kernel
        // looks may share an interrupt.
        ensure!(now >= seen + 3, "the root container's interrupts were {seen}, are {now}");
        same_devices(vm)
    })
}

fn connections() -> Result<()> {
    TestVm::with("eight-containers")?.run(|vm| {
        let [one, two] = [mgmt(vm, "create dpni")?, mgmt(vm, "create dpni")?];
        ensure!(mgmt(vm, &format!("connection {one}"))? == "not connected", "{one} is connected");
        mgmt(vm, &format!("connect {one} {two}"))?;
        for (end, other) in [(&one, &two), (&two, &one)] {
            let answer = mgmt(vm, &format!("connection {end}"))?;
            ensure!(answer == format!("{other}:0 link down"), "{end}: {answer}");
        }
        let found = vm.board()?.mc().inventory().connections;
        ensure!(found.contains(&(one.clone(), two.clone())), "connections: {found:?}");
        mgmt_refused(vm, &format!("connect {one}:7 {two}"), &["Connect"])?;
        mgmt(vm, &format!("disconnect {two}"))?;
        ensure!(mgmt(vm, &format!("connection {one}"))? == "not connected", "{one} is connected");
        mgmt(vm, &format!("destroy {one}"))?;
        mgmt(vm, &format!("destroy {two}"))?;
        vm.wait_for_device(&two, gone)?;
        same_devices(vm)
    })
}

fn labels_and_locks() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        mgmt(vm, "label dpbp.0 first-pool")?;
        ensure!(mgmt(vm, "list")?.contains("first-pool"), "the label is not listed");

        let child = mgmt(vm, "create dprc")?;
        vm.wait_for_device(&child, driver(None))?;
        mgmt(vm, &format!("lock {child}"))?;
        let no = ["no privilege (0x4)"];
        mgmt_refused(vm, &format!("create dpbp --in {child}"), &no)?;
        mgmt_refused(vm, &format!("create dprc --in {child}"), &no)?;
        ensure!(mgmt(vm, &format!("list {child}"))?.is_empty(), "something is in {child}");
        // Its parent moves objects in all the same: what locks are for.
        let pool = mgmt(vm, "create dpbp")?;
        vm.wait_for_device(&pool, inside("dprc.1"))?;
        mgmt(vm, &format!("assign {pool} {child}"))?;
        vm.wait_for_device(&pool, gone)?;
        mgmt(vm, &format!("unlock {child}"))?;
        let own = mgmt(vm, &format!("create dpbp --in {child}"))?;
        // Not its child: dprc.1 does not lock itself.
        mgmt_refused(vm, "lock dprc.1", &no)?;
        mgmt_refused(vm, "lock dprc.77", &["no resources (0x8)"])?;
        mgmt(vm, &format!("destroy {child}"))?;
        vm.wait_for_device(&child, gone)?;
        vm.wait_for_device(&pool, inside("dprc.1"))?;
        mgmt_refused(vm, &format!("open {own}"), &["no resources (0x8)"])?;
        same_devices(vm)
    })
}

/// Linux comes to list exactly what the MC has, each in its container.
pub fn same_devices(vm: &mut TestVm) -> Result<()> {
    let inventory = vm.board()?.mc().inventory();
    let mut wanted: Vec<(String, Option<String>)> = Vec::new();
    for container in &inventory.containers {
        wanted.push((container.id.to_string(), container.parent.map(|id| id.to_string())));
        let objects = container.objects.iter();
        wanted.extend(objects.map(|o| (o.id.to_string(), Some(container.id.to_string()))));
    }
    wanted.sort();
    vm.wait_for_devices(|devices| {
        let devices = devices.iter().map(|device| (device.name.clone(), device.container.clone()));
        let mut found: Vec<_> = devices.collect();
        found.sort();
        ensure!(found == wanted, "Linux has {found:?}\nthe MC has {wanted:?}");
        Ok(())
    })
}
