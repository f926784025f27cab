// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The layouts that come with the project, as sources.

/// A layout that comes with the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name: `default`.
    pub name: &'static str,
    /// What it is for, in one line.
    pub purpose: &'static str,
    /// Its source, for [`Loader::source`](super::Loader::source).
    pub source: &'static str,
}

/// All of them; the default one comes first.
pub const ALL: &[BuiltIn] = &[
    BuiltIn {
        name: "default",
        purpose: "two interfaces for Linux, and dprc.2 ready to be handed to user space",
        source: include_str!("../../../../boards/default.dts"),
    },
    BuiltIn {
        name: "minimal",
        purpose: "the root container with what one network interface needs",
        source: include_str!("../../../../boards/minimal.dts"),
    },
    BuiltIn {
        name: "eight-containers",
        purpose: "eight child containers with a few objects each",
        source: include_str!("../../../../boards/eight-containers.dts"),
    },
    BuiltIn {
        name: "guests",
        purpose: "two containers for guests of KVM, connected with the host and each other",
        source: include_str!("../../../../boards/guests.dts"),
    },
    BuiltIn {
        name: "everything",
        purpose: "an object of each family that an LX2160A has",
        source: include_str!("../../../../boards/everything.dts"),
    },
];

/// The layout of this name.
pub fn find(name: &str) -> Option<&'static BuiltIn> {
    ALL.iter().find(|layout| layout.name == name)
}
