// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container in the hands of user space.

use super::bus::print_json;
use crate::cli::Vfio;
use crate::manage::with_open;
use dprc::{
    Access, AssignedContainer, AttachedGroup, Container, Device, DmaBuffer, Group, IommuType,
    McPortal,
};
use fsl_mc_linux::bus::SYSFS;
use guest_agent::Failure;
use mc_abi::common::{SetIrqEnable, SetIrqMask};
use mc_abi::{ObjectId, Token, dpmng};
use serde_json::json;
use std::io::Read;
use std::time::{Duration, Instant};

/// The names of a container and all that is in it.
pub fn names(container: &str) -> Result<Vec<String>, Failure> {
    let objects = SYSFS.objects(container)?;
    Ok(std::iter::once(container.to_owned()).chain(objects).collect())
}

/// Does one thing.
pub fn run(action: &Vfio) -> Result<(), Failure> {
    match action {
        Vfio::Info { container, json } => info(container, *json),
        Vfio::Hold { container } => {
            let held = AssignedContainer::open(container)?;
            let device = held.dprc()?;
            println!("holding {}", device.name());
            wait_for_end_of_input();
            Ok(())
        }
        Vfio::Irq { container, object, index, count, seconds, events, simulate } => {
            let patience = Duration::from_secs(*seconds);
            irq(container, object, *index, *count, patience, *events, *simulate)
        }
        Vfio::Session => super::session::run(),
        Vfio::Together { containers } => together(containers),
        Vfio::Command { container, count } => command(container, *count),
        Vfio::Reset { container, object } => {
            let held = AssignedContainer::open(container)?;
            let device = held.device(object.as_ref().unwrap_or(container))?;
            device.reset()?;
            println!("reset {}", device.name());
            Ok(())
        }
    }
}

fn info(container: &str, as_json: bool) -> Result<(), Failure> {
    let held = AssignedContainer::open(container)?;
    for name in names(container)? {
        let device = held.device(&name)?;
        let (regions, irqs) = tables(&device)?;
        if as_json {
            print_json(&json!({
                "name": name,
                "flags": device.info().flags,
                "resettable": device.info().resettable,
                "regions": regions.iter().map(|region| json!({
                    "size": region.size,
                    "offset": region.offset,
                    "readable": region.readable,
                    "writable": region.writable,
                    "mappable": region.mappable,
                })).collect::<Vec<_>>(),
                "irqs": irqs.iter().map(|irq| json!({
                    "count": irq.count,
                    "eventfd": irq.eventfd,
                    "maskable": irq.maskable,
                })).collect::<Vec<_>>(),
            }))?;
        } else {
            println!("{}", describe(&device, &regions, &irqs));
        }
    }
    Ok(())
}

/// All regions and interrupts of a device.
pub fn tables(device: &Device) -> Result<(Vec<dprc::RegionInfo>, Vec<dprc::IrqInfo>), Failure> {
    let info = device.info();
    let regions = (0..info.regions).map(|index| device.region(index)).collect::<Result<_, _>>()?;
    let irqs = (0..info.irqs).map(|index| device.irq(index)).collect::<Result<_, _>>()?;
    Ok((regions, irqs))
}

/// A device as a line of a table: `dpio.0  3 regions 64K(rwm) ...  1 interrupt`.
pub fn describe(device: &Device, regions: &[dprc::RegionInfo], irqs: &[dprc::IrqInfo]) -> String {
    let region = |region: &dprc::RegionInfo| {
        let flag = |set, letter| if set { letter } else { '-' };
        format!(
            "{} {}{}{}",
            size_words(region.size),
            flag(region.readable, 'r'),
            flag(region.writable, 'w'),
            flag(region.mappable, 'm')
        )
    };
    let regions: Vec<String> = regions.iter().map(region).collect();
    let eventfds = irqs.iter().filter(|irq| irq.eventfd).count();
    format!(
        "{:<10} regions: {:<34} interrupts: {} ({eventfds} by eventfd){}",
        device.name(),
        if regions.is_empty() { "none".to_owned() } else { regions.join(", ") },
        irqs.len(),
        if device.info().resettable { ", resettable" } else { "" }
    )
}

fn size_words(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

fn irq(
    container: &str,
    object: &str,
    index: u32,
    count: u64,
    patience: Duration,
    events: u32,
    simulate: u32,
) -> Result<(), Failure> {
    let held = AssignedContainer::open(container)?;
    let device = held.device(object)?;
    let interrupt = device.enable_interrupt(index)?;
    if events != 0 {
        let mut portal = held.dprc()?.portal()?;
        let index = u8::try_from(index).unwrap_or(u8::MAX);
        let object: ObjectId = object.parse().map_err(|error| {
            Failure::new(format!("{object:?}: {error}"), "the command line", "")
        })?;
        enable_events(&mut portal, object, index, events)?;
    }
    println!("waiting for interrupts of {object}");
    for _ in 0..simulate {
        interrupt.simulate()?;
    }
    let mut seen = 0;
    while seen < count {
        let start = Instant::now();
        let new = interrupt.events().wait(patience)?;
        if new == 0 {
            return Err(Failure::new(
                format!("{seen} of {count} interrupts came, then none in {} s", patience.as_secs()),
                format!("interrupt {index} of {object}"),
                "See /proc/interrupts, and the object's mask and status",
            ));
        }
        seen += new;
        println!("interrupt: {new} after {} ms, {seen} in all", start.elapsed().as_millis());
    }
    Ok(())
}

/// Lets an object raise its interrupt for these events.
pub fn enable_events(
    portal: &mut McPortal,
    object: ObjectId,
    index: u8,
    mask: u32,
) -> Result<(), dprc::PortalError> {
    with_open(portal, object, |portal, open| {
        portal.call(open, &SetIrqMask { mask, index })?;
        portal.call(open, &SetIrqEnable { enable: true, index })
    })
}

fn command(container: &str, count: u32) -> Result<(), Failure> {
    let held = AssignedContainer::open(container)?;
    let mut portals = vec![held.dprc()?.portal()?];
    let command_portal = names(container)?.into_iter().find(|name| name.starts_with("dpmcp."));
    if let Some(name) = command_portal {
        portals.push(held.device(&name)?.mapped_portal()?);
    }
    for portal in &mut portals {
        let start = Instant::now();
        for _ in 0..count {
            portal.call(Token::NONE, &dpmng::GetVersion {})?;
        }
        let each = start.elapsed() / count.max(1);
        let version = portal.call(Token::NONE, &dpmng::GetVersion {})?;
        let id = portal.call(Token::NONE, &dpmng::GetContainerId {})?.id;
        println!(
            "{}: firmware {}.{}.{}, container dprc.{id}, {} us a command",
            portal.name(),
            version.major,
            version.minor,
            version.revision,
            each.as_micros()
        );
    }
    Ok(())
}

fn together(containers: &[String]) -> Result<(), Failure> {
    const IOVA: u64 = 0x1_0000_0000;
    let shared = Container::open()?;
    let attach = |name: &String| Ok(Group::of_device(name)?.attach(&shared)?);
    let mut groups = containers.iter().map(attach).collect::<Result<Vec<_>, Failure>>()?;
    let Some(first) = groups.first() else { return Ok(()) };
    let iommu = shared.enable(IommuType::Type1V2, first)?;
    // One mapping is for all of them.
    let _mapped = iommu.map(DmaBuffer::allocate(0x1_0000)?, IOVA, Access::ReadWrite)?;
    let ask_each = |groups: &[AttachedGroup]| -> Result<(), Failure> {
        for (group, name) in groups.iter().zip(containers) {
            let mut portal = group.device(&iommu, name)?.portal()?;
            let id = portal.call(Token::NONE, &dpmng::GetContainerId {})?.id;
            println!("group {}: the portal of {name} says dprc.{id}", group.number());
        }
        Ok(())
    };
    ask_each(&groups)?;
    groups.pop();
    ask_each(&groups)
}

fn wait_for_end_of_input() {
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_words() {
        assert_eq!(size_words(64), "64 B");
        assert_eq!(size_words(65536), "64 KiB");
        assert_eq!(size_words(3 << 20), "3 MiB");
        assert_eq!(size_words((1 << 20) + 1024), "1025 KiB");
    }
}
