// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Hardware resources that an interface holds.

use super::Limits;
use crate::mc::pools::{Pool, Pools};
use mc_abi::{
    Status,
    dpni::{options, queue_type},
};

/// Numbers out of the pools.
///
/// Frame queues lie one after the other: receive by class and queue, transmit
/// by channel, class and sender, confirmation by channel and queue (what all
/// classes of a sender send is confirmed on one queue, which is what Linux
/// relies on), and the error queue. How a real MC numbers them is not known.
#[derive(Debug)]
pub(super) struct Resources {
    fqids: Vec<u32>,
    /// Queuing destinations, one a channel.
    pub qdids: Vec<u32>,
    groups: Vec<u32>,
    rx: usize,
    tx: usize,
    confirm: usize,
    queues: usize,
    rx_tcs: usize,
    tx_tcs: usize,
    channels: usize,
    senders: usize,
}

impl Resources {
    /// Takes what an interface needs, or nothing.
    ///
    /// # Errors
    /// [`Status::NoResource`] where a pool has not enough.
    pub fn take(pools: &mut Pools, limits: &Limits) -> Result<Self, Status> {
        let [queues, rx_tcs, tx_tcs, channels, senders] =
            [limits.queues, limits.rx_tcs, limits.tx_tcs, limits.channels, limits.senders()]
                .map(usize::from);
        let rx = rx_tcs * queues;
        let tx = channels * tx_tcs * senders;
        let confirm = if limits.has(options::TX_FRAME_RELEASE) { 0 } else { channels * queues };
        let mut held = Self {
            fqids: Vec::new(),
            qdids: Vec::new(),
            groups: Vec::new(),
            rx,
            tx,
            confirm,
            queues,
            rx_tcs,
            tx_tcs,
            channels,
            senders,
        };
        match held.fill(pools, limits) {
            Ok(()) => Ok(held),
            Err(status) => {
                held.give(pools);
                Err(status)
            }
        }
    }

    fn fill(&mut self, pools: &mut Pools, limits: &Limits) -> Result<(), Status> {
        self.fqids = pools.fq.take_many(self.rx + self.tx + self.confirm + 1)?;
        self.qdids = pools.qd.take_many(self.channels)?;
        self.groups = pools.cg.take_many(usize::from(limits.congestion_groups))?;
        Ok(())
    }

    /// Gives everything back.
    pub fn give(self, pools: &mut Pools) {
        let back = |pool: &mut Pool, numbers: Vec<u32>| {
            numbers.into_iter().for_each(|number| pool.give(number));
        };
        back(&mut pools.fq, self.fqids);
        back(&mut pools.qd, self.qdids);
        back(&mut pools.cg, self.groups);
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> usize {
        self.fqids.len()
    }

    /// Hardware numbers of all queues, by their place.
    pub fn fqids(&self) -> &[u32] {
        &self.fqids
    }

    /// The type of a queue by its place.
    pub fn kind(&self, place: usize) -> u8 {
        match place {
            place if place < self.rx => queue_type::RX,
            place if place < self.rx + self.tx => queue_type::TX,
            place if place < self.rx + self.tx + self.confirm => queue_type::TX_CONFIRM,
            _ => queue_type::RX_ERR,
        }
    }

    /// Hardware number of a queue by its place.
    pub fn fqid(&self, place: usize) -> u32 {
        self.fqids.get(place).copied().unwrap_or(0)
    }

    /// The place of a queue. Traffic class, number and channel do not count
    /// where the type has only one.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where there is no such queue.
    pub fn place(&self, kind: u8, channel: u8, tc: u8, index: u8) -> Result<usize, Status> {
        let [channel, tc, index] = [channel, tc, index].map(usize::from);
        let place = match kind {
            queue_type::RX if tc < self.rx_tcs && index < self.queues => tc * self.queues + index,
            queue_type::TX
                if channel < self.channels && tc < self.tx_tcs && index < self.queues =>
            {
                let sender = index.min(self.senders - 1);
                self.rx + (channel * self.tx_tcs + tc) * self.senders + sender
            }
            queue_type::TX_CONFIRM
                if channel < self.channels
                    && tc < self.tx_tcs
                    && index < self.queues
                    && self.confirm > 0 =>
            {
                self.rx + self.tx + channel * self.queues + index
            }
            queue_type::RX_ERR => self.rx + self.tx + self.confirm,
            _ => return Err(Status::ConfigurationError),
        };
        Ok(place)
    }
}
