// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How received frames find their traffic class and queue: a rule of the QoS
//! table, a rule of the class, a hash.

use super::{
    config::{
        Distribution, QosAction, QosMiss, QosTable, ReceiveConfig, Steered, SteeringAction,
        SteeringMiss,
    },
    hash::hash,
    key::{Key, KeyProfile},
    parser::Parsed,
    rules::Table,
};
use qbman_abi::annotation::status;

/// The tables of an interface, ready for frames.
#[derive(Debug, Default)]
pub(super) struct Distributor {
    qos: Option<(KeyProfile, Table<QosAction>, QosMiss)>,
    classes: Vec<Class>,
    /// Whether software wants the hash of each frame, if there is a key.
    wants_hash: bool,
}

#[derive(Debug, Default)]
struct Class {
    steering: Option<(KeyProfile, Table<SteeringAction>, SteeringMiss)>,
    hash: Option<(KeyProfile, u32)>,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Choice {
    pub class: u8,
    pub queue: u16,
    /// The hash of the frame, where one was computed.
    pub hash: u32,
    /// What a rule gives frames as their flow context.
    pub flow_context: Option<u64>,
    /// Errors that were met: bits of [`status`].
    pub errors: u32,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    Queue(Choice),
    Discard,
    /// Other interfaces: the number of a redirection of a class.
    Redirect {
        class: u8,
        index: u16,
    },
}

impl Distributor {
    pub fn new(config: &ReceiveConfig) -> Self {
        let qos = config
            .qos
            .as_ref()
            .map(|QosTable { key, rules, miss }| (key.clone(), Table::new(rules), *miss));
        let class = |distribution: &Distribution| Class {
            steering: distribution
                .steering
                .as_ref()
                .map(|steering| (steering.key.clone(), Table::new(&steering.rules), steering.miss)),
            hash: distribution.hash.as_ref().and_then(|hash| {
                (!hash.key.is_empty() && hash.size > 0)
                    .then(|| (hash.key.clone(), hash.size.into()))
            }),
        };
        Self {
            qos,
            classes: config.classes.iter().map(|c| class(&c.distribution)).collect(),
            wants_hash: config.hash_in_flow_context,
        }
    }

    /// Where a frame goes; `filtered` is the queue that the entry of a filter
    /// names, which comes before all rules.
    #[inline(always)]
    pub fn choose(&self, frame: &[u8], parsed: &Parsed, filtered: Option<Steered>) -> Chosen {
        let mut choice = Choice::default();
        let fixed = match (filtered, &self.qos) {
            (Some(Steered { class, queue }), _) => {
                choice.class = class;
                Some(queue.into())
            }
            (None, Some((key, rules, miss))) => {
                let mut room = Key::EMPTY;
                let key = choice.key(&mut room, key, frame, parsed);
                let action = match (rules.find(key), miss) {
                    (Some(action), _) => action,
                    (None, QosMiss::To(action)) => *action,
                    (None, QosMiss::Discard) => return Chosen::Discard,
                };
                choice.class = action.class;
                action.queue.map(u16::from)
            }
            (None, None) => None,
        };
        let Some(class) = self.classes.get(usize::from(choice.class)) else {
            return Chosen::Discard;
        };
        let steered = match (fixed, &class.steering) {
            (Some(queue), _) => Some(queue),
            (None, Some((key, rules, miss))) => {
                let mut room = Key::EMPTY;
                let key = choice.key(&mut room, key, frame, parsed);
                match (rules.find(key), miss) {
                    (Some(SteeringAction::Discard), _) => return Chosen::Discard,
                    (Some(SteeringAction::Redirect(index)), _) => {
                        return Chosen::Redirect { class: choice.class, index };
                    }
                    (Some(SteeringAction::Queue { queue, flow_context }), _) => {
                        choice.flow_context = flow_context;
                        Some(queue)
                    }
                    // Spreading by hash comes before what is said of a miss
                    // (`dpni_rx_dist_cfg`).
                    (None, _) if class.hash.is_some() => None,
                    (None, SteeringMiss::Queue(queue)) => Some(*queue),
                    (None, SteeringMiss::Discard) => return Chosen::Discard,
                }
            }
            (None, None) => None,
        };
        let mut spread = 0;
        if let Some((key, size)) = &class.hash
            && (steered.is_none() || self.wants_hash)
        {
            let mut room = Key::EMPTY;
            let key = choice.key(&mut room, key, frame, parsed);
            choice.hash = hash(key.as_slice());
            spread = (choice.hash % size) as u16;
        }
        choice.queue = steered.unwrap_or(spread);
        Chosen::Queue(choice)
    }
}

impl Choice {
    /// The key of a frame, put where there is an empty one; notes where it does not fit.
    #[inline]
    fn key<'k>(
        &mut self,
        key: &'k mut Key,
        profile: &KeyProfile,
        frame: &[u8],
        parsed: &Parsed,
    ) -> &'k Key {
        profile.extract_to(key, frame, parsed);
        if key.overflowed {
            self.errors |= status::KEY_SIZE_ERROR;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wriop::{parser::parse, *};

    /// The destination's address as the key.
    fn key() -> KeyProfile {
        let mut description = [0; 32];
        description[0] = 1;
        (description[8], description[9], description[12]) = (2, 2, 1);
        KeyProfile::parse(&description).expect("a key")
    }

    fn rule<A>(last: u8, action: A) -> Rule<A> {
        let mut key = [0; MAX_KEY_SIZE];
        (key[0], key[5]) = (2, last);
        Rule { key, mask: None, size: 6, index: 0, action }
    }

    fn choose(config: &ReceiveConfig, last: u8, filtered: Option<Steered>) -> Chosen {
        let mut frame = [0; 60];
        (frame[0], frame[5]) = (2, last);
        Distributor::new(config).choose(&frame, &parse(&frame, [0; 2]), filtered)
    }

    fn to(config: &ReceiveConfig, last: u8) -> Option<(u8, u16)> {
        match choose(config, last, None) {
            Chosen::Queue(choice) => Some((choice.class, choice.queue)),
            Chosen::Discard | Chosen::Redirect { .. } => None,
        }
    }

    #[test]
    fn rules_come_before_the_hash_and_the_hash_before_a_miss() {
        let mut config =
            ReceiveConfig { classes: vec![ReceiveClass::default(); 2], ..Default::default() };
        assert_eq!(to(&config, 1), Some((0, 0)));
        let queue = |queue| SteeringAction::Queue { queue, flow_context: Some(7) };
        let rules = vec![rule(1, queue(3)), rule(2, SteeringAction::Discard)];
        let miss = SteeringMiss::Queue(4);
        let steering = Steering { key: key(), rules, miss, redirects: Vec::new() };
        config.classes[0].distribution.steering = Some(steering);
        assert_eq!([1, 2, 3].map(|last| to(&config, last)), [Some((0, 3)), None, Some((0, 4))]);
        let spread = Spread { key: key(), size: 4 };
        config.classes[0].distribution.hash = Some(spread);
        let hashed = hash(&[2, 0, 0, 0, 0, 3]);
        assert_eq!(to(&config, 3), Some((0, (hashed % 4) as u16)));
        let Chosen::Queue(choice) = choose(&config, 1, None) else { panic!("discarded") };
        assert_eq!((choice.flow_context, choice.hash), (Some(7), 0));
        config.hash_in_flow_context = true;
        let Chosen::Queue(choice) = choose(&config, 1, None) else { panic!("discarded") };
        assert_eq!((choice.queue, choice.hash), (3, hash(&[2, 0, 0, 0, 0, 1])));
    }

    #[test]
    fn the_qos_table_chooses_the_class_and_perhaps_the_queue() {
        let mut config =
            ReceiveConfig { classes: vec![ReceiveClass::default(); 2], ..Default::default() };
        config.classes[1].distribution.hash = Some(Spread { key: key(), size: 1 });
        let action = |class, queue| QosAction { class, queue };
        let rules =
            vec![rule(1, action(1, None)), rule(2, action(1, Some(5))), rule(3, action(9, None))];
        let mut table = QosTable { key: key(), rules, miss: QosMiss::To(action(0, Some(2))) };
        config.qos = Some(table.clone());
        let places = [1, 2, 3, 4].map(|last| to(&config, last));
        assert_eq!(places, [Some((1, 0)), Some((1, 5)), None, Some((0, 2))]);
        table.miss = QosMiss::Discard;
        config.qos = Some(table);
        assert_eq!(to(&config, 4), None);
        // An entry of a filter knows better.
        let chosen = choose(&config, 4, Some(Steered { class: 1, queue: 6 }));
        assert!(matches!(chosen, Chosen::Queue(Choice { class: 1, queue: 6, .. })));
    }

    /// Of many flows each queue gets about its part.
    #[test]
    fn flows_are_spread_evenly() {
        let mut config =
            ReceiveConfig { classes: vec![ReceiveClass::default()], ..Default::default() };
        for size in [2, 3, 7, 16] {
            config.classes[0].distribution.hash = Some(Spread { key: key(), size });
            let distributor = Distributor::new(&config);
            let mut counts = vec![0; usize::from(size)];
            for flow in 0u16..6000 {
                let mut frame = [0; 60];
                frame[4..6].copy_from_slice(&flow.to_be_bytes());
                let chosen = distributor.choose(&frame, &parse(&frame, [0; 2]), None);
                let Chosen::Queue(choice) = chosen else { panic!("discarded") };
                counts[usize::from(choice.queue)] += 1;
            }
            let fair = 6000 / i32::from(size);
            assert!(counts.iter().all(|count| (count - fair).abs() < fair / 3), "{counts:?}");
        }
    }
}
