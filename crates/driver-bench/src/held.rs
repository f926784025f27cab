// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container of the bus in the hands of this program.

use dprc::{AttachedGroup, Container, Device, Group, Iommu, IommuType};
use std::{fs, io, path::PathBuf};

/// Where Linux shows the bus.
const BUS: &str = "/sys/bus/fsl-mc";
/// What the driver calls itself there.
const DRIVER: &str = "vfio-fsl-mc";

/// Why there is no result.
pub type Error = Box<dyn std::error::Error>;

/// A container that is bound to the driver, with its group open.
pub struct Held {
    iommu: Iommu,
    group: AttachedGroup,
    name: String,
}

impl Held {
    /// Takes a bound container.
    ///
    /// # Errors
    /// When the kernel does not give it.
    pub fn take(name: &str) -> Result<Self, Error> {
        let container = Container::open()?;
        let group = Group::of_device(name)?.attach(&container)?;
        let iommu = container.enable(IommuType::Type1V2, &group)?;
        Ok(Self { iommu, group, name: name.to_owned() })
    }

    /// Opens the container itself.
    ///
    /// # Errors
    /// When the kernel does not give it.
    pub fn container(&self) -> dprc::Result<Device> {
        self.device(&self.name)
    }

    /// Opens one of its objects.
    ///
    /// # Errors
    /// When the kernel does not give it.
    pub fn device(&self, name: &str) -> dprc::Result<Device> {
        self.group.device(&self.iommu, name)
    }

    /// Names of its objects of a family (`dpbp`), by their numbers.
    ///
    /// # Errors
    /// When the bus does not show them.
    pub fn objects(&self, family: &str) -> io::Result<Vec<String>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(device_path(&self.name))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix(family).and_then(|rest| rest.strip_prefix('.'));
            numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|number| format!("{family}.{number}")).collect())
    }

    /// The first of them.
    ///
    /// # Errors
    /// When there is none.
    pub fn first(&self, family: &str) -> Result<String, Error> {
        let found = self.objects(family)?.into_iter().next();
        Ok(found.ok_or_else(|| format!("{} has no {family}", self.name))?)
    }
}

/// A container while it is bound to the driver.
pub struct Bound {
    name: String,
}

impl Bound {
    /// Takes the container from its driver and binds it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn bind(name: &str) -> Result<Self, Error> {
        if let Ok(driver) = fs::read_link(device_path(name).join("driver")) {
            let driver = driver.file_name().unwrap_or_default().to_string_lossy().into_owned();
            write(&format!("drivers/{driver}/unbind"), name)?;
        }
        write(&format!("devices/{name}/driver_override"), DRIVER)?;
        bind(name)?;
        Ok(Self { name: name.to_owned() })
    }

    /// Takes it from the driver; nothing binds it from then on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn unbind(self) -> Result<(), Error> {
        unbind(&self.name)?;
        // Else the next driver of this name would take it at once.
        write(&format!("devices/{}/driver_override", self.name), "\n")
    }

    /// Its name on the bus.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Binds a container that is unbound and whose `driver_override` is set.
///
/// # Errors
/// When the kernel refuses.
pub fn bind(name: &str) -> Result<(), Error> {
    write(&format!("drivers/{DRIVER}/bind"), name)
}

/// Takes a container from the driver.
///
/// # Errors
/// When the kernel refuses.
pub fn unbind(name: &str) -> Result<(), Error> {
    write(&format!("drivers/{DRIVER}/unbind"), name)
}

/// How many devices of the bus are bound to the driver.
///
/// # Errors
/// When the driver is not there.
pub fn bound_devices() -> Result<usize, Error> {
    let folder = PathBuf::from(BUS).join("drivers").join(DRIVER);
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    Ok(names.filter(|name| name.to_string_lossy().starts_with("dp")).count())
}

fn device_path(name: &str) -> PathBuf {
    PathBuf::from(BUS).join("devices").join(name)
}

fn write(path: &str, value: &str) -> Result<(), Error> {
    let path = PathBuf::from(BUS).join(path);
    fs::write(&path, value).map_err(|e| format!("writing {value} to {}: {e}", path.display()))?;
    Ok(())
}
