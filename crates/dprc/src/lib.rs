// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The user side of VFIO for DPAA2 containers, and of the management interface.
//!
//! The way from nothing to a device, each step of which needs what the one before
//! gave:
//!
//! ```no_run
//! use dprc::{Access, Container, DmaBuffer, Group, IommuType};
//! use mc_abi::{Token, dpmng};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let container = Container::open()?;
//! let group = Group::of_device("dprc.2")?.attach(&container)?;
//! let iommu = container.enable(IommuType::Type1V2, &group)?;
//! let device = group.device(&iommu, "dprc.2")?;
//! let mut portal = device.portal()?;
//! let version = portal.call(Token::NONE, &dpmng::GetVersion {})?;
//! println!("firmware {}.{}.{}", version.major, version.minor, version.revision);
//! let page = iommu.map(DmaBuffer::allocate(4096)?, 0x1_0000_0000, Access::ReadWrite)?;
//! page.unmap()?;
//! # Ok(())
//! # }
//! ```
//!
//! `unsafe` is in two modules: `ioctl` (the system calls) and `memory` (mappings).
#![deny(unsafe_code)]

mod container;
mod device;
mod dma;
mod error;
mod group;
mod interrupt;
mod ioctl;
mod management;
mod memory;
mod portal;

pub use container::{Container, Extension, Iommu, IommuInfo, IommuType};
pub use device::{Device, DeviceInfo, IrqInfo, RegionInfo};
pub use dma::{Access, DmaBuffer, MapError, Mapped};
pub use error::{Error, PortalError, Result};
pub use group::{AttachedGroup, Group, GroupStatus, group_number};
pub use interrupt::{EventFd, Interrupt, IrqAction, IrqData};
pub use management::Management;
pub use memory::MappedRegion;
pub use portal::{McPortal, OpenObject, Target, Transport, TransportError};
