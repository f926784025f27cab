// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The walk through AArch64 stage 1 translation tables.
//!
//! Descriptor layout: VMSAv8-64 of the Arm Architecture Reference Manual.
//! Attributes other than permissions, and the contiguous hint, make no
//! difference to the model.

use super::access::Permissions;
use super::fault::ContextCause;
use super::regime::Tables;
use super::shape::ADDRESS_BITS;
use crate::host::GuestMemory;

/// A page or block that a walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Start of the IOVA range, sign-extended.
    pub(super) input: u64,
    /// Start of the physical range.
    pub(super) output: u64,
    /// log2 of the size of both.
    pub(super) shift: u32,
    pub(super) permissions: Permissions,
    /// The mapping belongs to every ASID (`nG` clear).
    pub(super) global: bool,
}

/// Why and at which table level a walk ended without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalkFault {
    pub(super) cause: ContextCause,
    pub(super) level: u32,
}

const VALID: u64 = 1 << 0;
/// A table above level 3, a page at level 3; a block where clear.
const TABLE_OR_PAGE: u64 = 1 << 1;
const UNPRIVILEGED: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const PRIVILEGED_EXECUTE_NEVER: u64 = 1 << 53;
const UNPRIVILEGED_EXECUTE_NEVER: u64 = 1 << 54;
const TABLE_PRIVILEGED_EXECUTE_NEVER: u64 = 1 << 59;
const TABLE_UNPRIVILEGED_EXECUTE_NEVER: u64 = 1 << 60;
const TABLE_NO_UNPRIVILEGED: u64 = 1 << 61;
const TABLE_READ_ONLY: u64 = 1 << 62;

/// Finds what maps `iova`, reading at most four descriptors.
pub(super) fn walk(
    tables: &Tables,
    iova: u64,
    memory: &dyn GuestMemory,
) -> Result<Leaf, WalkFault> {
    let fault = |cause, level| WalkFault { cause, level };
    let (space, address) = tables.space(iova).ok_or_else(|| fault(ContextCause::Translation, 0))?;
    let too_large = |output: u64| output >> tables.output_bits != 0;
    let mut table = space.root;
    if too_large(table) {
        return Err(fault(ContextCause::AddressSize, 0));
    }
    let offset = address & ((1 << space.input_bits) - 1);
    let mut permissions = Permissions::ALL;
    for level in space.start_level()..=3 {
        let shift = space.shift(level);
        let index = offset >> shift & ((1 << space.granule.stride()) - 1);
        let descriptor = memory
            .read_u64(table + index * 8)
            .map(|d| if tables.big_endian { d.swap_bytes() } else { d })
            .map_err(|_| fault(ContextCause::External, level))?;

        let table_or_page = descriptor & TABLE_OR_PAGE != 0;
        if descriptor & VALID == 0
            || !table_or_page && (level == 3 || level < space.granule.first_block_level())
        {
            return Err(fault(ContextCause::Translation, level));
        }
        if level < 3 && table_or_page {
            table = address_bits(descriptor, space.granule.shift());
            if too_large(table) {
                return Err(fault(ContextCause::AddressSize, level));
            }
            permissions = permissions.and(table_permissions(descriptor));
            continue;
        }
        let output = address_bits(descriptor, shift);
        if too_large(output) {
            return Err(fault(ContextCause::AddressSize, level));
        }
        if descriptor & ACCESSED == 0 && !tables.ignore_access_flag {
            return Err(fault(ContextCause::AccessFlag, level));
        }
        return Ok(Leaf {
            input: address & (u64::MAX << shift),
            output,
            shift,
            permissions: permissions.and(leaf_permissions(descriptor)),
            global: descriptor & NOT_GLOBAL == 0,
        });
    }
    // Level 3 always returns above: what is not a page there is not valid.
    Err(fault(ContextCause::Translation, 3))
}

/// The output address of a descriptor: bits 47 down to `shift`.
fn address_bits(descriptor: u64, shift: u32) -> u64 {
    descriptor & ((1 << ADDRESS_BITS) - 1) & (u64::MAX << shift)
}

fn leaf_permissions(descriptor: u64) -> Permissions {
    Permissions {
        write: descriptor & READ_ONLY == 0,
        unprivileged: descriptor & UNPRIVILEGED != 0,
        unprivileged_fetch: descriptor & UNPRIVILEGED_EXECUTE_NEVER == 0,
        privileged_fetch: descriptor & PRIVILEGED_EXECUTE_NEVER == 0,
    }
}

/// What a table descriptor leaves to everything below it (APTable, XNTable).
fn table_permissions(descriptor: u64) -> Permissions {
    Permissions {
        write: descriptor & TABLE_READ_ONLY == 0,
        unprivileged: descriptor & TABLE_NO_UNPRIVILEGED == 0,
        unprivileged_fetch: descriptor & TABLE_UNPRIVILEGED_EXECUTE_NEVER == 0,
        privileged_fetch: descriptor & TABLE_PRIVILEGED_EXECUTE_NEVER == 0,
    }
}
