// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The control interface: how software sends and receives through a switch.

use super::{Answer, Call, State, addressed};
use crate::mc::refusal::{Because, Refusal};
use crate::{
    fabric::{Engine, Pass},
    mc::{
        interfaces::at_most,
        pools::Pools,
        queue::{RxQueue, RxQueueChange},
    },
    qbman::{Consumer, DestinationConfig, QueueConfig},
    wriop::{ControlConfig, Pool},
};
use mc_abi::{
    ObjectId, ObjectType, Status,
    dpsw::{self, MAX_POOLS, control::Command, control_queue},
};

/// Queues, in the order of [`control_queue`].
const QUEUES: usize = 3;

/// Priorities of a queuing destination. Linux's driver sends with priority 8, and
/// what a real switch has there is not known: all lead to one queue.
const PRIORITIES: usize = 16;

/// A control interface.
#[derive(Debug)]
pub(super) struct Control {
    queues: [RxQueue; QUEUES],
    /// Queues of what software sends, one an interface.
    tx: Vec<u32>,
    kept: Kept,
}

#[derive(Debug, Default)]
struct Kept {
    enabled: bool,
    pools: Vec<BufferPool>,
}

/// A pool that received frames lie in.
#[derive(Debug)]
struct BufferPool {
    dpbp: u32,
    /// Bytes of a buffer.
    size: u16,
    backup: bool,
}

impl BufferPool {
    fn object(&self) -> ObjectId {
        ObjectId::new(ObjectType::Dpbp, self.dpbp)
    }
}

impl Control {
    /// Takes its queues.
    ///
    /// # Errors
    /// [`Status::NoResource`] where the pool has not enough.
    pub fn take(pools: &mut Pools, interfaces: u16) -> Result<Self, Refusal> {
        let tx = pools.fq.take_many(interfaces.into())?;
        let fqids = pools.fq.take_many(QUEUES)?;
        let fqids: [u32; QUEUES] = fqids
            .try_into()
            .map_err(|_| Status::NoResource.because(format!("it needs {QUEUES} frame queues")))?;
        Ok(Self { queues: fqids.map(RxQueue::new), tx, kept: Kept::default() })
    }

    /// Writes its queues into the data plane's tables; what it is to the switch.
    pub fn program(
        &self,
        state: &State,
        id: ObjectId,
        icid: u16,
        qdids: &[u32],
        pass: &mut Pass,
    ) -> Option<ControlConfig> {
        let qbman = state.fabric.qbman();
        for queue in &self.queues {
            let consumer = state.consumer(id, queue.destination);
            let config =
                QueueConfig { context: queue.user_ctx, ..QueueConfig::new(icid, consumer) };
            qbman.configure_queue(queue.fqid, Some(config), pass);
        }
        for (fqid, qdid) in self.tx.iter().zip(qdids) {
            let consumer = Consumer::Engine(Engine::Switch(id.id));
            qbman.configure_queue(*fqid, Some(QueueConfig::new(icid, consumer)), pass);
            let queues = vec![vec![*fqid]; PRIORITIES];
            qbman.configure_destination(*qdid, Some(DestinationConfig { icid, queues }));
        }
        let [rx, confirmation, _] = &self.queues;
        self.kept.enabled.then(|| ControlConfig {
            rx: rx.fqid,
            confirmation: confirmation.fqid,
            tx: self.tx.clone(),
            pools: self.pools(state, id),
        })
    }

    /// Takes it all back, and the frames in it.
    pub fn withdraw(&self, state: &mut State, qdids: &[u32]) {
        let qbman = state.fabric.qbman();
        for qdid in qdids {
            qbman.configure_destination(*qdid, None);
        }
        for fqid in self.queues.iter().map(|queue| &queue.fqid).chain(&self.tx) {
            qbman.configure_queue(*fqid, None, &mut state.pass);
        }
    }

    /// The pools that are still beside the switch.
    fn pools(&self, state: &State, id: ObjectId) -> Vec<Pool> {
        let pools = self.kept.pools.iter().filter_map(|pool| {
            let name = pool.object();
            let bpid = state.object(name).ok()?.body.buffer_pool()?;
            let BufferPool { size, backup, .. } = *pool;
            state.is_beside(id, name).then_some(Pool { bpid, size, backup, selector: 0 })
        });
        pools.collect()
    }

    /// As after creation.
    pub fn reset(&mut self) {
        self.queues.iter_mut().for_each(RxQueue::reset);
        self.kept = Kept::default();
    }

    /// Whether its frames or their buffers come from or go to `other`.
    pub fn leads_to(&self, other: ObjectId) -> bool {
        let is_pool = |pool: &BufferPool| pool.object() == other;
        self.queues.iter().any(|queue| queue.leads_to(other)) || self.kept.pools.iter().any(is_pool)
    }

    /// Lets go of what is gone.
    pub fn forget(&mut self, gone: ObjectId) {
        self.queues.iter_mut().for_each(|queue| queue.forget(gone));
        self.kept.pools.retain(|pool| pool.object() != gone);
    }

    #[cfg(test)]
    pub fn received(&self) -> (bool, u64, mc_abi::blocks::Destination) {
        let [rx, ..] = &self.queues;
        (self.kept.enabled, rx.user_ctx, rx.destination)
    }

    #[cfg(test)]
    pub fn named_pools(&self) -> Vec<(u32, bool)> {
        self.kept.pools.iter().map(|pool| (pool.dpbp, pool.backup)).collect()
    }

    #[cfg(test)]
    pub fn queue(&self, queue: u8) -> RxQueue {
        self.queues[usize::from(queue)]
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let checked = match command {
        Command::CtrlIfSetQueue(set) => Some(check_queue(state, call.object, set)?),
        Command::CtrlIfSetPools(set) => {
            check_pools(state, call.object, set)?;
            None
        }
        _ => None,
    };
    // Which status a real MC gives for a switch made without is not known.
    let control = addressed(state, call)?.control.as_mut().ok_or_else(|| {
        Status::UnsupportedOperation.because("the switch was made without a control interface")
    })?;
    match command {
        Command::CtrlIfGetAttributes(get) => {
            let [rx, tx, rx_err] = &control.queues;
            let reply = dpsw::CtrlIfGetAttributesReply {
                rx_fqid: rx.fqid,
                rx_err_fqid: rx_err.fqid,
                tx_err_conf_fqid: tx.fqid,
            };
            return call.reply(get, reply);
        }
        Command::CtrlIfSetPools(set) => control.kept.pools = pools_of(set),
        Command::CtrlIfEnable(_) => control.kept.enabled = true,
        Command::CtrlIfDisable(_) => control.kept.enabled = false,
        Command::CtrlIfSetQueue(set) => {
            let queue = control.queues.get_mut(usize::from(set.queue));
            let queue = queue.ok_or_else(|| {
                Status::ConfigurationError.because(format!("there is no queue {}", set.queue))
            })?;
            if let Some(change) = checked {
                queue.apply(&change);
            }
        }
    }
    Ok(Answer::DONE)
}

fn check_queue(
    state: &State,
    owner: ObjectId,
    set: &dpsw::CtrlIfSetQueue,
) -> Result<RxQueueChange, Refusal> {
    const USER_CTX_AND_DESTINATION: u32 = 3;
    const DPIO: u8 = 1;
    at_most(set.queue, control_queue::RX_ERR)?;
    at_most(set.destination.kind, DPIO)?;
    if set.options & !USER_CTX_AND_DESTINATION != 0 {
        return Err(Status::ConfigurationError.because("unknown options"));
    }
    RxQueueChange::check(state, owner, set.options, set.destination, set.user_ctx, false)
}

/// The pools that a command names.
fn pools_of(set: &dpsw::CtrlIfSetPools) -> Vec<BufferPool> {
    let named = set.dpbp_id.iter().zip(set.buffer_size).take(set.num_dpbp.into());
    let pool = |(index, (dpbp, size)): (usize, (&u32, u16))| BufferPool {
        dpbp: *dpbp,
        size,
        backup: set.backup_pool & (1 << index) != 0,
    };
    named.enumerate().map(pool).collect()
}

/// Checks that the pools are there, beside the switch, with buffers.
fn check_pools(state: &State, owner: ObjectId, set: &dpsw::CtrlIfSetPools) -> Result<(), Refusal> {
    at_most(set.num_dpbp, MAX_POOLS)?;
    let pools = set.dpbp_id.iter().zip(set.buffer_size).take(usize::from(set.num_dpbp));
    for (id, size) in pools {
        if size == 0 || !state.is_beside(owner, ObjectId::new(ObjectType::Dpbp, *id)) {
            return Err(Status::ConfigurationError.because(format!(
                "dpbp.{id} is not in the container of {owner}, or its buffers have no size"
            )));
        }
    }
    Ok(())
}
