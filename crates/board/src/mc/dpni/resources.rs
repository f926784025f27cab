// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Hardware resources that an interface holds.

use super::Limits;
use crate::mc::pools::{self, Pools};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    ObjectId, Status,
    dpni::{options, queue_type},
};

/// Frame queues beside those for receiving and confirming: for errors, and one
/// whose use is not known.
const OTHER_QUEUES: usize = 2;

/// Numbers out of the pools.
///
/// Queues have places one after the other: receive by class and queue, transmit
/// by channel, class and sender, confirmation by channel and queue (what all
/// classes of a sender send is confirmed on one queue, which is what Linux
/// relies on), and the error queue. How a real MC numbers them is not known.
///
/// What is drawn follows the record (board: V-POOL-4 of the ledger, and
/// `models/board/baselines/reference.json` for an interface of 16 queues): an
/// interface of `q` queues and one class takes 2`q` + 2 frame queues. Those that it
/// sends through are not among them: they are the traffic manager's, which an
/// interface is given with a port. How the draw grows with classes and channels is
/// inferred.
#[derive(Debug)]
pub(super) struct Resources {
    fqids: Vec<u32>,
    /// Queuing destinations, one a channel.
    pub qdids: Vec<u32>,
    #[allow(dead_code, reason = "no frame counts against them yet")]
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
    /// Takes what an interface needs.
    ///
    /// # Errors
    /// [`Status::NoResource`] where a pool has not enough.
    pub fn take(pools: &mut Pools, limits: &Limits) -> Result<Self, Refusal> {
        let [queues, rx_tcs, tx_tcs, channels, senders] =
            [limits.queues, limits.rx_tcs, limits.tx_tcs, limits.channels, limits.senders()]
                .map(usize::from);
        let rx = rx_tcs * queues;
        let tx = channels * tx_tcs * senders;
        let confirm = if limits.has(options::TX_FRAME_RELEASE) { 0 } else { channels * queues };
        pools.interface.take()?;
        let mut own = pools.fq.take_many(rx + confirm + OTHER_QUEUES)?.into_iter();
        let mut fqids: Vec<u32> = own.by_ref().take(rx).collect();
        fqids.extend(pools.transmit.take_many(tx)?);
        // The last one is for what no command names.
        fqids.extend(own.take(confirm + 1));
        let groups = usize::from(limits.congestion_groups);
        let mut group_numbers = pools.cg.take_many(groups + 1)?;
        group_numbers.truncate(groups);
        let mut qdids = pools.qd.take_many(channels + 1)?;
        qdids.truncate(channels);
        pools.kp.take_many(4)?;
        pools.plcye.take_many(3)?;
        pools.qpr.take_many(3)?;
        pools.ifp.take()?;
        pools.prp_egress.take()?;
        pools.prp.take()?;
        pools.plcy.take()?;
        Ok(Self {
            fqids,
            qdids,
            groups: group_numbers,
            rx,
            tx,
            confirm,
            queues,
            rx_tcs,
            tx_tcs,
            channels,
            senders,
        })
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> usize {
        self.fqids.len()
    }

    /// Hardware number of a congestion group.
    pub fn group(&self, group: u8) -> Option<u32> {
        self.groups.get(usize::from(group)).copied()
    }

    /// Type, channel and traffic class of a queue by its place. What is
    /// confirmed is of no class; it counts for the first.
    pub fn class(&self, place: usize) -> Option<(u8, u8, u8)> {
        let kind = self.kind(place);
        let (channel, tc) = match kind {
            queue_type::RX => (0, place.checked_div(self.queues)?),
            queue_type::TX => {
                let class = (place - self.rx).checked_div(self.senders)?;
                (class.checked_div(self.tx_tcs)?, class.checked_rem(self.tx_tcs)?)
            }
            queue_type::TX_CONFIRM => ((place - self.rx - self.tx).checked_div(self.queues)?, 0),
            _ => return None,
        };
        Some((kind, channel as u8, tc as u8))
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
    pub fn place(&self, kind: u8, channel: u8, tc: u8, index: u8) -> Result<usize, Refusal> {
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
            _ => {
                return Err(Status::ConfigurationError.because(format!(
                    "there is no queue {index} of type {kind} in class {tc} of channel {channel}"
                )));
            }
        };
        Ok(place)
    }
}

/// Takes what an interface has of its traffic manager while it is connected to a
/// port, or gives it back.
///
/// One of 16 queues at `dpmac.17` has an interface and a channel of the second
/// manager, 16 dequeue contexts and 32 logical queues (board: `resources` of
/// `models/board/baselines/reference.json` in the ledger at 25979b5, where the two
/// managers differ by just that). Which port is on which manager, how the draw grows
/// with classes and channels, and what becomes of a connection for which too little is
/// left, is not known: the second manager goes first, then the first, and nothing is
/// refused.
pub(super) fn take_for_port(pools: &mut Pools, id: ObjectId, limits: &Limits, port: bool) {
    let managers = [
        [&mut pools.lni1, &mut pools.cqch1, &mut pools.dct1, &mut pools.lfqmt1],
        [&mut pools.lni0, &mut pools.cqch0, &mut pools.dct0, &mut pools.lfqmt0],
    ];
    let channels = usize::from(limits.channels);
    let contexts = channels * usize::from(limits.tx_tcs) * usize::from(limits.senders());
    let counts = [1, channels, contexts, 2 * contexts];
    let mut wanted = port;
    for mut manager in managers {
        manager.iter_mut().for_each(|pool| pool.release(id));
        let fits = manager.iter().zip(counts).all(|(pool, count)| pool.free() as usize >= count);
        if wanted && fits {
            for (pool, count) in manager.iter_mut().zip(counts) {
                pool.draw_for(id, &pools::top());
                // It may be held by a container by now; then it is not there.
                let _ = pool.take_many(count);
            }
            wanted = false;
        }
    }
}
