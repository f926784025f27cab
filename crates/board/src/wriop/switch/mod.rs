// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Switches: frames between interfaces by forwarding tables, VLANs and access
//! control lists, and between them and software through the control interface.
//!
//! A frame has a tag while it is in the switch: its own, or that of the interface
//! where it came in. It leaves with it, or without, as its VLAN says for the
//! interface. To the control interface it always goes with it (Linux's driver
//! takes a tag away, and looks at no other bytes to see whether there is one).
//!
//! Metering, mirroring and aggregation work on frames; frames are not queued in a
//! switch, so that nothing is shaped, scheduled or dropped because a queue is
//! full.

mod acl;
mod config;
pub(super) mod counters;
mod decide;
mod fdb;
pub(super) mod tag;
#[cfg(test)]
mod tests;

pub use acl::{ACL_KEY_SIZE, AclAction, AclKey, AclRule};
pub use config::{
    Admit, ControlConfig, Floods, Learning, Mirrors, PrioritySource, SWITCH_CLASSES, SwitchConfig,
    SwitchPortConfig, SwitchTable, SwitchVlan,
};
pub use fdb::{Fdb, FdbEntry, FdbError, FdbTarget};

use super::{
    Endpoint, Platform, Queues, Wriop,
    config::{
        InterfaceConfig, Layout, ReceiveClass, ReceiveConfig, ReceiveQueue, TransmitConfig,
        TransmitQueue,
    },
    forward::{Onward, takes_from},
    frame::Frame,
    interface::Interface,
    receive::{Drop, Receiver},
    transmit,
};
use crate::fabric::{Dma, Engine, Pass};
use counters::{PortCounters, counter};
use decide::{Refusal, Tables};

pub(super) use decide::bit;

use parking_lot::RwLock;
use std::sync::Arc;

/// How frames for the control interface lie in buffers. No command sets it, and
/// the driver takes the offset as it comes.
const LAYOUT: Layout = Layout {
    private: 0,
    head_room: 64,
    tail_room: 0,
    align: 64,
    timestamp: false,
    parse_result: false,
    status: true,
};

/// A switch.
#[derive(Debug)]
pub(super) struct Switch {
    id: u32,
    tables: RwLock<Tables>,
    counters: Box<[PortCounters]>,
    /// What software sends through each interface.
    senders: Box<[Interface]>,
    /// What software receives.
    receiver: Interface,
}

impl Switch {
    fn new(id: u32, ports: usize) -> Self {
        let engine = Engine::Switch(id);
        // There are fewer interfaces than numbers.
        let end = |at: usize| Endpoint::Switch { id, port: at as u16 };
        Self {
            id,
            tables: RwLock::default(),
            counters: (0..ports).map(|_| PortCounters::default()).collect(),
            senders: (0..ports).map(|at| Interface::of(id, engine, end(at))).collect(),
            receiver: Interface::of(id, engine, end(ports)),
        }
    }

    /// Replaces the configuration. Waits for the frames that use the old one.
    fn configure(&self, config: SwitchConfig) {
        for (at, sender) in self.senders.iter().enumerate() {
            sender.configure(sender_config(&config, at));
        }
        self.receiver.configure(receiver_config(&config));
        let mut tables = self.tables.write();
        let before = std::mem::take(&mut *tables);
        *tables = Tables::new(config, before);
    }

    /// A counter: what frames through the switch counted, and what software sent.
    fn counter(&self, port: u16, number: usize) -> Option<u64> {
        let own = self.counters.get(usize::from(port))?.get(number)?;
        Some(own.wrapping_add(self.sent_by_software(port, number)))
    }

    fn set_counter(&self, port: u16, number: usize, value: u64) {
        let others = self.sent_by_software(port, number);
        if let Some(counters) = self.counters.get(usize::from(port)) {
            counters.set(number, value.wrapping_sub(others));
        }
    }

    fn sent_by_software(&self, port: u16, number: usize) -> u64 {
        let Some(sender) = self.senders.get(usize::from(port)) else { return 0 };
        let tally = sender.counters.read();
        match number {
            counter::EGR_FRAME => tally.egress_frames,
            counter::EGR_BYTE => tally.egress_bytes,
            counter::EGR_DISCARDED => tally.egress_discarded,
            _ => 0,
        }
    }
}

/// The way of what software sends through an interface: past all tables.
fn sender_config(config: &SwitchConfig, at: usize) -> InterfaceConfig {
    let control = config.control.as_ref();
    let queue = control.and_then(|control| {
        let fqid = *control.tx.get(at)?;
        Some(TransmitQueue { fqid, channel: 0, class: 0, confirmation: Some(control.confirmation) })
    });
    InterfaceConfig {
        icid: config.icid,
        enabled: queue.is_some(),
        peer: config.ports.get(at).and_then(|port| port.peer),
        transmit: TransmitConfig {
            queues: queue.into_iter().collect(),
            ..TransmitConfig::default()
        },
        receive: ReceiveConfig::default(),
    }
}

/// What software receives: one queue, whose frames say in their flow context at
/// which interface they came in.
fn receiver_config(config: &SwitchConfig) -> InterfaceConfig {
    const INTERFACE_SHIFT: u32 = 32;
    let Some(control) = &config.control else { return InterfaceConfig::default() };
    let queue =
        |at: usize| ReceiveQueue { fqid: control.rx, flow_context: (at as u64) << INTERFACE_SHIFT };
    let queues = (0..config.ports.len()).map(queue).collect();
    InterfaceConfig {
        icid: config.icid,
        enabled: true,
        receive: ReceiveConfig {
            layout: LAYOUT,
            pools: control.pools.clone(),
            classes: vec![ReceiveClass { queues, ..ReceiveClass::default() }],
            ..ReceiveConfig::default()
        },
        ..InterfaceConfig::default()
    }
}

/// Setting up switches.
impl Wriop {
    /// Sets up a switch, or takes it away. When this returns, no frame uses what
    /// was there before. The number of its interfaces never changes.
    pub fn configure_switch(&self, id: u32, config: Option<SwitchConfig>) {
        let Some(config) = config else {
            let gone = self.switches.write().remove(&id);
            if let Some(switch) = gone {
                switch.configure(SwitchConfig::default());
            }
            return;
        };
        let known = self.switch(id);
        let switch = known.unwrap_or_else(|| {
            let ports = config.ports.len();
            let mut switches = self.switches.write();
            switches.entry(id).or_insert_with(|| Arc::new(Switch::new(id, ports))).clone()
        });
        switch.configure(config);
    }

    /// A counter of an interface, by its number in `enum dpsw_counter`; `None`
    /// where there is no such switch, interface or counter.
    pub fn switch_counter(&self, id: u32, port: u16, number: u8) -> Option<u64> {
        self.switch(id)?.counter(port, number.into())
    }

    /// Sets a counter of an interface.
    pub fn set_switch_counter(&self, id: u32, port: u16, number: u8, value: u64) {
        if let Some(switch) = self.switch(id) {
            switch.set_counter(port, number.into(), value);
        }
    }

    /// Puts all counters of a switch back to zero.
    pub fn reset_switch_counters(&self, id: u32) {
        if let Some(switch) = self.switch(id) {
            switch.counters.iter().for_each(PortCounters::reset);
            switch.senders.iter().for_each(|sender| sender.counters.reset());
        }
    }

    /// Sends what waits in the queues of a switch's control interface.
    pub fn transmit_switch<Q: Queues>(&self, id: u32, queues: &Q, memory: &Dma, pass: &mut Pass) {
        let Some(switch) = self.switch(id) else { return };
        self.with_platform(queues, memory, pass, |platform, frame| {
            for sender in &switch.senders {
                transmit::transmit(self, sender, platform, frame);
            }
        });
    }

    pub(super) fn switch(&self, id: u32) -> Option<Arc<Switch>> {
        self.switches.read().get(&id).cloned()
    }
}

/// Frames.
impl Switch {
    /// A frame comes in at an interface, from `from`.
    pub fn enter<Q: Queues>(
        &self,
        at: u16,
        from: Option<Endpoint>,
        frame: &[u8],
        platform: &mut Platform<Q>,
    ) {
        let tables = self.tables.read();
        let Some(own) = self.counters.get(usize::from(at)) else { return };
        let port = tables.config.ports.get(usize::from(at));
        if !takes_from(port.and_then(|port| port.peer), from) {
            return own.add(counter::ING_DISCARDED, 1);
        }
        let decision = tables.decide(frame, at, platform.pass.now());
        if decision.mirrored
            && let Some(mirror) = tables.config.mirror.filter(|mirror| *mirror != at)
            && tables.is_up(mirror)
        {
            self.leave(&tables, mirror, &[frame], platform);
        }
        let way = match decision.way {
            Ok(way) => way,
            Err(Refusal::Filtered) => return own.add(counter::ING_FILTERED, 1),
            Err(Refusal::Discarded) => return own.add(counter::ING_DISCARDED, 1),
        };
        own.received(frame);
        let Some(parts) = tables.parts(frame) else { return };
        let tpid = parts.tag.map_or(tables.config.tpid, |(tpid, _)| tpid);
        let tag = tag::bytes(tpid, way.tag);
        for (at, counters) in self.counters.iter().enumerate() {
            let bit = decide::bit(at);
            // There are fewer interfaces than numbers.
            let out = at as u16;
            if way.out & way.untagged & bit != 0 {
                self.leave(&tables, out, &[parts.addresses, parts.rest], platform);
            } else if way.out & bit != 0 {
                self.leave(&tables, out, &[parts.addresses, &tag, parts.rest], platform);
            } else if way.silenced & bit != 0 {
                counters.add(counter::EGR_STP_DISCARDED, 1);
            } else if way.down & bit != 0 {
                counters.add(counter::EGR_DISCARDED, 1);
            }
        }
        if way.control {
            let to = Onward::ToControl { switch: self.id, port: at };
            let parts: [&[u8]; 3] = [parts.addresses, &tag, parts.rest];
            if !platform.works.add_parts(to, &parts) {
                own.add(counter::ING_DISCARDED, 1);
            }
        }
    }

    /// A frame goes out at an interface.
    fn leave<Q: Queues>(
        &self,
        tables: &Tables,
        at: u16,
        parts: &[&[u8]],
        platform: &mut Platform<Q>,
    ) {
        let port = tables.config.ports.get(usize::from(at));
        let (Some(port), Some(counters)) = (port, self.counters.get(usize::from(at))) else {
            return;
        };
        let from = Some(Endpoint::Switch { id: self.id, port: at });
        let sent =
            port.peer.is_some_and(|to| platform.works.add_parts(Onward::Into { to, from }, parts));
        counters.sent(parts.iter().map(|part| part.len()).sum(), sent);
    }

    /// Software receives a frame that came in at an interface.
    pub fn to_control<Q: Queues>(&self, at: u16, frame: &[u8], platform: &mut Platform<Q>) {
        let Some(counters) = self.counters.get(usize::from(at)) else { return };
        let side = self.receiver.receive.read();
        if !side.enabled {
            return counters.add(counter::ING_DISCARDED, 1);
        }
        let receiver = Receiver::new(&self.receiver, &side);
        match receiver.put(at, &Frame { bytes: frame, parsed: None }, platform) {
            Ok(()) => {}
            Err(Drop::NoBuffer) => counters.add(counter::ING_NO_BUFFER, 1),
            Err(Drop::Filtered | Drop::Discarded) => counters.add(counter::ING_DISCARDED, 1),
        }
    }
}
