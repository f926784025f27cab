// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a check works with: the container, opened afresh, and what is in it.

use crate::check::{Stop, fail, skip};
use dprc::{AssignedContainer, Device};
use fsl_mc_linux::bus::{self, SYSFS, VFIO_DRIVER};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Where a check runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Context {
    /// The container to be used, bound to the driver.
    pub container: String,
    /// Another one, also bound.
    pub second: Option<String>,
    /// What repeated steps are multiplied by.
    pub stress: u32,
    /// What time limits are multiplied by.
    pub patience: u32,
}

impl Context {
    /// Takes the container.
    ///
    /// The check does not apply to who has no rights.
    pub fn hold(&self) -> Result<AssignedContainer, Stop> {
        hold(&self.container)
    }

    /// Takes the second container.
    ///
    /// The check does not apply where none is named.
    pub fn hold_second(&self) -> Result<AssignedContainer, Stop> {
        match &self.second {
            Some(name) => hold(name),
            None => skip("no second container"),
        }
    }

    /// The names of the containers.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.container.as_str()).chain(self.second.as_deref())
    }

    /// What is in the container.
    pub fn objects(&self) -> Result<Vec<String>, Stop> {
        Ok(SYSFS.objects(&self.container)?)
    }

    /// The container and what is in it.
    pub fn devices(&self) -> Result<Vec<String>, Stop> {
        let mut names = vec![self.container.clone()];
        names.extend(self.objects()?);
        Ok(names)
    }

    /// The first object of a family.
    ///
    /// The check does not apply where there is none.
    pub fn first(&self, family: &str) -> Result<String, Stop> {
        let found = self.objects()?.into_iter().find(|name| bus::family(name) == family);
        found.map_or_else(|| skip(format!("no {family} in {}", self.container)), Ok)
    }

    /// `count` times the stress factor.
    pub fn times(&self, count: u32) -> u32 {
        count.saturating_mul(self.stress).max(1)
    }
}

/// Opens a container and all its command portals. The check does not apply where there
/// is no `dpmcp`.
pub fn portals(held: &AssignedContainer) -> Result<Vec<Device>, Stop> {
    let mut all = vec![held.dprc()?];
    for name in SYSFS.objects(&held.name)? {
        if bus::family(&name) == "dpmcp" {
            all.push(held.device(&name)?);
        }
    }
    if all.len() < 2 { skip("no dpmcp in the container") } else { Ok(all) }
}

/// Takes a container of the MC.
///
/// The check does not apply to who has no rights.
pub fn hold(name: &str) -> Result<AssignedContainer, Stop> {
    AssignedContainer::open(name).or_else(|error: dprc::Error| match error {
        dprc::Error::Kernel { asked: "open", errno: Errno::ACCESS | Errno::PERM, .. }
            if !rustix::process::geteuid().is_root() =>
        {
            skip(format!("not root: {error}"))
        }
        error => fail(format!("{name} can be taken"), error.to_string()),
    })
}

/// Gives a container, or an object of one, to the driver.
pub fn bind(name: &str) -> Result<(), bus::Error> {
    // It is not said that an unbind keeps the override.
    SYSFS.set_override(name, Some(VFIO_DRIVER))?;
    SYSFS.bind(name, VFIO_DRIVER)
}

/// Takes a container, or an object of one, from the driver.
pub fn unbind(name: &str) -> Result<(), bus::Error> {
    SYSFS.unbind_from(name, VFIO_DRIVER)
}

/// Takes a container from the driver and gives it back.
pub fn rebind(container: &str) -> Result<(), bus::Error> {
    unbind(container)?;
    bind(container)
}
