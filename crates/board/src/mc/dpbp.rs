// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Buffer pools.

use super::{Answer, Call, Family, State};
use mc_abi::{
    DecodeError, ObjectType, Params, Status,
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
    const TYPE: ObjectType = ObjectType::Dpbp;
    const VERSION: (u16, u16) = (3, 4);
    const IRQS: u8 = 1;
    type Create = dpbp::Create;
    type Command = Command;

    fn decode(number: u16, version: u8, params: &Params) -> Result<Command, DecodeError> {
        Command::decode(number, version, params)
    }

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        _request: &dpbp::Create,
    ) -> Result<Self, Status> {
        let bpid = state.pools.bp.take()? as u16;
        Ok(Self { bpid, enabled: false, notifications: Default::default() })
    }

    fn destroy(self, state: &mut State, _id: u32) {
        state.pools.bp.give(u32::from(self.bpid));
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Status> {
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
            // No buffer can be released yet: the queues are not there.
            Command::GetFreeBufferCount(get) => {
                call.reply(get, dpbp::GetFreeBufferCountReply { count: 0 })
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => Err(Status::UnsupportedOperation),
        }
    }

    fn reset(state: &mut State, id: u32) {
        if let Ok(pool) = state.body_mut::<Self>(id) {
            pool.enabled = false;
            pool.notifications = Default::default();
        }
    }

    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }
}
