// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random frames through random switches, against a model that only has lists: of
//! who is in which VLAN, and of the frames that have come in so far.

use super::*;
use crate::wriop::switch::decide::{Refusal, Tables};
use proptest::prelude::*;

const PORTS: usize = 4;
const AGING: u64 = 300;

/// A VLAN of the model.
#[derive(Debug, Clone)]
struct ModelVlan {
    number: u16,
    members: [bool; PORTS],
    untagged: [bool; PORTS],
    /// 0 blocking to 3 forwarding.
    stp: [u8; PORTS],
    /// Number of the table.
    table: usize,
}

#[derive(Debug, Clone)]
struct Model {
    vlans: Vec<ModelVlan>,
    pvid: [u16; PORTS],
    up: [bool; PORTS],
    learns: [bool; PORTS],
    /// Where each of two tables floods.
    floods: [[bool; PORTS]; 2],
    /// What came in: table, station, interface, time. Only what may be learned.
    seen: Vec<(usize, u8, usize, u64)>,
}

/// A frame: destination (0: all; 1..: stations), source, tag.
type Arrival = (usize, u8, u8, Option<u16>, u64);

impl Model {
    /// Interfaces where the frame goes out and whether it has a tag there; `None`
    /// where it does not come in, or no interface is to send it.
    fn arrive(&mut self, (at, to, from, tag, now): Arrival) -> Option<Vec<(usize, bool)>> {
        let number = tag.filter(|vlan| *vlan != 0).unwrap_or(self.pvid[at]);
        if !self.up[at] {
            return None;
        }
        let vlan = self.vlans.iter().find(|vlan| vlan.number == number)?.clone();
        if !vlan.members[at] || vlan.stp[at] < 2 {
            return None;
        }
        if self.learns[at] {
            self.seen.push((vlan.table, from, at, now));
        }
        if vlan.stp[at] < 3 {
            return None;
        }
        // The last that was heard of the station, unless it is too long ago.
        let heard = self
            .seen
            .iter()
            .rev()
            .find(|(table, station, ..)| (*table, *station) == (vlan.table, to));
        let known = heard.filter(|(.., then)| now - then < AGING).map(|(_, _, at, _)| *at);
        if to != 0 && known == Some(at) {
            return None;
        }
        let mut out = Vec::new();
        let mut lost_there = false;
        for port in 0..PORTS {
            let chosen = match known {
                Some(known) if to != 0 => known == port,
                _ => self.floods[vlan.table][port],
            };
            if !chosen || port == at || !vlan.members[port] {
                continue;
            }
            if vlan.stp[port] == 3 && self.up[port] {
                out.push((port, !vlan.untagged[port]));
            } else {
                lost_there = true;
            }
        }
        (lost_there || !out.is_empty()).then_some(out)
    }

    /// The same as a switch's configuration.
    fn config(&self) -> SwitchConfig {
        let bits = |of: &dyn Fn(usize) -> bool| {
            (0..PORTS).filter(|at| of(*at)).fold(0, |s, at| s | 1 << at)
        };
        let tables = self.floods.map(|floods| table(bits(&|at| floods[at])));
        let mut config = config(PORTS);
        for (at, port) in config.ports.iter_mut().enumerate() {
            port.tag = self.pvid[at];
            port.peer = port.peer.filter(|_| self.up[at]);
            port.learning = if self.learns[at] { Learning::Hardware } else { Learning::Off };
        }
        config.vlans = self
            .vlans
            .iter()
            .map(|model| {
                let bits = |of: &dyn Fn(usize) -> bool| bits(of);
                SwitchVlan {
                    silent: bits(&|at| model.stp[at] < 3),
                    deaf: bits(&|at| model.stp[at] < 2),
                    ..vlan(
                        model.number,
                        bits(&|at| model.members[at]),
                        bits(&|at| model.untagged[at]),
                        &tables[model.table],
                    )
                }
            })
            .collect();
        config
    }
}

prop_compose! {
    fn any_vlan(number: u16)(
        members: [bool; PORTS],
        untagged: [bool; PORTS],
        stp in prop::array::uniform4(prop_oneof![1 => 0u8..3, 3 => Just(3u8)]),
        table in 0usize..2,
    ) -> ModelVlan {
        ModelVlan { number, members, untagged, stp, table }
    }
}

prop_compose! {
    fn any_model()(
        vlans in (any_vlan(1), any_vlan(2), any_vlan(7)),
        pvid in prop::array::uniform4(prop::sample::select(vec![1u16, 2, 7, 9])),
        up in prop::array::uniform4(prop::bool::weighted(0.9)),
        learns in prop::array::uniform4(prop::bool::weighted(0.8)),
        floods: [[bool; PORTS]; 2],
    ) -> Model {
        let (one, two, seven) = vlans;
        Model { vlans: vec![one, two, seven], pvid, up, learns, floods, seen: Vec::new() }
    }
}

fn station(number: u8) -> [u8; 6] {
    if number == 0 { [0xff; 6] } else { [2, 0, 0, 0, 0, number] }
}

proptest! {
    #[test]
    fn frames_go_where_the_lists_say(
        model in any_model(),
        frames in prop::collection::vec(
            (
                0..PORTS,
                0u8..5,
                1u8..5,
                prop::option::of(prop::sample::select(vec![0u16, 1, 2, 7, 9])),
                0u64..120,
            ),
            1..60,
        ),
    ) {
        let mut model = model;
        let tables = Tables::new(model.config(), Tables::default());
        let mut now = 1000;
        for (at, to, from, tag, later) in frames {
            now += later;
            let mut frame = crate::wriop::tests::testing::ethernet(station(to), station(from), 60);
            if let Some(tag) = tag {
                let [high, low] = tag.to_be_bytes();
                frame.splice(12..12, [0x81, 0, high, low]);
            }
            let expected = model.arrive((at, to, from, tag, now));
            let decision = tables.decide(&frame, at as u16, now);
            match (decision.way, expected) {
                (Ok(way), Some(out)) => {
                    let sent: Vec<_> = (0..PORTS)
                        .filter(|at| way.out & 1 << at != 0)
                        .map(|at| (at, way.untagged & 1 << at == 0))
                        .collect();
                    prop_assert_eq!(sent, out);
                    prop_assert!(!way.control && !decision.mirrored);
                }
                (Err(Refusal::Filtered | Refusal::Discarded), None) => {}
                (way, expected) => prop_assert!(false, "{way:?} instead of {expected:?}"),
            }
        }
    }

    /// Whatever comes in and however it is set up: no panic, and nothing goes back
    /// or to interfaces that are not there.
    #[test]
    fn any_bytes_at_any_interface(
        model in any_model(),
        frames in prop::collection::vec(
            (0u16..8, prop::collection::vec(any::<u8>(), 0..80)), 1..20
        ),
        rules in prop::collection::vec((any::<[u8; 32]>(), any::<[u8; 34]>(), 0u8..4), 0..4),
    ) {
        let mut config = model.config();
        let rule = |(one, two, action): ([u8; 32], [u8; 34], u8)| {
            let mut key = [0; ACL_KEY_SIZE];
            key[..32].copy_from_slice(&one);
            key[32..].copy_from_slice(&two);
            let action = match action {
                0 => AclAction::Drop,
                1 => AclAction::Redirect(u16::from(one[0]) % 6),
                2 => AclAction::Accept,
                _ => AclAction::ToControl,
            };
            AclRule { key: AclKey::parse(&key), precedence: 0, action }
        };
        config.lists = vec![rules.into_iter().map(rule).collect()];
        config.ports[1].list = Some(0);
        config.ports[2].priority = PrioritySource::CodePoint;
        config.groups = vec![0b1100];
        let tables = Tables::new(config, Tables::default());
        for (at, frame) in frames {
            if let Ok(way) = tables.decide(&frame, at, 5).way {
                prop_assert_eq!(way.out >> PORTS, 0);
                prop_assert_eq!(way.out & 1 << at, 0);
                prop_assert!(!way.control, "there is no control interface");
            }
        }
    }
}
