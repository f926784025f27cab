// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A loop whose instructions are known, and a system call that every driver refuses.
#![allow(unsafe_code)]

use fsl_mc_linux::ioctl::vfio;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::ioctl::{NoArg, ioctl};

/// Iterates `count` times, at two instructions each on arm64.
#[cfg(target_arch = "aarch64")]
pub fn iterate(count: u64) {
    if count == 0 {
        return;
    }
    // SAFETY: counts a register down to 0; touches neither memory nor stack.
    unsafe {
        std::arch::asm!(
            "2: subs {count}, {count}, #1",
            "b.ne 2b",
            count = inout(reg) count => _,
            options(nomem, nostack)
        );
    }
}

/// Iterates `count` times; only on arm64 is the number of instructions known.
#[cfg(not(target_arch = "aarch64"))]
pub fn iterate(count: u64) {
    for _ in 0..count {
        std::hint::spin_loop();
    }
}

/// A number among VFIO's that means nothing (`_IO(';', 255)`): it reaches the driver, which
/// refuses it.
const UNKNOWN: u32 = vfio(155);

/// Calls a device with [`UNKNOWN`]; what it answers.
pub fn unknown_call(device: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the call has no argument, and no driver knows it.
    unsafe { ioctl(device, NoArg::<UNKNOWN>::new()) }
}
