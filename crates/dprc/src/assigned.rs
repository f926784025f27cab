// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container of the Management Complex with all that its use takes.

use crate::container::{Container, Iommu, IommuType};
use crate::device::Device;
use crate::error::Result;
use crate::group::{AttachedGroup, Group};

/// A container of the Management Complex (such as `dprc.2`) that this process has: its
/// IOMMU group is open, in a VFIO container of its own with a type 1 IOMMU.
#[derive(Debug)]
pub struct AssignedContainer {
    /// Name on the bus.
    pub name: String,
    /// VFIO's container.
    pub container: Container,
    /// The group of the container and its objects.
    pub group: AttachedGroup,
    /// VFIO's container with its IOMMU.
    pub iommu: Iommu,
}

impl AssignedContainer {
    /// Opens a container that is bound to `vfio-fsl-mc`.
    ///
    /// # Errors
    /// When the kernel refuses a step.
    pub fn open(name: &str) -> Result<Self> {
        let container = Container::open()?;
        let group = Group::of_device(name)?.attach(&container)?;
        let iommu = container.enable(IommuType::Type1V2, &group)?;
        Ok(Self { name: name.to_owned(), container, group, iommu })
    }

    /// Opens one of its devices, or the container itself.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn device(&self, name: &str) -> Result<Device> {
        self.group.device(&self.iommu, name)
    }

    /// Opens the container itself as a device.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn dprc(&self) -> Result<Device> {
        self.device(&self.name)
    }
}
