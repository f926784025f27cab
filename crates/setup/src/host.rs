// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The machine that the packages run on.

use crate::error::{Error, Result};

/// What differs between the machines that can host a board.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Debian's name of the architecture.
    pub architecture: &'static str,
    /// Debian's multiarch triplet: libraries are in `usr/lib/<triplet>`.
    pub triplet: &'static str,
    /// The dynamic loader within a tree.
    pub loader: &'static str,
}

const HOSTS: [(&str, Host); 2] = [
    (
        "x86_64",
        Host {
            architecture: "amd64",
            triplet: "x86_64-linux-gnu",
            loader: "lib64/ld-linux-x86-64.so.2",
        },
    ),
    (
        "aarch64",
        Host {
            architecture: "arm64",
            triplet: "aarch64-linux-gnu",
            loader: "lib/ld-linux-aarch64.so.1",
        },
    ),
];

/// The machine that this program was built for, which is the one it runs on.
///
/// # Errors
/// [`Error::UnknownHost`] where Debian has no QEMU for it that is known to work.
pub(crate) fn host() -> Result<&'static Host> {
    let here = std::env::consts::ARCH;
    HOSTS
        .iter()
        .find(|(name, _)| *name == here)
        .map(|(_, host)| host)
        .ok_or_else(|| Error::UnknownHost(here.to_owned()))
}
