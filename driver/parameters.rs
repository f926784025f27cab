// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Parameters of the module. They can be changed at any time in
//! `/sys/module/vfio_fsl_mc/parameters`, which the `kernel` crate's parameters cannot: they are
//! defined in `helpers.c`.

use crate::{
    abstractions::bindings as ext,
    logic::policy::Mode, //
};

/// `command_policy`: what becomes of commands that would take a container from the host.
pub(crate) fn command_policy() -> Mode {
    // SAFETY: Reads one word.
    match unsafe { ext::vfm_command_policy() } {
        ext::vfm_policy_VFM_POLICY_OFF => Mode::Off,
        ext::vfm_policy_VFM_POLICY_LOG => Mode::Log,
        _ => Mode::Strict,
    }
}

/// `command_timeout_ms`, in microseconds: how long to wait for an answer.
pub(crate) fn command_timeout_us() -> u64 {
    // SAFETY: Reads one word.
    u64::from(unsafe { ext::vfm_command_timeout_ms() }).saturating_mul(1000)
}

/// Whether a message that user space can cause may be printed now.
pub(crate) fn may_print() -> bool {
    // SAFETY: Callable in any context.
    unsafe { ext::vfm_may_print() }
}
