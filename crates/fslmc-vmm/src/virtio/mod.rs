// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Virtio devices of the guest's (OASIS "Virtual I/O Device (VIRTIO) Version 1.2"): the
//! transport over MMIO, and disks.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

pub mod block;
pub mod mmio;

#[cfg(test)]
mod tests;
