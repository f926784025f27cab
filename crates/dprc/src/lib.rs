// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod assigned;
mod backend;
mod container;
mod dataplane;
mod device;
mod dma;
mod error;
mod group;
#[cfg(feature = "vm-memory")]
mod guest_memory;
mod interrupt;
mod ioctl;
mod iommufd;
pub mod manage;
mod management;
mod memory;
mod portal;
pub mod qbman;

pub use assigned::AssignedContainer;
pub use backend::Backend;
pub use container::{Container, Extension, Iommu, IommuInfo, IommuType};
pub use dataplane::{
    Channel, Counters, Dataplane, Frames, Interface, InterfaceConfig, Pool, RxDestination,
};
pub use device::{Device, DeviceInfo, IrqInfo, RegionInfo};
pub use dma::{Access, AddressSpace, DmaBuffer, MapError, Mapped};
pub use error::{Error, PortalError, Result};
pub use fsl_mc_linux::{Mapping, Word};
pub use group::{AttachedGroup, Group, GroupStatus, group_number};
#[cfg(feature = "vm-memory")]
pub use guest_memory::MappedMemory;
pub use interrupt::{EventFd, Interrupt, IrqAction, IrqControl, IrqData};
pub use iommufd::{Iommufd, IommufdContainer};
pub use management::Management;
pub use memory::{MappedRegion, RegionAccess};
pub use portal::{McPortal, OpenObject, Session, Target, Transport, TransportError, Turns};
