// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Buffer pools.

use super::{Dataplane, Frames};
use crate::error::{Error, Result};
use crate::qbman::Portal;
use mc_abi::common::{Enable, Reset};
use mc_abi::{ObjectId, ObjectType, dpbp};
use std::time::{Duration, Instant};

/// How long the release ring may stay full while a pool is filled.
const PATIENCE: Duration = Duration::from_secs(1);

/// A buffer pool whose buffers are all of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The object.
    pub object: ObjectId,
    /// Its number in hardware, as frame descriptors and portals name it.
    pub number: u16,
    /// Bytes of a buffer.
    pub buffer_size: u16,
}

impl Dataplane<'_> {
    /// Takes the next buffer pool, resets and enables it, and puts all buffers of `frames`
    /// into it.
    ///
    /// # Errors
    /// [`Error::NoObject`], the MC's refusal, or where the portal takes no buffers.
    pub fn pool(&mut self, portal: &mut Portal, frames: &Frames) -> Result<Pool> {
        let object = self.take(ObjectType::Dpbp)?;
        self.set_up(object, |plane| {
            let mut open = plane.mc.session(object)?;
            open.call(&Reset {})?;
            open.call(&Enable {})?;
            plane.enabled.insert(object);
            let number = open.call(&dpbp::GetAttributes {})?.bpid;
            open.close()?;
            // What an earlier program has left in it is memory of nobody.
            while portal.acquire(number, &mut [0; 7])? > 0 {}
            let buffers: Vec<u64> = frames.buffers().collect();
            fill(portal, number, &buffers)?;
            Ok(Pool { object, number, buffer_size: frames.buffer_size() })
        })
    }
}

fn fill(portal: &mut Portal, pool: u16, buffers: &[u64]) -> Result<()> {
    let mut left = buffers;
    let mut since = Instant::now();
    while !left.is_empty() {
        let released = portal.release(pool, left)?;
        left = &left[released..];
        if released > 0 {
            since = Instant::now();
        } else if since.elapsed() > PATIENCE {
            let (portal, waited) = (portal.name().to_owned(), PATIENCE);
            return Err(Error::PortalSilent { portal, command: "Release", waited });
        }
    }
    Ok(())
}
