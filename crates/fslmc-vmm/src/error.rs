// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Why a guest does not run.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use dprc_assign::AssignmentError;
use std::path::PathBuf;

/// Why a guest does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another processor.
    #[error(
        "{kernel} is for arm64 and this machine is not: containers are handed to a guest where they are, on the board"
    )]
    #[cfg(not(target_arch = "aarch64"))]
    Machine { kernel: PathBuf },
    /// What the host lacks; nothing was touched.
    #[error("the host lacks\n  {}", .0.join("\n  "))]
    Missing(Vec<String>),
    /// The host's bus refuses.
    #[error(transparent)]
    Bus(#[from] fsl_mc_linux::bus::Error),
    /// Containers that the host does not have again.
    #[error("{}", .0.join("\n"))]
    Kept(Vec<String>),
    /// Options do not go together.
    #[error("{0}")]
    Options(String),
    /// A file.
    #[error("{what} {path}: {reason}")]
    File { what: &'static str, path: PathBuf, reason: String },
    /// Too little memory for what is to be in it.
    #[error(
        "{kernel} with its file system needs {needed} MiB before it starts, and the guest has \
         {memory} MiB: give --memory {advice}M or more"
    )]
    Memory { kernel: PathBuf, needed: u64, memory: u64, advice: u64 },
    /// KVM refuses.
    #[error("{asked}: {reason}. {advice}")]
    Kvm { asked: &'static str, reason: std::io::Error, advice: &'static str },
    /// The device tree.
    #[error("writing the guest's device tree: {0}")]
    DeviceTree(#[from] vm_fdt::Error),
    /// A container.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The system.
    #[error("{what}: {reason}")]
    System { what: &'static str, reason: std::io::Error },
    /// The guest does something that ends it.
    #[error("the guest's processor {cpu} stops: {reason}")]
    Stopped { cpu: u8, reason: String },
}

/// One of several errors where nobody asks for all.
pub fn first(errors: Vec<Error>) -> Error {
    let none = || Error::Missing(Vec::new());
    errors.into_iter().next().unwrap_or_else(none)
}
