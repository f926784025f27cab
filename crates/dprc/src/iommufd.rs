// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container by the files of its devices (`/dev/vfio/devices/vfioN`) and an iommufd, which
//! newer kernels have beside VFIO's groups and containers (Linux
//! Documentation/driver-api/vfio.rst, Documentation/userspace-api/iommufd.rst).

use crate::container::{Iommu, open_device_file, open_vfio};
use crate::device::Device;
use crate::error::{Error, Result, refused};
use crate::ioctl;
use fsl_mc_linux::bus::{Bus, SYSFS};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the kernel offers iommufd.
const PATH: &str = "/dev/iommu";

/// An iommufd with one address space.
#[derive(Debug, Clone)]
pub struct Iommufd {
    file: Arc<OwnedFd>,
    address_space: u32,
}

impl Iommufd {
    /// Opens a new one.
    ///
    /// # Errors
    /// When the kernel has no iommufd, or refuses.
    pub fn open() -> Result<Self> {
        let missing = "The kernel has no iommufd (CONFIG_IOMMUFD), or its module is not loaded: \
                       open the container by its group (AssignedContainer)";
        let file = open_device_file(PATH, missing)?;
        let address_space = ioctl::allocate_address_space(file.as_fd()).map_err(refused(
            "IOMMU_IOAS_ALLOC",
            PATH,
            |_| "",
        ))?;
        // iommufd takes VFIO's calls for mappings, too, for the address space named here.
        ioctl::use_for_vfio(file.as_fd(), address_space).map_err(refused(
            "IOMMU_VFIO_IOAS",
            PATH,
            |_| "",
        ))?;
        Ok(Self { file: Arc::new(file), address_space })
    }

    /// Its address space.
    pub fn iommu(&self) -> Iommu {
        Iommu::of_iommufd(Arc::clone(&self.file))
    }

    /// Opens a device by its file, and gives it the address space. A device is opened once:
    /// copies of the result are the same device.
    ///
    /// # Errors
    /// When there is no such file, or the kernel refuses.
    pub fn device(&self, name: &str) -> Result<Device> {
        let path = device_file(&SYSFS, name)?;
        let of = || format!("{path} ({name})");
        let file = open_vfio(&path)?;
        ioctl::bind_iommufd(file.as_fd(), self.file.as_fd()).map_err(refused(
            "VFIO_DEVICE_BIND_IOMMUFD",
            of(),
            |errno| match errno {
                Errno::PERM => {
                    "The kernel sees no isolation of interrupts: load iommufd with \
                     allow_unsafe_interrupts=1"
                }
                Errno::INVAL => "The device is open already",
                Errno::BUSY => "The container is open by its group, or by another iommufd",
                _ => "",
            },
        ))?;
        ioctl::attach_address_space(file.as_fd(), self.address_space).map_err(refused(
            "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
            of(),
            |_| "",
        ))?;
        Device::of_file(name, file)
    }
}

/// The iommufd, for calls that this crate does not wrap.
impl AsFd for Iommufd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The path of a device's file.
fn device_file(bus: &Bus, name: &str) -> Result<String> {
    let folder = bus.device_path(name).join("vfio-dev");
    let entries = std::fs::read_dir(&folder).ok().into_iter().flatten();
    let entry = entries.flatten().next().ok_or_else(|| Error::NoDeviceFile {
        device: name.to_owned(),
        folder: folder.display().to_string(),
    })?;
    Ok(format!("/dev/vfio/devices/{}", entry.file_name().to_string_lossy()))
}

/// A container of the Management Complex that this process has by the files of its devices.
/// Each that is opened stays open until this is dropped.
#[derive(Debug)]
pub struct IommufdContainer {
    pub(crate) name: String,
    iommufd: Iommufd,
    pub(crate) iommu: Iommu,
    open: Mutex<BTreeMap<String, Device>>,
}

impl IommufdContainer {
    /// Opens a container that is bound to `vfio-fsl-mc`.
    ///
    /// # Errors
    /// Those of [`Iommufd::open`] and [`Iommufd::device`].
    pub fn open(name: &str) -> Result<Self> {
        let iommufd = Iommufd::open()?;
        let iommu = iommufd.iommu();
        let container = Self { name: name.to_owned(), iommufd, iommu, open: Mutex::default() };
        container.dprc()?;
        Ok(container)
    }

    /// One of its devices, or the container itself.
    ///
    /// # Errors
    /// Those of [`Iommufd::device`].
    pub fn device(&self, name: &str) -> Result<Device> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.get(name) {
            return Ok(device.clone());
        }
        let device = self.iommufd.device(name)?;
        open.insert(name.to_owned(), device.clone());
        Ok(device)
    }

    /// The container itself as a device.
    ///
    /// # Errors
    /// Those of [`Iommufd::device`].
    pub fn dprc(&self) -> Result<Device> {
        self.device(&self.name)
    }

    /// The address space of its objects.
    pub fn iommu(&self) -> &Iommu {
        &self.iommu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_a_file_is_named_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let bus = Bus::at(root.path().to_str().unwrap());
        let folder = root.path().join("devices/dprc.2/vfio-dev");
        let error = device_file(&bus, "dprc.2").unwrap_err().to_string();
        assert!(error.contains("dprc.2") && error.contains("CONFIG_VFIO_DEVICE_CDEV"), "{error}");
        std::fs::create_dir_all(folder.join("vfio7")).unwrap();
        assert_eq!(device_file(&bus, "dprc.2").unwrap(), "/dev/vfio/devices/vfio7");
    }
}
