// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The bus and its drivers.

use fsl_mc_linux::bus::{SYSFS, VFIO_DRIVER};
use guest_agent::Failure;
use guest_agent::modules::{self, Modules};
use guest_agent::versions::with_versions;

/// Lists the devices.
pub fn devices(json: bool) -> Result<(), Failure> {
    let devices = with_versions(SYSFS.devices()?);
    if json {
        return print_json(&devices);
    }
    println!("{:<12} {:<8} {:>7}  {:<16} group", "device", "in", "version", "driver");
    for device in devices {
        let version =
            device.version.map_or("?".to_owned(), |(major, minor)| format!("{major}.{minor}"));
        let group = device.iommu_group.map_or("-".to_owned(), |group| group.to_string());
        println!(
            "{:<12} {:<8} {version:>7}  {:<16} {group}",
            device.name,
            device.container.as_deref().unwrap_or("-"),
            device.driver.as_deref().unwrap_or("-"),
        );
    }
    Ok(())
}

/// Gives a container to a driver.
pub fn bind(container: &str, driver: &str) -> Result<(), Failure> {
    if driver == VFIO_DRIVER {
        modules::load_vfio(&Modules::of_image()?)?;
    }
    for device in SYSFS.assign(container, driver)? {
        println!("{} {}", device.name, device.driver.as_deref().unwrap_or("-"));
    }
    Ok(())
}

/// Gives a container back.
pub fn release(container: &str) -> Result<(), Failure> {
    for device in SYSFS.release(container)? {
        println!("{} {}", device.name, device.driver.as_deref().unwrap_or("-"));
    }
    Ok(())
}

/// Loads modules.
pub fn load(names: &[String]) -> Result<(), Failure> {
    let modules = Modules::of_image()?;
    for name in names {
        modules.load(name, "")?;
    }
    Ok(())
}

/// Prints a value as one line.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value)
        .map_err(|error| Failure::new(error.to_string(), "JSON", "Report this defect"))?;
    println!("{line}");
    Ok(())
}
