// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! VFIO containers: an address space that one or more groups share. Not to be
//! confused with the containers of DPAA2, the devices `dprc.N`.

use crate::dma::{Access, DmaBuffer, MapError, Mapped};
use crate::error::{Error, Result, refused};
use crate::group::AttachedGroup;
use crate::ioctl;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::fs::OpenOptions;
use std::sync::Arc;
use vfio_bindings::bindings::vfio as abi;

/// Where the kernel offers containers.
const PATH: &str = "/dev/vfio/vfio";

/// A container without an IOMMU, to which groups can be attached.
#[derive(Debug, Clone)]
pub struct Container {
    file: Arc<OwnedFd>,
}

/// What a kernel can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// The interface [`IommuType::Type1`].
    Type1,
    /// The interface [`IommuType::Type1V2`].
    Type1V2,
}

/// How mappings behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IommuType {
    /// Unmapping may take a piece out of a mapping.
    Type1,
    /// Mappings are unmapped as they were mapped.
    Type1V2,
}

impl IommuType {
    const fn number(self) -> u32 {
        match self {
            Self::Type1 => abi::VFIO_TYPE1_IOMMU,
            Self::Type1V2 => abi::VFIO_TYPE1v2_IOMMU,
        }
    }
}

impl Container {
    /// Opens a new container.
    ///
    /// # Errors
    /// When VFIO is not there, or speaks another version.
    pub fn open() -> Result<Self> {
        let file = open_vfio(PATH)?;
        let container = Self { file: Arc::new(file) };
        let found = container.api_version()?;
        let expected = abi::VFIO_API_VERSION as i32;
        if found == expected { Ok(container) } else { Err(Error::ApiVersion { found, expected }) }
    }

    /// The version that the kernel speaks.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn api_version(&self) -> Result<i32> {
        ioctl::api_version(self.file.as_fd()).map_err(refused("VFIO_GET_API_VERSION", PATH, |_| ""))
    }

    /// Whether the kernel has an extension.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn has(&self, extension: Extension) -> Result<bool> {
        let number = match extension {
            Extension::Type1 => abi::VFIO_TYPE1_IOMMU,
            Extension::Type1V2 => abi::VFIO_TYPE1v2_IOMMU,
        };
        ioctl::check_extension(self.file.as_fd(), number).map(|answer| answer > 0).map_err(refused(
            "VFIO_CHECK_EXTENSION",
            PATH,
            |_| "",
        ))
    }

    /// Switches translation on. The kernel wants a group to be attached before, and
    /// gives devices only after.
    ///
    /// The kernel takes the IOMMU away, with all that is mapped, when the container's last group
    /// leaves (Linux `drivers/vfio/container.c`, `vfio_group_detach_container`): the result, and
    /// what is mapped by it, keep this group open.
    ///
    /// # Errors
    /// When the kernel refuses; the advice names the usual reason.
    pub fn enable(&self, kind: IommuType, attached: &AttachedGroup) -> Result<Iommu> {
        ioctl::set_iommu(self.file.as_fd(), kind.number()).map_err(refused(
            "VFIO_SET_IOMMU",
            PATH,
            |errno| match errno {
                Errno::PERM => {
                    "The kernel sees no isolation of interrupts: load vfio_iommu_type1 with \
                     allow_unsafe_interrupts=1"
                }
                Errno::INVAL => "The container has its IOMMU already, or knows no such type",
                Errno::NODEV => "Load the module vfio_iommu_type1",
                _ => "",
            },
        ))?;
        let space = Space { file: Arc::clone(&self.file), _group: Some(attached.keep()) };
        Ok(Iommu { space, kind })
    }

    pub(crate) fn file(&self) -> &Arc<OwnedFd> {
        &self.file
    }
}

/// A container whose IOMMU translates. Copies mean the same container. While there is one the
/// group that the IOMMU was enabled with stays open, and nobody else can open it.
#[derive(Debug, Clone)]
pub struct Iommu {
    space: Space,
    kind: IommuType,
}

/// The file that maps memory, and what has to stay open so that it can unmap it.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    file: Arc<OwnedFd>,
    /// The kernel unmaps only while a group is in the container; an iommufd needs none.
    _group: Option<Arc<OwnedFd>>,
}

impl AsFd for Space {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
impl Space {
    /// One of a container whose file takes no calls.
    pub(crate) fn of_nothing(group: Option<Arc<OwnedFd>>) -> Self {
        let null = std::fs::File::open("/dev/null").expect("every Linux has it");
        Self { file: Arc::new(null.into()), _group: group }
    }
}

/// What the IOMMU can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IommuInfo {
    /// One bit for each page size, at the place of its value.
    pub page_sizes: u64,
}

impl Iommu {
    /// The address space of an iommufd that was chosen for VFIO's calls.
    pub(crate) fn of_iommufd(file: Arc<OwnedFd>) -> Self {
        Self { space: Space { file, _group: None }, kind: IommuType::Type1V2 }
    }

    /// How its mappings behave.
    pub fn kind(&self) -> IommuType {
        self.kind
    }

    /// What it can do.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn info(&self) -> Result<IommuInfo> {
        let info = ioctl::iommu_info(self.space.as_fd()).map_err(refused(
            "VFIO_IOMMU_GET_INFO",
            PATH,
            |_| "",
        ))?;
        let known = info.flags & abi::VFIO_IOMMU_INFO_PGSIZES != 0;
        Ok(IommuInfo { page_sizes: if known { info.iova_pgsizes } else { 0 } })
    }

    /// Lets the devices of the container reach a buffer at the I/O virtual address
    /// `iova`, until the result is unmapped or dropped.
    ///
    /// # Errors
    /// [`MapError`], which gives the buffer back.
    pub fn map(
        &self,
        buffer: DmaBuffer,
        iova: u64,
        access: Access,
    ) -> std::result::Result<Mapped, Box<MapError>> {
        Mapped::map(self.space.clone(), buffer, iova, access)
    }

    /// Lets the devices of the container reach all memory of a guest, at its guest
    /// physical addresses, until the result is dropped. The kernel pins it: it counts as
    /// locked memory of the process.
    ///
    /// # Errors
    /// When a region has no address in this process, or the kernel refuses. What was
    /// mapped by then is unmapped.
    #[cfg(feature = "vm-memory")]
    pub fn map_memory<M>(&self, memory: &M, access: Access) -> Result<crate::MappedMemory<M>>
    where
        M: vm_memory::GuestMemoryBackend + Clone,
    {
        crate::MappedMemory::map(self.space.clone(), memory, access)
    }
}

/// The container's file, for calls that this crate does not wrap.
impl AsFd for Container {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Opens one of VFIO's files for reading and writing.
pub(crate) fn open_vfio(path: &str) -> Result<OwnedFd> {
    let missing = "Load the modules vfio, vfio_iommu_type1 and vfio-fsl-mc, and bind the container \
                   to vfio-fsl-mc";
    open_device_file(path, missing)
}

/// Opens a device's file for reading and writing. `missing` is the advice where it is not there.
pub(crate) fn open_device_file(path: &str, missing: &'static str) -> Result<OwnedFd> {
    OpenOptions::new().read(true).write(true).open(path).map(OwnedFd::from).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        refused("open", path, |errno| match errno {
            Errno::NOENT => missing,
            Errno::ACCESS | Errno::PERM => "Give this user access to the file",
            Errno::BUSY => "Another process has the group open",
            _ => "",
        })(errno)
    })
}
