// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! The state of the machine.
//!
//! C header: `include/linux/kernel.h`

use super::bindings as ext;

/// Whether the machine goes down, or gives way to another kernel. Devices go then with whatever
/// user space holds, which still runs.
pub(crate) fn goes_down() -> bool {
    // SAFETY: Looks at a number.
    unsafe { ext::vfm_machine_goes_down() }
}
