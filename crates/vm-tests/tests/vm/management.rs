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
use vm_tests::Bed;

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
    Bed::with("eight-containers")?.run(|bed| {
        let before = bed.board()?.mc().inventory();
        ensure!(mgmt(bed, "version")?.starts_with("10."), "firmware");
        for kind in ObjectType::ALL {
            if kind != ObjectType::Dpaiop {
                comes_and_goes(bed, kind).with_context(|| format!("making a {kind}"))?;
            }
        }
        mgmt_refused(bed, "create dpaiop", &["Create", "configuration error (0x6)"])?;
        for single in ["dprtc", "dpdbg"] {
            let name = mgmt(bed, &format!("create {single}"))?;
            mgmt_refused(bed, &format!("create {single}"), &["no resources (0x8)"])?;
            mgmt(bed, &format!("destroy {name}"))?;
        }
        mgmt_refused(bed, "destroy dpbp.77", &["Destroy", "no resources (0x8)"])?;
        mgmt_refused(bed, "open dpbp.77", &["dpbp.77", "no resources (0x8)"])?;
        let after = bed.board()?.mc().inventory();
        ensure!(after == before, "left behind: {after:#?}\nbefore: {before:#?}");
        same_devices(bed)
    })
}

fn comes_and_goes(bed: &mut Bed, kind: ObjectType) -> Result<()> {
    let name = mgmt(bed, &format!("create {kind}"))?;
    ensure!(name.starts_with(&format!("{kind}.")), "made {name:?}");
    bed.wait_for_device(&name, |device| {
        // It is not plugged, so it has no driver.
        device.is_some_and(|d| {
            d.container.as_deref() == Some("dprc.1")
                && d.modalias == format!("fsl-mc:v00001957d{kind}")
                && d.driver.is_none()
        })
    })?;
    let shown = mgmt(bed, &format!("show {name}"))?;
    let number = name.rsplit('.').next().unwrap_or_default();
    // Those of a dpni and of a dpsw do not have the number.
    let words = match kind {
        ObjectType::Dpni => "num_queues: 1".to_owned(),
        ObjectType::Dpsw => "num_ifs: ".to_owned(),
        _ => format!("id: {number}"),
    };
    ensure!(shown.contains(&words), "attributes of {name}: {shown}");
    let opened = mgmt(bed, &format!("open {name}"))?;
    ensure!(opened.starts_with(&format!("{name} version ")), "{opened}");
    let listed = mgmt(bed, "list")?;
    ensure!(listed.contains(&format!("{name:?}")), "{name} is not listed:\n{listed}");
    mgmt(bed, &format!("destroy {name}"))?;
    bed.wait_for_device(&name, gone)
}

/// An object goes to a child container and comes back; Linux follows.
///
/// A child that Linux's driver has is not given anything here: both containers'
/// interrupts come then, and Linux, which looks at both at the same time, cannot
/// register the object in the new one while the old one still has it. Tools fill
/// a container before they plug it.
fn moving() -> Result<()> {
    Bed::with("default")?.run(|bed| {
        let child = mgmt(bed, "create dprc")?;
        bed.wait_for_device(&child, driver(None))?;
        let shown = mgmt(bed, &format!("show {child}"))?;
        let icid = bed.icid(&child)?;
        ensure!(shown.contains(&format!("icid: {icid},")), "{shown}");
        let pool = mgmt(bed, "create dpbp")?;
        bed.wait_for_device(&pool, inside("dprc.1"))?;

        // It is out of sight until Linux's driver has the container.
        mgmt(bed, &format!("assign {pool} {child} --plugged"))?;
        bed.wait_for_device(&pool, gone)?;
        let listed = mgmt(bed, &format!("list {child}"))?;
        ensure!(listed.contains(&format!("{pool:?}")), "{listed}");
        mgmt(bed, &format!("plug {child}"))?;
        bed.wait_for_device(&child, driver(Some("fsl_mc_dprc")))?;
        bed.wait_for_device(&pool, inside(&child))?;
        bed.wait_for_device(&pool, driver(Some("fsl_mc_allocator")))?;
        let devices = bed.devices()?;
        let group = |name: &str| {
            let device = devices.iter().find(|device| device.name == name);
            device.and_then(|device| device.iommu_group)
        };
        ensure!(group(&pool) == group(&child), "{pool} is not in the group of {child}");
        ensure!(group(&pool) != group("dprc.1"), "{child} is in the group of the root");
        let own = mgmt(bed, &format!("create dpcon --in {child}"))?;
        bed.wait_for_device(&own, inside(&child))?;

        // What is plugged stays where it is.
        mgmt_refused(bed, &format!("unassign {pool} {child}"), &["Unassign", "(0xc)"])?;
        mgmt(bed, &format!("unplug {pool} --in {child}"))?;
        bed.wait_for_device(&pool, driver(None))?;
        mgmt(bed, &format!("unplug {child}"))?;
        bed.wait_for_device(&child, driver(None))?;
        bed.wait_for_device(&pool, gone)?;
        mgmt(bed, &format!("unassign {pool} {child}"))?;
        bed.wait_for_device(&pool, inside("dprc.1"))?;

        // What is in a container that goes, goes to its parent or with it.
        mgmt(bed, &format!("assign {pool} {child}"))?;
        bed.wait_for_device(&pool, gone)?;
        mgmt(bed, &format!("destroy {child}"))?;
        bed.wait_for_device(&child, gone)?;
        bed.wait_for_device(&pool, inside("dprc.1"))?;
        mgmt_refused(bed, &format!("open {own}"), &["no resources (0x8)"])?;
        mgmt(bed, &format!("destroy {pool}"))?;
        bed.wait_for_device(&pool, gone)?;
        same_devices(bed)
    })
}

/// Linux gives an object to a driver when it is plugged, and takes it away.
fn plugging() -> Result<()> {
    Bed::with("default")?.run(|bed| {
        let seen = interrupts(bed, "dprc.1")?;
        for kind in ["dpbp", "dpcon", "dpmcp"] {
            let name = mgmt(bed, &format!("create {kind}"))?;
            bed.wait_for_device(&name, driver(None))?;
            for _ in 0..2 {
                mgmt(bed, &format!("plug {name}"))?;
                bed.wait_for_device(&name, driver(Some("fsl_mc_allocator")))?;
                mgmt(bed, &format!("unplug {name}"))?;
                bed.wait_for_device(&name, driver(None))?;
            }
            mgmt(bed, &format!("destroy {name}"))?;
            bed.wait_for_device(&name, gone)?;
        }
        let now = interrupts(bed, "dprc.1")?;
        // Six changes of each of three objects; what comes while the kernel
        // looks may share an interrupt.
        ensure!(now >= seen + 3, "the root container's interrupts were {seen}, are {now}");
        same_devices(bed)
    })
}

fn connections() -> Result<()> {
    Bed::with("eight-containers")?.run(|bed| {
        let [one, two] = [mgmt(bed, "create dpni")?, mgmt(bed, "create dpni")?];
        ensure!(mgmt(bed, &format!("connection {one}"))? == "not connected", "{one} is connected");
        mgmt(bed, &format!("connect {one} {two}"))?;
        for (end, other) in [(&one, &two), (&two, &one)] {
            let answer = mgmt(bed, &format!("connection {end}"))?;
            ensure!(answer == format!("{other}:0 link down"), "{end}: {answer}");
        }
        let found = bed.board()?.mc().inventory().connections;
        ensure!(found.contains(&(one.clone(), two.clone())), "connections: {found:?}");
        mgmt_refused(bed, &format!("connect {one}:7 {two}"), &["Connect"])?;
        mgmt(bed, &format!("disconnect {two}"))?;
        ensure!(mgmt(bed, &format!("connection {one}"))? == "not connected", "{one} is connected");
        mgmt(bed, &format!("destroy {one}"))?;
        mgmt(bed, &format!("destroy {two}"))?;
        bed.wait_for_device(&two, gone)?;
        same_devices(bed)
    })
}

fn labels_and_locks() -> Result<()> {
    Bed::with("default")?.run(|bed| {
        mgmt(bed, "label dpbp.0 first-pool")?;
        ensure!(mgmt(bed, "list")?.contains("first-pool"), "the label is not listed");

        let child = mgmt(bed, "create dprc")?;
        bed.wait_for_device(&child, driver(None))?;
        mgmt(bed, &format!("lock {child}"))?;
        let no = ["no privilege (0x4)"];
        mgmt_refused(bed, &format!("create dpbp --in {child}"), &no)?;
        mgmt_refused(bed, &format!("create dprc --in {child}"), &no)?;
        ensure!(mgmt(bed, &format!("list {child}"))?.is_empty(), "something is in {child}");
        // Its parent moves objects in all the same: what locks are for.
        let pool = mgmt(bed, "create dpbp")?;
        bed.wait_for_device(&pool, inside("dprc.1"))?;
        mgmt(bed, &format!("assign {pool} {child}"))?;
        bed.wait_for_device(&pool, gone)?;
        mgmt(bed, &format!("unlock {child}"))?;
        let own = mgmt(bed, &format!("create dpbp --in {child}"))?;
        // Not its child: dprc.1 does not lock itself.
        mgmt_refused(bed, "lock dprc.1", &no)?;
        mgmt_refused(bed, "lock dprc.77", &["no resources (0x8)"])?;
        mgmt(bed, &format!("destroy {child}"))?;
        bed.wait_for_device(&child, gone)?;
        bed.wait_for_device(&pool, inside("dprc.1"))?;
        mgmt_refused(bed, &format!("open {own}"), &["no resources (0x8)"])?;
        same_devices(bed)
    })
}

/// Linux lists exactly what the MC has, each in its container.
pub fn same_devices(bed: &mut Bed) -> Result<()> {
    let inventory = bed.board()?.mc().inventory();
    let mut wanted: Vec<(String, Option<String>)> = Vec::new();
    for container in &inventory.containers {
        wanted.push((container.id.to_string(), container.parent.map(|id| id.to_string())));
        let objects = container.objects.iter();
        wanted.extend(objects.map(|o| (o.id.to_string(), Some(container.id.to_string()))));
    }
    wanted.sort();
    let devices = bed.devices()?.into_iter().map(|device| (device.name, device.container));
    let mut found: Vec<_> = devices.collect();
    found.sort();
    ensure!(found == wanted, "Linux has {found:?}\nthe MC has {wanted:?}");
    Ok(())
}
