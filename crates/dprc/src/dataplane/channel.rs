// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Channels: frames of several queues in one place, and word that there are some.

use super::Dataplane;
use crate::error::Result;
use crate::qbman::Portal;
use mc_abi::common::{Enable, Reset};
use mc_abi::dpcon::{GetAttributes, SetNotification};
use mc_abi::dpio::AddStaticDequeueChannel;
use mc_abi::{ObjectId, ObjectType};

/// A channel, which collects the frames of the queues that have it as destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// The object, a concentrator (`dpcon`).
    pub object: ObjectId,
    /// Its number in hardware, as dequeues and notifications name it.
    pub number: u16,
}

impl Dataplane<'_> {
    /// Takes the next channel, resets and enables it.
    ///
    /// # Errors
    /// [`Error::NoObject`](crate::Error::NoObject), or the MC's refusal.
    pub fn channel(&mut self) -> Result<Channel> {
        let object = self.take(ObjectType::Dpcon)?;
        self.set_up(object, |plane| {
            let mut open = plane.mc.session(object)?;
            open.call(&Reset {})?;
            open.call(&Enable {})?;
            plane.enabled.insert(object);
            let number = open.call(&GetAttributes {})?.qbman_ch_id;
            open.close()?;
            Ok(Channel { object, number })
        })
    }

    /// Lets the notifications of a channel come to a portal, with this context: the portal
    /// takes them in ([`Portal::push_from`], bit 0), and the channel is armed. Each
    /// notification disarms it until [`Portal::notify`].
    ///
    /// # Errors
    /// The MC's refusal, or the portal's.
    pub fn notify(&mut self, channel: Channel, portal: &mut Portal, context: u64) -> Result<()> {
        let dpio_id = portal.object().id;
        let mut open = self.mc.session(channel.object)?;
        open.call(&SetNotification { dpio_id, priority: 0, user_ctx: context })?;
        open.close()?;
        portal.push_from(1)?;
        portal.notify(channel.number, true, Some(context))
    }

    /// Gives a portal the right to take in frames of a channel by itself; the bit that stands
    /// for the channel in [`Portal::push_from`].
    ///
    /// # Errors
    /// The MC's refusal.
    pub fn allow_push(&mut self, channel: Channel, portal: &Portal) -> Result<u16> {
        let mut open = self.mc.session(portal.object())?;
        let add = AddStaticDequeueChannel { dpcon_id: channel.object.id };
        let index = open.call(&add)?.channel_index;
        open.close()?;
        Ok(1_u16.checked_shl(index.into()).unwrap_or_default())
    }
}
