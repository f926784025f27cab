// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Concentrators: channels that collect the frames of several queues.

use super::{Answer, Body, Call, Family, Object, State, family::Channel, queue};
use crate::dpl::{Fields, Properties, Writing};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, Refusal};
use crate::{
    fabric::Pass,
    qbman::{ChannelConfig, NotificationConfig},
};
use mc_abi::{
    ObjectId, ObjectType, Status,
    dpcon::{self, Command},
};

/// A concentrator.
#[derive(Debug)]
pub(crate) struct Concentrator {
    /// Number of the channel, as dequeue commands name it.
    pub channel: u32,
    pub num_priorities: u8,
    enabled: bool,
    notification: Option<Notification>,
}

/// Who is notified that frames wait in the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notification {
    pub dpio: u32,
    pub priority: u8,
    pub user_ctx: u64,
}

impl Family for Concentrator {
    const VERSION: (u16, u16) = (3, 3);
    const IRQS: u8 = 1;
    type Create = dpcon::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpcon::Create,
    ) -> Result<Self, Refusal> {
        let num_priorities = request.num_priorities;
        if !(1..=queue::MAX_PRIORITIES).contains(&num_priorities) {
            return Err(Status::ConfigurationError
                .because(format!("it has 1 to {} priorities", queue::MAX_PRIORITIES)));
        }
        let channel = channels(state, num_priorities).take()?;
        Ok(Self { channel, num_priorities, enabled: false, notification: None })
    }

    fn destroy(self, state: &mut State, _id: u32) {
        state.fabric.qbman().configure_channel(self.channel, None, &mut state.pass);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        match command {
            Command::GetAttributes(get) => {
                let concentrator = state.body::<Self>(id)?;
                let reply = dpcon::GetAttributesReply {
                    id,
                    qbman_ch_id: concentrator.channel as u16,
                    num_priorities: concentrator.num_priorities,
                };
                call.reply(get, reply)
            }
            Command::SetNotification(set) => {
                let notification = notification(state, call.object, set)?;
                state.body_mut::<Self>(id)?.notification = notification;
                Ok(Answer::DONE)
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER)),
        }
    }

    fn reset(state: &mut State, id: u32) {
        if let Ok(concentrator) = state.body_mut::<Self>(id) {
            concentrator.enabled = false;
            concentrator.notification = None;
        }
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // The portal that it notifies stays behind in another isolation context.
        Self::reset(state, id);
    }
}

impl Body for Concentrator {
    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    fn program(&self, state: &State, object: &Object, icid: u16, pass: &mut Pass) {
        let notification = self.notification.and_then(|notification| {
            let portal = notification.portal();
            // Nobody is notified where the portal is another container's by now.
            let portal = state.object(portal).ok().filter(|_| state.is_beside(object.id, portal));
            let portal = portal?.body.software_portal()?;
            let Notification { priority, user_ctx: context, .. } = notification;
            Some(NotificationConfig { portal, priority, context })
        });
        // A disabled one gives its frames all the same: DPDK's event driver never enables
        // it. What enables one for notifications is its network driver, since 26.07.
        let (priorities, notifies) = (self.num_priorities, self.enabled);
        let config = ChannelConfig { icid, priorities, notifies, notification };
        state.fabric.qbman().configure_channel(self.channel, Some(config), pass);
    }

    fn channel(&self) -> Option<Channel> {
        Some(Channel { number: self.channel, priorities: self.num_priorities })
    }

    fn leads_to(&self, other: ObjectId) -> bool {
        self.notification.is_some_and(|notification| notification.portal() == other)
    }

    /// Drops the notification: a later portal of the same number has not been asked for.
    fn forget(&mut self, gone: ObjectId) {
        self.notification.take_if(|notification| notification.portal() == gone);
    }
}

impl Notification {
    /// The portal that is notified.
    fn portal(&self) -> ObjectId {
        ObjectId::new(ObjectType::Dpio, self.dpio)
    }
}

/// The pool of channels with as many work queues as the priorities need.
fn channels(state: &mut State, num_priorities: u8) -> &mut super::pools::Pool {
    match num_priorities {
        0..=2 => &mut state.pools.channel2,
        _ => &mut state.pools.channel8,
    }
}

/// The notifications that a command asks for. The portal must have a notification channel
/// of its own, and the priority must be one of that channel.
fn notification(
    state: &State,
    concentrator: ObjectId,
    set: &dpcon::SetNotification,
) -> Result<Option<Notification>, Refusal> {
    if set.dpio_id == dpcon::NO_DPIO {
        return Ok(None);
    }
    let portal = ObjectId::new(ObjectType::Dpio, set.dpio_id);
    if !state.is_beside(concentrator, portal) {
        return Err(Status::ConfigurationError
            .because(format!("{portal} is not in the container of {concentrator}")));
    }
    let channel = state.object(portal)?.body.channel();
    if channel.is_none_or(|channel| set.priority >= channel.priorities) {
        return Err(Status::ConfigurationError
            .because(format!("{portal} has no notification channel, or fewer priorities")));
    }
    let (dpio, priority, user_ctx) = (set.dpio_id, set.priority, set.user_ctx);
    Ok(Some(Notification { dpio, priority, user_ctx }))
}

impl Properties for dpcon::Create {
    /// Without a number of priorities, 2: what `restool` uses.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let number = fields.number("num_priorities", 1..=queue::MAX_PRIORITIES.into());
        Self { num_priorities: number.map_or(2, |n| n as u8) }
    }

    fn write(&self, to: &mut Writing) {
        to.number("num_priorities", self.num_priorities);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::testing::TestMc;
    use mc_abi::{common, dpio};

    #[test]
    fn the_channel_suits_the_priorities() {
        let mut mc = TestMc::new();
        let mut channel = |num_priorities| {
            let (_, token) = mc.make(&dpcon::Create { num_priorities });
            let reply = mc.call(token, &dpcon::GetAttributes {}).expect("attributes");
            assert_eq!(reply.num_priorities, num_priorities);
            u32::from(reply.qbman_ch_id)
        };
        assert_ne!(channel(2), channel(8));
        let pools = &mc.state.pools;
        assert_eq!(pools.channel2.size() - pools.channel2.free(), 1);
        assert_eq!(pools.channel8.size() - pools.channel8.free(), 1);
        for num_priorities in [0, 9] {
            let refused = mc.create(&dpcon::Create { num_priorities });
            assert_eq!(refused, Err(Status::ConfigurationError));
        }
        for id in 0..2 {
            let object = ObjectId::new(ObjectType::Dpcon, id);
            mc.state.sessions.forget(object);
            mc.destroy(object).expect("destroyed");
        }
        mc.assert_pools_full();
    }

    #[test]
    fn notifications_need_a_portal_with_a_channel_beside() {
        let mut mc = TestMc::new();
        let (id, token) = mc.make(&dpcon::Create { num_priorities: 2 });
        let local = dpio::Create { channel_mode: 1, num_priorities: 4 };
        let portal = mc.create(&local).expect("dpio").id;
        let bare = dpio::Create { channel_mode: 0, num_priorities: 8 };
        let bare = mc.create(&bare).expect("dpio").id;
        let (_, child) = mc.make_container();
        let away = mc.create_in(child, &local).expect("dpio").id;

        let mut set = |dpio_id, priority| {
            let set = dpcon::SetNotification { dpio_id, priority, user_ctx: 0xabcd };
            let status = mc.call(token, &set);
            (status, mc.state.body::<Concentrator>(id.id).expect("there").notification)
        };
        let wanted = Some(Notification { dpio: portal, priority: 3, user_ctx: 0xabcd });
        assert_eq!(set(portal, 3), (Ok(()), wanted));
        for (dpio, priority) in [(portal, 4), (bare, 0), (away, 0), (77, 0)] {
            assert_eq!(set(dpio, priority), (Err(Status::ConfigurationError), wanted));
        }
        assert_eq!(set(dpcon::NO_DPIO, 0), (Ok(()), None));
        set(portal, 0).0.expect("set again");
        mc.call(token, &common::Reset {}).expect("reset");
        assert_eq!(mc.state.body::<Concentrator>(id.id).expect("there").notification, None);
    }
}
