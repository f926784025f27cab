// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the MC says of a command.

use core::fmt;

/// The status byte of a message (DPAA2 user manual, command header; the same
/// numbers in Linux `include/linux/fsl/mc.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// 0: done.
    Ok,
    /// 1: handed over by software, not yet executed.
    Ready,
    /// 3: the portal or token may not do this.
    AuthenticationError,
    /// 4: the object or container may not do this.
    NoPrivilege,
    /// 5: DMA or I/O error.
    DmaError,
    /// 6: the parameters make no valid configuration.
    ConfigurationError,
    /// 7: the operation timed out.
    Timeout,
    /// 8: a pool of resources is empty, or the resource is not there.
    NoResource,
    /// 9: the MC has no memory left.
    NoMemory,
    /// 0xa: the object is busy.
    Busy,
    /// 0xb: no such command.
    UnsupportedOperation,
    /// 0xc: not in the state that the command needs.
    InvalidState,
    /// Any other byte; the MC sends none.
    Other(u8),
}

impl Status {
    /// Every status with a meaning.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Ready,
        Self::AuthenticationError,
        Self::NoPrivilege,
        Self::DmaError,
        Self::ConfigurationError,
        Self::Timeout,
        Self::NoResource,
        Self::NoMemory,
        Self::Busy,
        Self::UnsupportedOperation,
        Self::InvalidState,
    ];

    /// The status that a byte stands for.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0x0 => Self::Ok,
            0x1 => Self::Ready,
            0x3 => Self::AuthenticationError,
            0x4 => Self::NoPrivilege,
            0x5 => Self::DmaError,
            0x6 => Self::ConfigurationError,
            0x7 => Self::Timeout,
            0x8 => Self::NoResource,
            0x9 => Self::NoMemory,
            0xa => Self::Busy,
            0xb => Self::UnsupportedOperation,
            0xc => Self::InvalidState,
            other => Self::Other(other),
        }
    }

    /// The byte that stands for this status.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ok => 0x0,
            Self::Ready => 0x1,
            Self::AuthenticationError => 0x3,
            Self::NoPrivilege => 0x4,
            Self::DmaError => 0x5,
            Self::ConfigurationError => 0x6,
            Self::Timeout => 0x7,
            Self::NoResource => 0x8,
            Self::NoMemory => 0x9,
            Self::Busy => 0xa,
            Self::UnsupportedOperation => 0xb,
            Self::InvalidState => 0xc,
            Self::Other(byte) => byte,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Ok => "ok",
            Self::Ready => "ready, not yet executed",
            Self::AuthenticationError => "authentication error",
            Self::NoPrivilege => "no privilege",
            Self::DmaError => "DMA or I/O error",
            Self::ConfigurationError => "configuration error",
            Self::Timeout => "timed out",
            Self::NoResource => "no resources",
            Self::NoMemory => "no memory",
            Self::Busy => "busy",
            Self::UnsupportedOperation => "unsupported operation",
            Self::InvalidState => "invalid state",
            Self::Other(_) => "unknown status",
        };
        write!(f, "{words} ({:#x})", self.byte())
    }
}
