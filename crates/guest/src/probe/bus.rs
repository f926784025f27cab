// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The bus and its drivers.

use crate::bus::Bus;
use crate::failure::Failure;
use crate::modules::{self, Modules};
use crate::versions;

/// Lists the devices.
///
/// # Errors
/// When there is no bus.
pub fn devices(json: bool) -> Result<(), Failure> {
    let mut devices = Bus::default().devices()?;
    versions::fill_in(&mut devices);
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
///
/// # Errors
/// When a step is refused.
pub fn bind(container: &str, driver: &str) -> Result<(), Failure> {
    if driver == "vfio-fsl-mc" {
        modules::load_vfio(&Modules::of_image()?)?;
    }
    for device in Bus::default().give(container, driver)? {
        println!("{} {}", device.name, device.driver.as_deref().unwrap_or("-"));
    }
    Ok(())
}

/// Gives a container back.
///
/// # Errors
/// When a step is refused.
pub fn release(container: &str) -> Result<(), Failure> {
    for device in Bus::default().give_back(container)? {
        println!("{} {}", device.name, device.driver.as_deref().unwrap_or("-"));
    }
    Ok(())
}

/// Loads modules.
///
/// # Errors
/// When one is refused.
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
