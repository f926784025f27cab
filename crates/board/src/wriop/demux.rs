// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Demultiplexers: what comes in at the uplink (interface 0) goes to the downlinks
//! whose rules match, what comes in at a downlink goes to the uplink.
//!
//! Chosen, since no source says it: where frames are told apart by addresses, a
//! network interface at a downlink is found by its own address and those of its
//! filter as well, and broadcast goes to all downlinks (drivers of network
//! interfaces do not know that there is a demultiplexer, and `restool` adds no
//! rules); its promiscuous modes do not count. Frames that are not accepted are
//! dropped: there is no control interface.

use super::{
    Endpoint, Platform, Queues, Wriop,
    counters::Cast,
    forward::{Onward, takes_from},
    key::KeyProfile,
    parser::{Parsed, parse},
    rules::{Rule, Table},
    switch::{
        bit,
        counters::{PortCounters, counter},
        tag::{self, Parts, VLAN},
    },
};
use mc_abi::MacAddr;
use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc};

/// Ethernet types of the tags of C-VLANs and S-VLANs.
const C_TAG: u16 = 0x8100;
const S_TAG: u16 = 0x88a8;

/// A demultiplexer as its data path needs it. Sets of interfaces are bitmaps, of
/// which bit 0 is the uplink.
#[derive(Debug, Clone, Default)]
pub struct DemuxConfig {
    /// The uplink, then the downlinks.
    pub ports: Vec<DemuxPortConfig>,
    /// Which frames go to which interfaces.
    pub method: DemuxMethod,
    /// Where frames go that no rule matches.
    pub default: Option<u16>,
    /// Downlinks reach each other.
    pub bridges: bool,
    /// Tags of S-VLANs are taken off on the way to a downlink and put on again on
    /// the way back.
    pub service_tags: bool,
}

/// An interface of a demultiplexer.
#[derive(Debug, Clone, Copy)]
pub struct DemuxPortConfig {
    /// What it is connected to, while the link is up.
    pub peer: Option<Endpoint>,
    /// Which frames come in.
    pub admit: DemuxAdmit,
    /// Longest frame that comes in, bytes.
    pub max_length: u16,
    /// Frames that are longer come in nevertheless.
    pub accept_long: bool,
}

/// Which frames come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemuxAdmit {
    /// All.
    All,
    /// Those with a tag that names a VLAN.
    Tagged,
    /// Those without.
    Untagged,
}

/// Which frames go to which interfaces.
#[derive(Debug, Clone, Default)]
pub enum DemuxMethod {
    /// No frame matches.
    #[default]
    None,
    /// By address.
    Stations(HashMap<MacAddr, u64>),
    /// By address and VLAN.
    StationsInVlans(HashMap<(MacAddr, u16), u64>),
    /// By VLAN.
    Vlans {
        /// Of S-VLANs instead of C-VLANs.
        service: bool,
        /// The interfaces of each.
        rules: HashMap<u16, u64>,
    },
    /// By a key.
    Custom {
        /// How it is made.
        key: KeyProfile,
        /// Interfaces by key.
        rules: Vec<Rule<u16>>,
    },
}

/// A demultiplexer.
#[derive(Debug)]
pub(super) struct Demux {
    id: u32,
    tables: RwLock<Tables>,
    counters: Box<[PortCounters]>,
}

#[derive(Debug, Default)]
struct Tables {
    config: DemuxConfig,
    custom: Option<(KeyProfile, Table<u16>)>,
    /// The S-VLAN of each downlink.
    tags: Vec<Option<u16>>,
}

impl DemuxPortConfig {
    fn is_too_long(&self, frame: &[u8]) -> bool {
        frame.len() > usize::from(self.max_length) && !self.accept_long
    }
}

impl DemuxAdmit {
    fn takes(self, frame: &[u8]) -> bool {
        let parts = Parts::of(frame, [C_TAG, S_TAG, 0]);
        let named = parts.and_then(|parts| parts.tag).is_some_and(|(_, tag)| tag & VLAN != 0);
        match self {
            Self::All => true,
            Self::Tagged => named,
            Self::Untagged => !named,
        }
    }
}

/// Setting up demultiplexers.
impl Wriop {
    /// Sets up a demultiplexer, or takes it away. When this returns, no frame uses
    /// what was there before. The number of its interfaces never changes.
    pub fn configure_demux(&self, id: u32, config: Option<DemuxConfig>) {
        let Some(config) = config else {
            let gone = self.demuxes.write().remove(&id);
            if let Some(demux) = gone {
                *demux.tables.write() = Tables::default();
            }
            return;
        };
        let known = self.demux(id);
        let demux = known.unwrap_or_else(|| {
            let counters = config.ports.iter().map(|_| PortCounters::default()).collect();
            let demux = Demux { id, tables: RwLock::default(), counters };
            self.demuxes.write().entry(id).or_insert_with(|| Arc::new(demux)).clone()
        });
        let tables = Tables::new(config);
        *demux.tables.write() = tables;
    }

    /// A counter of an interface, by its number in `enum dpdmux_counter_type`;
    /// `None` where there is no such demultiplexer, interface or counter.
    pub fn demux_counter(&self, id: u32, port: u16, number: u8) -> Option<u64> {
        /// Of what has no buffer: no frame waits here, and so none is without.
        const NO_BUFFER: u8 = 0xb;
        let demux = self.demux(id)?;
        let counters = demux.counters.get(usize::from(port))?;
        if number == NO_BUFFER { Some(0) } else { counters.get(number.into()) }
    }

    /// Puts all counters of a demultiplexer back to zero.
    pub fn reset_demux_counters(&self, id: u32) {
        if let Some(demux) = self.demux(id) {
            demux.counters.iter().for_each(PortCounters::reset);
        }
    }

    /// Puts all counters of the uplink back to zero.
    pub fn reset_uplink_counters(&self, id: u32) {
        if let Some(demux) = self.demux(id)
            && let Some(uplink) = demux.counters.first()
        {
            uplink.reset();
        }
    }

    pub(super) fn demux(&self, id: u32) -> Option<Arc<Demux>> {
        self.demuxes.read().get(&id).cloned()
    }
}

impl Tables {
    fn new(config: DemuxConfig) -> Self {
        let custom = match &config.method {
            DemuxMethod::Custom { key, rules } => Some((key.clone(), Table::new(rules))),
            _ => None,
        };
        let tag = |port: usize| {
            let DemuxMethod::Vlans { service: true, rules } = &config.method else { return None };
            let own = rules.iter().filter(|(_, set)| *set & bit(port) != 0);
            own.map(|(vlan, _)| *vlan).min().filter(|_| config.service_tags && port > 0)
        };
        let tags = (0..config.ports.len()).map(tag).collect();
        Self { custom, tags, config }
    }

    /// Interfaces whose rules match; `None` where no rule of the method does.
    fn matching(&self, frame: &[u8], parsed: &Parsed) -> Option<u64> {
        let to = MacAddr(*frame.first_chunk()?);
        // A frame without tag is in no VLAN.
        let vlan = parsed.vlan.map_or(0, |tag| tag & VLAN);
        match &self.config.method {
            DemuxMethod::None => None,
            DemuxMethod::Stations(rules) => rules.get(&to).copied(),
            DemuxMethod::StationsInVlans(rules) => rules.get(&(to, vlan)).copied(),
            DemuxMethod::Vlans { service, rules } => {
                let tpid = if *service { S_TAG } else { C_TAG };
                let (_, tag) = Parts::of(frame, [tpid, 0, 0])?.tag?;
                rules.get(&(tag & VLAN)).copied()
            }
            DemuxMethod::Custom { .. } => {
                let (key, rules) = self.custom.as_ref()?;
                rules.find(&key.extract(frame, parsed)).map(|port| bit(port.into()))
            }
        }
    }

    /// Downlinks whose network interfaces have the frame's address.
    fn addressed(&self, wriop: &Wriop, frame: &[u8], parsed: &Parsed) -> u64 {
        let in_vlans = match self.config.method {
            DemuxMethod::Stations(_) => false,
            DemuxMethod::StationsInVlans(_) => true,
            _ => return 0,
        };
        let Some(to) = frame.first_chunk() else { return 0 };
        let downlinks = self.config.ports.iter().enumerate().skip(1);
        let found = downlinks.filter(|(_, port)| {
            let Some(Endpoint::Interface(id)) = port.peer else { return false };
            if Cast::of(frame) == Cast::Broadcast {
                return true;
            }
            let Some(interface) = wriop.interface(id) else { return false };
            let side = interface.receive.read();
            side.stations.has(*to) && (!in_vlans || side.vlans.takes(parsed.vlan))
        });
        found.fold(0, |set, (at, _)| set | bit(at))
    }
}

impl Demux {
    /// A frame comes in at an interface, from `from`.
    pub fn enter<Q: Queues>(
        &self,
        wriop: &Wriop,
        at: u16,
        from: Option<Endpoint>,
        frame: &[u8],
        platform: &mut Platform<Q>,
    ) {
        let tables = self.tables.read();
        let Some(own) = self.counters.get(usize::from(at)) else { return };
        let port = tables.config.ports.get(usize::from(at));
        let Some(port) = port.filter(|port| takes_from(port.peer, from)) else {
            return own.add(counter::ING_DISCARDED, 1);
        };
        if port.is_too_long(frame) {
            return own.add(counter::ING_DISCARDED, 1);
        }
        if !port.admit.takes(frame) {
            return own.add(counter::ING_FILTERED, 1);
        }
        let out = tables.out(wriop, at, frame);
        if out == 0 {
            return own.add(counter::ING_FILTERED, 1);
        }
        own.received(frame);
        for to in (0..).take(tables.config.ports.len()) {
            if out & bit(usize::from(to)) != 0 {
                self.leave(&tables, to, at, frame, platform);
            }
        }
    }

    /// A frame goes out at an interface.
    fn leave<Q: Queues>(
        &self,
        tables: &Tables,
        to: u16,
        at: u16,
        frame: &[u8],
        platform: &mut Platform<Q>,
    ) {
        let place = usize::from(to);
        let (Some(port), Some(counters)) =
            (tables.config.ports.get(place), self.counters.get(place))
        else {
            return;
        };
        let tag_of = |port: u16| tables.tags.get(usize::from(port)).copied().flatten();
        let parts = Parts::of(frame, [S_TAG, 0, 0]);
        let put_on = tag_of(at).filter(|_| to == 0).map(|vlan| tag::bytes(S_TAG, vlan));
        let parts: [&[u8]; 3] = match (parts, &put_on) {
            (Some(parts), Some(tag)) => {
                [parts.addresses, tag, frame.get(tag::ADDRESSES..).unwrap_or_default()]
            }
            (Some(parts), None) if at == 0 && tag_of(to).is_some() => {
                [parts.addresses, &[], parts.rest]
            }
            _ => [frame, &[], &[]],
        };
        let from = Some(Endpoint::Demux { id: self.id, port: to });
        let sent =
            port.peer.is_some_and(|to| platform.works.add_parts(Onward::Into { to, from }, &parts));
        counters.sent(parts.iter().map(|part| part.len()).sum(), sent);
    }
}

impl Tables {
    /// Where a frame goes that has come in at an interface: never back.
    fn out(&self, wriop: &Wriop, at: u16, frame: &[u8]) -> u64 {
        const UPLINK: u64 = 1;
        let others = !bit(at.into());
        if at != 0 && !self.config.bridges {
            return UPLINK;
        }
        let parsed = parse(frame, [0; 2]);
        let found = self.matching(frame, &parsed).unwrap_or(0);
        let found = (found | self.addressed(wriop, frame, &parsed)) & others;
        match (at, Cast::of(frame)) {
            (0, _) if found != 0 => found,
            (0, _) => self.config.default.map_or(0, |port| bit(port.into())) & others,
            // One of the downlinks is whom it is for.
            (_, Cast::Unicast) if found != 0 => found,
            (_, Cast::Unicast) => UPLINK,
            (_, Cast::Multicast | Cast::Broadcast) => found | UPLINK,
        }
    }
}
