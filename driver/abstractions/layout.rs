// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Compares the structure layouts that bindgen (clang) computes with the C compiler's.
//!
//! The two take their flags from one place, but a header that one of them reads differently
//! would make this module write into the middle of a foreign field. `helpers.c` holds the
//! C compiler's numbers; the module does not load when one differs.

use super::bindings as ext;
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    bindings,
    prelude::*, //
};

const OURS: [usize; 29] = [
    size_of::<ext::vfio_device>(),
    offset_of!(ext::vfio_device, dev),
    offset_of!(ext::vfio_device, kvm),
    offset_of!(ext::vfio_device, dev_set),
    offset_of!(ext::vfio_device, device),
    size_of::<ext::vfio_device_ops>(),
    offset_of!(ext::vfio_device_ops, device_feature),
    size_of::<ext::vfio_region_info>(),
    size_of::<ext::fsl_mc_device>(),
    offset_of!(ext::fsl_mc_device, mc_handle),
    offset_of!(ext::fsl_mc_device, mc_io),
    offset_of!(ext::fsl_mc_device, obj_desc),
    offset_of!(ext::fsl_mc_device, regions),
    size_of::<ext::fsl_mc_obj_desc>(),
    offset_of!(ext::fsl_mc_obj_desc, irq_count),
    offset_of!(ext::fsl_mc_obj_desc, flags),
    size_of::<ext::fsl_mc_io>(),
    offset_of!(ext::fsl_mc_io, portal_phys_addr),
    size_of::<ext::fsl_mc_driver>(),
    offset_of!(ext::fsl_mc_driver, driver_managed_dma),
    size_of::<bindings::device>(),
    offset_of!(bindings::device, parent),
    size_of::<bindings::device_driver>(),
    size_of::<bindings::module>(),
    size_of::<bindings::mutex>(),
    size_of::<bindings::notifier_block>(),
    size_of::<bindings::resource>(),
    size_of::<bindings::vm_area_struct>(),
    offset_of!(bindings::vm_area_struct, vm_pgoff),
];

/// Fails with `EINVAL` if a layout differs.
pub(crate) fn check() -> Result {
    // SAFETY: A constant of `helpers.c`.
    let entries = unsafe { ext::vfm_layout_entries };
    if entries != OURS.len() {
        pr_err!("{} layouts in C, {} in Rust\n", entries, OURS.len());
        return Err(EINVAL);
    }
    for (i, &ours) in OURS.iter().enumerate() {
        // SAFETY: The C array has as many entries as `OURS`, which was checked above.
        let c = unsafe { (&raw const ext::vfm_layout).cast::<usize>().add(i).read() };
        if c != ours {
            pr_err!("layout {} is {} in C, {} in Rust: rebuild\n", i, c, ours);
            return Err(EINVAL);
        }
    }
    Ok(())
}
