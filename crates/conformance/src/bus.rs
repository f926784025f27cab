// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The fsl-mc bus as sysfs shows it, as far as checks need it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where Linux shows the bus.
pub const ROOT: &str = "/sys/bus/fsl-mc";

/// The driver to be judged, as the bus calls it.
pub const DRIVER: &str = "vfio-fsl-mc";

/// The directory of a device.
pub fn device(name: &str) -> PathBuf {
    Path::new(ROOT).join("devices").join(name)
}

/// The driver that has a device.
pub fn driver_of(name: &str) -> Option<String> {
    let link = fs::read_link(device(name).join("driver")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// The containers that the driver has, in order of their numbers.
///
/// # Errors
/// When the bus or the driver is not there.
pub fn bound_containers() -> io::Result<Vec<String>> {
    let entries = fs::read_dir(Path::new(ROOT).join("drivers").join(DRIVER))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("dprc.")).collect();
    names.sort_by_cached_key(|name| number(name));
    Ok(names)
}

/// The objects in a container, by family and number, containers among them included.
///
/// # Errors
/// When there is no such container.
pub fn objects(container: &str) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(device(container).canonicalize()?)?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_object(name)).collect();
    names.sort_by_cached_key(|name| (family(name).to_owned(), number(name)));
    Ok(names)
}

/// The container around a container or an object: its directory lies in that one's.
pub fn parent(name: &str) -> Option<String> {
    let real = device(name).canonicalize().ok()?;
    let parent = real.parent()?.file_name()?.to_str()?;
    is_object(parent).then(|| parent.to_owned())
}

/// The number of a device's IOMMU group.
pub fn group_of(name: &str) -> Option<u32> {
    let link = fs::read_link(device(name).join("iommu_group")).ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// Waits until a condition holds; says whether it does.
pub fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The family in an object's name.
pub fn family(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// The number in an object's name.
pub fn number(name: &str) -> u32 {
    name.rsplit('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

fn is_object(name: &str) -> bool {
    name.starts_with("dp") && number(name) != u32::MAX
}

/// Takes a container from the driver and gives it back.
///
/// # Errors
/// What sysfs says, with the file.
pub fn bind_again(container: &str) -> io::Result<()> {
    unbind(container)?;
    bind(container)
}

/// Takes a container from the driver.
///
/// # Errors
/// What sysfs says, with the file.
pub fn unbind(container: &str) -> io::Result<()> {
    write(&Path::new(ROOT).join("drivers").join(DRIVER).join("unbind"), container)
}

/// Gives a container to the driver.
///
/// # Errors
/// What sysfs says, with the file.
pub fn bind(container: &str) -> io::Result<()> {
    // It is not said that an unbind keeps the name.
    write(&device(container).join("driver_override"), DRIVER)?;
    write(&Path::new(ROOT).join("drivers").join(DRIVER).join("bind"), container)
}

/// Writes to a file of sysfs.
///
/// # Errors
/// What sysfs says, with the file.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| {
        io::Error::new(error.kind(), format!("writing {text:?} to {}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_from_other_files() {
        assert!(is_object("dpni.3") && is_object("dprc.12"));
        assert!(!is_object("power") && !is_object("dprc.x") && !is_object("driver"));
        assert_eq!((family("dpio.7"), number("dpio.7")), ("dpio", 7));
    }
}
