// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Abstractions of kernel interfaces that the `kernel` crate does not have.
//!
//! Nothing in here knows of vfio-fsl-mc: another driver could use each file, and each could
//! become a part of the `kernel` crate. All `unsafe` code of the module is here.

pub(crate) mod bindings;
pub(crate) mod eventfd;
pub(crate) mod fsl_mc;
pub(crate) mod irq;
pub(crate) mod killable;
pub(crate) mod layout;
pub(crate) mod mc_portal;
pub(crate) mod msi;
pub(crate) mod notifier;
pub(crate) mod power;
pub(crate) mod user;
pub(crate) mod vfio;
pub(crate) mod work;
