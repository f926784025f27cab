// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The interface as a whole: attributes, events, buffer pools, counters, port
//! settings.

use super::{Answer, Call, State, addressed, statistics};
use crate::mc::port_counters;
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, Refusal};
use mc_abi::{
    ObjectId, ObjectType, Status,
    dpni::{self, interface::Command},
};

/// The one flag of [`dpni::SetPortCfg`].
const PORT_LOOPBACK: u32 = 1;

/// Buffer pools, time stamping, port settings.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub pools: Option<dpni::SetPools>,
    single_step: dpni::SetSingleStepCfg,
    pub loopback: bool,
}

impl Settings {
    /// The pools are not beside the interface any more.
    pub fn forget_pools(&mut self) {
        self.pools = None;
    }

    /// Whether buffers come from `other`.
    pub fn leads_to(&self, other: ObjectId) -> bool {
        self.place_of(other).is_some()
    }

    /// Strikes a pool that is gone off the list; a later one of the same number has not
    /// been asked for. The others keep their order.
    pub fn forget(&mut self, gone: ObjectId) {
        while let Some(place) = self.place_of(gone) {
            let Some(set) = &mut self.pools else { return };
            let count = usize::from(set.num_pools);
            set.pools[place..count].rotate_left(1);
            set.buffer_sizes[place..count].rotate_left(1);
            // Bits above the place move down by one.
            let below = (1 << place) - 1;
            set.backup_mask = set.backup_mask & below | set.backup_mask >> 1 & !below;
            set.num_pools -= 1;
        }
    }

    fn place_of(&self, pool: ObjectId) -> Option<usize> {
        let set = self.pools.as_ref().filter(|_| pool.kind == ObjectType::Dpbp)?;
        let mut named = set.pools.iter().take(set.num_pools.into());
        named.position(|one| one.dpbp == pool.id)
    }

    /// The port is another one now.
    pub fn forget_port(&mut self) {
        self.loopback = false;
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    match command {
        Command::GetAttributes(get) => {
            let wriop_version = state.config.soc.wriop_version;
            call.reply(get, addressed(state, call)?.limits.attributes(wriop_version))
        }
        Command::GetIrqStatus(get) => {
            // Linux never clears: it reads with all bits set and expects them
            // gone. DPDK reads with none and clears what it saw.
            let status = state.irq(call.object, get.index)?.status;
            state.configure_irq(call.object, get.index, |irq| irq.status &= !get.status)?;
            call.reply(get, dpni::GetIrqStatusReply { status })
        }
        Command::SetPools(set) => set_pools(state, call, set),
        Command::GetStatistics(get) => {
            let counters = statistics::page(state, call.object.id, get)?;
            call.reply(get, dpni::GetStatisticsReply { counters })
        }
        Command::ResetStatistics(_) => {
            state.fabric.wriop().reset_counters(call.object.id);
            Ok(Answer::DONE)
        }
        Command::SetSingleStepCfg(set) => {
            addressed(state, call)?.settings.interface.single_step = set.clone();
            Ok(Answer::DONE)
        }
        Command::GetSingleStepCfg(get) => {
            let set = &addressed(state, call)?.settings.interface.single_step;
            let reply = dpni::GetSingleStepCfgReply {
                enable: set.enable,
                update_checksum: set.update_checksum,
                offset: set.offset,
                peer_delay: set.peer_delay,
                // The board has no such register; clients use the command then.
                register_base: 0,
            };
            call.reply(get, reply)
        }
        Command::SetPortCfg(set) => {
            needs_port(state, call.object)?;
            if set.flags & !PORT_LOOPBACK != 0 {
                return Err(Status::ConfigurationError.because("unknown flags"));
            }
            if set.flags & PORT_LOOPBACK != 0 {
                addressed(state, call)?.settings.interface.loopback = set.loopback;
            }
            Ok(Answer::DONE)
        }
        Command::GetPortCfg(get) => {
            needs_port(state, call.object)?;
            let loopback = addressed(state, call)?.settings.interface.loopback;
            call.reply(get, dpni::GetPortCfgReply { flags: PORT_LOOPBACK, loopback })
        }
        Command::GetMacStatistics(get) => {
            let port = needs_port(state, call.object)?;
            let dpni::GetMacStatistics { numbers_iova, values_iova, count } = *get;
            port_counters::write(state, call.object, port, numbers_iova, values_iova, count)?;
            Ok(Answer::DONE)
        }
        // Made through the container's token, never through the object's.
        Command::Create(_) => Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER)),
    }
}

/// Sets the buffer pools: those named must lie beside the interface, since
/// received frames are written to their buffers with its isolation id.
fn set_pools(state: &mut State, call: &Call, set: &dpni::SetPools) -> Result<Answer, Refusal> {
    let count = usize::from(set.num_pools);
    let (Some(pools), Some(sizes)) = (set.pools.get(..count), set.buffer_sizes.get(..count)) else {
        return Err(Status::ConfigurationError
            .because(format!("it takes at most {} pools", set.pools.len())));
    };
    let beside = |pool: &dpni::Pool| {
        let pool = ObjectId::new(ObjectType::Dpbp, pool.dpbp);
        state.is_beside(call.object, pool)
    };
    if set.assignment > 1 || sizes.contains(&0) || !pools.iter().all(beside) {
        return Err(Status::ConfigurationError.because("a pool is not in the container of the interface or has buffers of no size, or the assignment is unknown"));
    }
    let interface = addressed(state, call)?;
    if interface.enabled {
        return Err(Status::InvalidState.because("the interface is enabled"));
    }
    interface.settings.interface.pools = Some(set.clone());
    Ok(Answer::DONE)
}

/// The hardware port behind the interface.
///
/// # Errors
/// [`Status::InvalidState`]: the headers promise an error, not which.
pub(super) fn needs_port(state: &State, id: ObjectId) -> Result<ObjectId, Refusal> {
    match super::link::peer(state, id) {
        Some(peer) if peer.kind == ObjectType::Dpmac => Ok(peer),
        _ => Err(Status::InvalidState.because(format!("{id} is connected to no dpmac"))),
    }
}
