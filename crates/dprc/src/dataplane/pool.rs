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
    /// [`Error::NoObject`], the MC's refusal, [`Error::ReleaseRingFull`] where the portal takes no
    /// buffers for a second, or its other errors.
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
            let (portal, left, waited) = (portal.name().to_owned(), left.len(), PATIENCE);
            return Err(Error::ReleaseRingFull { portal, pool, left, waited });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qbman::testing;

    #[test]
    fn a_full_release_ring_does_not_end_a_portal() {
        // No entry is ever free.
        let (mut portal, _areas) = testing::portal(Duration::from_secs(5));
        let error = fill(&mut portal, 3, &[0x1000, 0x2000]).unwrap_err();
        assert!(matches!(error, Error::ReleaseRingFull { pool: 3, left: 2, .. }), "{error}");
        assert_eq!(portal.release(3, &[0x1000]).unwrap(), 0);
    }
}
