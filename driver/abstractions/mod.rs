// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Abstractions of kernel interfaces that the `kernel` crate does not have.
//!
//! Nothing in here knows what vfio-fsl-mc keeps or does, but for plain types of `crate::logic`
//! (descriptions of objects, regions and requests): another driver could use each file, and each
//! could become a part of the `kernel` crate. The `unsafe` code of the module is here, but for
//! calls of `helpers.c` that ask for a number or leave a trace, the one static lock, and a pointer
//! that is compared only.

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
