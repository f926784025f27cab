// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The control interface: how software sends and receives through a switch.

use super::{Answer, Call, State, addressed};
use crate::mc::{
    interfaces::at_most,
    pools::Pools,
    queue::{RxQueue, RxQueueChange},
};
use mc_abi::{
    ObjectId, ObjectType, Status,
    blocks::Destination,
    dpsw::{self, MAX_POOLS, control::Command, control_queue},
};

/// Queues, in the order of [`control_queue`].
const QUEUES: usize = 3;

/// A control interface.
#[derive(Debug)]
pub(super) struct Control {
    queues: [RxQueue; QUEUES],
    kept: Kept,
}

#[derive(Debug, Default)]
struct Kept {
    enabled: bool,
    pools: Option<dpsw::CtrlIfSetPools>,
}

impl Control {
    /// Takes its queues.
    ///
    /// # Errors
    /// [`Status::NoResource`] where the pool has not enough.
    pub fn take(pools: &mut Pools) -> Result<Self, Status> {
        let fqids = pools.fq.take_many(QUEUES)?;
        let fqids: [u32; QUEUES] = fqids.try_into().map_err(|_| Status::NoResource)?;
        Ok(Self { queues: fqids.map(RxQueue::new), kept: Kept::default() })
    }

    /// As after creation.
    pub fn reset(&mut self) {
        self.queues.iter_mut().for_each(RxQueue::reset);
        self.kept = Kept::default();
    }

    /// Lets go of objects that are not beside the switch any more.
    pub fn forget_others(&mut self) {
        self.kept.pools = None;
        for queue in &mut self.queues {
            queue.destination = Destination::default();
        }
    }

    #[cfg(test)]
    pub fn queue(&self, queue: u8) -> RxQueue {
        self.queues[usize::from(queue)]
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Status> {
    let checked = match command {
        Command::CtrlIfSetQueue(set) => Some(check_queue(state, call.object, set)?),
        Command::CtrlIfSetPools(set) => {
            check_pools(state, call.object, set)?;
            None
        }
        _ => None,
    };
    // Which status a real MC gives for a switch made without is not known.
    let control = addressed(state, call)?.control.as_mut().ok_or(Status::UnsupportedOperation)?;
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
        Command::CtrlIfSetPools(set) => control.kept.pools = Some(set.clone()),
        Command::CtrlIfEnable(_) => control.kept.enabled = true,
        Command::CtrlIfDisable(_) => control.kept.enabled = false,
        Command::CtrlIfSetQueue(set) => {
            let queue = control.queues.get_mut(usize::from(set.queue));
            let queue = queue.ok_or(Status::ConfigurationError)?;
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
) -> Result<RxQueueChange, Status> {
    const USER_CTX_AND_DESTINATION: u32 = 3;
    const DPIO: u8 = 1;
    at_most(set.queue, control_queue::RX_ERR)?;
    at_most(set.destination.kind, DPIO)?;
    if set.options & !USER_CTX_AND_DESTINATION != 0 {
        return Err(Status::ConfigurationError);
    }
    RxQueueChange::check(state, owner, set.options, set.destination, set.user_ctx, false)
}

/// Checks that the pools are there, beside the switch, with buffers.
fn check_pools(state: &State, owner: ObjectId, set: &dpsw::CtrlIfSetPools) -> Result<(), Status> {
    at_most(set.num_dpbp, MAX_POOLS)?;
    let pools = set.dpbp_id.iter().zip(set.buffer_size).take(usize::from(set.num_dpbp));
    for (id, size) in pools {
        if size == 0 || !state.is_beside(owner, ObjectId::new(ObjectType::Dpbp, *id)) {
            return Err(Status::ConfigurationError);
        }
    }
    Ok(())
}
