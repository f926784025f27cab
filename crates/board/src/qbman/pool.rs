// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One buffer pool: addresses, without order.

use super::{
    budget::Store,
    config::{Hysteresis, PoolConfig},
    shared::Shared,
};
use qbman_abi::{
    Notice, NoticeKind,
    management::{self, PoolThreshold},
};

/// Buffers that each pool may hold whatever the others do.
const SHARE: usize = 65536;

/// Bytes of a state change notification in memory: those that have a meaning.
const MESSAGE: usize = 16;

/// A buffer pool.
#[derive(Debug, Default)]
pub(super) struct Pool {
    config: Option<PoolConfig>,
    buffers: Store<u64>,
    depleted: bool,
    surplus: bool,
    /// How often these were entered.
    depletions: u8,
    surpluses: u8,
}

impl Pool {
    /// The configuration; `None`: nobody's.
    pub fn config(&self) -> Option<&PoolConfig> {
        self.config.as_ref()
    }

    /// Gives the pool to somebody, or takes it away, which empties it. Who gets
    /// messages gets the state at once, since the memory may hold anything.
    pub fn configure(&mut self, number: u32, config: Option<PoolConfig>, shared: &Shared) {
        if config == self.config {
            return;
        }
        let owner = |config: &Option<PoolConfig>| config.as_ref().map(|config| config.icid);
        if owner(&config) != owner(&self.config) {
            self.buffers.clear(&shared.budget);
            *self = Self { buffers: std::mem::take(&mut self.buffers), ..Self::default() };
        }
        self.config = config;
        self.update();
        self.tell(number, shared);
    }

    /// Buffers in the pool.
    pub fn free(&self) -> u32 {
        self.buffers.len() as u32
    }

    /// Whether the pool is depleted, and whether it is in surplus.
    pub fn thresholds(&self) -> (bool, bool) {
        (self.depleted, self.surplus)
    }

    /// Takes as many buffers as `out` has places, or as there are; how many.
    /// The one that was released last goes first.
    pub fn acquire(&mut self, number: u32, out: &mut [u64], shared: &Shared) -> usize {
        let mut taken = 0;
        for place in out {
            let Some(buffer) = self.buffers.pop_newest() else { break };
            *place = buffer;
            taken += 1;
        }
        if self.update() {
            self.tell(number, shared);
        }
        taken
    }

    /// Puts buffers in; how many the pool had room for.
    pub fn release(&mut self, number: u32, buffers: &[u64], shared: &Shared) -> usize {
        let push = |buffer: &&u64| self.buffers.push(**buffer, SHARE, &shared.budget);
        let taken = buffers.iter().take_while(push).count();
        if self.update() {
            self.tell(number, shared);
        }
        taken
    }

    /// What a query tells.
    pub fn state(&self) -> management::PoolState {
        let Some(config) = &self.config else { return management::PoolState::default() };
        let depletion = config.depletion.unwrap_or(Hysteresis { enter: 0, exit: 0 });
        let surplus = config.surplus.unwrap_or(Hysteresis { enter: 0, exit: 0 });
        let (down, up) = (
            |value| PoolThreshold::from_value(value, false),
            |value| PoolThreshold::from_value(value, true),
        );
        let none = PoolThreshold::default();
        management::PoolState {
            state: self.bits(),
            free: self.free(),
            icid: config.icid,
            thresholds: [
                down(depletion.enter),
                up(depletion.exit),
                none,
                none,
                down(surplus.enter),
                up(surplus.exit),
            ],
            message: config.message.map_or(0, |message| message.address),
            context: config.message.map_or(0, |message| message.context),
            depletions: self.depletions,
            surpluses: self.surpluses,
        }
    }

    /// Brings the states up to date; whether one has changed.
    fn update(&mut self) -> bool {
        let Some(config) = &self.config else { return false };
        let free = self.buffers.len() as u32;
        let before = (self.depleted, self.surplus);
        self.depleted = config.depletion.is_some_and(|limit| match self.depleted {
            false => free < limit.enter,
            true => free < limit.exit,
        });
        self.surplus = config.surplus.is_some_and(|limit| match self.surplus {
            false => free > limit.enter,
            true => free > limit.exit,
        });
        self.depletions = self.depletions.wrapping_add(u8::from(self.depleted && !before.0));
        self.surpluses = self.surpluses.wrapping_add(u8::from(self.surplus && !before.1));
        (self.depleted, self.surplus) != before
    }

    fn tell(&self, number: u32, shared: &Shared) {
        let Some(config) = &self.config else { return };
        let Some(to) = config.message else { return };
        let kind = NoticeKind::PoolState;
        let notice = Notice { kind, state: self.bits(), resource: number, context: to.context };
        shared.write(config.icid, to.address, &notice.to_bytes()[..MESSAGE]);
    }

    fn bits(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.buffers.is_empty(), Notice::NO_BUFFER)
            | bit(self.depleted, Notice::DEPLETED)
            | bit(self.surplus, Notice::SURPLUS)
    }
}
