// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Pools of hardware resources: numbers that objects take when they are made
//! and give back when they are destroyed.

use mc_abi::Status;
use std::collections::BTreeSet;

/// Numbers that are free. The lowest goes first, as on a real board, where the
/// number of a destroyed object is the next one given out.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    free: BTreeSet<u32>,
    size: u32,
}

impl Pool {
    /// A pool of the numbers `first..first + size`.
    pub fn new(first: u32, size: u32) -> Self {
        Self { free: (first..first.saturating_add(size)).collect(), size }
    }

    /// How many numbers the pool manages.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How many are free.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// The free numbers in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.free.iter().copied()
    }

    /// Takes the lowest free number.
    ///
    /// # Errors
    /// [`Status::NoResource`] where none is left.
    pub fn take(&mut self) -> Result<u32, Status> {
        self.free.pop_first().ok_or(Status::NoResource)
    }

    /// Takes `count` numbers, the lowest ones, or none.
    ///
    /// # Errors
    /// [`Status::NoResource`] where fewer are left.
    pub fn take_many(&mut self, count: usize) -> Result<Vec<u32>, Status> {
        if self.free.len() < count {
            return Err(Status::NoResource);
        }
        Ok((0..count).filter_map(|_| self.free.pop_first()).collect())
    }

    /// Takes a certain number.
    ///
    /// # Errors
    /// [`Status::NoResource`] where it is not free.
    pub fn take_exactly(&mut self, number: u32) -> Result<(), Status> {
        if self.free.remove(&number) { Ok(()) } else { Err(Status::NoResource) }
    }

    /// Gives a number back.
    pub fn give(&mut self, number: u32) {
        let fresh = self.free.insert(number);
        debug_assert!(fresh, "{number} given back twice");
    }
}

/// The pools of the chip.
///
/// Sizes are those that `restool dprc show --resources` and the reference
/// manual give for an LX2160A, where known.
#[derive(Debug)]
pub(crate) struct Pools {
    /// MC command portals.
    pub mcp: Pool,
    /// Isolation ids.
    pub icid: Pool,
    /// QBMan software portals.
    pub swp: Pool,
    /// Hardware buffer pools.
    pub bp: Pool,
    /// Frame queues.
    pub fq: Pool,
    /// Channels with eight work queues.
    pub channel8: Pool,
    /// Channels with two work queues.
    pub channel2: Pool,
    /// Congestion groups.
    pub cg: Pool,
    /// Queuing destinations.
    pub qd: Pool,
}

impl Pools {
    /// Full pools. Portal 0 belongs to the MC itself.
    pub fn new(first_icid: u16, icids: u16) -> Self {
        Self {
            mcp: Pool::new(1, 511),
            icid: Pool::new(u32::from(first_icid), u32::from(icids)),
            swp: Pool::new(0, 64),
            bp: Pool::new(1, 255),
            fq: Pool::new(1, 8191),
            channel8: Pool::new(0, 64),
            channel2: Pool::new(1024, 256),
            cg: Pool::new(0, 4096),
            qd: Pool::new(1, 511),
        }
    }
}
