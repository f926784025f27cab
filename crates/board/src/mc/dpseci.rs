// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interfaces to the crypto accelerator (SEC).

use super::{
    Answer, Body, Call, Family, State,
    opr::OrderRestoration,
    queue::{self, RxQueue, RxQueueChange},
};
use crate::dpl::{self, Fields, Properties, Symbol, Writing, symbol};
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use mc_abi::{
    ObjectId, Status,
    blocks::CongestionNotification,
    dpseci::{self, Command},
};

/// Most queues in either direction (`DPSECI_MAX_QUEUE_NUM`).
const MAX_QUEUES: u8 = 16;

/// Bits that the notification mode of a congestion group has.
const NOTIFICATION_MODES: u16 = 0x3f;
/// Of these, the ones that tell a destination.
const TELL_DESTINATION: u16 = 0x18;

/// Scheduling state of a queue that takes part in nothing (`qbman_fq_schedstate_oos`), as
/// all of this family do: there is no accelerator. A frame for one is rejected, and a query
/// of a portal says the same.
const OUT_OF_SERVICE: u16 = 0;

/// An interface to the accelerator.
#[derive(Debug)]
pub(crate) struct CryptoInterface {
    options: u32,
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
    opr: OrderRestoration,
    congestion: Option<Congestion>,
    enabled: bool,
}

/// A queue to the accelerator.
#[derive(Debug)]
struct TxQueue {
    fqid: u32,
    priority: u8,
}

/// The congestion group of the queues to the accelerator.
#[derive(Debug)]
struct Congestion {
    #[allow(dead_code, reason = "no frame counts against it yet")]
    group: u32,
    notification: CongestionNotification,
}

impl Family for CryptoInterface {
    const VERSION: (u16, u16) = (5, 4);
    const IRQS: u8 = 1;
    type Create = dpseci::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpseci::Create,
    ) -> Result<Self, Refusal> {
        let priorities = priorities(request)?;
        let has = |option| request.options & option != 0;
        let pools = &mut state.pools;
        let rx = usize::from(request.num_rx_queues);
        let rx_fqids = pools.fq.take_many(rx)?;
        let tx_fqids = pools.fq.take_many(priorities.len())?;
        let tx = tx_fqids.into_iter().zip(priorities);
        let congestion = if has(dpseci::OPT_HAS_CG) {
            let group = pools.cg.take()?;
            Some(Congestion { group, notification: Default::default() })
        } else {
            None
        };
        let opr = if has(dpseci::OPT_HAS_OPR) {
            OrderRestoration::new(&mut pools.opr, rx, has(dpseci::OPT_OPR_SHARED))?
        } else {
            OrderRestoration::default()
        };
        Ok(Self {
            options: request.options,
            rx: rx_fqids.into_iter().map(RxQueue::new).collect(),
            tx: tx.map(|(fqid, priority)| TxQueue { fqid, priority }).collect(),
            opr,
            congestion,
            enabled: false,
        })
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // Whom its queues lead to and tell stays behind in another isolation context.
        Self::reset(state, id);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        if let Command::SetRxQueue(set) = command {
            return set_rx_queue(state, call.object, set);
        }
        if let Command::SetCongestionNotification(set) = command {
            return set_congestion(state, call.object, set);
        }
        if let Command::GetSecAttributes(get) = command {
            return call.reply(get, state.config.soc.sec.clone());
        }
        let interface = state.body_mut::<Self>(id)?;
        match command {
            Command::GetAttributes(get) => {
                let reply = dpseci::GetAttributesReply {
                    id,
                    num_tx_queues: interface.tx.len() as u8,
                    num_rx_queues: interface.rx.len() as u8,
                    options: interface.options,
                };
                call.reply(get, reply)
            }
            Command::GetRxQueue(get) => {
                let queue = pick(&interface.rx, get.queue.into())?;
                let reply = dpseci::GetRxQueueReply {
                    destination: queue.destination,
                    user_ctx: queue.user_ctx,
                    fqid: queue.fqid,
                    order_preservation: queue.order_preservation,
                };
                call.reply(get, reply)
            }
            Command::GetTxQueue(get) => {
                let queue = pick(&interface.tx, get.queue.into())?;
                let (fqid, priority) = (queue.fqid, queue.priority);
                call.reply(get, dpseci::GetTxQueueReply { fqid, priority })
            }
            // Nothing is ever encrypted.
            Command::GetSecCounters(get) => call.reply(get, Default::default()),
            Command::SetOpr(set) => {
                interface.opr.set(set.index, set.options, set.settings)?;
                Ok(Answer::DONE)
            }
            Command::GetOpr(get) => call.reply(get, interface.opr.get(get.index)?),
            Command::GetCongestionNotification(get) => {
                let congestion = interface.congestion.as_ref();
                let congestion = congestion.ok_or_else(|| Status::ConfigurationError.because("it was made without a congestion group"))?;
                let notification = congestion.notification;
                call.reply(get, dpseci::GetCongestionNotificationReply { notification })
            }
            Command::GetRxQueueStatus(get) => {
                let fqid = pick(&interface.rx, get.queue_index)?.fqid;
                let schedstate = OUT_OF_SERVICE;
                let reply =
                    dpseci::GetRxQueueStatusReply { fqid, schedstate, ..Default::default() };
                call.reply(get, reply)
            }
            Command::GetTxQueueStatus(get) => {
                let fqid = pick(&interface.tx, get.queue_index)?.fqid;
                let schedstate = OUT_OF_SERVICE;
                let reply =
                    dpseci::GetTxQueueStatusReply { fqid, schedstate, ..Default::default() };
                call.reply(get, reply)
            }
            // Answered above.
            Command::SetRxQueue(_)
            | Command::SetCongestionNotification(_)
            | Command::GetSecAttributes(_)
            // Made through the container's token, never through the object's.
            | Command::Create(_) => Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED)),
        }
    }

    fn reset(state: &mut State, id: u32) {
        let Ok(interface) = state.body_mut::<Self>(id) else { return };
        interface.enabled = false;
        interface.rx.iter_mut().for_each(RxQueue::reset);
        interface.opr.reset();
        if let Some(congestion) = &mut interface.congestion {
            congestion.notification = Default::default();
        }
    }
}

impl Body for CryptoInterface {
    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    fn leads_to(&self, other: ObjectId) -> bool {
        let told = self
            .congestion
            .as_ref()
            .and_then(|congestion| queue::destination_object(congestion.notification.destination));
        told == Some(other) || self.rx.iter().any(|queue| queue.leads_to(other))
    }

    fn forget(&mut self, gone: ObjectId) {
        self.rx.iter_mut().for_each(|queue| queue.forget(gone));
        let set = self.congestion.as_mut().map(|congestion| &mut congestion.notification);
        if let Some(set) = set
            && queue::destination_object(set.destination) == Some(gone)
        {
            set.destination = Default::default();
            set.mode &= !TELL_DESTINATION;
        }
    }
}

/// The priorities of the queues to the accelerator.
fn priorities(request: &dpseci::Create) -> Result<Vec<u8>, Refusal> {
    let count = 1..=MAX_QUEUES;
    if !count.contains(&request.num_tx_queues) || !count.contains(&request.num_rx_queues) {
        return Err(
            Status::ConfigurationError.because(format!("it has 1 to {MAX_QUEUES} queues each way"))
        );
    }
    let all = request.priorities.iter().chain(&request.priorities2).copied();
    let priorities: Vec<u8> = all.take(request.num_tx_queues.into()).collect();
    if priorities.iter().all(|p| (1..=queue::MAX_PRIORITIES).contains(p)) {
        Ok(priorities)
    } else {
        Err(Status::ConfigurationError
            .because(format!("a priority is 1 to {}", queue::MAX_PRIORITIES)))
    }
}

fn pick<Q>(queues: &[Q], index: u32) -> Result<&Q, Refusal> {
    usize::try_from(index)
        .ok()
        .and_then(|i| queues.get(i))
        .ok_or_else(|| Status::ConfigurationError.because(format!("there is no queue {index}")))
}

fn set_rx_queue(
    state: &mut State,
    object: ObjectId,
    set: &dpseci::SetRxQueue,
) -> Result<Answer, Refusal> {
    let (options, order) = (set.options, set.order_preservation);
    let change =
        RxQueueChange::check(state, object, options, set.destination, set.user_ctx, order)?;
    let queues = &mut state.body_mut::<CryptoInterface>(object.id)?.rx;
    if set.queue == dpseci::ALL_QUEUES {
        queues.iter_mut().for_each(|queue| queue.apply(&change));
    } else {
        let queue = queues.get_mut(usize::from(set.queue));
        queue
            .ok_or_else(|| {
                Status::ConfigurationError.because(format!("there is no queue {}", set.queue))
            })?
            .apply(&change);
    }
    Ok(Answer::DONE)
}

fn set_congestion(
    state: &mut State,
    object: ObjectId,
    set: &dpseci::SetCongestionNotification,
) -> Result<Answer, Refusal> {
    let notification = set.notification;
    let unknown_mode = notification.mode & !NOTIFICATION_MODES != 0;
    if notification.units > 1 || unknown_mode || !notification.message_iova.is_multiple_of(16) {
        return Err(Status::ConfigurationError
            .because("unknown units or mode, or an address that is no multiple of 16"));
    }
    if notification.mode & TELL_DESTINATION != 0 {
        state.check_destination(object, notification.destination)?;
    }
    let congestion = &mut state.body_mut::<CryptoInterface>(object.id)?.congestion;
    congestion
        .as_mut()
        .ok_or_else(|| {
            Status::ConfigurationError.because("it was made without a congestion group")
        })?
        .notification = notification;
    Ok(Answer::DONE)
}

/// `DPSECI_OPT_*` of firmware 10.40 (`fsl_dpseci.h`).
const OPTIONS: &[Symbol] = &[
    symbol("DPSECI_OPT_HAS_CG", dpseci::OPT_HAS_CG as u64),
    symbol("DPSECI_OPT_HAS_OPR", dpseci::OPT_HAS_OPR as u64),
    symbol("DPSECI_OPT_OPR_SHARED", dpseci::OPT_OPR_SHARED as u64),
];

impl Properties for dpseci::Create {
    /// A layout has no count of queues: each priority is one queue towards the
    /// engine and one back. Without priorities, one pair: the firmware's default
    /// is documented nowhere, and no public layout relies on it.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        fields.obsolete(&[("sec_if_id", "")]);
        let mut one = [0; MAX_QUEUES as usize];
        one[0] = 1;
        let all = dpl::priorities(fields, "priorities").unwrap_or(one);
        let queues = all.iter().filter(|p| **p != 0).count() as u8;
        Self {
            priorities: std::array::from_fn(|i| all[i]),
            num_tx_queues: queues,
            num_rx_queues: queues,
            options: fields.options("options", OPTIONS, &[], 32) as u32,
            priorities2: std::array::from_fn(|i| all[8 + i]),
        }
    }

    fn write(&self, to: &mut Writing) {
        to.options("options", self.options.into(), OPTIONS);
        let all: Vec<u8> = self.priorities.iter().chain(&self.priorities2).copied().collect();
        dpl::write_priorities(to, "priorities", &all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::testing::TestMc;
    use mc_abi::{ObjectType, blocks::Destination, common, dpio};

    fn create(queues: u8, options: u32) -> dpseci::Create {
        dpseci::Create {
            priorities: [1; 8],
            num_tx_queues: queues,
            num_rx_queues: queues,
            options,
            priorities2: [2; 8],
        }
    }

    const ALL: u32 = dpseci::OPT_HAS_CG | dpseci::OPT_HAS_OPR | dpseci::OPT_OPR_SHARED;

    #[test]
    fn sixteen_queues_have_their_priorities_and_numbers() {
        let mut mc = TestMc::new();
        let (id, token) = mc.make(&create(16, ALL));
        let attributes = mc.call(token, &dpseci::GetAttributes {}).expect("attributes");
        assert_eq!((attributes.num_tx_queues, attributes.num_rx_queues), (16, 16));
        assert_eq!(attributes.options, ALL);
        let mut seen = std::collections::BTreeSet::new();
        for queue in 0..16 {
            let tx = mc.call(token, &dpseci::GetTxQueue { queue }).expect("tx");
            assert_eq!(tx.priority, 1 + queue / 8);
            let rx = mc.call(token, &dpseci::GetRxQueue { queue }).expect("rx");
            assert!(seen.insert(tx.fqid) && seen.insert(rx.fqid));
        }
        let refused = Err(Status::ConfigurationError);
        assert_eq!(mc.call(token, &dpseci::GetTxQueue { queue: 16 }), refused);
        mc.close(token).expect("closed");
        mc.destroy(id).expect("destroyed");
        mc.assert_pools_full();
    }

    #[test]
    fn older_versions_have_fewer_fields() {
        let mut mc = TestMc::new();
        // Version 1 knows neither options nor more than eight priorities.
        mc.call_version(mc.root, &create(8, ALL), 1).expect("made");
        let token = mc.open(ObjectId::new(ObjectType::Dpseci, 0));
        assert_eq!(mc.call(token, &dpseci::GetAttributes {}).expect("attributes").options, 0);
        let nine = mc.call_version(mc.root, &create(9, 0), 2);
        assert_eq!(nine, Err(Status::ConfigurationError));
        let old = mc.call_version(token, &dpseci::GetSecAttributes {}, 1).expect("attributes");
        assert_eq!((old.era, old.ccha_acc_num), (10, 0));
    }

    #[test]
    fn congestion_needs_a_group() {
        let mut mc = TestMc::new();
        // What Linux sets.
        let notification = CongestionNotification {
            mode: 7,
            message_iova: 0x1000,
            message_context: 5,
            threshold_entry: 128 << 20,
            threshold_exit: 115 << 20,
            ..Default::default()
        };
        let set = dpseci::SetCongestionNotification { notification };
        let get = dpseci::GetCongestionNotification {};
        let (_, without) = mc.make(&create(1, 0));
        assert_eq!(mc.call(without, &set), Err(Status::ConfigurationError));
        assert_eq!(mc.call(without, &get), Err(Status::ConfigurationError));
        let (_, token) = mc.make(&create(1, dpseci::OPT_HAS_CG));
        mc.call(token, &set).expect("set");
        let reply = mc.call(token, &get).expect("kept");
        assert_eq!(reply.notification, notification);
        let odd = CongestionNotification { message_iova: 8, ..notification };
        let destination = Destination { kind: 1, ..Default::default() };
        let nobody = CongestionNotification { destination, mode: 8, ..notification };
        for notification in [odd, nobody] {
            let set = dpseci::SetCongestionNotification { notification };
            assert_eq!(mc.call(token, &set), Err(Status::ConfigurationError));
        }
        mc.call(token, &common::Reset {}).expect("reset");
        assert_eq!(mc.call(token, &get), Ok(Default::default()));
    }

    /// Nothing is encrypted here, and nobody is told that it were.
    #[test]
    fn queues_are_set_up_and_take_no_frames() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&create(2, 0));
        mc.call(token, &common::Enable {}).expect("drivers do");
        let portal = dpio::Create { channel_mode: 1, num_priorities: 8 };
        let id = mc.create(&portal).expect("dpio").id;
        let set = dpseci::SetRxQueue {
            destination: Destination { kind: 1, id, priority: 0 },
            queue: 1,
            options: 7,
            user_ctx: 9,
            order_preservation: true,
        };
        mc.call(token, &set).expect("set");
        let status = |queue_index| dpseci::GetRxQueueStatus { queue_index };
        for queue in [0, 1] {
            let rx = mc.call(token, &status(queue)).expect("status");
            assert_eq!(rx.schedstate, 0);
            let tx = dpseci::GetTxQueueStatus { queue_index: queue };
            let tx = mc.call(token, &tx).expect("status");
            assert_eq!(tx.schedstate, 0);
            let fabric = mc.state.fabric.clone();
            let fd = qbman_abi::Fd::default();
            assert!(fabric.qbman().enqueue(tx.fqid, &fd, &mut mc.state.pass).is_err());
        }
        assert_eq!(mc.call(token, &status(u32::MAX)), Err(Status::ConfigurationError));
        let queue = mc.call(token, &dpseci::GetRxQueue { queue: 1 }).expect("queue");
        assert_eq!((queue.user_ctx, queue.order_preservation), (9, true));
        assert_eq!(mc.call(token, &dpseci::GetSecCounters {}), Ok(Default::default()));
    }

    #[test]
    fn bad_configurations_leave_nothing_taken() {
        let mut mc = TestMc::new();
        let mut zero = create(2, ALL);
        zero.priorities[1] = 0;
        let mut high = create(2, ALL);
        high.priorities[0] = 9;
        for request in [zero, high, create(0, ALL), create(17, ALL)] {
            assert_eq!(mc.create(&request), Err(Status::ConfigurationError));
        }
        mc.assert_pools_full();
        while mc.create(&create(16, ALL)).is_ok() {}
        let before: Vec<u32> = mc.state.pools.all().iter().map(|(_, p)| p.free()).collect();
        assert_eq!(mc.create(&create(16, ALL)), Err(Status::NoResource));
        let after: Vec<u32> = mc.state.pools.all().iter().map(|(_, p)| p.free()).collect();
        assert_eq!(before, after);
    }
}
