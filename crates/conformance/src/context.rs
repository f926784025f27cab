// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a check works with: the container, opened afresh, and what is in it.

use crate::bus;
use crate::check::{Stop, fail, skip};
use dprc::{AttachedGroup, Container, Device, Group, Iommu, IommuType};
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
}

/// A container of the MC in the hands of this process.
#[derive(Debug)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// VFIO's container.
    pub container: Container,
    /// Its IOMMU group.
    pub group: AttachedGroup,
    /// VFIO's container with an IOMMU.
    pub iommu: Iommu,
}

impl Held {
    /// Opens one of its devices, or the container itself.
    ///
    /// # Errors
    /// The check fails.
    pub fn device(&self, name: &str) -> Result<Device, Stop> {
        Ok(self.group.device(&self.iommu, name)?)
    }

    /// Opens the container as a device.
    ///
    /// # Errors
    /// The check fails.
    pub fn dprc(&self) -> Result<Device, Stop> {
        self.device(&self.name)
    }

    /// Opens the container and all its command portals.
    ///
    /// # Errors
    /// The check fails, or does not apply where there is no `dpmcp`.
    pub fn portals(&self) -> Result<Vec<Device>, Stop> {
        let mut all = vec![self.dprc()?];
        for name in bus::objects(&self.name)? {
            if bus::family(&name) == "dpmcp" {
                all.push(self.device(&name)?);
            }
        }
        if all.len() < 2 { skip("no dpmcp in the container") } else { Ok(all) }
    }
}

impl Context {
    /// Takes the container.
    ///
    /// # Errors
    /// The check fails, or does not apply to who has no rights.
    pub fn hold(&self) -> Result<Held, Stop> {
        hold(&self.container)
    }

    /// Takes the second container.
    ///
    /// # Errors
    /// The check does not apply where none is named.
    pub fn hold_second(&self) -> Result<Held, Stop> {
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
    ///
    /// # Errors
    /// The check fails.
    pub fn objects(&self) -> Result<Vec<String>, Stop> {
        Ok(bus::objects(&self.container)?)
    }

    /// The container and what is in it.
    ///
    /// # Errors
    /// The check fails.
    pub fn devices(&self) -> Result<Vec<String>, Stop> {
        let mut names = vec![self.container.clone()];
        names.extend(self.objects()?);
        Ok(names)
    }

    /// The first object of a family.
    ///
    /// # Errors
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

/// Takes a container of the MC.
///
/// # Errors
/// The check fails, or does not apply to who has no rights.
pub fn hold(name: &str) -> Result<Held, Stop> {
    let opened = (|| {
        let container = Container::open()?;
        let group = Group::of_device(name)?.attach(&container)?;
        let iommu = container.enable(IommuType::Type1V2, &group)?;
        Ok(Held { name: name.to_owned(), container, group, iommu })
    })();
    opened.or_else(|error: dprc::Error| match error {
        dprc::Error::Kernel { asked: "open", errno: Errno::ACCESS | Errno::PERM, .. }
            if !rustix::process::geteuid().is_root() =>
        {
            skip(format!("not root: {error}"))
        }
        error => fail(format!("{name} can be taken"), error.to_string()),
    })
}
