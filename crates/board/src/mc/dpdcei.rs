// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interfaces to the compression engine (DCE).

use super::{
    Answer, Body, Call, Family, State,
    queue::{self, RxQueue, RxQueueChange},
};
use crate::dpl::{Fields, Properties, Symbol, Writing, symbol};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, Refusal};
use mc_abi::{
    ObjectId, Status,
    dpdcei::{self, Command},
};

/// An interface to the compression engine.
#[derive(Debug)]
pub(crate) struct CompressionInterface {
    /// 0: compression, 1: decompression.
    engine: u8,
    rx: RxQueue,
    tx: u32,
    enabled: bool,
}

impl Family for CompressionInterface {
    const VERSION: (u16, u16) = (2, 3);
    const IRQS: u8 = 1;
    type Create = dpdcei::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpdcei::Create,
    ) -> Result<Self, Refusal> {
        let priorities = 1..=queue::MAX_PRIORITIES;
        if request.engine > 1 || !priorities.contains(&request.priority) {
            return Err(
                Status::ConfigurationError.because("the engine is 0 or 1, the priority 1 to 8")
            );
        }
        let fqids = state.pools.fq.take_many(2)?;
        let [rx, tx] = fqids[..] else {
            return Err(Status::NoResource.because("it needs two frame queues"));
        };
        Ok(Self { engine: request.engine, rx: RxQueue::new(rx), tx, enabled: false })
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // Whom its queues lead to and tell stays behind in another isolation context.
        Self::reset(state, id);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        let interface = state.body::<Self>(id)?;
        match command {
            Command::GetAttributes(get) => {
                // Which version the chip's engine reports is not known.
                let reply =
                    dpdcei::GetAttributesReply { id, engine: interface.engine, dce_version: 0 };
                call.reply(get, reply)
            }
            Command::SetRxQueue(set) => {
                let (destination, user_ctx) = (set.destination, set.user_ctx);
                // The queues of this family have no option for order.
                let options = set.options & 0x3;
                let object = call.object;
                let change =
                    RxQueueChange::check(state, object, options, destination, user_ctx, false)?;
                state.body_mut::<Self>(object.id)?.rx.apply(&change);
                Ok(Answer::DONE)
            }
            Command::GetRxQueue(get) => {
                let queue = &interface.rx;
                let reply = dpdcei::GetRxQueueReply {
                    destination: queue.destination,
                    user_ctx: queue.user_ctx,
                    fqid: queue.fqid,
                };
                call.reply(get, reply)
            }
            Command::GetTxQueue(get) => {
                call.reply(get, dpdcei::GetTxQueueReply { fqid: interface.tx })
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER)),
        }
    }

    fn reset(state: &mut State, id: u32) {
        if let Ok(interface) = state.body_mut::<Self>(id) {
            interface.enabled = false;
            interface.rx.reset();
        }
    }
}

impl Body for CompressionInterface {
    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    fn leads_to(&self, other: ObjectId) -> bool {
        self.rx.leads_to(other)
    }

    fn forget(&mut self, gone: ObjectId) {
        self.rx.forget(gone);
    }
}

/// `enum dpdcei_engine` (`fsl_dpdcei.h`).
const ENGINES: &[Symbol] =
    &[symbol("DPDCEI_ENGINE_COMPRESSION", 0), symbol("DPDCEI_ENGINE_DECOMPRESSION", 1)];

impl Properties for dpdcei::Create {
    /// Without properties, the lowest number of each: layouts that tools generate
    /// leave the priority out; what the firmware takes then is documented nowhere.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let priority = fields.number("priority", 1..=queue::MAX_PRIORITIES.into());
        Self {
            engine: fields.choice("engine", ENGINES).map_or(0, |e| e as u8),
            priority: priority.map_or(1, |p| p as u8),
        }
    }

    fn write(&self, to: &mut Writing) {
        to.symbol("engine", self.engine.into(), ENGINES);
        to.number("priority", self.priority);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::testing::TestMc;
    use mc_abi::{blocks::Destination, dpcon};

    #[test]
    fn an_interface_has_a_queue_each_way() {
        let mut mc = TestMc::new();
        let (id, token) = mc.make(&dpdcei::Create { engine: 1, priority: 8 });
        assert_eq!(mc.call(token, &dpdcei::GetAttributes {}).expect("attributes").engine, 1);
        let dpcon = mc.create(&dpcon::Create { num_priorities: 1 }).expect("dpcon");
        let destination = Destination { kind: 2, id: dpcon.id, priority: 0 };
        let set = dpdcei::SetRxQueue { destination, user_ctx: 3, options: 3 };
        mc.call(token, &set).expect("set");
        let rx = mc.call(token, &dpdcei::GetRxQueue {}).expect("rx");
        assert_eq!((rx.destination, rx.user_ctx), (destination, 3));
        assert_ne!(mc.call(token, &dpdcei::GetTxQueue {}).expect("tx").fqid, rx.fqid);
        mc.close(token).expect("closed");
        mc.destroy(id).expect("destroyed");
        mc.destroy(dpcon).expect("destroyed");
        mc.assert_pools_full();
    }

    #[test]
    fn engines_and_priorities_have_their_range() {
        let mut mc = TestMc::new();
        for (engine, priority) in [(2, 1), (0, 0), (0, 9)] {
            let refused = mc.create(&dpdcei::Create { engine, priority });
            assert_eq!(refused, Err(Status::ConfigurationError));
        }
    }
}
