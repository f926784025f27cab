// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Error numbers.

/// Why something is refused, as Linux numbers it on all its newer platforms
/// (`include/uapi/asm-generic/errno-base.h`, `errno.h`, `include/linux/errno.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Errno {
    /// Not permitted.
    Perm = 1,
    /// Interrupted by a signal.
    Intr = 4,
    /// Input or output failed.
    Io = 5,
    /// No such device or address.
    NxIo = 6,
    /// No memory left.
    NoMem = 12,
    /// Access denied.
    Access = 13,
    /// Bad address.
    Fault = 14,
    /// Busy.
    Busy = 16,
    /// No such device.
    NoDev = 19,
    /// Bad argument.
    Inval = 22,
    /// No such request.
    Notty = 25,
    /// No space left.
    NoSpc = 28,
    /// Timed out.
    TimedOut = 110,
    /// None available.
    NotAvail = 119,
    /// Operation not supported; known to the kernel alone.
    NotSupp = 524,
}

impl Errno {
    /// The positive number.
    pub const fn number(self) -> i32 {
        self as i32
    }
}
