// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the frame queues of all families have in common.

use super::{State, family::Channel};
use crate::mc::refusal::{Because, Refusal};
use crate::qbman::Consumer;
use mc_abi::{ObjectId, ObjectType, Status, blocks::Destination};

/// Most priorities (work queues) of a channel, on all chips; those of the
/// accelerators' queues name one.
pub(crate) const MAX_PRIORITIES: u8 = 8;

/// A queue that software dequeues from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RxQueue {
    pub fqid: u32,
    pub destination: Destination,
    /// Comes with each frame.
    pub user_ctx: u64,
    /// Whether the queue keeps the order of frames while several consumers
    /// work on them.
    pub order_preservation: bool,
}

/// The object that a destination names.
pub(crate) fn destination_object(destination: Destination) -> Option<ObjectId> {
    let kind = match destination.kind {
        1 => ObjectType::Dpio,
        2 => ObjectType::Dpcon,
        _ => return None,
    };
    Some(ObjectId::new(kind, destination.id))
}

/// Makes a destination none where it names what is gone.
pub(crate) fn forget_destination(destination: &mut Destination, gone: ObjectId) {
    if destination_object(*destination) == Some(gone) {
        *destination = Destination::default();
    }
}

/// What a command changes of a queue; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RxQueueChange {
    pub destination: Option<Destination>,
    pub user_ctx: Option<u64>,
    pub order_preservation: Option<bool>,
}

impl RxQueue {
    /// A parked queue, as after creation.
    pub fn new(fqid: u32) -> Self {
        Self { fqid, destination: Destination::default(), user_ctx: 0, order_preservation: false }
    }

    /// Everything as after creation but the number.
    pub fn reset(&mut self) {
        *self = Self::new(self.fqid);
    }

    /// Whether its frames go to `other`, or who takes them is told by it.
    pub fn leads_to(&self, other: ObjectId) -> bool {
        destination_object(self.destination) == Some(other)
    }

    /// Parks the queue where what it led to is gone: a later object of the same number has
    /// not been asked for.
    pub fn forget(&mut self, gone: ObjectId) {
        forget_destination(&mut self.destination, gone);
    }

    /// Applies a change that has been [checked](RxQueueChange::check).
    pub fn apply(&mut self, change: &RxQueueChange) {
        if let Some(destination) = change.destination {
            self.destination = destination;
        }
        if let Some(user_ctx) = change.user_ctx {
            self.user_ctx = user_ctx;
        }
        if let Some(order_preservation) = change.order_preservation {
            self.order_preservation = order_preservation;
        }
    }
}

impl RxQueueChange {
    /// A change from a command's fields, of which option bit 0 (context), 1
    /// (destination) and 2 (order) tell which ones count: the same in all
    /// families.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] for a destination that the queues of
    /// `owner` cannot have.
    pub fn check(
        state: &State,
        owner: ObjectId,
        options: u32,
        destination: Destination,
        user_ctx: u64,
        order_preservation: bool,
    ) -> Result<Self, Refusal> {
        let has = |bit: u32| options & (1 << bit) != 0;
        if has(1) {
            state.check_destination(owner, destination)?;
        }
        Ok(Self {
            user_ctx: has(0).then_some(user_ctx),
            destination: has(1).then_some(destination),
            order_preservation: has(2).then_some(order_preservation),
        })
    }
}

impl State {
    /// Whether both objects are there, in the same container: no queue leads
    /// out of its owner's isolation context.
    pub fn is_beside(&self, owner: ObjectId, other: ObjectId) -> bool {
        match (self.objects.get(&owner), self.objects.get(&other)) {
            (Some(owner), Some(other)) => owner.container == other.container,
            _ => false,
        }
    }

    /// Whether there is an object of a family, in any container.
    pub fn has_any(&self, kind: ObjectType) -> bool {
        let all = ObjectId::new(kind, 0)..=ObjectId::new(kind, u32::MAX);
        self.objects.range(all).next().is_some()
    }

    /// Checks that the queues of `owner` can have this destination: a portal
    /// with a notification channel or a concentrator in the same container,
    /// with that many priorities.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`]; which status a real MC gives is not
    /// known.
    pub fn check_destination(
        &self,
        owner: ObjectId,
        destination: Destination,
    ) -> Result<(), Refusal> {
        let Destination { kind, priority, .. } = destination;
        if kind == 0 {
            return Ok(());
        }
        let wrong = |reason: String| Err(Status::ConfigurationError.because(reason));
        let id = destination.id;
        match self.destination_channel(owner, destination) {
            Some((_, channel)) if priority < channel.priorities => Ok(()),
            Some((family, channel)) => wrong(format!(
                "{family}.{id} has the priorities below {}, not {priority}",
                channel.priorities
            )),
            None => match kind {
                1 => wrong(format!("no dpio.{id} with a channel is in the container of {owner}")),
                2 => wrong(format!("no dpcon.{id} is in the container of {owner}")),
                _ => wrong(format!("{kind} is no kind of destination")),
            },
        }
    }
}

/// What destinations come to in the queue manager.
impl State {
    /// The congestion group that a queue has to itself: those behind the numbers of
    /// the pool, which no object is given.
    pub fn own_group(&self, fqid: u32) -> u32 {
        self.config.soc.pools.cg.end() + fqid
    }

    /// Who takes frames out of a queue of `owner` with this destination: nobody
    /// where the destination is not beside the owner any more.
    pub fn consumer(&self, owner: ObjectId, destination: Destination) -> Consumer {
        let priority = destination.priority;
        match self.destination_channel(owner, destination) {
            Some((ObjectType::Dpio, channel)) => {
                Consumer::Notify { channel: channel.number, priority }
            }
            Some((_, channel)) => Consumer::Channel { channel: channel.number, priority },
            None => Consumer::Parked,
        }
    }

    /// The channel of a destination beside `owner`, and the family that has it.
    fn destination_channel(
        &self,
        owner: ObjectId,
        destination: Destination,
    ) -> Option<(ObjectType, Channel)> {
        let id = destination_object(destination)?;
        let object = self.objects.get(&id).filter(|_| self.is_beside(owner, id))?;
        Some((id.kind, object.body.channel()?))
    }
}

#[cfg(test)]
mod tests {
    use crate::mc::testing::TestMc;
    use mc_abi::{
        Message, ObjectId, ObjectType, Params, Token, common, dpci, dpcon, dpdbg, dpdcei, dpdmai,
        dpio, dprtc, dpseci,
    };
    use proptest::prelude::*;

    /// One object of each family that has to do with queues and engines.
    fn furnish(mc: &mut TestMc) -> Vec<(ObjectId, Token)> {
        let priorities = [1; 8];
        let crypto = dpseci::Create {
            priorities,
            num_tx_queues: 4,
            num_rx_queues: 4,
            options: 0xe0,
            priorities2: priorities,
        };
        let options = 0x40;
        vec![
            mc.make(&dpio::Create { channel_mode: 1, num_priorities: 8 }),
            mc.make(&dpcon::Create { num_priorities: 8 }),
            mc.make(&dpci::Create { num_of_priorities: 2, options }),
            mc.make(&crypto),
            mc.make(&dpdmai::Create { num_queues: 2, priorities: [1, 2], options: 1 }),
            mc.make(&dpdcei::Create { engine: 0, priority: 1 }),
            mc.make(&dprtc::Create {}),
            mc.make(&dpdbg::Create::default()),
        ]
    }

    fn numbers(kind: ObjectType) -> Vec<u16> {
        let own = mc_abi::commands(kind);
        own.iter().chain(common::COMMANDS).map(|command| command.number).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_parameters_panic_or_lose_resources(
            commands in prop::collection::vec(
                (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..4, any::<[u8; 32]>()),
                1..200,
            ),
        ) {
            let mut mc = TestMc::new();
            let objects = furnish(&mut mc);
            for (object, command, version, bytes) in commands {
                let (id, token) = *object.get(&objects);
                let number = *command.get(&numbers(id.kind));
                let mut params = Params::ZERO;
                // Small numbers are worth more than random ones: they name what
                // is there.
                for (slot, byte) in params.0.iter_mut().zip(bytes) {
                    *slot = if byte < 0x80 { byte % 4 } else { byte };
                }
                let _ = mc.send(1, &Message::command(number, version, token, params));
            }
            for (id, token) in objects {
                mc.close(token).expect("closed");
                mc.destroy(id).expect("destroyed");
            }
            mc.assert_pools_full();
        }
    }
}
