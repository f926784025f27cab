// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the Management Complex may program into an interface, as its commands ask for.

use crate::world::{ATTACKER, BUFFER, OWN_POOLS, PORT, SWITCH, confirm, errors, mac, rx, tx};
use arbitrary::Arbitrary;
use board::wriop::{
    ChannelSchedule, ClassTurn, Color, Distribution, Endpoint, ErrorActions, InterfaceConfig,
    KeyProfile, Layout, MAX_KEY_SIZE, MacFilter, MeterConfig, MeterMode, MeterUnit, Policer, Pool,
    QosAction, QosMiss, QosTable, ReceiveClass, ReceiveConfig, ReceiveQueue, Redirect, Rule,
    Schedule, ShaperConfig, Spread, Steering, SteeringAction, SteeringMiss, TransmitConfig,
    TransmitQueue,
};
use mc_abi::MacAddr;

#[derive(Debug, Arbitrary)]
pub struct Settings {
    peer: u8,
    flags: u16,
    layout: [u8; 4],
    pools: [PoolSettings; 2],
    hash: Option<Key>,
    steering: Option<(Key, Vec<RuleSettings>)>,
    qos: Option<(Key, Vec<RuleSettings>)>,
    errors: [u32; 3],
    max_length: u16,
    vlans: Option<Vec<u16>>,
    meter: Option<[u16; 4]>,
    /// Rates and bursts of what is sent.
    shaper: Option<[u16; 4]>,
    tpids: [u16; 2],
}

#[derive(Debug, Arbitrary, Clone, Copy)]
struct PoolSettings {
    size: u16,
    backup: bool,
    selector: u8,
}

/// A description as software writes it into memory.
#[derive(Debug, Arbitrary)]
struct Key {
    extractions: Vec<[u8; 24]>,
}

impl Key {
    fn profile(&self) -> Option<KeyProfile> {
        let count = self.extractions.len().min(20);
        let mut description = vec![count as u8, 0, 0, 0, 0, 0, 0, 0];
        for extraction in &self.extractions[..count] {
            let mut bytes = *extraction;
            // Protocol, size, number of masks and kind, which only few values are.
            for (at, values) in [(0, 45), (2, 17), (11, 5), (12, 4)] {
                bytes[at] %= values;
            }
            description.extend(bytes);
        }
        KeyProfile::parse(&description).ok()
    }
}

#[derive(Debug, Arbitrary)]
struct RuleSettings {
    key: [u8; 16],
    mask: Option<[u8; 16]>,
    size: u8,
    index: u8,
    action: u8,
}

impl RuleSettings {
    fn rule<A>(&self, action: A) -> Rule<A> {
        let long = |bytes: [u8; 16]| {
            let mut long = [0; MAX_KEY_SIZE];
            long[..16].copy_from_slice(&bytes);
            long
        };
        Rule {
            key: long(self.key),
            mask: self.mask.map(long),
            size: self.size % 57,
            index: self.index.into(),
            action,
        }
    }
}

impl Settings {
    /// The interface `id`, of two that are the attacker's.
    pub fn config(&self, id: u32) -> InterfaceConfig {
        InterfaceConfig {
            icid: ATTACKER,
            enabled: self.flags & 0x1f != 0x1f,
            peer: match self.peer % 5 {
                0 => None,
                1 => Some(Endpoint::Interface(7 - id)),
                // A frame that comes back to where it was sent.
                2 => Some(Endpoint::Interface(id)),
                3 => Some(Endpoint::Port(PORT)),
                _ => Some(Endpoint::Switch { id: SWITCH, port: id as u16 }),
            },
            transmit: self.transmit(id),
            receive: self.receive(id),
        }
    }

    fn flag(&self, bit: u8) -> bool {
        self.flags >> bit & 1 != 0
    }

    fn transmit(&self, id: u32) -> TransmitConfig {
        let confirmation = self.flag(5).then_some(confirm(id));
        TransmitConfig {
            queues: vec![TransmitQueue { fqid: tx(id), channel: 0, class: 0, confirmation }],
            l3_checksum: self.flag(6),
            l4_checksum: self.flag(7),
            tpids: self.tpids,
            schedule: self.schedule(),
        }
    }

    fn schedule(&self) -> Option<Schedule> {
        let [rate, burst, excess_rate, excess_burst] = self.shaper?;
        let shaper = Some(ShaperConfig {
            committed_rate: u64::from(rate) * 1_000_000,
            committed_burst: burst.into(),
            excess_rate: u64::from(excess_rate) * 1_000_000,
            excess_burst: excess_burst.into(),
            coupled: rate & 1 != 0,
            overhead: burst & 0x7ff,
        });
        let classes = vec![ClassTurn { rank: 0, weight: 100 }];
        let channels = vec![ChannelSchedule { shaper, classes }];
        Some(Schedule { whole: shaper.filter(|_| self.flag(0)), channels })
    }

    fn receive(&self, id: u32) -> ReceiveConfig {
        let pools = self.pools.iter().zip(OWN_POOLS);
        let pools = pools.map(|(pool, bpid)| {
            let PoolSettings { size, backup, selector } = *pool;
            // Mostly for all frames, and as large as buffers are.
            let selector = if selector & 0xc0 == 0 { selector } else { 0 };
            let size = if size & 0xe000 == 0 { size } else { BUFFER };
            Pool { bpid, size, backup, selector }
        });
        // Few bits, or all frames would have an error of some kind.
        let [discard, divert, unnoted] =
            self.errors.map(|bits| bits & bits.rotate_left(7) & bits.rotate_left(13));
        let max_length = if self.max_length & 0xe000 == 0 { self.max_length } else { 1518 };
        let vlans = self.vlans.as_ref();
        ReceiveConfig {
            layout: self.layout(),
            pools: pools.collect(),
            pools_by_queue: self.flag(8),
            classes: vec![self.class(id), self.class(id)],
            qos: self.qos(),
            error_queue: errors(id),
            errors: ErrorActions { discard, divert, unnoted },
            max_length,
            macs: MacFilter {
                primary: MacAddr(mac(id)),
                others: Vec::new(),
                all_unicast: self.flag(9),
                all_multicast: self.flag(10),
            },
            vlans: vlans.map(|vlans| vlans.iter().map(|vlan| (vlan & 0xfff, None)).collect()),
            l3_checksum: self.flag(11),
            l4_checksum: self.flag(12),
            hash_in_flow_context: self.flag(13),
            tpids: self.tpids,
        }
    }

    /// Within what the Management Complex lets software set.
    fn layout(&self) -> Layout {
        let [private, head_room, tail_room, align] = self.layout;
        Layout {
            private: u16::from(private % 65),
            head_room: u16::from(head_room) * 2,
            tail_room: u16::from(tail_room) * 2,
            align: if align & 1 == 0 { 0 } else { 1 << (align >> 1 & 7) },
            timestamp: align & 0x20 != 0,
            parse_result: align & 0x40 != 0,
            status: align & 0x80 != 0,
        }
    }

    fn class(&self, id: u32) -> ReceiveClass {
        let hash = self.hash.as_ref().and_then(Key::profile);
        let steering = self.steering.as_ref().and_then(|(key, rules)| {
            let rules = rules.iter().take(8).map(|settings| {
                let action = settings.action;
                settings.rule(match action % 4 {
                    0 => SteeringAction::Discard,
                    1 => SteeringAction::Redirect(u16::from(action >> 2) % 2),
                    _ => SteeringAction::Queue {
                        queue: u16::from(action >> 2) % 2,
                        flow_context: (action & 0x80 != 0).then_some(9),
                    },
                })
            });
            let redirect = |transmit| Redirect { transmit, targets: vec![3, 4] };
            Some(Steering {
                key: key.profile()?,
                rules: rules.collect(),
                miss: if self.flag(14) { SteeringMiss::Discard } else { SteeringMiss::Queue(0) },
                redirects: vec![redirect(false), redirect(true)],
            })
        });
        let queue = ReceiveQueue { fqid: rx(id), flow_context: 0 };
        ReceiveClass {
            queues: vec![queue; 2],
            distribution: Distribution { steering, hash: hash.map(|key| Spread { key, size: 2 }) },
            policer: self.meter.map(|[rate, burst, excess_rate, excess_burst]| Policer {
                meter: (rate & 1 != 0).then_some(MeterConfig {
                    mode: if rate & 2 != 0 {
                        MeterMode::TwoRate
                    } else {
                        MeterMode::Differentiated
                    },
                    unit: if rate & 4 != 0 { MeterUnit::Frames } else { MeterUnit::Bytes },
                    committed_rate: u64::from(rate) << 10,
                    committed_burst: burst.into(),
                    excess_rate: u64::from(excess_rate) << 10,
                    excess_burst: excess_burst.into(),
                    initial: Color::Green,
                }),
                initial: Color::Yellow,
                from_layer3: rate & 8 != 0,
                drops: rate & 16 != 0,
            }),
        }
    }

    fn qos(&self) -> Option<QosTable> {
        let (key, rules) = self.qos.as_ref()?;
        let action = |action: u8| QosAction {
            class: action & 1,
            queue: (action & 4 != 0).then_some(action >> 1 & 1),
        };
        let rules = rules.iter().take(8).map(|rule| rule.rule(action(rule.action)));
        Some(QosTable {
            key: key.profile()?,
            rules: rules.collect(),
            miss: if self.flag(15) { QosMiss::Discard } else { QosMiss::To(action(0)) },
        })
    }
}
