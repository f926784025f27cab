// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The container of the bus that is measured.

use dprc::AssignedContainer;
use fsl_mc_linux::bus::{self, SYSFS, VFIO_DRIVER};

/// Why there is no result.
pub type Error = Box<dyn std::error::Error>;

/// The names of a container's objects of a family (`dpbp`), by their numbers.
pub fn objects(container: &AssignedContainer, family: &str) -> Result<Vec<String>, bus::Error> {
    let mut names = SYSFS.objects(&container.name)?;
    names.retain(|name| bus::family(name) == family);
    Ok(names)
}

/// The first of them.
pub fn first(container: &AssignedContainer, family: &str) -> Result<String, Error> {
    let found = objects(container, family)?.into_iter().next();
    Ok(found.ok_or_else(|| format!("{} has no {family}", container.name))?)
}

/// A container while it is bound to the driver.
pub struct Bound {
    name: String,
}

impl Bound {
    /// Takes the container from its driver and binds it.
    pub fn bind(name: &str) -> Result<Self, bus::Error> {
        SYSFS.unbind(name)?;
        SYSFS.set_override(name, Some(VFIO_DRIVER))?;
        bind(name)?;
        Ok(Self { name: name.to_owned() })
    }

    /// Takes it from the driver; nothing binds it from then on.
    pub fn unbind(self) -> Result<(), bus::Error> {
        unbind(&self.name)?;
        // Else the next driver of this name would take it at once.
        SYSFS.set_override(&self.name, None)
    }

    /// Its name on the bus.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Binds a container that is unbound and whose `driver_override` is set.
pub fn bind(name: &str) -> Result<(), bus::Error> {
    SYSFS.bind(name, VFIO_DRIVER)
}

/// Takes a container from the driver.
pub fn unbind(name: &str) -> Result<(), bus::Error> {
    SYSFS.unbind_from(name, VFIO_DRIVER)
}

/// How many devices of the bus are bound to the driver.
pub fn bound_devices() -> Result<usize, bus::Error> {
    Ok(SYSFS.bound_to(VFIO_DRIVER)?.len())
}
