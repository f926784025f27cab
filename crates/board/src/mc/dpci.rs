// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Communication interfaces between two software contexts.

use super::{
    Answer, Body, Call, Endpoint, Family, Object, State,
    opr::OrderRestoration,
    queue::{RxQueue, RxQueueChange},
};
use crate::dpl::{Fields, Properties, Symbol, Writing, symbol};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, Refusal};
use crate::{fabric::Pass, qbman::QueueConfig};
use mc_abi::{
    ObjectId, ObjectType, Status,
    dpci::{self, Command},
};

/// Most receive priorities (`DPCI_PRIO_NUM`).
const MAX_PRIORITIES: u8 = 4;

/// Options of creation.
const HAS_OPR: u32 = 1 << 6;
const OPR_SHARED: u32 = 1 << 7;

/// Events of interrupt 0.
const LINK_CHANGED: u32 = 1 << 0;
const CONNECTED: u32 = 1 << 1;
const DISCONNECTED: u32 = 1 << 2;

/// A communication interface.
#[derive(Debug)]
pub(crate) struct CommunicationInterface {
    queues: Vec<RxQueue>,
    opr: OrderRestoration,
    enabled: bool,
    /// What the link was when its state was last told.
    up: bool,
}

impl Family for CommunicationInterface {
    const VERSION: (u16, u16) = (3, 4);
    const IRQS: u8 = 1;
    type Create = dpci::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpci::Create,
    ) -> Result<Self, Refusal> {
        if !(1..=MAX_PRIORITIES).contains(&request.num_of_priorities) {
            return Err(Status::ConfigurationError
                .because(format!("it has 1 to {MAX_PRIORITIES} priorities")));
        }
        let count = usize::from(request.num_of_priorities);
        let opr = if request.options & HAS_OPR == 0 {
            OrderRestoration::default()
        } else {
            let shared = request.options & OPR_SHARED != 0;
            OrderRestoration::new(&mut state.pools.opr, count, shared)?
        };
        let fqids = state.pools.fq.take_many(count)?;
        let queues = fqids.into_iter().map(RxQueue::new).collect();
        Ok(Self { queues, opr, enabled: false, up: false })
    }

    fn destroy(self, state: &mut State, _id: u32) {
        self.withdraw(state);
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // Frames of before and what the queues lead to stay behind in another isolation
        // context, and this end sends from another one than before.
        Self::reset(state, id);
        if let Some(peer) = peer(state, id) {
            state.touch(endpoint(peer).object);
        }
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        match command {
            Command::GetAttributes(get) => {
                let num_of_priorities = state.body::<Self>(id)?.queues.len() as u8;
                call.reply(get, dpci::GetAttributesReply { id, num_of_priorities })
            }
            Command::GetLinkState(get) => {
                let up = state.link_up(endpoint(id));
                call.reply(get, dpci::GetLinkStateReply { up })
            }
            // Of priorities each end tells its own number, for whatever reason (board:
            // V-DPCI-2 of the ledger, with ends of one and of two).
            Command::GetPeerAttributes(get) => {
                let reply = match peer(state, id) {
                    Some(peer) => dpci::GetPeerAttributesReply {
                        id: peer,
                        num_of_priorities: state.body::<Self>(id)?.queues.len() as u8,
                    },
                    None => {
                        dpci::GetPeerAttributesReply { id: dpci::NO_PEER, num_of_priorities: 0 }
                    }
                };
                call.reply(get, reply)
            }
            Command::SetRxQueue(set) => set_rx_queue(state, call.object, set),
            Command::GetRxQueue(get) => {
                let queues = &state.body::<Self>(id)?.queues;
                let queue = queues.get(usize::from(get.priority));
                let queue = queue.ok_or_else(|| {
                    Status::ConfigurationError
                        .because(format!("there is no queue of priority {}", get.priority))
                })?;
                let reply = dpci::GetRxQueueReply {
                    destination: queue.destination,
                    user_ctx: queue.user_ctx,
                    fqid: queue.fqid,
                };
                call.reply(get, reply)
            }
            Command::GetTxQueue(get) => {
                let queue = match peer(state, id) {
                    Some(peer) => state.body::<Self>(peer)?.queues.get(usize::from(get.priority)),
                    None => None,
                };
                let fqid = queue.map_or(dpci::NO_FQID, |queue| queue.fqid);
                call.reply(get, dpci::GetTxQueueReply { fqid })
            }
            Command::SetOpr(set) => {
                state.body_mut::<Self>(id)?.opr.set(set.index, set.options, set.settings)?;
                Ok(Answer::DONE)
            }
            Command::GetOpr(get) => {
                let reply = state.body::<Self>(id)?.opr.get(get.index)?;
                call.reply(get, reply)
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER)),
        }
    }

    fn reset(state: &mut State, id: u32) {
        let Ok(interface) = state.body_mut::<Self>(id) else { return };
        interface.enabled = false;
        interface.queues.iter_mut().for_each(RxQueue::reset);
        interface.opr.reset();
        // Frames of before are nobody's business any more.
        let fqids: Vec<u32> = interface.queues.iter().map(|queue| queue.fqid).collect();
        for fqid in fqids {
            state.fabric.qbman().configure_queue(fqid, None, &mut state.pass);
        }
        tell_link(state, id);
    }

    fn switched(state: &mut State, id: u32, _on: bool) {
        tell_link(state, id);
    }

    fn connected(state: &mut State, id: u32, _interface: u16, peer: Option<Endpoint>) {
        let event = if peer.is_some() { CONNECTED } else { DISCONNECTED };
        state.raise(endpoint(id).object, 0, event);
        tell_link(state, id);
    }
}

impl Body for CommunicationInterface {
    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    /// A link is up when both ends are on: connecting alone does not bring it
    /// up (board observation).
    fn link_ready(&self, _interface: u16) -> bool {
        self.enabled
    }

    fn interfaces(&self) -> u16 {
        1
    }

    fn leads_to(&self, other: ObjectId) -> bool {
        self.queues.iter().any(|queue| queue.leads_to(other))
    }

    fn forget(&mut self, gone: ObjectId) {
        self.queues.iter_mut().for_each(|queue| queue.forget(gone));
    }

    /// Its queues are those that the peer enqueues to, while the link is up.
    fn program(&self, state: &State, object: &Object, icid: u16, pass: &mut Pass) {
        let qbman = state.fabric.qbman();
        self.opr.program(qbman, icid);
        let end = endpoint(object.id.id);
        let sender = state.peer(end).filter(|_| state.link_up(end)).and_then(|peer| {
            let container = state.object(peer.object).ok()?.container;
            state.icid(container)
        });
        for (index, queue) in (0..).zip(&self.queues) {
            let consumer = state.consumer(object.id, queue.destination);
            let config = QueueConfig {
                peer: sender,
                context: queue.user_ctx,
                hold_active: queue.order_preservation,
                order: self.opr.record(index),
                ..QueueConfig::new(icid, consumer)
            };
            qbman.configure_queue(queue.fqid, Some(config), pass);
        }
    }
}

impl CommunicationInterface {
    fn withdraw(&self, state: &mut State) {
        let qbman = state.fabric.qbman();
        for queue in &self.queues {
            qbman.configure_queue(queue.fqid, None, &mut state.pass);
        }
        self.opr.withdraw(qbman);
    }
}

fn set_rx_queue(
    state: &mut State,
    object: ObjectId,
    set: &dpci::SetRxQueue,
) -> Result<Answer, Refusal> {
    let (options, order) = (set.options, set.order_preservation);
    let change =
        RxQueueChange::check(state, object, options, set.destination, set.user_ctx, order)?;
    let queues = &mut state.body_mut::<CommunicationInterface>(object.id)?.queues;
    if set.priority == dpci::ALL_QUEUES {
        queues.iter_mut().for_each(|queue| queue.apply(&change));
    } else {
        let queue = queues.get_mut(usize::from(set.priority));
        queue
            .ok_or_else(|| {
                Status::ConfigurationError
                    .because(format!("there is no queue of priority {}", set.priority))
            })?
            .apply(&change);
    }
    Ok(Answer::DONE)
}

const fn endpoint(id: u32) -> Endpoint {
    Endpoint::new(ObjectType::Dpci, id, 0)
}

/// Number of the interface at the other end.
fn peer(state: &State, id: u32) -> Option<u32> {
    let peer = state.peer(endpoint(id))?.object;
    (peer.kind == ObjectType::Dpci).then_some(peer.id)
}

/// Tells both ends where the state of their link is not what it was.
fn tell_link(state: &mut State, id: u32) {
    for end in [Some(id), peer(state, id)].into_iter().flatten() {
        let up = state.link_up(endpoint(end));
        let Ok(interface) = state.body_mut::<CommunicationInterface>(end) else { continue };
        if interface.up != up {
            interface.up = up;
            state.raise(endpoint(end).object, 0, LINK_CHANGED);
        }
    }
}

/// `DPCI_OPT_*` of firmware 10.40 (`fsl_dpci.h`).
const OPTIONS: &[Symbol] = &[symbol("DPCI_OPT_HAS_OPR", 0x40), symbol("DPCI_OPT_OPR_SHARED", 0x80)];

impl Properties for dpci::Create {
    /// Without a number of priorities, 1: what `restool` uses.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let number = fields.number("num_of_priorities", 1..=MAX_PRIORITIES.into());
        Self {
            options: fields.options("options", OPTIONS, &[], 32) as u32,
            num_of_priorities: number.map_or(1, |n| n as u8),
        }
    }

    fn write(&self, to: &mut Writing) {
        to.options("options", self.options.into(), OPTIONS);
        to.number("num_of_priorities", self.num_of_priorities);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::testing::TestMc;
    use mc_abi::{blocks::Destination, common, dpcon};

    fn create(num_of_priorities: u8) -> dpci::Create {
        dpci::Create { num_of_priorities, options: 0 }
    }

    fn event(mc: &mut TestMc, token: mc_abi::Token) -> u32 {
        let get = common::GetIrqStatus { status: 0, index: 0 };
        let status = mc.call(token, &get).expect("status").status;
        mc.call(token, &common::ClearIrqStatus { status, index: 0 }).expect("cleared");
        status
    }

    #[test]
    fn a_link_needs_a_connection_and_both_ends_on() {
        let mut mc = TestMc::new();
        let (one, first) = mc.make(&create(1));
        let (two, second) = mc.make(&create(2));
        let none = mc.call(first, &dpci::GetPeerAttributes {}).expect("peer");
        assert_eq!((none.id, none.num_of_priorities), (dpci::NO_PEER, 0));
        let tx = |priority| dpci::GetTxQueue { priority };
        assert_eq!(mc.call(first, &tx(0)).expect("tx").fqid, dpci::NO_FQID);

        mc.connect((one, 0), (two, 0)).expect("connected");
        assert_eq!(event(&mut mc, first), CONNECTED);
        let peer = mc.call(first, &dpci::GetPeerAttributes {}).expect("peer");
        // Board: V-DPCI-2 of the ledger.
        assert_eq!((peer.id, peer.num_of_priorities), (two.id, 1));
        let peer = mc.call(second, &dpci::GetPeerAttributes {}).expect("peer");
        assert_eq!((peer.id, peer.num_of_priorities), (one.id, 2));
        // This end's transmit queue is the other end's receive queue.
        let rx = mc.call(second, &dpci::GetRxQueue { priority: 1 }).expect("rx");
        assert_eq!(mc.call(first, &tx(1)).expect("tx").fqid, rx.fqid);
        assert_eq!(mc.call(second, &tx(1)).expect("tx").fqid, dpci::NO_FQID);

        mc.call(first, &common::Enable {}).expect("on");
        assert!(!mc.call(first, &dpci::GetLinkState {}).expect("link").up);
        assert_eq!(event(&mut mc, first), 0);
        mc.call(second, &common::Enable {}).expect("on");
        assert!(mc.call(first, &dpci::GetLinkState {}).expect("link").up);
        assert_eq!(event(&mut mc, first), LINK_CHANGED);
        assert_eq!(event(&mut mc, second), CONNECTED | LINK_CHANGED);

        mc.close(second).expect("closed");
        mc.destroy(two).expect("a connected one may go");
        assert_eq!(event(&mut mc, first), DISCONNECTED | LINK_CHANGED);
        assert!(!mc.call(first, &dpci::GetLinkState {}).expect("link").up);
        mc.close(first).expect("closed");
        mc.destroy(one).expect("destroyed");
        mc.assert_pools_full();
    }

    /// A portal of the one's container enqueues to the other's queue, and to no
    /// queue before both ends are on.
    #[test]
    fn what_one_end_sends_arrives_at_the_other() {
        let mut mc = TestMc::new();
        let (one, first) = mc.make(&create(1));
        let (child, child_token) = mc.make_container();
        let two = mc.create_in(child_token, &create(1)).expect("another one");
        let second = mc.try_open(child, two).expect("open");
        mc.connect((one, 0), (two, 0)).expect("connected");
        let fqid = mc.call(first, &dpci::GetTxQueue { priority: 0 }).expect("tx").fqid;
        let send = |mc: &mut TestMc, icid| {
            let fd = qbman_abi::Fd { address: 0x1234, length_word: 4, ..Default::default() };
            mc.state.fabric.clone().qbman().enqueue_as(icid, fqid, &fd, &mut mc.state.pass)
        };
        let icid = mc.icid();
        assert!(!send(&mut mc, icid), "the link is down");
        mc.call(first, &common::Enable {}).expect("on");
        mc.call_from(child, second, &common::Enable {}).expect("on");
        assert!(send(&mut mc, icid));
        assert!(!send(&mut mc, icid + 7), "nobody else");
        let received = mc.state.fabric.qbman().dequeue(fqid).expect("it arrives");
        assert_eq!((received.address, received.length()), (0x1234, 4));
        assert!(send(&mut mc, icid));
        mc.call_from(child, second, &common::Reset {}).expect("reset");
        assert_eq!(mc.state.fabric.qbman().dequeue(fqid), None);
        assert!(!send(&mut mc, icid), "the link is down again");
    }

    #[test]
    fn queues_keep_what_the_options_name() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&create(2));
        let dpcon = mc.create(&dpcon::Create { num_priorities: 2 }).expect("dpcon");
        let destination = Destination { kind: 2, id: dpcon.id, priority: 1 };
        let set = dpci::SetRxQueue {
            destination,
            priority: dpci::ALL_QUEUES,
            user_ctx: 0x1234,
            options: 3,
            ..Default::default()
        };
        mc.call(token, &set).expect("all");
        let only_context = dpci::SetRxQueue { priority: 1, options: 1, ..Default::default() };
        mc.call(token, &only_context).expect("one");
        let get = |priority| dpci::GetRxQueue { priority };
        let first = mc.call(token, &get(0)).expect("queue");
        assert_eq!((first.destination, first.user_ctx), (destination, 0x1234));
        let second = mc.call(token, &get(1)).expect("queue");
        assert_eq!((second.destination, second.user_ctx), (destination, 0));
        assert_ne!(first.fqid, second.fqid);
        let refused = Err(Status::ConfigurationError);
        let bad = |change: fn(&mut dpci::SetRxQueue)| {
            let mut set = set.clone();
            change(&mut set);
            set
        };
        assert_eq!(mc.call(token, &bad(|set| set.destination.priority = 2)), refused);
        assert_eq!(mc.call(token, &bad(|set| set.destination.kind = 1)), refused);
        assert_eq!(mc.call(token, &bad(|set| set.destination.kind = 3)), refused);
        assert_eq!(mc.call(token, &bad(|set| set.priority = 2)), refused);
        assert_eq!(mc.call(token, &get(2)), Err(Status::ConfigurationError));
    }

    #[test]
    fn what_cannot_be_made_leaves_nothing_taken() {
        let mut mc = TestMc::new();
        for priorities in [0, 5] {
            assert_eq!(mc.create(&create(priorities)), Err(Status::ConfigurationError));
        }
        while mc.create(&create(4)).is_ok() {}
        let free = mc.state.pools.opr.free();
        let with_opr = dpci::Create { num_of_priorities: 4, options: HAS_OPR };
        assert_eq!(mc.create(&with_opr), Err(Status::NoResource));
        assert_eq!(mc.state.pools.opr.free(), free);
    }
}
