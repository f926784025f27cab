// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the settings of an interface come to in the data plane's tables.

use super::{Interface, filters, link};
use crate::{
    fabric::{Engine, Pass},
    mc::{State, connections},
    qbman::{Consumer, DestinationConfig, QueueConfig},
    wriop::{
        Endpoint, ErrorActions, InterfaceConfig, Layout, MacFilter, Pool, ReceiveClass,
        ReceiveConfig, ReceiveQueue, Steered, TransmitConfig, TransmitQueue,
    },
};
use mc_abi::{ObjectId, ObjectType, dpni::queue_type};
use qbman_abi::annotation::status;

/// Errors whose frames are dropped where software has not said what happens to
/// them: what the physical layer found, and frames that are too long. Chosen.
const DISCARDED_BY_DEFAULT: u32 = status::PHYSICAL_ERROR | status::FRAME_LENGTH_ERROR;

/// Numbers of `enum dpni_offload`.
mod offload {
    pub const RX_L3_CHECKSUM: usize = 0;
    pub const RX_L4_CHECKSUM: usize = 1;
    pub const TX_L3_CHECKSUM: usize = 2;
    pub const TX_L4_CHECKSUM: usize = 3;
    pub const HASH_IN_FLOW_CONTEXT: usize = 4;
}

/// Writes an interface's queues and itself into the tables.
pub(super) fn program(
    interface: &Interface,
    state: &State,
    id: ObjectId,
    icid: u16,
    pass: &mut Pass,
) {
    let qbman = state.fabric.qbman();
    interface.program_groups(state, id, icid, pass);
    interface.order.program(qbman, icid);
    for place in 0..interface.resources.queue_count() {
        let config = interface.queue_config(state, id, place, icid);
        qbman.configure_queue(interface.resources.fqid(place), Some(config), pass);
    }
    for (channel, qdid) in (0..).zip(&interface.resources.qdids) {
        let queues = interface.bins(channel);
        qbman.configure_destination(*qdid, Some(DestinationConfig { icid, queues }));
    }
    let config = InterfaceConfig {
        icid,
        enabled: interface.enabled,
        peer: peer(interface, state, id),
        transmit: interface.transmit_config(),
        receive: interface.receive_config(state, id),
    };
    state.fabric.wriop().configure_interface(id.id, Some(config));
    // What has waited for this goes now.
    if interface.enabled {
        pass.wake(Engine::Interface(id.id));
    }
}

/// Takes it all back.
pub(super) fn withdraw(interface: &Interface, state: &mut State, id: u32) {
    state.fabric.wriop().configure_interface(id, None);
    for qdid in &interface.resources.qdids {
        state.fabric.qbman().configure_destination(*qdid, None);
    }
    for fqid in interface.resources.fqids() {
        state.fabric.qbman().configure_queue(*fqid, None, &mut state.pass);
    }
    interface.order.withdraw(state.fabric.qbman());
    interface.withdraw_groups(state);
}

/// Where what an interface sends goes, while its link is up. A port in loopback
/// sends everything back.
fn peer(interface: &Interface, state: &State, id: ObjectId) -> Option<Endpoint> {
    let end = link::end(id.id);
    let peer = state.peer(end).filter(|_| state.link_up(end))?;
    if interface.settings.interface.loopback && peer.object.kind == ObjectType::Dpmac {
        return Some(Endpoint::Interface(id.id));
    }
    connections::in_data_plane(peer)
}

/// Queues.
impl Interface {
    fn queue_config(&self, state: &State, id: ObjectId, place: usize, icid: u16) -> QueueConfig {
        let consumer = match self.resources.kind(place) {
            queue_type::TX => Consumer::Engine(Engine::Interface(id.id)),
            _ => self
                .settings
                .queues
                .queue(place)
                .map_or(Consumer::Parked, |queue| state.consumer(id, queue.destination)),
        };
        let queue = self.settings.queues.queue(place).copied().unwrap_or_default();
        QueueConfig {
            context: queue.user_context,
            hold_active: queue.hold_active,
            tail_drop: self.tail_drop(place),
            congestion_group: self.group_of(state, place),
            order: self.order_record(place),
            ..QueueConfig::new(icid, consumer)
        }
    }

    /// The record that gives the frames of a queue their numbers.
    fn order_record(&self, place: usize) -> Option<u32> {
        if self.limits.order_records() == 0 || self.resources.kind(place) != queue_type::RX {
            return None;
        }
        let queues = |tc| (0..self.limits.queues).map(move |index| (tc, index));
        let mut all = (0..self.limits.rx_tcs).flat_map(queues);
        let is_it = |(tc, index): &(u8, u8)| {
            self.resources.place(queue_type::RX, 0, *tc, *index).is_ok_and(|at| at == place)
        };
        let (tc, index) = all.find(is_it)?;
        self.order.record(self.record_of(tc, index).ok()?)
    }

    /// The transmit queues of a channel, by class and sender.
    fn bins(&self, channel: u8) -> Vec<Vec<u32>> {
        let senders = |tc| {
            let fqid = |index| {
                self.resources
                    .place(queue_type::TX, channel, tc, index)
                    .map_or(0, |place| self.resources.fqid(place))
            };
            (0..self.limits.queues).map(fqid).collect()
        };
        (0..self.limits.tx_tcs).map(senders).collect()
    }

    fn transmit_config(&self) -> TransmitConfig {
        let frames = &self.settings.frames;
        let mut queues = Vec::new();
        // Class 0 is the most urgent one (Linux, `dpaa2_eth_tx`).
        for class in 0..self.limits.tx_tcs {
            for channel in 0..self.limits.channels {
                for sender in 0..self.limits.senders() {
                    let place = self.resources.place(queue_type::TX, channel, class, sender);
                    let Ok(place) = place else { continue };
                    queues.push(TransmitQueue {
                        fqid: self.resources.fqid(place),
                        channel,
                        class,
                        confirmation: self.confirmation(channel, class, sender),
                    });
                }
            }
        }
        TransmitConfig {
            queues,
            l3_checksum: frames.offloads(offload::TX_L3_CHECKSUM),
            l4_checksum: frames.offloads(offload::TX_L4_CHECKSUM),
            tpids: frames.tpids,
            schedule: self.settings.transmit.schedule(&self.limits),
        }
    }

    /// The queue that a sender's frames are confirmed on.
    fn confirmation(&self, channel: u8, class: u8, sender: u8) -> Option<u32> {
        let index = self.settings.transmit.confirmation(channel, sender)?;
        let place = self.resources.place(queue_type::TX_CONFIRM, channel, class, index).ok()?;
        Some(self.resources.fqid(place))
    }
}

/// The receive side.
impl Interface {
    fn receive_config(&self, state: &State, id: ObjectId) -> ReceiveConfig {
        let frames = &self.settings.frames;
        let filters = &self.settings.filters;
        let error_queue = self.resources.place(queue_type::RX_ERR, 0, 0, 0);
        ReceiveConfig {
            layout: self.layout(),
            pools: self.buffer_pools(state, id),
            pools_by_queue: self
                .settings
                .interface
                .pools
                .as_ref()
                .is_some_and(|pools| pools.assignment == 1),
            classes: (0..self.limits.rx_tcs).map(|tc| self.receive_class(state, tc)).collect(),
            qos: self.settings.tables.qos_table(),
            error_queue: error_queue.map_or(0, |place| self.resources.fqid(place)),
            errors: self.error_actions(),
            max_length: frames.max_length,
            macs: MacFilter {
                primary: filters.primary,
                others: filters
                    .macs
                    .iter()
                    .map(|(address, queue)| (*address, queue.map(steered)))
                    .collect(),
                all_unicast: filters.unicast_promisc,
                all_multicast: filters.multicast_promisc,
            },
            vlans: filters.vlan_filter.then(|| {
                filters.vlans.iter().map(|(vlan, queue)| (*vlan, queue.map(steered))).collect()
            }),
            l3_checksum: frames.offloads(offload::RX_L3_CHECKSUM),
            l4_checksum: frames.offloads(offload::RX_L4_CHECKSUM),
            hash_in_flow_context: frames.offloads(offload::HASH_IN_FLOW_CONTEXT),
            tpids: frames.tpids,
        }
    }

    fn layout(&self) -> Layout {
        let layout = self.settings.frames.rx_layout();
        Layout {
            private: layout.private_data_size,
            head_room: layout.head_room,
            tail_room: layout.tail_room,
            align: layout.data_align,
            timestamp: layout.timestamp,
            parse_result: layout.parser_result,
            status: layout.frame_status,
        }
    }

    #[cfg(test)]
    pub(crate) fn pools(&self, state: &State, id: ObjectId) -> Vec<Pool> {
        self.buffer_pools(state, id)
    }

    /// The pools that are still beside the interface.
    fn buffer_pools(&self, state: &State, id: ObjectId) -> Vec<Pool> {
        let Some(set) = &self.settings.interface.pools else { return Vec::new() };
        let named = set.pools.iter().zip(set.buffer_sizes).enumerate();
        let pools = named.take(set.num_pools.into()).filter_map(|(index, (pool, size))| {
            let name = ObjectId::new(ObjectType::Dpbp, pool.dpbp);
            let bpid = state.object(name).ok()?.body.buffer_pool()?;
            state.is_beside(id, name).then(|| Pool {
                bpid,
                size,
                backup: set.backup_mask & (1 << index) != 0,
                selector: pool.priority_mask,
            })
        });
        pools.collect()
    }

    fn receive_class(&self, state: &State, tc: u8) -> ReceiveClass {
        let queue = |index| {
            let place = self.resources.place(queue_type::RX, 0, tc, index).ok()?;
            let settings = self.settings.queues.queue(place);
            Some(ReceiveQueue {
                fqid: self.resources.fqid(place),
                flow_context: settings.map_or(0, |queue| queue.flow_context),
            })
        };
        ReceiveClass {
            queues: (0..self.limits.queues).filter_map(queue).collect(),
            distribution: self.settings.tables.distribution(state, tc),
            policer: self.settings.tables.policer(tc),
        }
    }

    fn error_actions(&self) -> ErrorActions {
        const DISCARD: u8 = 0;
        const TO_ERROR_QUEUE: u8 = 2;
        let mut actions = ErrorActions { discard: DISCARDED_BY_DEFAULT, divert: 0, unnoted: 0 };
        for set in &self.settings.frames.errors {
            let put = |bits: &mut u32, on: bool| {
                *bits = if on { *bits | set.errors } else { *bits & !set.errors };
            };
            put(&mut actions.discard, set.action == DISCARD);
            put(&mut actions.divert, set.action == TO_ERROR_QUEUE);
            put(&mut actions.unnoted, !set.annotate);
        }
        actions
    }
}

fn steered(queue: filters::Queue) -> Steered {
    Steered { class: queue.tc, queue: queue.flow }
}
