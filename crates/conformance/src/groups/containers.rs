// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Two containers side by side: what is done with one is nothing to the other.

use crate::check::{Check, Outcome, Stop, check, ensure, fail, is, skip};
use crate::context::{self, Context, hold};
use crate::helper::{Helper, Job, is_clean};
use crate::kernel::Log;
use crate::mc::{self, EnabledInterrupt, container_of, enabled, expect_count, object, switch_on};
use dprc::{AssignedContainer, Device};
use fsl_mc_linux::bus::{self, SYSFS};
use std::time::{Duration, Instant};

const GROUP: Check = Check::group("containers")
    .source("DPAA2: a container is isolated by its own ICID and portals")
    .seconds(60);

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(groups, "Each container has an IOMMU group of its own, which its objects share."),
    check!(
        portals,
        "A portal of a container answers for this container, and opens no object of another."
    ),
    check!(
        commands,
        "Two processes send commands through two containers at the same time and get their own \
         answers."
    ),
    check!(interrupts, "An event of a container signals this container's eventfd and no other's.")
        .interrupts(),
    check!(
        interrupts_at_once,
        "Two processes have interrupts of two containers at the same time, each all its own."
    )
    .interrupts(),
    check!(resets, "A reset or a close of a container leaves the objects of another alone."),
    check!(unbind, "Unbinding and binding a container leaves a user of another alone.")
        .interrupts(),
    check!(kills, "A process that is killed with one container leaves a user of another alone.")
        .interrupts(),
    check!(objects_are_not_shared, "The group of a container gives no device of another."),
];

fn both(context: &Context) -> Result<[String; 2], Stop> {
    match &context.second {
        Some(second) => Ok([context.container.clone(), second.clone()]),
        None => skip("no second container"),
    }
}

fn open(name: &str) -> Result<(AssignedContainer, Device), Stop> {
    let held = hold(name)?;
    let dprc = held.dprc()?;
    Ok((held, dprc))
}

fn groups(context: &Context) -> Outcome {
    let both = both(context)?;
    let groups = both.each_ref().map(|name| SYSFS.group_of(name));
    ensure(groups[0].is_some() && groups[0] != groups[1], "two IOMMU groups", || {
        format!("{groups:?}")
    })?;
    for (name, group) in both.iter().zip(groups) {
        for object in SYSFS.objects(name)? {
            // A container in it has its own.
            if bus::family(&object) != "dprc" {
                is(&format!("IOMMU group of {object}"), SYSFS.group_of(&object), group)?;
            }
        }
    }
    Ok(())
}

fn portals(context: &Context) -> Outcome {
    let both = both(context)?;
    for (near, far) in [(&both[0], &both[1]), (&both[1], &both[0])] {
        let (_held, dprc) = open(near)?;
        let mut portal = dprc.portal()?;
        is("number of the portal's container", container_of(&mut portal)?, bus::number(near))?;
        let mut names = SYSFS.objects(far)?;
        names.push(far.clone());
        for name in names {
            if portal.open(object(&name)?).is_ok() {
                return fail(format!("{near} cannot open {name}"), "it can");
            }
        }
    }
    Ok(())
}

fn commands(context: &Context) -> Outcome {
    let both = both(context)?;
    let other = Helper::start(Job::Command, &[&both[1]])?;
    let (_held, dprc) = open(&both[0])?;
    let mut portal = dprc.portal()?;
    let end = Instant::now() + Duration::from_secs(u64::from(context.times(3)));
    while Instant::now() < end {
        is("number of the portal's container", container_of(&mut portal)?, bus::number(&both[0]))?;
        for name in SYSFS.objects(&both[0])? {
            let open = portal.open(object(&name)?)?;
            portal.close(open)?;
        }
    }
    other.finish()
}

fn interrupts(context: &Context) -> Outcome {
    let both = both(context)?;
    let ((_one, one), (_other, other)) = (open(&both[0])?, open(&both[1])?);
    let (mut one, mut other) = (EnabledInterrupt::new(&one)?, EnabledInterrupt::new(&other)?);
    for _ in 0..10 {
        one.raise_once()?;
        expect_count(other.interrupt.events(), 0, "an event of another container")?;
        other.raise_once()?;
        expect_count(one.interrupt.events(), 0, "an event of another container")?;
    }
    Ok(())
}

fn interrupts_at_once(context: &Context) -> Outcome {
    let both = both(context)?;
    let (_held, dprc) = open(&both[0])?;
    let mut armed = EnabledInterrupt::new(&dprc)?;
    let other = Helper::start(Job::Interrupt, &[&both[1]])?;
    for _ in 0..context.times(100) {
        armed.raise_once()?;
    }
    other.finish()
}

fn resets(context: &Context) -> Outcome {
    let both = both(context)?;
    let (_held, dprc) = open(&both[0])?;
    let mut portal = dprc.portal()?;
    let mut on = Vec::new();
    for name in context.objects()? {
        let id = object(&name)?;
        if mc::starts_off(bus::family(&name)) && switch_on(&mut portal, id)? {
            on.push(id);
        }
    }
    if on.is_empty() {
        return skip("the container has no object with a switch");
    }
    let mut all_on = |after: &str| {
        on.iter().try_for_each(|id| {
            ensure(enabled(&mut portal, *id)?, format!("{id} is on after {after}"), || "off".into())
        })
    };
    {
        let (held, other) = open(&both[1])?;
        for name in SYSFS.objects(&both[1])? {
            held.device(&name)?.reset()?;
        }
        other.reset()?;
        all_on("resets in another container")?;
    }
    all_on("the close of another container")
}

fn unbind(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let both = both(context)?;
    let (_held, dprc) = open(&both[0])?;
    let mut armed = EnabledInterrupt::new(&dprc)?;
    let mut portal = dprc.portal()?;
    for _ in 0..context.times(5) {
        context::rebind(&both[1])?;
        armed.raise_once()?;
        is("number of the portal's container", container_of(&mut portal)?, bus::number(&both[0]))?;
        let (_held, other) = open(&both[1])?;
        EnabledInterrupt::new(&other)?.raise_once()?;
        expect_count(armed.interrupt.events(), 0, "an event of another container")?;
    }
    log.is_calm()
}

fn kills(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let both = both(context)?;
    let (_held, dprc) = open(&both[0])?;
    let mut armed = EnabledInterrupt::new(&dprc)?;
    for job in [Job::Command, Job::Map, Job::Dma, Job::Open, Job::Reset, Job::HoldAll] {
        let other = Helper::start(job, &[&both[1]])?;
        armed.raise_once()?;
        other.kill()?;
        armed.raise_once()?;
        is_clean(&both[1])?;
    }
    let number = mc::container_of(&mut dprc.portal()?)?;
    is("number of the portal's container", number, bus::number(&both[0]))?;
    log.is_calm()
}

fn objects_are_not_shared(context: &Context) -> Outcome {
    let both = both(context)?;
    for (near, far) in [(&both[0], &both[1]), (&both[1], &both[0])] {
        let held = hold(near)?;
        let mut names = SYSFS.objects(far)?;
        names.push(far.clone());
        for name in names {
            if held.group.device(&held.iommu, &name).is_ok() {
                return fail(format!("{name} is none of {near}'s group"), "it opens there");
            }
        }
    }
    Ok(())
}
