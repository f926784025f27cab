// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Making the container through the management interface, and destroying it.

use super::Context;
use super::report::Report;
use crate::manage::{self, Answered, with_open};
use dprc::{Management, McPortal, OpenObject};
use fsl_mc_linux::bus::{self, HOST_DRIVER, SYSFS};
use guest_agent::Failure;
use mc_abi::dprc::Connect;
use mc_abi::{ObjectId, ObjectType, Token, dpmng};

/// What the container gets: enough for two network interfaces in user space.
const CONTENTS: [(ObjectType, u32); 5] = [
    (ObjectType::Dpmcp, 2),
    (ObjectType::Dpbp, 1),
    (ObjectType::Dpio, 1),
    (ObjectType::Dpcon, 1),
    (ObjectType::Dpni, 2),
];

/// Makes a container with objects, and waits for Linux to see it.
pub fn make(report: &mut Report, root: ObjectId) -> Result<ObjectId, Failure> {
    let title = format!("The management interface /dev/{root} answers");
    let portal = &mut report.step(&title, |report| {
        let mut portal = Management::open(&root.to_string())?;
        let version = portal.call(Token::NONE, &dpmng::GetVersion {})?;
        report.detail(format!(
            "the Management Complex runs firmware {}.{}.{}",
            version.major, version.minor, version.revision
        ));
        Ok(portal)
    })?;
    let container = report.step("A child container is made through it", |report| {
        let made =
            with_open(portal, root, |portal, open| manage::create_container(portal, open, "demo"))?;
        report.detail(format!(
            "{made} is there, with an isolation id and a command portal of its own"
        ));
        Ok(made)
    })?;
    let objects = report.step("Objects are made in it and plugged in", |report| {
        let objects = fill(portal, container)?;
        let names: Vec<String> = objects.iter().map(ObjectId::to_string).collect();
        report.detail(names.join(", "));
        with_open(portal, root, |portal, open| {
            if let Some((one, other)) = connect_interfaces(portal, open, &objects)? {
                report.detail(format!("{one} and {other} are connected with each other"));
            }
            manage::assign(portal, open, container, root, true)
        })?;
        report.detail(format!("{container} is plugged in at last, so that Linux takes notice"));
        Ok(objects)
    })?;
    report.step("Linux notices, without being asked to", |report| {
        let name = container.to_string();
        let count = || SYSFS.objects(&name).map_or(0, |objects| objects.len());
        let seen = bus::wait_until(bus::PATIENCE, || {
            SYSFS.driver_of(&name).is_some() && count() == objects.len()
        });
        if !seen {
            return Err(Failure::new(
                format!(
                    "after {} s Linux has {} ({}) with {} of {} objects",
                    bus::PATIENCE.as_secs(),
                    if SYSFS.has(&name) { name.as_str() } else { "nothing" },
                    SYSFS.driver_of(&name).map_or_else(
                        || "no driver".to_owned(),
                        |driver| format!("driver {driver}")
                    ),
                    count(),
                    objects.len()
                ),
                format!("{}/devices/{name}", bus::ROOT),
                "The Management Complex notifies Linux by the interrupt of the root container; \
                 see /proc/interrupts and dmesg",
            ));
        }
        report.detail(format!(
            "{}/devices/{name} has driver {HOST_DRIVER} and {} objects",
            bus::ROOT,
            count()
        ));
        Ok(())
    })?;
    Ok(container)
}

/// Connects the two interfaces.
fn connect_interfaces(
    portal: &mut McPortal,
    root: OpenObject,
    objects: &[ObjectId],
) -> Answered<Option<(ObjectId, ObjectId)>> {
    let mut interfaces = objects.iter().filter(|object| object.kind == ObjectType::Dpni);
    let (Some(one), Some(other)) = (interfaces.next(), interfaces.next()) else {
        return Ok(None);
    };
    let connect = Connect {
        id1: one.id,
        kind1: one.kind,
        id2: other.id,
        kind2: other.kind,
        ..Connect::default()
    };
    portal.call(root, &connect)?;
    Ok(Some((*one, *other)))
}

fn fill(portal: &mut McPortal, container: ObjectId) -> Answered<Vec<ObjectId>> {
    with_open(portal, container, |portal, open| {
        let mut objects = Vec::new();
        for (kind, count) in CONTENTS {
            for _ in 0..count {
                let object = manage::create(portal, open, kind)?;
                manage::assign(portal, open, object, container, true)?;
                objects.push(object);
            }
        }
        Ok(objects)
    })
}

/// Destroys the container with its objects, and waits for Linux to forget it.
pub fn destroy(report: &mut Report, context: &Context) -> Result<(), Failure> {
    let Context { root, container, .. } = context;
    let name = container.to_string();
    report.step("The container and its objects are destroyed", |report| {
        SYSFS.unbind(&name)?;
        let portal = &mut Management::open(&root.to_string())?;
        let count = empty(portal, *container)?;
        with_open(portal, *root, |portal, open| {
            manage::assign(portal, open, *container, *root, false)?;
            manage::destroy(portal, open, *container)
        })?;
        if !bus::wait_until(bus::PATIENCE, || !SYSFS.has(&name)) {
            return Err(Failure::new(
                format!("{name} is destroyed, but Linux still shows it"),
                format!("{}/devices/{name}", bus::ROOT),
                "The Management Complex notifies Linux by the interrupt of the root container; \
                 see /proc/interrupts and dmesg",
            ));
        }
        report.detail(format!("{count} objects and {name} are gone, and Linux has forgotten them"));
        Ok(())
    })
}

fn empty(portal: &mut McPortal, container: ObjectId) -> Answered<usize> {
    with_open(portal, container, |portal, open| {
        let objects = manage::list(portal, open)?;
        for object in &objects {
            let object = ObjectId::new(object.kind, object.id);
            manage::assign(portal, open, object, container, false)?;
            manage::destroy(portal, open, object)?;
        }
        Ok(objects.len())
    })
}
