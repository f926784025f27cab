// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupt requests: `VFIO_DEVICE_SET_IRQS`.
//!
//! Each interrupt of an object is an index of its own with one vector: `start`
//! is 0, `count` is 1, or 0 where the index is to be switched off.
//!
//! The rules are those of the stock driver and of
//! `vfio_set_irqs_validate_and_prepare()`, which it calls first, but for these
//! (the numbers are those of the project's list of defects of the C driver):
//!
//! - 1: a request to switch off does no harm where no interrupt was ever on.
//! - 14: `start` must be 0 in a request to switch off as well. The stock driver
//!   takes any number below the count of indexes.
//! - 14: an action is to be TRIGGER alone. The stock driver takes TRIGGER with
//!   MASK or UNMASK and does not mask.
//! - 14: a request to signal in software ([`Plan::FireNone`],
//!   [`Plan::FireBool`]) takes no vectors; the stock driver reserves 256.

use super::Errno;

/// Flag: no data follow.
pub const DATA_NONE: u32 = 1 << 0;
/// Flag: a byte for each vector follows.
pub const DATA_BOOL: u32 = 1 << 1;
/// Flag: a file descriptor, `i32`, for each vector follows.
pub const DATA_EVENTFD: u32 = 1 << 2;
/// Flag: mask.
pub const ACTION_MASK: u32 = 1 << 3;
/// Flag: unmask.
pub const ACTION_UNMASK: u32 = 1 << 4;
/// Flag: signal, or choose what is signalled.
pub const ACTION_TRIGGER: u32 = 1 << 5;

const DATA: u32 = DATA_NONE | DATA_BOOL | DATA_EVENTFD;
const ACTION: u32 = ACTION_MASK | ACTION_UNMASK | ACTION_TRIGGER;

/// Bytes of [`IrqSet`] in the user's memory; data follow.
pub const HEADER_SIZE: u32 = 20;

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IrqSet {
    /// Bytes of head and data.
    pub argsz: u32,
    /// One of the data flags and [`ACTION_TRIGGER`].
    pub flags: u32,
    /// Which interrupt.
    pub index: u32,
    /// First vector.
    pub start: u32,
    /// How many vectors.
    pub count: u32,
}

/// What a request asks for, of the interrupt `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Switch it off, if it was on.
    Disable,
    /// Signal a file descriptor, which is an `i32` behind the head; a negative
    /// one switches off.
    ArmEventfd,
    /// Signal now.
    FireNone,
    /// Signal now if the byte behind the head is not 0.
    FireBool,
}

impl Plan {
    /// Bytes of data that the plan needs from behind the head.
    pub const fn data_size(self) -> usize {
        match self {
            Self::Disable | Self::FireNone => 0,
            Self::FireBool => 1,
            Self::ArmEventfd => 4,
        }
    }
}

/// What a request asks for, of an object with `irq_count` interrupts.
///
/// # Errors
/// [`Errno::Inval`] for a head that says it is too short for itself or its data,
/// an index, vector or flag that there is not, and a combination that means
/// nothing.
pub const fn validate(set: &IrqSet, irq_count: u32) -> Result<Plan, Errno> {
    let Some(room) = set.argsz.checked_sub(HEADER_SIZE) else {
        return Err(Errno::Inval);
    };
    if set.index >= irq_count || set.flags & !(DATA | ACTION) != 0 {
        return Err(Errno::Inval);
    }
    if set.flags & ACTION != ACTION_TRIGGER || set.start != 0 {
        return Err(Errno::Inval);
    }
    let plan = match (set.flags & DATA, set.count) {
        (DATA_NONE, 0) => Plan::Disable,
        (DATA_NONE, 1) => Plan::FireNone,
        (DATA_BOOL, 1) => Plan::FireBool,
        (DATA_EVENTFD, 1) => Plan::ArmEventfd,
        _ => return Err(Errno::Inval),
    };
    if (room as usize) < plan.data_size() {
        return Err(Errno::Inval);
    }
    Ok(plan)
}
