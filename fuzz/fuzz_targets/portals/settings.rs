// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the Management Complex may program, all but the victim's.

use crate::{CHANNELS, GROUPS, POOLS, PORTALS, QUEUES, RECORDS, World, icid, not_first};
use arbitrary::Arbitrary;
use board::{
    fabric::{Engine, Message},
    qbman::{
        ChannelConfig, Consumer, DestinationConfig, GroupConfig, Hysteresis, LateArrivals,
        MemoryNotification, NotificationConfig, OrderConfig, PoolConfig, PoolMessage, PortalConfig,
        QueueConfig, TailDrop, Unit, WorkQueueNotification,
    },
};
use qbman_abi::management::EarlyDrop;

#[derive(Debug, Arbitrary)]
pub enum Configure {
    Portal {
        own: Option<u8>,
        channels: [Option<u8>; 4],
        message: bool,
    },
    Queue {
        consumer: u8,
        to: u8,
        priority: u8,
        group: Option<u8>,
        order: Option<u8>,
        flags: u8,
        limit: u16,
    },
    Channel {
        priorities: u8,
        notifies: bool,
        notify: Option<u8>,
    },
    Pool {
        depletion: u8,
        surplus: u8,
        message: Option<u16>,
    },
    Group {
        flags: u8,
        enter: u8,
        exit: u8,
        drop: u8,
        address: u16,
        to: u8,
        curve: u32,
    },
    Destination {
        queues: Vec<Vec<u8>>,
    },
    Order {
        window: u16,
        flags: u8,
        late: u16,
    },
}

impl World {
    pub fn configure(&mut self, what: Configure, number: u8, gone: bool) {
        let pass = &mut self.pass;
        let owner = icid(1 + u32::from(number >> 7));
        // The victim's channel takes nothing of others, but they may point there.
        let channel = |n: u8| u32::from(n) % (CHANNELS + 1);
        match what {
            Configure::Portal { own, channels, message } => {
                let portal = not_first(number, PORTALS);
                let own_channel = own.map(|n| not_first(n, CHANNELS - 1));
                let static_channels = std::array::from_fn(|n| {
                    channels.get(n).copied().flatten().map(|n| not_first(n, CHANNELS - 1))
                });
                let icid = icid(portal);
                let message = message.then_some(Message { icid, address: 0, value: 1 });
                let config = PortalConfig { icid, own_channel, static_channels, message };
                self.qbman.configure_portal(portal, (!gone).then_some(config), pass);
            }
            Configure::Queue { consumer, to, priority, group, order, flags, limit } => {
                let consumer = match consumer % 4 {
                    0 => Consumer::Parked,
                    1 => Consumer::Channel { channel: channel(to), priority },
                    2 => Consumer::Notify { channel: not_first(to, CHANNELS - 1), priority },
                    _ => Consumer::Engine(Engine::Interface(to.into())),
                };
                let unit = if flags & 1 != 0 { Unit::Frames } else { Unit::Bytes };
                let threshold = limit.into();
                let limit = TailDrop { unit, threshold, overhead: i16::from(flags as i8) };
                let config = QueueConfig {
                    peer: (flags & 2 != 0).then_some(6),
                    congestion_group: group.map(|n| not_first(n, GROUPS)),
                    order: order.map(|n| u32::from(n) % (RECORDS + 1)).map(|n| n.max(1)),
                    tail_drop: (flags & 4 != 0).then_some(limit),
                    hold_active: flags & 8 != 0,
                    rejects: (flags & 16 != 0).then_some(not_first(to, QUEUES)),
                    flow_context: (flags & 32 != 0).then_some(9),
                    ..QueueConfig::new(owner, consumer)
                };
                let fqid = not_first(number, QUEUES);
                self.qbman.configure_queue(fqid, (!gone).then_some(config), pass);
            }
            Configure::Channel { priorities, notifies, notify } => {
                let notification = notify.map(|n| NotificationConfig {
                    portal: u32::from(n) % (PORTALS + 1),
                    priority: n,
                    context: 1,
                });
                // A notification in the victim's ring would be the MC's mistake.
                let notification = notification.filter(|to| to.portal != 0);
                let config = ChannelConfig { icid: owner, priorities, notifies, notification };
                let channel = not_first(number, CHANNELS - 1);
                self.qbman.configure_channel(channel, (!gone).then_some(config), pass);
            }
            Configure::Pool { depletion, surplus, message } => {
                let limit = |n: u8| {
                    (n != 0).then_some(Hysteresis { enter: n.into(), exit: u32::from(n) + 2 })
                };
                let message = message.map(|at| PoolMessage { address: at.into(), context: 1 });
                let (depletion, surplus) = (limit(depletion), limit(surplus));
                let config = PoolConfig { icid: owner, depletion, surplus, message };
                self.qbman.configure_pool(
                    not_first(number, POOLS),
                    (!gone).then_some(config),
                    pass,
                );
            }
            Configure::Group { flags, enter, exit, drop, address, to, curve } => {
                let unit = if flags & 1 != 0 { Unit::Frames } else { Unit::Bytes };
                let (on_entry, on_exit) = (flags & 2 != 0, flags & 4 != 0);
                let memory = MemoryNotification { address: address.into(), on_entry, on_exit };
                let channel = not_first(to, CHANNELS - 1);
                let work_queue = WorkQueueNotification { channel, priority: to, on_entry, on_exit };
                let config = GroupConfig {
                    overhead: i16::from(flags as i8),
                    enter: (enter != 0).then_some(enter.into()),
                    exit: exit.into(),
                    tail_drop: (flags & 8 != 0).then_some(drop.into()),
                    early_drop: [(flags & 16 != 0).then(|| EarlyDrop::from_bits(curve)); 7],
                    memory: (flags & 32 != 0).then_some(memory),
                    work_queue: (flags & 64 != 0).then_some(work_queue),
                    ..GroupConfig::new(owner, unit)
                };
                let group = not_first(number, GROUPS);
                self.qbman.configure_group(group, (!gone).then_some(config), pass);
            }
            Configure::Destination { queues } => {
                let queues = queues
                    .into_iter()
                    .take(8)
                    .map(|bins| bins.into_iter().take(16).map(|n| not_first(n, QUEUES)).collect());
                let config = DestinationConfig { icid: owner, queues: queues.collect() };
                self.qbman.configure_destination(1, (!gone).then_some(config));
            }
            Configure::Order { window, flags, late } => {
                let late = match flags & 3 {
                    0 => LateArrivals::Accepted,
                    1 => LateArrivals::Within(late),
                    _ => LateArrivals::Rejected,
                };
                let config = OrderConfig {
                    auto_advance: flags & 4 != 0,
                    late,
                    exhaustion_advances: flags & 8 != 0,
                    loose: flags & 16 != 0,
                    ..OrderConfig::new(owner, window)
                };
                self.qbman.configure_order(not_first(number, RECORDS), (!gone).then_some(config));
            }
        }
    }
}
