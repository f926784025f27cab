// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the Management Complex writes into the tables of a switch. Sets of
//! interfaces are bitmaps; the control interface comes after the last one.

use super::{acl::AclRule, fdb::Fdb};
use crate::wriop::{Endpoint, MeterConfig, Pool};
use std::sync::Arc;

/// Traffic classes of a switch's interface.
pub const SWITCH_CLASSES: usize = 8;

/// A switch as its data path needs it.
#[derive(Debug, Clone, Default)]
pub struct SwitchConfig {
    /// Isolation id of the container that holds it.
    pub icid: u16,
    /// Its interfaces, without the control interface.
    pub ports: Vec<SwitchPortConfig>,
    /// Its VLANs, in ascending order of their numbers.
    pub vlans: Vec<SwitchVlan>,
    /// Access control lists.
    pub lists: Vec<Vec<AclRule>>,
    /// Groups of interfaces that are one to a station: bitmaps.
    pub groups: Vec<u64>,
    /// Ethernet type of the tags that it works with: of C-VLANs or of S-VLANs.
    pub tpid: u16,
    /// Further Ethernet types of tags; 0: none.
    pub tpids: [u16; 2],
    /// Where mirrored frames go.
    pub mirror: Option<u16>,
    /// The control interface, where it is on.
    pub control: Option<ControlConfig>,
}

/// An interface of a switch.
#[derive(Debug, Clone)]
pub struct SwitchPortConfig {
    /// What it is connected to, while the link is up.
    pub peer: Option<Endpoint>,
    /// Tag of frames that come in without one: priority, drop eligibility, VLAN.
    pub tag: u16,
    /// Which frames come in.
    pub admit: Admit,
    /// Frames of VLANs come in that the interface is not in.
    pub accept_all_vlans: bool,
    /// Longest frame that comes in, bytes.
    pub max_length: u16,
    /// Frames that are longer come in nevertheless.
    pub accept_long: bool,
    /// How it learns.
    pub learning: Learning,
    /// Which frames go out that are flooded: to unknown stations, to all, to
    /// groups.
    pub floods: Floods,
    /// Whether what comes in is mirrored.
    pub mirrors: Mirrors,
    /// Its access control list: the number of one of
    /// [`lists`](SwitchConfig::lists).
    pub list: Option<usize>,
    /// Where the priority of a frame comes from.
    pub priority: PrioritySource,
    /// Traffic class of each priority.
    pub classes: [u8; SWITCH_CLASSES],
    /// What limits each traffic class.
    pub meters: [Option<MeterConfig>; SWITCH_CLASSES],
    /// What limits flooded frames.
    pub flooding_meter: Option<MeterConfig>,
    /// Whether its group sends through it.
    pub aggregates: bool,
}

/// Which frames come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// All.
    All,
    /// Those with a tag that names a VLAN. The others go to the control interface
    /// or are dropped.
    Tagged {
        /// They go to the control interface.
        others_to_control: bool,
    },
}

/// How addresses become known (`enum dpsw_learning_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Learning {
    /// Not at all.
    Off,
    /// From the frames.
    Hardware,
    /// By software: it gets a copy of the frames of unknown stations.
    Software,
    /// By software: it gets the frames of unknown stations, and nobody else does.
    SoftwareSecure,
}

/// Flooded frames that go out at an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floods {
    /// To unknown stations.
    pub unknown: bool,
    /// To all.
    pub broadcast: bool,
    /// To groups.
    pub multicast: bool,
}

/// Which of the frames that come in are mirrored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    /// All.
    pub all: bool,
    /// Those of VLANs.
    pub vlans: Vec<u16>,
}

/// Where the priority of a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrioritySource {
    /// The tag.
    Tag,
    /// The upper three bits of the IP header's code point.
    CodePoint,
}

/// A VLAN.
#[derive(Debug, Clone)]
pub struct SwitchVlan {
    /// Its number.
    pub number: u16,
    /// Its forwarding table for each interface.
    pub tables: Vec<SwitchTable>,
    /// The interfaces in it.
    pub members: u64,
    /// Those that its frames leave without tag.
    pub untagged: u64,
    /// Those that do not send, for the spanning tree.
    pub silent: u64,
    /// Those that do not learn either.
    pub deaf: u64,
}

/// A forwarding table and what goes with it.
#[derive(Debug, Clone)]
pub struct SwitchTable {
    /// The table.
    pub fdb: Arc<Fdb>,
    /// How it learns.
    pub learning: Learning,
    /// Where frames to all go.
    pub broadcast: u64,
    /// Where frames to unknown stations and groups go.
    pub unknown: u64,
}

/// The control interface.
#[derive(Debug, Clone, Default)]
pub struct ControlConfig {
    /// Queue of received frames.
    pub rx: u32,
    /// Queue on which sent frames are confirmed.
    pub confirmation: u32,
    /// Queues of frames to be sent, one an interface.
    pub tx: Vec<u32>,
    /// Buffer pools of received frames.
    pub pools: Vec<Pool>,
}
