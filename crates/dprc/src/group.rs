// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! IOMMU groups: on DPAA2 a container with all its objects.

use crate::container::{Container, Iommu, open_vfio};
use crate::device::{Device, Shared};
use crate::error::{Error, Result, refused};
use crate::ioctl;
use fsl_mc_linux::bus::{Bus, SYSFS};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::CString;
use std::sync::Arc;
use vfio_bindings::bindings::vfio as abi;

/// An open group that is not in a container.
#[derive(Debug)]
pub struct Group {
    number: u32,
    file: OwnedFd,
}

/// What the kernel says of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupStatus {
    /// Whether all its devices are VFIO's.
    pub viable: bool,
    /// Whether it is in a container.
    pub in_container: bool,
}

/// The number of a device's IOMMU group.
///
/// # Errors
/// [`Error::NoGroup`] for a device that is not there or has none.
pub fn group_number(device: &str) -> Result<u32> {
    number_on(&SYSFS, device)
}

fn number_on(bus: &Bus, device: &str) -> Result<u32> {
    bus.group_of(device).ok_or_else(|| {
        let link = bus.device_path(device).join("iommu_group");
        Error::NoGroup { device: device.to_owned(), link: link.display().to_string() }
    })
}

impl Group {
    /// Opens the group of a device on the fsl-mc bus.
    ///
    /// # Errors
    /// When the device has no group, or [`Group::open`] fails.
    pub fn of_device(device: &str) -> Result<Self> {
        Self::open(group_number(device)?)
    }

    /// Opens a group by number.
    ///
    /// # Errors
    /// When the kernel does not offer it, or it is not viable.
    pub fn open(number: u32) -> Result<Self> {
        let group = Self { number, file: open_vfio(&path_of(number))? };
        if group.status()?.viable { Ok(group) } else { Err(Error::NotViable { group: number }) }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What the kernel says of it.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn status(&self) -> Result<GroupStatus> {
        status_of(self.number, &self.file)
    }

    /// Puts the group into a container.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(self, container: &Container) -> Result<AttachedGroup> {
        ioctl::set_container(self.file.as_fd(), container.file().as_fd()).map_err(refused(
            "VFIO_GROUP_SET_CONTAINER",
            path_of(self.number),
            |errno| match errno {
                Errno::INVAL => "The group is in a container already",
                Errno::PERM => "The container's IOMMU does not accept the group",
                _ => "",
            },
        ))?;
        let _container = Arc::clone(container.file());
        let shared = Shared::default();
        let file = Arc::new(self.file);
        Ok(AttachedGroup { number: self.number, file, shared, _container })
    }
}

/// A group in a container; leaves it when dropped, once its devices are closed and, where the
/// container's [`Iommu`] was enabled with it, that and what is mapped by it is gone.
#[derive(Debug)]
pub struct AttachedGroup {
    number: u32,
    file: Arc<OwnedFd>,
    shared: Shared,
    // The kernel takes the group out when the container's last user goes.
    _container: Arc<OwnedFd>,
}

impl AttachedGroup {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What the kernel says of it.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn status(&self) -> Result<GroupStatus> {
        status_of(self.number, &self.file)
    }

    /// The file, for who needs the group to be in its container.
    pub(crate) fn keep(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.file)
    }

    /// Opens a device of the group by its name on the bus, such as `dpio.3`. The
    /// container must translate by then.
    ///
    /// # Errors
    /// When the kernel refuses, or the device is none of the fsl-mc bus.
    pub fn device(&self, _iommu: &Iommu, name: &str) -> Result<Device> {
        let of = || format!("{} (device {name})", path_of(self.number));
        let asked = "VFIO_GROUP_GET_DEVICE_FD";
        let bytes = CString::new(name)
            .map_err(|_| refused(asked, of(), |_| "The name contains a NUL byte")(Errno::INVAL))?;
        let file =
            ioctl::device_fd(self.file.as_fd(), &bytes).map_err(refused(asked, of(), |errno| {
                match errno {
                    Errno::NODEV => {
                        "The group has no such device, or it is not bound to vfio-fsl-mc"
                    }
                    Errno::BUSY => "Another process has the device",
                    _ => "",
                }
            }))?;
        Device::new(name, file, &self.shared)
    }
}

/// The group's file, for calls that this crate does not wrap.
impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The group's file, for KVM: `KVM_DEV_VFIO_FILE_ADD` makes the guest known to the
/// driver of each device that is opened afterwards.
impl AsFd for AttachedGroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn status_of(number: u32, file: &OwnedFd) -> Result<GroupStatus> {
    let flags = ioctl::group_status(file.as_fd()).map_err(refused(
        "VFIO_GROUP_GET_STATUS",
        path_of(number),
        |_| "",
    ))?;
    Ok(GroupStatus {
        viable: flags & abi::VFIO_GROUP_FLAGS_VIABLE != 0,
        in_container: flags & abi::VFIO_GROUP_FLAGS_CONTAINER_SET != 0,
    })
}

fn path_of(number: u32) -> String {
    format!("/dev/vfio/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_group_is_named_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("devices/dprc.2");
        std::fs::create_dir_all(&device).unwrap();
        let bus = Bus::at(root.path().to_str().unwrap());
        let error = number_on(&bus, "dprc.2").unwrap_err().to_string();
        assert!(
            error.contains("dprc.2 has no IOMMU group") && error.contains("iommu-map"),
            "{error}"
        );
        let link = device.join("iommu_group");
        std::os::unix::fs::symlink("../../kernel/iommu_groups/17", link).unwrap();
        assert_eq!(number_on(&bus, "dprc.2").unwrap(), 17);
    }
}
