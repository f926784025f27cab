// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The network interfaces' hardware (WRIOP): takes frames out of the transmit
//! queues of one interface and puts them into buffers and receive queues of
//! another.
//!
//! The Management Complex writes the tables ([`InterfaceConfig`]); moving a frame
//! asks it nothing. Everything that an interface touches in memory goes through
//! the SMMU with its own isolation id: what cannot be reached costs the frame
//! that needs it, and is counted.
//!
//! # Order of locks
//! The transmit side of an interface, then the tables of a switch or
//! demultiplexer, then the receive
//! side of an interface: never two of a kind. A new configuration waits until no frame uses the old one.

mod capture;
mod checksum;
mod config;
mod counters;
mod deliver;
mod demux;
mod distribution;
mod filter;
mod finish;
mod forward;
mod frame;
mod hash;
mod interface;
mod key;
mod meter;
mod parser;
mod port;
mod queues;
mod receive;
mod rules;
mod schedule;
mod switch;
mod transmit;

#[cfg(any(test, fuzzing))]
pub mod fixtures;
#[cfg(test)]
pub(crate) mod tests;

use crate::{
    fabric::{Dma, Engine, Pass},
    host::{Capture, Passing, Wires},
};
use mc_abi::{ObjectId, ObjectType};
use parking_lot::RwLock;
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use config::{
    ChannelSchedule, ClassTurn, Distribution, Endpoint, ErrorActions, InterfaceConfig, Layout,
    MacFilter, Policer, Pool, QosAction, QosMiss, QosTable, ReceiveClass, ReceiveConfig,
    ReceiveQueue, Redirect, Schedule, ShaperConfig, Spread, Steered, Steering, SteeringAction,
    SteeringMiss, TransmitConfig, TransmitQueue,
};
pub use counters::{Tally, Volume};
pub use demux::{DemuxAdmit, DemuxConfig, DemuxMethod, DemuxPortConfig};
pub use key::{KeyError, KeyProfile, MAX_KEY_SIZE};
pub use meter::{Color, MeterConfig, MeterMode, MeterUnit};
pub use port::{MIN_FRAME_LENGTH, PORT_COUNTERS, PortConfig};
pub use queues::Queues;
pub use rules::Rule;
pub use switch::{
    ACL_KEY_SIZE, AclAction, AclKey, AclRule, Admit, ControlConfig, Fdb, FdbEntry, FdbError,
    FdbTarget, Floods, Learning, Mirrors, PrioritySource, SWITCH_CLASSES, SwitchConfig,
    SwitchPortConfig, SwitchTable, SwitchVlan,
};

use deliver::Arrivals;
use demux::Demux;
use forward::Works;
use interface::{Interface, NEVER};
use port::Port;
use switch::Switch;

/// Egress channels that an interface may have.
pub const MAX_CHANNELS: usize = 16;
/// Traffic classes that an interface may have.
pub const MAX_CLASSES: usize = 16;
/// Longest frame that moves through the hardware, bytes, without check sequence.
pub const MAX_FRAME_LENGTH: usize = 10_240;

/// The network interfaces of a board. All methods may be called from any thread.
pub struct Wriop {
    interfaces: RwLock<HashMap<u32, Arc<Interface>>>,
    ports: RwLock<HashMap<u32, Arc<Port>>>,
    switches: RwLock<HashMap<u32, Arc<Switch>>>,
    demuxes: RwLock<HashMap<u32, Arc<Demux>>>,
    wires: Arc<dyn Wires>,
    capture: Arc<dyn Capture>,
    /// When an interface is to be woken, nanoseconds of the board's clock: not later than the
    /// earliest [`Interface::due`].
    due: AtomicU64,
}

impl fmt::Debug for Wriop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interfaces, ports, switches, demuxes, wires: _, capture: _, due: _ } = self;
        f.debug_struct("Wriop")
            .field("interfaces", interfaces)
            .field("ports", ports)
            .field("switches", switches)
            .field("demuxes", demuxes)
            .finish()
    }
}

impl Wriop {
    /// A board without interfaces, whose ports are connected to `wires`.
    pub fn new(wires: Arc<dyn Wires>, capture: Arc<dyn Capture>) -> Self {
        Self {
            interfaces: RwLock::default(),
            ports: RwLock::default(),
            switches: RwLock::default(),
            demuxes: RwLock::default(),
            wires,
            capture,
            due: AtomicU64::new(NEVER),
        }
    }

    /// When [`tick`](Self::tick) has something to do, nanoseconds of the board's clock.
    pub fn deadline(&self) -> Option<u64> {
        Some(self.due.load(Ordering::Acquire)).filter(|due| *due != NEVER)
    }

    /// Wakes the interfaces whose rates let them go on.
    pub fn tick(&self, pass: &mut Pass) {
        // Whoever has to wait meanwhile is either found below or comes after this.
        if self.due.swap(NEVER, Ordering::AcqRel) == NEVER {
            return;
        }
        for interface in self.interfaces.read().values() {
            match interface.due.load(Ordering::Acquire) {
                NEVER => {}
                due if due > pass.now() => {
                    self.due.fetch_min(due, Ordering::AcqRel);
                }
                _ => {
                    interface.due.store(NEVER, Ordering::Release);
                    pass.wake(interface.engine);
                }
            }
        }
    }

    /// An interface may send again at `due`.
    fn wait(&self, interface: &Interface, due: u64) {
        interface.due.store(due, Ordering::Release);
        self.due.fetch_min(due, Ordering::AcqRel);
    }

    /// Sets up a port, or takes it away.
    pub fn configure_port(&self, id: u32, config: Option<PortConfig>) {
        let Some(config) = config else {
            let removed = self.ports.write().remove(&id);
            if let Some(port) = removed {
                port.configure(PortConfig::default());
                self.wires.port_changed(id, false);
            }
            return;
        };
        let known = self.port(id);
        let port = known.unwrap_or_else(|| {
            let mut ports = self.ports.write();
            ports
                .entry(id)
                .or_insert_with(|| Arc::new(Port::new(id, self.wants(ObjectType::Dpmac, id))))
                .clone()
        });
        port.configure(config);
        self.wires.port_changed(id, config.peer.is_some());
    }

    /// A frame has come over the wire of a port.
    pub fn receive<Q: Queues>(
        &self,
        port: u32,
        frame: &[u8],
        queues: &Q,
        memory: &Dma,
        pass: &mut Pass,
    ) {
        let Some(port) = self.port(port) else { return };
        if !port::is_frame(frame) {
            return port.count_wrong(frame.len());
        }
        port::padded(frame, |frame| {
            port.count_received(frame);
            self.seen_at(&port, true, frame);
            if port::is_control(frame) {
                port.hear(frame, pass.now());
                // Perhaps the pause is over.
                if let Some(Endpoint::Interface(id)) = port.peer() {
                    pass.wake(Engine::Interface(id));
                }
                return;
            }
            let Some(peer) = port.peer() else { return port.count_discarded() };
            let from = Some(Endpoint::Port(port.id));
            self.with_platform(queues, memory, pass, |platform, _| {
                self.enter(peer, from, frame, platform);
                self.forward(platform);
            });
        });
    }

    /// A counter of a port, by its number in `enum dpmac_counter`; `None` where
    /// there is no such port or counter.
    pub fn port_counter(&self, port: u32, number: u32) -> Option<u64> {
        self.port(port)?.counter(usize::try_from(number).ok()?)
    }

    /// A frame leaves over the wire of a port.
    fn send(&self, port: &Port, frame: &[u8]) {
        port::padded(frame, |frame| {
            port.count_sent(frame);
            self.seen_at(port, false, frame);
            self.wires.send(port.id, frame);
        });
    }

    /// What is connected to a port has no buffers: the other end is asked to pause.
    fn ask_to_pause(&self, id: u32, now: u64) {
        let port = self.port(id);
        let frame = port.as_ref().and_then(|port| port.ask_to_pause(now));
        if let (Some(port), Some(frame)) = (port, frame) {
            self.send(&port, &frame);
        }
    }

    fn wants(&self, kind: ObjectType, id: u32) -> bool {
        self.capture.wants(ObjectId::new(kind, id))
    }

    fn seen_at(&self, port: &Port, received: bool, frame: &[u8]) {
        if port.captured {
            let object = ObjectId::new(ObjectType::Dpmac, port.id);
            let passing = Passing { object, received, frame, fd: None, annotation: &[] };
            self.capture.passes(&passing);
        }
    }

    fn port(&self, id: u32) -> Option<Arc<Port>> {
        self.ports.read().get(&id).cloned()
    }

    /// Sets up an interface, or takes it away. When this returns, no frame uses
    /// what was there before. Frames that waited for the interface to be enabled
    /// wait for the next call of [`transmit`](Self::transmit).
    pub fn configure_interface(&self, id: u32, config: Option<InterfaceConfig>) {
        let Some(config) = config else {
            let gone = self.interfaces.write().remove(&id);
            if let Some(interface) = gone {
                interface.configure(InterfaceConfig::default());
            }
            return;
        };
        let known = self.interfaces.read().get(&id).cloned();
        let interface = known.unwrap_or_else(|| {
            let mut interfaces = self.interfaces.write();
            interfaces
                .entry(id)
                .or_insert_with(|| Arc::new(Interface::new(id, self.wants(ObjectType::Dpni, id))))
                .clone()
        });
        interface.configure(config);
    }

    /// Sends what waits in the transmit queues of an interface.
    ///
    /// Frames of one queue stay in order whichever threads call this: one of
    /// them sends, for the others too. A long queue is sent in parts, with the
    /// interface woken again in between.
    pub fn transmit<Q: Queues>(&self, id: u32, queues: &Q, memory: &Dma, pass: &mut Pass) {
        if let Some(interface) = self.interface(id) {
            self.with_platform(queues, memory, pass, |platform, frame| {
                transmit::transmit(self, &interface, platform, frame);
            });
        }
    }

    /// Calls `with` with this thread's memory for frames.
    fn with_platform<Q: Queues>(
        &self,
        queues: &Q,
        memory: &Dma,
        pass: &mut Pass,
        with: impl FnOnce(&mut Platform<Q>, &mut Vec<u8>),
    ) {
        SCRATCH.with_borrow_mut(|Scratch { frames, works, arrivals }| {
            let capture = &*self.capture;
            with(&mut Platform { queues, memory, pass, works, arrivals, capture }, frames);
        });
    }

    /// What an interface has counted.
    pub fn counters(&self, id: u32) -> Tally {
        self.interface(id).map_or_else(Tally::default, |interface| interface.counters.read())
    }

    /// What was taken from the transmit queues of a class of an interface.
    pub fn dequeued(&self, id: u32, channel: u8, class: u8) -> Volume {
        self.interface(id)
            .map_or_else(Volume::default, |interface| interface.counters.dequeued(channel, class))
    }

    /// What the receive queues of a class of an interface refused.
    pub fn refused(&self, id: u32, class: u8) -> Volume {
        self.interface(id)
            .map_or_else(Volume::default, |interface| interface.counters.refused(class))
    }

    /// Policed frames of a class of an interface: green, yellow, red.
    pub fn policed(&self, id: u32, class: u8) -> [u64; 3] {
        self.interface(id).map_or([0; 3], |interface| interface.counters.policed(class))
    }

    /// Puts all counters of an interface back to zero.
    pub fn reset_counters(&self, id: u32) {
        if let Some(interface) = self.interface(id) {
            interface.counters.reset();
        }
    }

    fn interface(&self, id: u32) -> Option<Arc<Interface>> {
        self.interfaces.read().get(&id).cloned()
    }
}

/// What a frame's way leads through beside the interfaces.
struct Platform<'a, Q> {
    queues: &'a Q,
    memory: &'a Dma,
    pass: &'a mut Pass,
    works: &'a mut Works,
    /// Frames that the receiver at hand has taken in.
    arrivals: &'a mut Arrivals,
    capture: &'a dyn Capture,
}

/// Memory that a thread uses for one batch of frames after the other.
struct Scratch {
    /// The frames that are sent.
    frames: Vec<u8>,
    works: Works,
    arrivals: Arrivals,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const {
        RefCell::new(Scratch { frames: Vec::new(), works: Works::new(), arrivals: Arrivals::new() })
    };
}
