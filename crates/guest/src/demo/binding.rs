// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Giving the container to vfio-fsl-mc, and back.

use super::Context;
use super::report::{Report, expect};
use fsl_mc_linux::bus::{Device, HOST_DRIVER, ROOT, SYSFS, VFIO_DRIVER as DRIVER};
use guest_agent::Failure;
use guest_agent::modules;
use std::collections::BTreeSet;

/// Shows where the container stands.
pub fn show_before(report: &mut Report, context: &Context) -> Result<(), Failure> {
    let name = context.container.to_string();
    report.step(&format!("{name} belongs to Linux's own driver"), |report| {
        let device = present(&name)?;
        let driver = device.driver.unwrap_or_else(|| "no driver".to_owned());
        expect(
            "its driver",
            &format!("{ROOT}/devices/{name}/driver"),
            &driver.as_str(),
            &HOST_DRIVER,
        )?;
        for device in SYSFS.contents(&name)? {
            report.detail(line_of(&device));
        }
        Ok(())
    })
}

/// Loads the modules.
pub fn load_modules(report: &mut Report, context: &Context) -> Result<(), Failure> {
    report.step("The modules of VFIO are loaded", |report| {
        let loaded = modules::load_vfio(&context.modules)?;
        for module in &loaded {
            let already = if module.already { ", which was there already" } else { "" };
            report.detail(format!("{}{already}", module.name));
        }
        let directory = format!("{ROOT}/drivers/{DRIVER}");
        if !std::path::Path::new(&directory).is_dir() {
            return Err(Failure::new(
                format!("there is no driver {DRIVER} on the bus"),
                directory,
                "Build the image with the module vfio-fsl-mc",
            ));
        }
        Ok(())
    })
}

/// Does the three writes of the example, one after the other.
pub fn bind(report: &mut Report, context: &Context) -> Result<(), Failure> {
    let name = context.container.to_string();
    report.step(&format!("{name} is given to {DRIVER}"), |report| {
        report.detail(format!("echo {name} > {ROOT}/drivers/{HOST_DRIVER}/unbind"));
        SYSFS.unbind(&name)?;
        report.detail(format!("echo {DRIVER} > {ROOT}/devices/{name}/driver_override"));
        SYSFS.set_override(&name, Some(DRIVER))?;
        report.detail(format!("echo {name} > {ROOT}/drivers/{DRIVER}/bind"));
        SYSFS.bind(&name, DRIVER)?;
        let driver = present(&name)?.driver.unwrap_or_else(|| "no driver".to_owned());
        expect("its driver", &format!("{ROOT}/devices/{name}/driver"), &driver.as_str(), &DRIVER)
    })
}

/// Shows that everything in the container came along, into one IOMMU group.
pub fn show_followers(report: &mut Report, context: &Context) -> Result<(), Failure> {
    let name = context.container.to_string();
    report.step("All its objects have followed, and share one IOMMU group", |report| {
        let container = present(&name)?;
        let contents = SYSFS.contents(&name)?;
        let group = container.iommu_group.ok_or_else(|| {
            Failure::new(
                format!("{name} has no IOMMU group"),
                format!("{ROOT}/devices/{name}/iommu_group"),
                "The device tree needs an iommu-map, and the kernel an IOMMU driver",
            )
        })?;
        if contents.is_empty() {
            return Err(Failure::new(
                format!("{name} has no objects after it was bound"),
                format!("{ROOT}/devices/{name}"),
                "vfio-fsl-mc scans the container when it binds; see dmesg",
            ));
        }
        for device in &contents {
            let place = format!("{ROOT}/devices/{}", device.name);
            let driver = device.driver.as_deref().unwrap_or("no driver");
            expect("its driver", &place, &driver, &DRIVER)?;
            let of_device = device.iommu_group.map_or("none".to_owned(), |group| group.to_string());
            expect("its IOMMU group", &place, &of_device, &group.to_string())?;
            report.detail(line_of(device));
        }
        let strangers: BTreeSet<String> = SYSFS
            .devices()?
            .into_iter()
            .filter(|other| other.iommu_group == Some(group))
            .map(|other| other.name)
            .filter(|other| *other != name && !contents.iter().any(|own| own.name == *other))
            .collect();
        if !strangers.is_empty() {
            let strangers: Vec<String> = strangers.into_iter().collect();
            return Err(Failure::new(
                format!("IOMMU group {group} also has {}", strangers.join(", ")),
                format!("/sys/kernel/iommu_groups/{group}/devices"),
                "A container shares no group with what is outside",
            ));
        }
        report.detail(format!(
            "IOMMU group {group} holds {name} and its {} objects, and nothing else",
            contents.len()
        ));
        Ok(())
    })
}

/// Gives the container back to Linux.
pub fn give_back(report: &mut Report, context: &Context) -> Result<(), Failure> {
    let name = context.container.to_string();
    report.step(&format!("{name} is given back to Linux"), |report| {
        report.detail(format!("echo {name} > {ROOT}/drivers/{DRIVER}/unbind"));
        report.detail(format!("echo > {ROOT}/devices/{name}/driver_override"));
        report.detail(format!("echo {name} > {ROOT}/drivers_probe"));
        let contents = SYSFS.release(&name)?;
        for device in &contents {
            let place = format!("{ROOT}/devices/{}", device.name);
            if device.driver.as_deref() == Some(DRIVER) {
                return Err(Failure::new(
                    format!("{} is still bound to {DRIVER}", device.name),
                    place,
                    "",
                ));
            }
        }
        report.detail(format!("{HOST_DRIVER} has it again, with {} objects", contents.len()));
        Ok(())
    })
}

fn present(name: &str) -> Result<Device, Failure> {
    SYSFS.device(name).ok_or_else(|| {
        Failure::new(
            format!("there is no {name} on the bus"),
            format!("{ROOT}/devices"),
            "Name a container that is there",
        )
    })
}

fn line_of(device: &Device) -> String {
    format!(
        "{:<10} driver {:<18} group {}",
        device.name,
        device.driver.as_deref().unwrap_or("none"),
        device.iommu_group.map_or("none".to_owned(), |group| group.to_string())
    )
}
