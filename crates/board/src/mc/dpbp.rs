// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Buffer pools.

use super::{Answer, Body, Call, Family, Object, State};
use crate::dpl::{Fields, Properties, Writing};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, Refusal};
use crate::{
    fabric::Pass,
    qbman::{Hysteresis, PoolConfig, PoolMessage},
};
use mc_abi::{
    Status,
    dpbp::{self, Command},
};

/// A buffer pool.
#[derive(Debug)]
pub(crate) struct BufferPool {
    /// The hardware pool behind it.
    pub bpid: u16,
    enabled: bool,
    notifications: dpbp::GetNotificationsReply,
}

impl Family for BufferPool {
    const VERSION: (u16, u16) = (3, 4);
    const IRQS: u8 = 1;
    type Create = dpbp::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        _request: &dpbp::Create,
    ) -> Result<Self, Refusal> {
        let bpid = state.pools.bp.take()? as u16;
        Ok(Self { bpid, enabled: false, notifications: Default::default() })
    }

    fn destroy(self, state: &mut State, _id: u32) {
        state.fabric.qbman().configure_pool(self.bpid.into(), None, &mut state.pass);
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // Its messages would go to the same address of another isolation context.
        Self::reset(state, id);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        let pool = state.body_mut::<Self>(id)?;
        match command {
            Command::GetAttributes(get) => {
                call.reply(get, dpbp::GetAttributesReply { bpid: pool.bpid, id })
            }
            Command::SetNotifications(set) => {
                pool.notifications = dpbp::GetNotificationsReply {
                    depletion_entry: set.depletion_entry,
                    depletion_exit: set.depletion_exit,
                    surplus_entry: set.surplus_entry,
                    surplus_exit: set.surplus_exit,
                    options: set.options,
                    message_context: set.message_context,
                    message_iova: set.message_iova,
                };
                Ok(Answer::DONE)
            }
            Command::GetNotifications(get) => call.reply(get, pool.notifications.clone()),
            Command::GetFreeBufferCount(get) => {
                let bpid = pool.bpid.into();
                let count = state.fabric.qbman().free_buffers(bpid);
                call.reply(get, dpbp::GetFreeBufferCountReply { count })
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER)),
        }
    }

    /// The buffers are gone: who gets the pool next would otherwise be given
    /// memory of who had it before.
    fn reset(state: &mut State, id: u32) {
        let Ok(pool) = state.body_mut::<Self>(id) else { return };
        pool.enabled = false;
        pool.notifications = Default::default();
        let bpid = pool.bpid.into();
        state.fabric.qbman().configure_pool(bpid, None, &mut state.pass);
    }
}

impl Body for BufferPool {
    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    /// A pool takes and gives buffers whether or not it is enabled: what a real
    /// one does is not known, and drivers enable it before they fill it.
    fn program(&self, state: &State, _object: &Object, icid: u16, pass: &mut Pass) {
        let set = &self.notifications;
        // A threshold of zero is none.
        let limit = |enter, exit| (enter != 0).then_some(Hysteresis { enter, exit });
        let (address, context) = (set.message_iova, set.message_context);
        let config = PoolConfig {
            icid,
            depletion: limit(set.depletion_entry, set.depletion_exit),
            surplus: limit(set.surplus_entry, set.surplus_exit),
            message: (address != 0).then_some(PoolMessage { address, context }),
        };
        state.fabric.qbman().configure_pool(self.bpid.into(), Some(config), pass);
    }

    fn buffer_pool(&self) -> Option<u16> {
        Some(self.bpid)
    }
}

impl Properties for dpbp::Create {
    /// Takes a word of options, of which none is defined.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        fields.options("options", &[], &[], 32);
        Self {}
    }

    fn write(&self, _to: &mut Writing) {}
}
