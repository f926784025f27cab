// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the Management Complex writes into the tables of the network
//! interfaces.

use super::{
    key::KeyProfile,
    meter::{Color, MeterConfig},
    rules::Rule,
};
use mc_abi::MacAddr;

/// Where the frames go that an object sends through one of its interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// A network interface (`dpni`).
    Interface(u32),
    /// An Ethernet port (`dpmac`).
    Port(u32),
    /// An interface of a switch (`dpsw`).
    Switch {
        /// Number of the switch.
        id: u32,
        /// Number of the interface.
        port: u16,
    },
    /// An interface of a demultiplexer (`dpdmux`).
    Demux {
        /// Number of the demultiplexer.
        id: u32,
        /// Number of the interface; 0 is the uplink.
        port: u16,
    },
}

/// A network interface as its data path needs it.
#[derive(Debug, Clone, Default)]
pub struct InterfaceConfig {
    /// Isolation id of the container that holds it: everything it touches in
    /// memory, and the pools and queues it uses, go with it.
    pub icid: u16,
    /// Whether it takes frames from its queues, and receives.
    pub enabled: bool,
    /// What it is connected to, while the link is up.
    pub peer: Option<Endpoint>,
    /// What it sends.
    pub transmit: TransmitConfig,
    /// What it receives.
    pub receive: ReceiveConfig,
}

/// The transmit side of an interface.
#[derive(Debug, Clone, Default)]
pub struct TransmitConfig {
    /// The queues, the more urgent ones first.
    pub queues: Vec<TransmitQueue>,
    /// Compute the header checksum of IPv4.
    pub l3_checksum: bool,
    /// Compute the checksums of TCP and UDP.
    pub l4_checksum: bool,
    /// Further Ethernet types of VLAN tags; 0: none.
    pub tpids: [u16; 2],
    /// In which order, and how fast, frames leave the queues; `None`: in the order of
    /// `queues`, and as fast as they come.
    pub schedule: Option<Schedule>,
}

/// The order of frames to be sent, and their rates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// What limits the interface.
    pub whole: Option<ShaperConfig>,
    /// Its egress channels.
    pub channels: Vec<ChannelSchedule>,
}

/// An egress channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelSchedule {
    /// What limits it.
    pub shaper: Option<ShaperConfig>,
    /// Its traffic classes.
    pub classes: Vec<ClassTurn>,
}

/// When it is a traffic class's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassTurn {
    /// Lower ones go first.
    pub rank: u8,
    /// What those of one rank share in proportion to, 100 to 10,000.
    pub weight: u16,
}

/// A limit with two rates, of which a frame needs either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShaperConfig {
    /// Committed rate, bit/s; 0: none.
    pub committed_rate: u64,
    /// Bytes that may go at once at the committed rate.
    pub committed_burst: u32,
    /// Excess rate, bit/s; 0: none. With neither rate there is no limit.
    pub excess_rate: u64,
    /// Bytes that may go at once at the excess rate.
    pub excess_burst: u32,
    /// What the committed rate leaves goes to the excess rate's bucket.
    pub coupled: bool,
    /// Bytes that each frame counts for beside its own; 0: 24.
    pub overhead: u16,
}

/// A queue of frames to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransmitQueue {
    /// Its number in the queue manager.
    pub fqid: u32,
    /// Egress channel, below [`MAX_CHANNELS`](super::MAX_CHANNELS).
    pub channel: u8,
    /// Traffic class, below [`MAX_CLASSES`](super::MAX_CLASSES).
    pub class: u8,
    /// Queue that sent frames are confirmed on; `None`: their buffers are
    /// released.
    pub confirmation: Option<u32>,
}

/// The receive side of an interface.
#[derive(Debug, Clone, Default)]
pub struct ReceiveConfig {
    /// How frames lie in buffers.
    pub layout: Layout,
    /// Buffer pools.
    pub pools: Vec<Pool>,
    /// What a pool's `selector` selects by.
    pub pools_by_queue: bool,
    /// The queues by traffic class.
    pub classes: Vec<ReceiveClass>,
    /// How frames find their class; `None`: all go to the first one.
    pub qos: Option<QosTable>,
    /// Queue of frames with errors.
    pub error_queue: u32,
    /// What happens to frames with errors.
    pub errors: ErrorActions,
    /// Longest frame that is no error, bytes.
    pub max_length: u16,
    /// Stations whose frames are taken.
    pub macs: MacFilter,
    /// VLANs whose frames are taken; `None`: all. Frames without a tag are
    /// always taken.
    pub vlans: Option<Vec<(u16, Option<Steered>)>>,
    /// Check the header checksum of IPv4.
    pub l3_checksum: bool,
    /// Check the checksums of TCP and UDP.
    pub l4_checksum: bool,
    /// Put the hash of the frame into the flow context of the descriptor.
    pub hash_in_flow_context: bool,
    /// Further Ethernet types of VLAN tags; 0: none.
    pub tpids: [u16; 2],
}

/// How a received frame lies in its buffer: bytes of software, the hardware's
/// annotation, head room, the frame, tail room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Bytes of software at the start of the buffer.
    pub private: u16,
    /// Bytes between the annotation and the frame.
    pub head_room: u16,
    /// Bytes that stay free behind the frame.
    pub tail_room: u16,
    /// What the frame's offset in the buffer is a multiple of; 0: of anything.
    pub align: u16,
    /// Write the time of receipt.
    pub timestamp: bool,
    /// Write the parse result.
    pub parse_result: bool,
    /// Write the frame status.
    pub status: bool,
}

/// A buffer pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Its number in the buffer manager.
    pub bpid: u16,
    /// Bytes of a buffer.
    pub size: u16,
    /// Use it only when the others are empty.
    pub backup: bool,
    /// One bit for each traffic class (or queue) that uses it; 0: all.
    pub selector: u8,
}

/// A traffic class of received frames.
#[derive(Debug, Clone, Default)]
pub struct ReceiveClass {
    /// Its queues.
    pub queues: Vec<ReceiveQueue>,
    /// How frames find one of them.
    pub distribution: Distribution,
    /// What limits the class.
    pub policer: Option<Policer>,
}

/// A limit of a traffic class of received frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policer {
    /// The meter; `None`: all frames have the colour `initial`.
    pub meter: Option<MeterConfig>,
    /// The colour of frames that are not metered.
    pub initial: Color,
    /// Lengths count from layer 3 on.
    pub from_layer3: bool,
    /// Red frames are dropped. Otherwise they are only counted.
    pub drops: bool,
}

/// How the frames of a class find their queue. Without anything, all go to the
/// first one.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    /// Rules, which come first.
    pub steering: Option<Steering>,
    /// Spreading by hash: what no rule matches.
    pub hash: Option<Spread>,
}

/// Spreading over queues by the hash of a key.
#[derive(Debug, Clone)]
pub struct Spread {
    /// What is hashed.
    pub key: KeyProfile,
    /// Over how many queues.
    pub size: u16,
}

/// Flow steering.
#[derive(Debug, Clone)]
pub struct Steering {
    /// What rules are compared with.
    pub key: KeyProfile,
    /// The rules.
    pub rules: Vec<Rule<SteeringAction>>,
    /// What frames meet that no rule matches, where there is no spreading by
    /// hash.
    pub miss: SteeringMiss,
    /// Where rules send frames on to.
    pub redirects: Vec<Redirect>,
}

/// Other interfaces that frames go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// They send the frame; otherwise they receive it.
    pub transmit: bool,
    /// Numbers of the interfaces.
    pub targets: Vec<u32>,
}

/// What a rule of a class does with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SteeringAction {
    /// It is dropped.
    Discard,
    /// It goes to a queue.
    Queue {
        /// Number of the queue in its class.
        queue: u16,
        /// Its flow context, instead of the queue's.
        flow_context: Option<u64>,
    },
    /// It goes to other interfaces: the number of a [`Redirect`].
    Redirect(u16),
}

/// What becomes of frames that no rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SteeringMiss {
    /// They are dropped.
    Discard,
    /// They go to a queue.
    Queue(u16),
}

/// The table that chooses the traffic class.
#[derive(Debug, Clone)]
pub struct QosTable {
    /// What rules are compared with.
    pub key: KeyProfile,
    /// The rules.
    pub rules: Vec<Rule<QosAction>>,
    /// What frames meet that no rule matches.
    pub miss: QosMiss,
}

/// Where a rule of the QoS table sends frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QosAction {
    /// Traffic class.
    pub class: u8,
    /// Queue of the class; `None`: the class chooses.
    pub queue: Option<u8>,
}

/// What becomes of frames that no rule of the QoS table matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosMiss {
    /// They are dropped.
    Discard,
    /// They go to a class.
    To(QosAction),
}

/// A queue of received frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveQueue {
    /// Its number in the queue manager.
    pub fqid: u32,
    /// Flow context of its frames, where the hash does not take its place.
    pub flow_context: u64,
}

/// A queue of a class that a filter or rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steered {
    /// Traffic class.
    pub class: u8,
    /// Number of the queue in its class.
    pub queue: u8,
}

/// What happens to frames with errors: bits of
/// [`status`](qbman_abi::annotation::status).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorActions {
    /// Errors whose frames are dropped.
    pub discard: u32,
    /// Errors whose frames go to the error queue.
    pub divert: u32,
    /// Errors that are not noted in the frame's annotation.
    pub unnoted: u32,
}

/// Stations whose frames are taken.
#[derive(Debug, Clone, Default)]
pub struct MacFilter {
    /// The interface's own address.
    pub primary: MacAddr,
    /// Further addresses, of single stations and of groups. Broadcast is one of
    /// them.
    pub others: Vec<(MacAddr, Option<Steered>)>,
    /// Take frames to all single stations.
    pub all_unicast: bool,
    /// Take frames to all groups.
    pub all_multicast: bool,
}
