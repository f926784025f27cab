// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a bus master asks of the SMMU and what it gets.

use super::shape::ADDRESS_BITS;

/// Direction of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessKind {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Fetch,
}

/// Attributes of a transaction that the tables' permissions look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Direction.
    pub kind: AccessKind,
    /// Whether the bus master marks the transaction as privileged. `S2CR.PRIVCFG`
    /// can override it.
    pub privileged: bool,
}

impl Access {
    /// An unprivileged data read.
    pub const READ: Self = Self { kind: AccessKind::Read, privileged: false };
    /// An unprivileged data write.
    pub const WRITE: Self = Self { kind: AccessKind::Write, privileged: false };
}

/// Where a transaction goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Physical address.
    pub address: u64,
    /// Bytes from there to the end of the page or block that maps it, never 0.
    /// The IOVAs that follow go to the physical addresses that follow, with
    /// the same permissions.
    pub length: u64,
}

impl Mapped {
    /// How much of the next `left` bytes lies in one piece.
    pub(super) fn piece(&self, left: usize) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX).clamp(1, left.max(1))
    }

    /// An address that passes unchanged: mapped up to the end of the physical
    /// address space, or of all addresses beyond it.
    pub(super) fn flat(address: u64) -> Self {
        let end = 1 << ADDRESS_BITS;
        let length = if address < end { end - address } else { (u64::MAX - address).max(1) };
        Self { address, length }
    }
}

/// What the tables permit for one page or block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) write: bool,
    pub(super) unprivileged: bool,
    pub(super) unprivileged_fetch: bool,
    pub(super) privileged_fetch: bool,
}

impl Permissions {
    pub(super) const ALL: Self =
        Self { write: true, unprivileged: true, unprivileged_fetch: true, privileged_fetch: true };

    /// Only what both permit.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            write: self.write && other.write,
            unprivileged: self.unprivileged && other.unprivileged,
            unprivileged_fetch: self.unprivileged_fetch && other.unprivileged_fetch,
            privileged_fetch: self.privileged_fetch && other.privileged_fetch,
        }
    }

    /// Privileged software may read whatever is mapped, so reads are refused
    /// only to the unprivileged.
    pub(super) fn allow(self, access: Access) -> bool {
        let seen = access.privileged || self.unprivileged;
        let kind = match access.kind {
            AccessKind::Read => true,
            AccessKind::Write => self.write,
            AccessKind::Fetch if access.privileged => self.privileged_fetch,
            AccessKind::Fetch => self.unprivileged_fetch,
        };
        seen && kind
    }
}
