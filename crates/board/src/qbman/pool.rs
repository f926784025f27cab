// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One buffer pool: addresses, without order.

use super::{
    budget::{Budget, Store},
    config::PoolConfig,
};
use qbman_abi::{Notice, management};

/// Buffers that each pool may hold whatever the others do.
const SHARE: usize = 65536;

/// A buffer pool.
#[derive(Debug, Default)]
pub(super) struct Pool {
    config: Option<PoolConfig>,
    buffers: Store<u64>,
}

impl Pool {
    /// The configuration; `None`: nobody's.
    pub fn config(&self) -> Option<&PoolConfig> {
        self.config.as_ref()
    }

    /// Gives the pool to somebody, or takes it away, which empties it.
    pub fn configure(&mut self, config: Option<PoolConfig>, budget: &Budget) {
        let owner = |config: &Option<PoolConfig>| config.as_ref().map(|config| config.icid);
        if owner(&config) != owner(&self.config) {
            self.buffers.clear(budget);
        }
        self.config = config;
    }

    /// Buffers in the pool.
    pub fn free(&self) -> u32 {
        self.buffers.len() as u32
    }

    /// Takes as many buffers as `out` has places, or as there are; how many.
    /// The one that was released last goes first.
    pub fn acquire(&mut self, out: &mut [u64]) -> usize {
        let mut taken = 0;
        for place in out {
            let Some(buffer) = self.buffers.pop_newest() else { break };
            *place = buffer;
            taken += 1;
        }
        taken
    }

    /// Puts buffers in; how many the pool had room for.
    pub fn release(&mut self, buffers: &[u64], budget: &Budget) -> usize {
        buffers.iter().take_while(|buffer| self.buffers.push(**buffer, SHARE, budget)).count()
    }

    /// What a query tells.
    pub fn state(&self) -> management::PoolState {
        management::PoolState {
            state: if self.buffers.is_empty() { Notice::NO_BUFFER } else { 0 },
            free: self.free(),
            icid: self.config.as_ref().map_or(0, |config| config.icid),
            ..management::PoolState::default()
        }
    }
}
