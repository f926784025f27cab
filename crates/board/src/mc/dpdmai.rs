// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interfaces to the DMA engine (qDMA).

use super::{
    Answer, Body, Call, Family, Object, State,
    queue::{self, RxQueue, RxQueueChange},
};
use crate::dpl::{self, Fields, Properties, Symbol, Writing, symbol};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, Refusal};
use crate::{
    fabric::{Engine, Pass},
    qbman::{Consumer, QueueConfig},
    qdma::{DmaConfig, DmaPair},
};
use mc_abi::{
    ObjectId, Status,
    dpdmai::{self, Command, CongestionNotificationReply},
};

/// Queue pairs where software leaves the choice to the MC (board observation).
const DEFAULT_QUEUES: u8 = 1;

/// Bits that the notification mode of a congestion group has.
const NOTIFICATION_MODES: u16 = 0x7;

/// An interface to the DMA engine.
#[derive(Debug)]
pub(crate) struct DmaInterface {
    options: u32,
    num_queues: u8,
    num_priorities: u8,
    /// Queues of both directions: those of priority 0 first.
    rx: Vec<RxQueue>,
    tx: Vec<u32>,
    rx_groups: Vec<Group>,
    tx_groups: Vec<Group>,
    enabled: bool,
}

/// A congestion group: one for all priorities, or one for each.
#[derive(Debug)]
struct Group {
    #[allow(dead_code, reason = "no frame counts against it yet")]
    id: u32,
    /// The priority and the notification that were set last.
    set: CongestionNotificationReply,
}

impl Family for DmaInterface {
    const VERSION: (u16, u16) = (3, 4);
    const IRQS: u8 = 1;
    type Create = dpdmai::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpdmai::Create,
    ) -> Result<Self, Refusal> {
        let num_priorities = count_priorities(request.priorities)?;
        let num_queues = match request.num_queues {
            0 => DEFAULT_QUEUES,
            // As many as the chip has cores (MC 10.8 release notes).
            count if count <= state.config.soc.cores => count,
            _ => {
                return Err(Status::ConfigurationError.because(format!(
                    "there are at most as many queues as cores: {}",
                    state.config.soc.cores
                )));
            }
        };
        let queues = usize::from(num_queues) * usize::from(num_priorities);
        let per_priority = request.options & dpdmai::OPT_CG_PER_PRIORITY != 0;
        let groups = if per_priority { num_priorities.into() } else { 1 };
        let fresh = |id| Group { id, set: Default::default() };
        let pools = &mut state.pools;
        Ok(Self {
            options: request.options,
            num_queues,
            num_priorities,
            rx: pools.fq.take_many(queues)?.into_iter().map(RxQueue::new).collect(),
            tx: pools.fq.take_many(queues)?,
            rx_groups: pools.cg.take_many(groups)?.into_iter().map(fresh).collect(),
            tx_groups: pools.cg.take_many(groups)?.into_iter().map(fresh).collect(),
            enabled: false,
        })
    }

    fn destroy(self, state: &mut State, id: u32) {
        self.withdraw(state, id);
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // Requests of before are for memory of another isolation context, where what the
        // queues lead to stays behind, too.
        Self::reset(state, id);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        if let Command::SetRxQueue(set) = command {
            return set_rx_queue(state, call.object, set);
        }
        let interface = state.body_mut::<Self>(id)?;
        match command {
            Command::GetAttributes(get) => {
                let reply = dpdmai::GetAttributesReply {
                    id,
                    num_of_priorities: interface.num_priorities,
                    num_of_queues: interface.num_queues,
                    options: interface.options,
                };
                call.reply(get, reply)
            }
            Command::GetRxQueue(get) => {
                let index = interface.index(get.priority, get.queue_idx)?;
                let queue = interface.rx.get(index).ok_or_else(|| {
                    Status::ConfigurationError.because(format!(
                        "there is no queue {} of priority {}",
                        get.queue_idx, get.priority
                    ))
                })?;
                let reply = dpdmai::GetRxQueueReply {
                    destination: queue.destination,
                    user_ctx: queue.user_ctx,
                    fqid: queue.fqid,
                };
                call.reply(get, reply)
            }
            Command::GetTxQueue(get) => {
                let index = interface.index(get.priority, get.queue_idx)?;
                let fqid = *interface.tx.get(index).ok_or_else(|| {
                    Status::ConfigurationError.because(format!(
                        "there is no queue {} of priority {}",
                        get.queue_idx, get.priority
                    ))
                })?;
                call.reply(get, dpdmai::GetTxQueueReply { fqid })
            }
            Command::SetRxCongestionNotification(set) => {
                let (priority, notification) = (set.priority, set.notification);
                let set = CongestionNotificationReply { priority, notification };
                set_congestion(&mut interface.rx_groups, interface.options, set)
            }
            Command::SetTxCongestionNotification(set) => {
                let (priority, notification) = (set.priority, set.notification);
                let set = CongestionNotificationReply { priority, notification };
                set_congestion(&mut interface.tx_groups, interface.options, set)
            }
            Command::GetRxCongestionNotification(get) => {
                let index = group(interface.options, get.priority);
                let group = interface.rx_groups.get(index).ok_or_else(|| {
                    Status::ConfigurationError.because("it was made without congestion groups")
                })?;
                call.reply(get, group.set.clone())
            }
            Command::GetTxCongestionNotification(get) => {
                let index = group(interface.options, get.priority);
                let group = interface.tx_groups.get(index).ok_or_else(|| {
                    Status::ConfigurationError.because("it was made without congestion groups")
                })?;
                call.reply(get, group.set.clone())
            }
            // The first one is above; an object is made through the container's
            // token, never through the object's.
            Command::SetRxQueue(_) | Command::Create(_) => {
                Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER))
            }
        }
    }

    fn reset(state: &mut State, id: u32) {
        let Ok(interface) = state.body_mut::<Self>(id) else { return };
        interface.enabled = false;
        interface.rx.iter_mut().for_each(RxQueue::reset);
        for group in interface.rx_groups.iter_mut().chain(&mut interface.tx_groups) {
            group.set = Default::default();
        }
        // Requests of before are nobody's business any more.
        for fqid in interface.fqids() {
            state.fabric.qbman().configure_queue(fqid, None, &mut state.pass);
        }
    }
}

impl Body for DmaInterface {
    fn program(&self, state: &State, object: &Object, icid: u16, pass: &mut Pass) {
        let (id, qbman) = (object.id, state.fabric.qbman());
        for queue in &self.rx {
            let consumer = state.consumer(id, queue.destination);
            let config =
                QueueConfig { context: queue.user_ctx, ..QueueConfig::new(icid, consumer) };
            qbman.configure_queue(queue.fqid, Some(config), pass);
        }
        for fqid in &self.tx {
            let consumer = Consumer::Engine(Engine::Dma(id.id));
            qbman.configure_queue(*fqid, Some(QueueConfig::new(icid, consumer)), pass);
        }
        let pair = |(requests, answers): (&u32, &RxQueue)| DmaPair {
            requests: *requests,
            answers: answers.fqid,
        };
        let pairs = self.tx.iter().zip(&self.rx).map(pair).collect();
        let config = DmaConfig { icid, enabled: self.enabled, pairs };
        state.fabric.qdma().configure(id.id, Some(config));
        // What has waited for this is done now.
        if self.enabled {
            pass.wake(Engine::Dma(id.id));
        }
    }

    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    fn leads_to(&self, other: ObjectId) -> bool {
        self.rx.iter().any(|queue| queue.leads_to(other))
    }

    fn forget(&mut self, gone: ObjectId) {
        self.rx.iter_mut().for_each(|queue| queue.forget(gone));
    }
}

impl DmaInterface {
    /// Numbers of all its queues.
    fn fqids(&self) -> Vec<u32> {
        self.rx.iter().map(|queue| queue.fqid).chain(self.tx.iter().copied()).collect()
    }

    fn withdraw(&self, state: &mut State, id: u32) {
        state.fabric.qdma().configure(id, None);
        for fqid in self.fqids() {
            state.fabric.qbman().configure_queue(fqid, None, &mut state.pass);
        }
    }

    /// Where a queue stands in the lists.
    fn index(&self, priority: u8, queue: u8) -> Result<usize, Refusal> {
        if priority < self.num_priorities && queue < self.num_queues {
            Ok(usize::from(priority) * usize::from(self.num_queues) + usize::from(queue))
        } else {
            Err(Status::ConfigurationError
                .because(format!("there is no queue {queue} of priority {priority}")))
        }
    }
}

/// The priorities before the first 0; there must be one.
fn count_priorities(priorities: [u8; 2]) -> Result<u8, Refusal> {
    let listed = priorities.iter().take_while(|p| **p != 0);
    match listed.clone().count() as u8 {
        0 => Err(Status::ConfigurationError.because("there is no priority")),
        count if listed.into_iter().all(|p| *p <= queue::MAX_PRIORITIES) => Ok(count),
        _ => Err(Status::ConfigurationError
            .because(format!("a priority is 1 to {}", queue::MAX_PRIORITIES))),
    }
}

fn set_rx_queue(
    state: &mut State,
    object: ObjectId,
    set: &dpdmai::SetRxQueue,
) -> Result<Answer, Refusal> {
    // The queues of this family have no option for order.
    let options = set.options & 0x3;
    let change =
        RxQueueChange::check(state, object, options, set.destination, set.user_ctx, false)?;
    let interface = state.body_mut::<DmaInterface>(object.id)?;
    if set.priority == dpdmai::ALL_QUEUES {
        interface.rx.iter_mut().for_each(|queue| queue.apply(&change));
    } else {
        let index = interface.index(set.priority, set.queue_idx)?;
        interface
            .rx
            .get_mut(index)
            .ok_or_else(|| {
                Status::ConfigurationError.because(format!(
                    "there is no queue {} of priority {}",
                    set.queue_idx, set.priority
                ))
            })?
            .apply(&change);
    }
    Ok(Answer::DONE)
}

/// The group of a priority: its own, or the one that all share.
fn group(options: u32, priority: u8) -> usize {
    if options & dpdmai::OPT_CG_PER_PRIORITY == 0 { 0 } else { priority.into() }
}

fn set_congestion(
    groups: &mut [Group],
    options: u32,
    set: CongestionNotificationReply,
) -> Result<Answer, Refusal> {
    let notification = &set.notification;
    let unknown_mode = notification.mode & !NOTIFICATION_MODES != 0;
    if notification.units > 1 || unknown_mode || !notification.message_iova.is_multiple_of(16) {
        return Err(Status::ConfigurationError
            .because("unknown units or mode, or an address that is no multiple of 16"));
    }
    let group = groups.get_mut(group(options, set.priority));
    group
        .ok_or_else(|| Status::ConfigurationError.because("it was made without congestion groups"))?
        .set = set;
    Ok(Answer::DONE)
}

/// `DPDMAI_OPT_*` of firmware 10.40 (`fsl_dpdmai.h`).
const OPTIONS: &[Symbol] =
    &[symbol("DPDMAI_OPT_CG_PER_PRIORITY", dpdmai::OPT_CG_PER_PRIORITY as u64)];

/// Most queues that a layout asks for: one a core on the chip with the most.
const MAX_LAYOUT_QUEUES: u8 = 16;

impl Properties for dpdmai::Create {
    /// Without priorities, those that `restool` uses.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        Self {
            num_queues: fields.byte("num_queues", MAX_LAYOUT_QUEUES),
            priorities: dpl::priorities(fields, "priorities").unwrap_or([1, 2]),
            options: fields.options("options", OPTIONS, &[], 32) as u32,
        }
    }

    fn write(&self, to: &mut Writing) {
        to.nonzero("num_queues", self.num_queues);
        dpl::write_priorities(to, "priorities", &self.priorities);
        to.options("options", self.options.into(), OPTIONS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::testing::TestMc;
    use mc_abi::{blocks::CongestionNotification, common};

    fn create(num_queues: u8, priorities: [u8; 2], options: u32) -> dpdmai::Create {
        dpdmai::Create { num_queues, priorities, options }
    }

    #[test]
    fn the_mc_chooses_one_queue_where_software_does_not() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&create(0, [1, 2], 0));
        let attributes = mc.call(token, &dpdmai::GetAttributes {}).expect("attributes");
        assert_eq!((attributes.num_of_queues, attributes.num_of_priorities), (1, 2));
    }

    #[test]
    fn queues_are_found_by_priority_and_index() {
        let mut mc = TestMc::new();
        let (id, token) = mc.make(&create(3, [1, 1], 0));
        let mut seen = std::collections::BTreeSet::new();
        for (priority, queue_idx) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
            let rx = dpdmai::GetRxQueue { priority, queue_idx };
            let tx = dpdmai::GetTxQueue { priority, queue_idx };
            assert!(seen.insert(mc.call(token, &rx).expect("rx").fqid));
            assert!(seen.insert(mc.call(token, &tx).expect("tx").fqid));
        }
        for (priority, queue_idx) in [(2, 0), (0, 3), (255, 255)] {
            let rx = dpdmai::GetRxQueue { priority, queue_idx };
            assert_eq!(mc.call(token, &rx), Err(Status::ConfigurationError));
        }
        let set = dpdmai::SetRxQueue {
            priority: 1,
            queue_idx: 2,
            user_ctx: 7,
            options: 1,
            ..Default::default()
        };
        mc.call(token, &set).expect("set");
        let rx = dpdmai::GetRxQueue { priority: 1, queue_idx: 2 };
        assert_eq!(mc.call(token, &rx).expect("rx").user_ctx, 7);
        mc.call(token, &common::Reset {}).expect("reset");
        assert_eq!(mc.call(token, &rx).expect("rx").user_ctx, 0);
        mc.close(token).expect("closed");
        mc.destroy(id).expect("destroyed");
        mc.assert_pools_full();
    }

    /// A request as Linux builds it, through queues that are set up by commands.
    #[test]
    fn memory_is_copied_as_commands_have_set_it_up() {
        use qbman_abi::{Fd, Format};
        let mut mc = TestMc::new();
        let (id, token) = mc.make(&create(1, [1, 2], 0));
        let tx =
            mc.call(token, &dpdmai::GetTxQueue { priority: 1, queue_idx: 0 }).expect("tx").fqid;
        let rx =
            mc.call(token, &dpdmai::GetRxQueue { priority: 1, queue_idx: 0 }).expect("rx").fqid;
        let (fabric, icid) = (mc.state.fabric.clone(), mc.icid());
        let entry = |address, length_word| Fd { address, length_word, ..Fd::default() };
        let list = [entry(0x2000, 32), entry(0x3000, 5), entry(0x4000, 5)];
        let list = list.map(|entry| entry.to_bytes()).concat();
        fabric.memory().write(icid, 0x1000, &list).expect("memory");
        fabric.memory().write(icid, 0x3000, b"bytes").expect("memory");
        let request = Fd { address: 0x1000, ..Fd::default() }.with_layout(0, Format::List);
        fabric.qbman().enqueue(tx, &request, &mut mc.state.pass).expect("room");
        mc.run_engines();
        assert_eq!(fabric.qbman().dequeue(rx), None, "it is off");
        mc.call(token, &common::Enable {}).expect("on");
        mc.run_engines();
        assert_eq!(fabric.qbman().dequeue(rx), Some(request));
        let mut copied = [0; 6];
        fabric.memory().read(icid, 0x4000, &mut copied).expect("memory");
        assert_eq!(&copied, b"bytes\0");
        mc.close(token).expect("closed");
        mc.destroy(id).expect("destroyed");
        mc.assert_pools_full();
    }

    #[test]
    fn congestion_groups_are_one_or_one_for_each_priority() {
        let mut mc = TestMc::new();
        let set = |priority, threshold_entry| dpdmai::SetTxCongestionNotification {
            priority,
            notification: CongestionNotification {
                threshold_entry,
                message_iova: 0x40,
                ..Default::default()
            },
        };
        let get = |priority| dpdmai::GetTxCongestionNotification { priority };
        let (_, shared) = mc.make(&create(1, [1, 2], 0));
        mc.call(shared, &set(1, 10)).expect("set");
        assert_eq!(mc.call(shared, &get(0)).expect("same").notification.threshold_entry, 10);
        let (_, token) = mc.make(&create(1, [1, 2], dpdmai::OPT_CG_PER_PRIORITY));
        mc.call(token, &set(0, 10)).expect("set");
        mc.call(token, &set(1, 20)).expect("set");
        assert_eq!(mc.call(token, &get(0)).expect("own").notification.threshold_entry, 10);
        assert_eq!(mc.call(token, &get(1)).expect("own").notification.threshold_entry, 20);
        assert_eq!(mc.call(token, &set(2, 1)), Err(Status::ConfigurationError));
        let rx = dpdmai::GetRxCongestionNotification { priority: 1 };
        assert_eq!(mc.call(token, &rx), Ok(Default::default()));
    }

    #[test]
    fn bad_configurations_leave_nothing_taken() {
        let mut mc = TestMc::new();
        for request in [
            create(1, [0, 1], 0),
            create(1, [9, 0], 0),
            create(1, [1, 9], 0),
            create(17, [1, 2], 0),
        ] {
            assert_eq!(mc.create(&request), Err(Status::ConfigurationError));
        }
        let (id, token) = mc.make(&create(1, [3, 0], 0));
        let attributes = mc.call(token, &dpdmai::GetAttributes {}).expect("attributes");
        assert_eq!(attributes.num_of_priorities, 1);
        mc.close(token).expect("closed");
        mc.destroy(id).expect("destroyed");
        mc.assert_pools_full();
    }
}
