// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where a frame goes that has come in at an interface of a switch.
//!
//! The order of the steps, as far as no source tells it, is chosen: what the
//! interface admits, the VLAN, the access control list (so that software gets the
//! frames that it traps whatever the state of the spanning tree), membership, the
//! spanning tree, meters, learning, the forwarding table.

use super::{
    acl::{self, AclAction, Fields},
    config::{Admit, Learning, PrioritySource, SwitchConfig, SwitchPortConfig, SwitchVlan},
    tag::{Parts, VLAN},
};
use crate::wriop::{
    counters::Cast,
    hash::hash,
    meter::{Color, Meter},
    parser::{Parsed, parse},
};
use mc_abi::MacAddr;

/// Drop priority and code point take the place of the number of a VLAN here.
const PRIORITY_SHIFT: u32 = 13;

/// A switch's configuration, ready for frames.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub config: SwitchConfig,
    meters: Vec<PortMeters>,
    /// Interfaces whose links are up.
    up: u64,
    /// Interfaces of groups that their groups do not send through.
    held_back: u64,
    floods: Flooded,
    /// Whether the control interface is on.
    has_control: bool,
    /// Its bit, where it is on and sets have one for it: not behind 64 interfaces.
    control: u64,
}

/// Interfaces that flooded frames leave through.
#[derive(Debug, Default, Clone, Copy)]
struct Flooded {
    unknown: u64,
    broadcast: u64,
    multicast: u64,
}

#[derive(Debug, Default)]
struct PortMeters {
    classes: Vec<Option<Meter>>,
    flooding: Option<Meter>,
}

/// Why a frame does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A filter keeps it out: admission, VLAN, access control list, or its own
    /// interface is where it would go.
    Filtered,
    /// It is dropped: too long, of no shape, by the spanning tree or a meter, or because
    /// there is nowhere that it could go.
    Discarded,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Way {
    /// Interfaces that it leaves through.
    pub out: u64,
    /// Those of them where it leaves without tag.
    pub untagged: u64,
    /// Interfaces that would send it but for the spanning tree.
    pub silenced: u64,
    /// Interfaces that would send it if their links were up and their groups let them.
    pub down: u64,
    /// It goes to the control interface.
    pub control: bool,
    /// The tag that it has in the switch.
    pub tag: u16,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    /// A copy goes to the mirror, as it came in.
    pub mirrored: bool,
    pub way: Result<Way, Refusal>,
}

impl Way {
    /// Whether nobody gets the frame, and no interface counts that it does not send it.
    fn is_nowhere(&self) -> bool {
        !self.control && self.out | self.silenced | self.down == 0
    }
}

impl Decision {
    fn refused(refusal: Refusal) -> Self {
        Self { mirrored: false, way: Err(refusal) }
    }
}

impl Tables {
    /// Keeps what the meters of `before` have counted, where they stay what they
    /// are.
    pub fn new(config: SwitchConfig, before: Self) -> Self {
        let keep = |config: Option<_>, before: Option<Meter>| {
            let config = config?;
            Some(before.filter(|m| *m.config() == config).unwrap_or_else(|| Meter::new(config)))
        };
        let mut old = before.meters.into_iter();
        let meters = config.ports.iter().map(|port| {
            let before = old.next().unwrap_or_default();
            let mut classes = before.classes.into_iter();
            let classes = port.meters.iter().map(|meter| keep(*meter, classes.next().flatten()));
            PortMeters {
                classes: classes.collect(),
                flooding: keep(port.flooding_meter, before.flooding),
            }
        });
        let meters = meters.collect();
        let set = |test: &dyn Fn(&SwitchPortConfig) -> bool| {
            let ports = config.ports.iter().enumerate();
            ports.filter(|(_, port)| test(port)).fold(0, |set, (at, _)| set | bit(at))
        };
        let up = set(&|port| port.peer.is_some());
        let grouped = config.groups.iter().fold(0, |all, group| all | group);
        let held_back = grouped & set(&|port| !port.aggregates);
        let has_control = config.control.is_some();
        let control = if has_control { bit(config.ports.len()) } else { 0 };
        let floods = Flooded {
            unknown: control | set(&|port| port.floods.unknown),
            broadcast: control | set(&|port| port.floods.broadcast),
            multicast: control | set(&|port| port.floods.multicast),
        };
        Self { meters, up, held_back, floods, has_control, control, config }
    }

    /// What becomes of a frame that comes in at interface `at` at `now`
    /// (nanoseconds).
    pub fn decide(&self, frame: &[u8], at: u16, now: u64) -> Decision {
        let Some(port) = self.config.ports.get(usize::from(at)) else {
            return Decision::refused(Refusal::Discarded);
        };
        let long = frame.len() > usize::from(port.max_length) && !port.accept_long;
        let Some(parts) = self.parts(frame).filter(|_| !long && port.peer.is_some()) else {
            return Decision::refused(Refusal::Discarded);
        };
        // A tag for VLAN 0 only has a priority.
        let named = parts.tag.filter(|(_, control)| control & VLAN != 0);
        let tag = match parts.tag {
            Some((_, control)) if control & VLAN != 0 => control,
            Some((_, control)) => control & !VLAN | port.tag & VLAN,
            None => port.tag,
        };
        if let Admit::Tagged { others_to_control } = port.admit
            && named.is_none()
        {
            let way = match others_to_control {
                true => somewhere(self.to_control(tag)),
                false => Err(Refusal::Filtered),
            };
            return Decision { mirrored: false, way };
        }
        let mirrored = port.mirrors.all || port.mirrors.vlans.contains(&(tag & VLAN));
        let arrival = Arrival { frame, parts, at, port, tag, now };
        Decision { mirrored, way: self.way(&arrival).and_then(somewhere) }
    }

    /// Takes a frame apart.
    pub fn parts<'a>(&self, frame: &'a [u8]) -> Option<Parts<'a>> {
        let [one, two] = self.config.tpids;
        Parts::of(frame, [self.config.tpid, one, two])
    }

    fn way(&self, arrival: &Arrival) -> Result<Way, Refusal> {
        let Arrival { at, port, tag, now, .. } = *arrival;
        let mut parsed = None;
        let vlan = self.vlan(tag & VLAN);
        match self.listed(arrival, &mut parsed) {
            Some(AclAction::Drop) => return Err(Refusal::Filtered),
            Some(AclAction::ToControl) => return Ok(self.to_control(tag)),
            Some(AclAction::Redirect(to)) => {
                return Ok(self.leave(bit(to.into()), vlan, at, tag, arrival));
            }
            Some(AclAction::Accept) | None => {}
        }
        let own = bit(at.into());
        let vlan = vlan.filter(|vlan| vlan.members & own != 0 || port.accept_all_vlans);
        let vlan = vlan.ok_or(Refusal::Filtered)?;
        if vlan.deaf & own != 0 {
            return Err(Refusal::Discarded);
        }
        let meters = self.meters.get(usize::from(at));
        let class = self.class(arrival, &mut parsed);
        let meter = meters.and_then(|meters| meters.classes.get(class)?.as_ref());
        if is_red(meter, arrival) {
            return Err(Refusal::Discarded);
        }
        let table = vlan.tables.get(usize::from(at)).ok_or(Refusal::Discarded)?;
        let [to, from] = addresses(&arrival.parts).ok_or(Refusal::Discarded)?;
        // A group sends no frames.
        let learning = match (table.learning, port.learning) {
            _ if from.is_multicast() => Learning::Off,
            (Learning::Off, _) | (_, Learning::Off) => Learning::Off,
            (one, two) => one.max(two),
        };
        if learning == Learning::Hardware {
            table.fdb.learn(from, at, now);
        }
        if vlan.silent & own != 0 {
            return Err(Refusal::Discarded);
        }
        let is_unknown = || table.fdb.station(from, now).is_none();
        let reported = learning > Learning::Hardware && is_unknown();
        if reported && learning == Learning::SoftwareSecure {
            return Ok(self.to_control(tag));
        }
        let known = match Cast::of(arrival.frame) {
            Cast::Unicast => table.fdb.station(to, now).map(|station| bit(station.into())),
            Cast::Multicast => table.fdb.group(to, now),
            Cast::Broadcast => None,
        };
        let out = match (known, Cast::of(arrival.frame)) {
            // Back to where it came from: its station has heard it there.
            (Some(out), Cast::Unicast) if self.with_group(out) & own != 0 => {
                return Err(Refusal::Filtered);
            }
            (Some(out), _) => out,
            (None, cast) => {
                let flooding = meters.and_then(|meters| meters.flooding.as_ref());
                if is_red(flooding, arrival) {
                    return Err(Refusal::Discarded);
                }
                match cast {
                    Cast::Unicast => table.unknown & self.floods.unknown,
                    Cast::Multicast => table.unknown & self.floods.multicast,
                    Cast::Broadcast => table.broadcast & self.floods.broadcast,
                }
            }
        };
        let mut way = self.leave(out & (vlan.members | self.control), Some(vlan), at, tag, arrival);
        way.control |= reported && self.has_control;
        Ok(way)
    }

    /// What the interface's access control list says of a frame.
    fn listed(&self, arrival: &Arrival, parsed: &mut Option<Parsed>) -> Option<AclAction> {
        let rules = self.config.lists.get(arrival.port.list?)?;
        if rules.is_empty() {
            return None;
        }
        let parsed = parsed.get_or_insert_with(|| parse(arrival.frame, self.config.tpids));
        let Arrival { frame, parts, tag, .. } = arrival;
        acl::action(rules, &Fields::of(frame, parts, self.config.tpid, *tag, parsed))
    }

    /// The traffic class of a frame.
    fn class(&self, arrival: &Arrival, parsed: &mut Option<Parsed>) -> usize {
        let priority = match arrival.port.priority {
            PrioritySource::Tag => (arrival.tag >> PRIORITY_SHIFT).into(),
            PrioritySource::CodePoint => {
                let frame = arrival.frame;
                let parsed = parsed.get_or_insert_with(|| parse(frame, self.config.tpids));
                let byte = |at: usize| frame.get(at).copied().unwrap_or(0);
                parsed.ip.map_or(0, |ip| {
                    let first = if ip.v6 { byte(ip.start) << 4 } else { byte(ip.start + 1) };
                    usize::from(first >> 5)
                })
            }
        };
        arrival.port.classes.get(priority).copied().unwrap_or(0).into()
    }

    fn to_control(&self, tag: u16) -> Way {
        Way { control: self.has_control, tag, ..Way::default() }
    }

    /// The way out through interfaces of a set that may contain the control
    /// interface; never back.
    fn leave(
        &self,
        set: u64,
        vlan: Option<&SwitchVlan>,
        at: u16,
        tag: u16,
        arrival: &Arrival,
    ) -> Way {
        let control = set & self.control != 0;
        let set = set & !self.control & !self.with_group(bit(at.into()));
        let set = self.one_of_each_group(set, vlan, arrival);
        let silent = vlan.map_or(0, |vlan| vlan.silent);
        let out = set & !silent;
        let ready = self.up & !self.held_back;
        Way {
            out: out & ready,
            untagged: vlan.map_or(0, |vlan| vlan.untagged),
            silenced: set & silent,
            down: out & !ready,
            control,
            tag,
        }
    }

    /// Interfaces, and those that are one with them.
    fn with_group(&self, set: u64) -> u64 {
        let groups = self.config.groups.iter().filter(|group| *group & set != 0);
        groups.fold(set, |set, group| set | group)
    }

    /// Of interfaces that are one to a station only one sends: the addresses say
    /// which, so that the frames of a conversation stay in order. Those count that can send
    /// frames of the VLAN; a frame that is redirected and of none, any with a link.
    fn one_of_each_group(&self, mut set: u64, vlan: Option<&SwitchVlan>, arrival: &Arrival) -> u64 {
        let can = vlan.map_or(u64::MAX, |vlan| vlan.members & !vlan.silent);
        let can = can & self.up & !self.held_back;
        for group in &self.config.groups {
            let asked = group & set;
            if asked == 0 {
                continue;
            }
            let senders = group & can;
            let chosen = match senders.count_ones() {
                // One of those that do not send it counts that.
                0 => asked & asked.wrapping_neg(),
                count => nth_bit(senders, hash(arrival.parts.addresses) % count),
            };
            set = set & !group | chosen;
        }
        set
    }

    fn vlan(&self, number: u16) -> Option<&SwitchVlan> {
        let vlans = &self.config.vlans;
        let at = vlans.binary_search_by_key(&number, |vlan| vlan.number).ok()?;
        vlans.get(at)
    }

    /// Whether frames leave through an interface now.
    pub fn is_up(&self, at: u16) -> bool {
        self.up & bit(at.into()) != 0
    }
}

/// A frame that comes in.
struct Arrival<'a> {
    frame: &'a [u8],
    parts: Parts<'a>,
    at: u16,
    port: &'a SwitchPortConfig,
    tag: u16,
    now: u64,
}

fn is_red(meter: Option<&Meter>, arrival: &Arrival) -> bool {
    meter.is_some_and(|meter| meter.color(arrival.frame.len(), arrival.now) == Color::Red)
}

/// Destination and source.
fn addresses(parts: &Parts) -> Option<[MacAddr; 2]> {
    let (to, from) = parts.addresses.split_first_chunk()?;
    Some([MacAddr(*to), MacAddr(*from.first_chunk()?)])
}

/// The bit of a set before which there are so many others.
fn nth_bit(set: u64, before: u32) -> u64 {
    let rest = (0..before).fold(set, |rest, _| rest & rest.wrapping_sub(1));
    rest & rest.wrapping_neg()
}

/// A frame that has nowhere to go is discarded where it came in.
fn somewhere(way: Way) -> Result<Way, Refusal> {
    if way.is_nowhere() { Err(Refusal::Discarded) } else { Ok(way) }
}

/// A set of one interface.
pub(in crate::wriop) fn bit(at: usize) -> u64 {
    u32::try_from(at).ok().and_then(|at| 1u64.checked_shl(at)).unwrap_or(0)
}
