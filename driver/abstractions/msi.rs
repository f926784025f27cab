// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Message-signalled interrupts of a device whose messages are programmed by its driver.
//!
//! C header: `include/linux/msi.h`

use super::bindings as ext;
use kernel::{
    bindings,
    device,
    error::to_result,
    prelude::*,
    sync::aref::ARef, //
};

/// A block of interrupt vectors. Dropping it frees them and the device's interrupt domain, so
/// that the next block can be made for another IOMMU domain.
///
/// # Invariants
///
/// `device` has the vectors `0..count`, and no other block.
pub(crate) struct Block {
    device: ARef<device::Device>,
    count: u32,
}

impl Block {
    /// Allocates `count` vectors.
    ///
    /// The doorbell is mapped in the IOMMU domain that the device is attached to now: after a
    /// change of the domain the block is of no use.
    pub(crate) fn new(device: &device::Device, count: u32) -> Result<Self> {
        // SAFETY: The device is valid. A failed call leaves nothing behind.
        to_result(unsafe { ext::vfm_msi_alloc(raw(device), count) })?;
        // INVARIANT: Just allocated; a second block would have been refused.
        Ok(Self {
            device: device.into(),
            count,
        })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The Linux interrupt number of a vector.
    pub(crate) fn virq(&self, vector: u32) -> Result<u32> {
        // SAFETY: The device is valid, and any number may be asked for.
        let virq = unsafe { ext::vfm_msi_virq(raw(&self.device), vector) };
        if virq == 0 {
            return Err(EINVAL);
        }
        Ok(virq)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: The vectors are ours by the type invariant. The core warns, and does no harm
        // otherwise, should a line still use one.
        unsafe { ext::vfm_msi_free(raw(&self.device)) }
    }
}

/// Where a device writes to raise an interrupt, and what.
#[derive(Clone, Copy)]
pub(crate) struct Message {
    pub(crate) address: u64,
    pub(crate) data: u32,
}

impl Message {
    /// The message of a line of a [`Block`] that has been requested.
    pub(crate) fn of(virq: u32) -> Self {
        let mut address = 0;
        let mut data = 0;
        // SAFETY: Both are valid for writes; for a number without a message both stay zero.
        unsafe { ext::vfm_msi_message(virq, &mut address, &mut data) };
        Self { address, data }
    }
}

fn raw(device: &device::Device) -> *mut bindings::device {
    // CAST: `device::Device` is a transparent wrapper of the C structure.
    core::ptr::from_ref(device).cast_mut().cast()
}
