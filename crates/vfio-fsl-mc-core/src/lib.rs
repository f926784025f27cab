// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The decisions of the Linux driver `vfio-fsl-mc`: what user space may do with
//! a container, told from numbers alone.
//!
//! The kernel module compiles the folder `logic` as it is, so that what is
//! tested here is what runs there. This file and the tests stay outside of it.
//!
//! | module | decides |
//! |---|---|
//! | [`command`] | how a command of the Management Complex (MC) lies in a portal |
//! | [`policy`] | which commands user space may not send |
//! | [`region`] | what may be read, written and mapped, and how |
//! | [`irq_set`] | what an interrupt request asks for |
//! | [`pace`] | how often the objects of a container are looked at |
//! | [`portal`] | when a portal takes a command, and how long to wait for it |
//! | [`usage`] | who has a container open, and who tells the driver of changes in it |
//! | [`vectors`] | how many interrupt vectors a container takes, and who has which |
#![no_std]
#![forbid(unsafe_code)]

pub mod logic;

pub use logic::*;
