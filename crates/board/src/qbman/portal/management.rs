// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Management commands of a portal.

use super::{commands::Side, count};
use crate::qbman::{
    kicks::Kicks,
    queue::{Queue, Wake},
};
use qbman_abi::{
    Entry, ReleaseCommand,
    management::{self, ChannelNotification, EarlyDrop, GroupFields, GroupWrite, results, verbs},
};

impl Side<'_> {
    /// Performs a command; its answer, without a valid bit.
    pub fn manage(&mut self, command: &Entry) -> (Entry, Kicks) {
        let verb = command[0] & 0x7f;
        let mut kicks = Kicks::NONE;
        let answer = match verb {
            verbs::ACQUIRE => self.acquire(command),
            verbs::POOL_QUERY => self.query_pool(command),
            verbs::QUEUE_QUERY => self.with_queue(command, |number, queue| {
                let fields = queue.fields(number).ok_or(results::BAD_ID)?;
                Ok(fields.to_bytes())
            }),
            verbs::QUEUE_STATE_QUERY => {
                self.with_queue(command, |_, queue| Ok(queue.state().to_bytes()))
            }
            verbs::CHANNEL_CONFIGURE => self.configure_channel(command, &mut kicks),
            verbs::CHANNEL_QUERY => self.query_channel(command),
            verbs::QUEUE_SCHEDULE => self.change_queue(command, &mut kicks, |number, queue| {
                queue.schedule(number).ok_or(results::BAD_STATE)
            }),
            verbs::QUEUE_FORCE => {
                self.change_queue(command, &mut kicks, |number, queue| Ok(queue.force(number)))
            }
            verbs::QUEUE_XON => {
                self.change_queue(command, &mut kicks, |number, queue| Ok(queue.xon(number)))
            }
            verbs::QUEUE_XOFF => self.change_queue(command, &mut kicks, |_, queue| {
                queue.xoff();
                Ok(Wake::Nobody)
            }),
            verbs::GROUP_CONFIGURE
            | verbs::GROUP_QUERY
            | verbs::EARLY_DROP_CONFIGURE
            | verbs::EARLY_DROP_QUERY
            | verbs::GROUP_COUNTS_QUERY
            | verbs::GROUP_COUNTS_QUERY_CLEAR => self.group_command(verb, command),
            _ => Err(results::BAD_COMMAND),
        };
        let answer = answer.unwrap_or_else(|result| {
            count(&self.portal.counters.refused, 1);
            management::answer(verb, result)
        });
        (answer, kicks)
    }

    /// All buffers that were asked for, or none: so Linux and DPDK expect it,
    /// which go on with single ones when a pool runs out.
    fn acquire(&mut self, command: &Entry) -> Result<Entry, u8> {
        let wanted = usize::from(management::acquire_count(command));
        if !(1..=ReleaseCommand::MOST).contains(&wanted) {
            return Err(results::BAD_COMMAND);
        }
        let pool = self.qbman.pools.get(usize::from(management::id(command)));
        let mut pool = pool.ok_or(results::BAD_ID)?.lock();
        if pool.config().is_none_or(|config| Some(config.icid) != self.icid) {
            return Err(results::BAD_ID);
        }
        let mut buffers = [0; ReleaseCommand::MOST];
        let enough = pool.free() as usize >= wanted;
        let wanted = if enough { &mut buffers[..wanted] } else { &mut [] };
        let number = management::id(command).into();
        let taken = pool.acquire(number, wanted, &self.qbman.shared);
        Ok(management::acquired(command[0], &buffers[..taken]))
    }

    fn query_pool(&mut self, command: &Entry) -> Result<Entry, u8> {
        let number = management::id(command);
        let pool = self.qbman.pools.get(usize::from(number)).ok_or(results::BAD_ID)?.lock();
        let owner = pool.config().map(|config| config.icid);
        if owner.is_none() || owner != self.icid {
            return Err(results::BAD_ID);
        }
        Ok(pool.state().to_bytes(number))
    }

    fn configure_channel(&mut self, command: &Entry, kicks: &mut Kicks) -> Result<Entry, u8> {
        let command_fields = ChannelNotification::from_bytes(command);
        let number = u32::from(command_fields.channel);
        let place = self.qbman.channels.get(number as usize);
        let (channel, ready) = place.ok_or(results::BAD_CHANNEL)?;
        let due = {
            let mut channel = channel.lock();
            let owner = channel.config().map(|config| config.icid);
            if owner.is_none() || owner != self.icid {
                return Err(results::BAD_CHANNEL);
            }
            channel.set_notification(&command_fields);
            channel.due(ready, |work, icid| self.qbman.counts(work, icid))
        };
        *kicks |= self.qbman.notify(number, due);
        let mut answer = management::answer(command[0], results::OK);
        answer[2..4].copy_from_slice(&command[2..4]);
        Ok(answer)
    }

    fn query_channel(&mut self, command: &Entry) -> Result<Entry, u8> {
        let number = management::id(command).into();
        let place = self.qbman.channels.get(number as usize);
        let channel = place.ok_or(results::BAD_CHANNEL)?.0.lock();
        let config = channel.config().filter(|config| Some(config.icid) == self.icid);
        let notification = config.ok_or(results::BAD_CHANNEL)?.notification;
        let own_channel = |portal: u32| self.qbman.portals.get(portal as usize)?.own_channel();
        let work_queue = notification.and_then(|to| {
            Some((own_channel(to.portal)?.1 as u16) << 3 | u16::from(to.priority & 7))
        });
        Ok(channel.state(number, work_queue.unwrap_or(0)).to_bytes())
    }

    fn group_command(&mut self, verb: u8, command: &Entry) -> Result<Entry, u8> {
        let number = management::id(command).into();
        let shared = &self.qbman.shared;
        let mut group = shared.groups.get(number as usize).ok_or(results::BAD_ID)?.lock();
        let owner = group.config().map(|config| config.icid);
        if owner.is_none() || owner != self.icid {
            return Err(results::BAD_ID);
        }
        match verb {
            verbs::GROUP_QUERY => return Ok(group.fields(number).to_bytes(verb)),
            verbs::EARLY_DROP_QUERY => return Ok(EarlyDrop::to_bytes(verb, &group.curves())),
            verbs::GROUP_COUNTS_QUERY => return Ok(group.rejected(false).to_bytes(verb)),
            verbs::GROUP_COUNTS_QUERY_CLEAR => return Ok(group.rejected(true).to_bytes(verb)),
            verbs::EARLY_DROP_CONFIGURE => group.set_curves(EarlyDrop::from_bytes(command)),
            _ => {
                let fields = GroupFields::from_bytes(command);
                let written = GroupWrite::from_bytes(command);
                let change = group.set_fields(number, written, &fields);
                shared.tell(change.ok_or(results::BAD_COMMAND)?);
            }
        }
        Ok(management::answer(verb, results::OK))
    }

    fn change_queue(
        &mut self,
        command: &Entry,
        kicks: &mut Kicks,
        change: impl FnOnce(u32, &mut Queue) -> Result<Wake, u8>,
    ) -> Result<Entry, u8> {
        let wake = self.with_queue(command, change)?;
        *kicks |= self.qbman.wake(wake, self.pass);
        Ok(management::answer(command[0], results::OK))
    }

    /// Works on the queue that a command names, if it is the portal's.
    fn with_queue<T>(
        &self,
        command: &Entry,
        work: impl FnOnce(u32, &mut Queue) -> Result<T, u8>,
    ) -> Result<T, u8> {
        let number = management::queue(command);
        let queue = self.qbman.queues.get(number as usize).ok_or(results::BAD_ID)?;
        let mut queue = queue.lock();
        let owner = queue.config().map(|config| config.icid);
        if owner.is_none() || owner != self.icid {
            return Err(results::BAD_ID);
        }
        work(number, &mut queue)
    }
}
