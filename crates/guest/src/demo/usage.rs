// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The container in the hands of this process.

use super::report::{Report, expect};
use super::{Context, frames};
use crate::manage::{self, with_open};
use crate::probe::vfio::{describe, names, tables};
use dprc::{Access, AssignedContainer, Container, Device, DmaBuffer, Extension, McPortal};
use guest_agent::Failure;
use mc_abi::common::{ClearIrqStatus, Enable, GetIrqStatus, IsEnabled, SetIrqEnable, SetIrqMask};
use mc_abi::dprc::event;
use mc_abi::{ObjectId, ObjectType, Token, dpmng};
use std::time::{Duration, Instant};

/// Where the demonstration maps its page for DMA: above 4 GiB, away from everything.
const IOVA: u64 = 0x1_0000_0000;

/// How long an interrupt may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens, asks, commands, maps, interrupts, resets, forwards, closes.
pub fn all(report: &mut Report, context: &Context) -> Result<(), Failure> {
    let name = context.container.to_string();
    let held = open_group(report, &name)?;
    let devices = open_devices(report, &held)?;
    let container = held.dprc()?;
    ask_kernel(report, &devices)?;
    command(report, context, &devices)?;
    map_dma(report, &held)?;
    interrupt(report, context, &container)?;
    reset(report, &container, &devices)?;
    frames::show(report, &held)?;
    report.step("Everything is closed", |report| {
        drop((devices, container, held));
        report.detail("the last close resets the container and frees its IOMMU domain");
        Ok(())
    })
}

fn open_group(report: &mut Report, name: &str) -> Result<AssignedContainer, Failure> {
    report.step("User space opens the group and its IOMMU", |report| {
        let probe = Container::open()?;
        let version = probe.api_version()?;
        if !probe.has(Extension::Type1V2)? {
            return Err(Failure::new(
                "the kernel has no type1v2 IOMMU interface",
                "/dev/vfio/vfio",
                "Load the module vfio_iommu_type1",
            ));
        }
        drop(probe);
        let held = AssignedContainer::open(name)?;
        let status = held.group.status()?;
        expect("whether the group is viable", "/dev/vfio", &status.viable, &true)?;
        report.detail(format!(
            "/dev/vfio/{} is viable; VFIO version {version}, type1v2, page sizes {:#x}",
            held.group.number(),
            held.iommu.info()?.page_sizes
        ));
        Ok(held)
    })
}

fn open_devices(report: &mut Report, held: &AssignedContainer) -> Result<Vec<Device>, Failure> {
    report.step("VFIO_GROUP_GET_DEVICE_FD for the container and each object", |report| {
        let names = names(&held.name)?;
        let devices = names.iter().map(|name| held.device(name)).collect::<Result<Vec<_>, _>>()?;
        report.detail(names.join(", "));
        Ok(devices)
    })
}

fn ask_kernel(report: &mut Report, devices: &[Device]) -> Result<(), Failure> {
    report.step("GET_INFO, GET_REGION_INFO, GET_IRQ_INFO of each", |report| {
        for device in devices {
            let (regions, irqs) = tables(device)?;
            for region in &regions {
                // The contract of the driver: a region's index is in its offset, and a
                // container's portal is not mapped.
                let place = format!("region {} of {}", region.index, device.name());
                expect("its offset", &place, &region.offset, &(u64::from(region.index) << 40))?;
                if kind_of(device) == Some(ObjectType::Dprc) {
                    expect("whether it is mappable", &place, &region.mappable, &false)?;
                }
            }
            report.detail(describe(device, &regions, &irqs));
        }
        Ok(())
    })
}

fn command(report: &mut Report, context: &Context, devices: &[Device]) -> Result<(), Failure> {
    report.step("The Management Complex takes commands from user space", |report| {
        let mut portals = Vec::new();
        if let Some(container) = of_kind(devices, ObjectType::Dprc) {
            portals.push(container.portal()?);
        }
        let Some(mapped) = of_kind(devices, ObjectType::Dpmcp) else {
            return Err(Failure::new(
                format!("{} has no dpmcp", context.container),
                "the container",
                "Give it one: its portal is mapped in this step",
            ));
        };
        portals.push(mapped.mapped_portal()?);
        let mut answers = Vec::new();
        for portal in &mut portals {
            let start = Instant::now();
            let version = portal.call(Token::NONE, &dpmng::GetVersion {})?;
            let took = start.elapsed();
            let id = portal.call(Token::NONE, &dpmng::GetContainerId {})?.id;
            let version = format!("{}.{}.{}", version.major, version.minor, version.revision);
            report.detail(format!(
                "{}: firmware {version}, I am in dprc.{id} ({} us)",
                portal.name(),
                took.as_micros()
            ));
            let place = portal.name().to_owned();
            expect("the portal's container", &place, &id, &context.container.id)?;
            answers.push((place, version));
        }
        if let [(_, by_file), (place, by_mapping)] = answers.as_slice() {
            expect("the firmware's version", place, by_mapping, by_file)?;
            report.detail("both ways give the same answer");
        }
        Ok(())
    })
}

fn map_dma(report: &mut Report, held: &AssignedContainer) -> Result<(), Failure> {
    report.step("A page is mapped for DMA, and unmapped", |report| {
        let page = rustix::param::page_size();
        let mapped = held.iommu.map(DmaBuffer::allocate(page)?, IOVA, Access::ReadWrite)?;
        report.detail(format!("{page} bytes at {IOVA:#x}"));
        match held.iommu.map(DmaBuffer::allocate(page)?, IOVA, Access::Read) {
            Ok(_) => {
                return Err(Failure::new(
                    format!("a second page was mapped at {IOVA:#x}, expected a refusal (EEXIST)"),
                    "VFIO_IOMMU_MAP_DMA",
                    "",
                ));
            }
            Err(_) => report.detail("a second page at the same address is refused, as it should"),
        }
        let buffer = mapped.unmap()?;
        report.detail("unmapped");
        held.iommu.map(buffer, IOVA, Access::ReadWrite)?.unmap()?;
        report.detail("the address is free again: mapped and unmapped once more");
        Ok(())
    })
}

fn interrupt(report: &mut Report, context: &Context, container: &Device) -> Result<(), Failure> {
    report.step("An interrupt of the container reaches an eventfd", |report| {
        let interrupt = container.enable_interrupt(0)?;
        report.detail(format!("VFIO_DEVICE_SET_IRQS: interrupt 0 of {} signals an eventfd", container.name()));
        interrupt.simulate()?;
        expect("the count after a simulated one", container.name(), &interrupt.events().take()?, &1)?;
        report.detail("the kernel simulates one: the eventfd counts 1");
        let mut portal = container.portal()?;
        let open = portal.open(context.container)?;
        portal.call(open, &SetIrqMask { mask: ALL_EVENTS, index: 0 })?;
        portal.call(open, &ClearIrqStatus { status: u32::MAX, index: 0 })?;
        portal.call(open, &SetIrqEnable { enable: true, index: 0 })?;
        let before = interrupt.events().take()?;
        let object = manage::create(&mut portal, open, ObjectType::Dpbp)?;
        let count = interrupt.events().wait(PATIENCE)?;
        let status = portal.call(open, &GetIrqStatus { status: u32::MAX, index: 0 })?.status;
        if count == 0 {
            return Err(Failure::new(
                format!(
                    "{object} was made, but no interrupt came within {} s; the status is {status:#x} \
                     ({})",
                    PATIENCE.as_secs(),
                    events_in_words(status)
                ),
                format!("interrupt 0 of {}", container.name()),
                "See /proc/interrupts: the message goes through the SMMU and the ITS",
            ));
        }
        if status & (event::OBJ_ADDED | event::OBJ_CREATED) == 0 {
            return Err(Failure::new(
                format!(
                    "the interrupt's status is {status:#x} ({}), expected an object that was added \
                     or created",
                    events_in_words(status)
                ),
                format!("interrupt 0 of {}", container.name()),
                "",
            ));
        }
        report.detail(format!(
            "{object} is made through the container's portal: the eventfd counts {count} more, the \
             event is \"{}\"",
            events_in_words(status)
        ));
        if before > 0 {
            report.detail(format!("{before} had come before, from events of the past"));
        }
        portal.call(open, &SetIrqEnable { enable: false, index: 0 })?;
        portal.call(open, &ClearIrqStatus { status: u32::MAX, index: 0 })?;
        manage::destroy(&mut portal, open, object)?;
        portal.close(open)?;
        interrupt.disable()?;
        report.detail(format!("{object} is destroyed, the interrupt switched off"));
        Ok(())
    })
}

fn reset(report: &mut Report, container: &Device, devices: &[Device]) -> Result<(), Failure> {
    report.step("VFIO_DEVICE_RESET puts the objects back to their initial state", |report| {
        let Some(pool) = of_kind(devices, ObjectType::Dpbp).and_then(id_of) else {
            container.reset()?;
            report.detail("reset; there is no dpbp in the container to see it by");
            return Ok(());
        };
        let mut portal = container.portal()?;
        with_open(&mut portal, pool, |portal, open| portal.call(open, &Enable {}))?;
        expect("whether it is enabled", &pool.to_string(), &enabled(&mut portal, pool)?, &true)?;
        report.detail(format!("{pool} is enabled"));
        container.reset()?;
        report.detail(format!("reset of {}", container.name()));
        expect("whether it is enabled", &pool.to_string(), &enabled(&mut portal, pool)?, &false)?;
        report.detail(format!("{pool} is disabled again"));
        Ok(())
    })
}

fn enabled(portal: &mut McPortal, object: ObjectId) -> Result<bool, dprc::PortalError> {
    with_open(portal, object, |portal, open| Ok(portal.call(open, &IsEnabled {})?.enabled))
}

const EVENTS: [(u32, &str); 7] = [
    (event::OBJ_ADDED, "object added"),
    (event::OBJ_REMOVED, "object removed"),
    (event::RES_ADDED, "resources added"),
    (event::RES_REMOVED, "resources removed"),
    (event::CONTAINER_DESTROYED, "container destroyed"),
    (event::OBJ_DESTROYED, "object destroyed"),
    (event::OBJ_CREATED, "object created"),
];

const ALL_EVENTS: u32 = event::OBJ_ADDED
    | event::OBJ_REMOVED
    | event::RES_ADDED
    | event::RES_REMOVED
    | event::CONTAINER_DESTROYED
    | event::OBJ_DESTROYED
    | event::OBJ_CREATED;

fn events_in_words(status: u32) -> String {
    let words: Vec<&str> =
        EVENTS.iter().filter(|(bit, _)| status & bit != 0).map(|(_, words)| *words).collect();
    if words.is_empty() { "no event".to_owned() } else { words.join(", ") }
}

fn of_kind(devices: &[Device], kind: ObjectType) -> Option<&Device> {
    devices.iter().find(|device| kind_of(device) == Some(kind))
}

fn kind_of(device: &Device) -> Option<ObjectType> {
    id_of(device).map(|id| id.kind)
}

fn id_of(device: &Device) -> Option<ObjectId> {
    device.name().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_in_words() {
        assert_eq!(events_in_words(0x41), "object added, object created");
        assert_eq!(events_in_words(0), "no event");
    }
}
