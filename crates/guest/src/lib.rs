// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the host and the guest of an emulated board share.
//!
//! [`protocol`] is the language of the control port, [`module_list`] the list of
//! kernel modules that the host ships in the initramfs. The programs themselves
//! (agent, demonstration, probes) are the binary of this package.
#![forbid(unsafe_code)]

pub mod module_list;
pub mod protocol;
