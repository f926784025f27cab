// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod assignment;
mod attention;
#[cfg(feature = "vm-device")]
mod bus;
mod emulation;
mod events;
mod fdt;
mod host;
mod interrupts;
mod log;
mod page;
mod policy;
mod portal;
mod vfio;
mod windows;

pub use assignment::{Assignment, AssignmentError};
pub use emulation::{Emulation, Identity, MOST_CONTAINER_TOKENS, MOST_TOKENS, StartError};
pub use fdt::{DeviceTree, MsiController};
pub use host::{Host, HostError, HostRegion, Msi};
pub use page::PortalPage;
pub use policy::{Right, Verdict, verdict};
pub use portal::Portal;
pub use vfio::{Delivery, Loads, VfioHost, Vm, VmError};
pub use windows::{PORTAL_STRIDE, WINDOW_SIZE, Windows};
