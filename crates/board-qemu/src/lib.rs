// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Puts an emulated DPAA2 board under QEMU, where an unmodified Linux finds it.
//!
//! The board's register windows reach the guest as BARs of PCI functions that
//! this process serves over vfio-user sockets. The guest doesn't see PCI: its
//! device tree ([`device_tree`]) describes a Management Complex and an SMMU at
//! the addresses that the BARs are given ([`memory_map`]). There is one
//! function for each ICID, since a function's requester id is what the
//! interrupt translation service takes as DeviceID: containers interrupt
//! separately, as on silicon.
//!
//! [`Vm::start`] does all that and hands out the running machine: its
//! [`Console`], its [`Ports`] to an agent in the guest, and its end.
#![forbid(unsafe_code)]

mod arguments;
pub mod busybox;
mod config_space;
mod console;
pub mod device_tree;
mod error;
mod function;
mod guest_ram;
mod hardware;
mod initramfs;
mod interrupts;
mod launch;
pub mod memory_map;
mod process;
mod qmp;
mod qtest;
mod runtime_directory;
mod shared_memory;
mod vfio_user;
mod vm;

pub use arguments::{
    Disk, Machine, PORTS, ROOT_TAG, SHARED_TAG, SharedDirectory, Time, VIRTIO_PAIR,
};
pub use console::{Console, LineHook};
pub use error::{DeviceTreeError, QmpError, QtestError, RamError, Report, VmError};
pub use hardware::{Hardware, Window};
pub use initramfs::{EntryError, Initramfs};
pub use process::StopHandle;
pub use runtime_directory::{Running, running};
pub use vm::{Ended, HostInterfaces, Platform, Ports, Vm, VmConfig};
