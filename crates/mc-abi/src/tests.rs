// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Every command of every family, by the tables.

pub(crate) mod vectors;

use crate::*;
use proptest::prelude::*;
use std::{collections::BTreeSet, format, vec::Vec};

fn families() -> Vec<(&'static str, &'static [CommandInfo])> {
    let of_objects = ObjectType::ALL.map(|kind| (kind.name(), commands(kind)));
    let others = [("common", common::COMMANDS), ("dpmng", dpmng::COMMANDS)];
    of_objects.into_iter().chain(others).collect()
}

/// A stream of random words (splitmix64).
fn stream(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn numbers_are_unique_in_a_family() {
    for (family, commands) in families() {
        let mut seen = BTreeSet::new();
        for command in commands {
            assert!(command.number <= 0xfff, "{family}::{}", command.name);
            assert!((1..=15).contains(&command.max_version), "{family}::{}", command.name);
            assert!(seen.insert(command.number), "{family}::{} twice", command.name);
        }
    }
}

#[test]
fn messages_keep_their_bytes() {
    let mut next = stream(7);
    for _ in 0..1000 {
        let mut bytes = [0; Message::SIZE];
        bytes.fill_with(|| next() as u8);
        assert_eq!(Message::from_bytes(&bytes).to_bytes(), bytes);
    }
}

#[test]
fn header_fields_are_where_clients_put_them() {
    // DPRC_OPEN of version 1, as Linux writes it.
    let message = Message::command(0x805, 1, Token(0), Params::ZERO);
    assert_eq!(message.header.0, 0x8051_0000_0001_0000);
    let answer = message.header.with_status(Status::Ok).with_token(Token(0x1234));
    assert_eq!(answer.0, 0x8051_1234_0000_0000);
    assert_eq!((answer.number(), answer.version()), (0x805, 1));
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(seed: u64) {
        let mut next = stream(seed);
        for (family, commands) in families() {
            for command in commands {
                for version in 1..=command.max_version {
                    prop_assert!(
                        (command.round_trip)(&mut next, version),
                        "{}::{} version {}", family, command.name, version
                    );
                }
            }
        }
    }

    #[test]
    fn no_message_panics(bytes: [u8; 32], more: [u8; 32], version in 0u8..16) {
        let mut block = [0; Message::SIZE];
        block[..32].copy_from_slice(&bytes);
        block[32..].copy_from_slice(&more);
        let message = Message::from_bytes(&block);
        let _ = format!("{message:?}");
        for (_, commands) in families() {
            for command in commands {
                (command.decodes)(&message.params, version);
            }
        }
    }

    #[test]
    fn status_bytes_come_back(byte: u8) {
        prop_assert_eq!(Status::from_byte(byte).byte(), byte);
    }
}

mod words {
    use crate::{InWords, Label, MacAddr, ObjectType, ResourceType, blocks, common, dpni, dprc};
    use std::string::ToString;

    fn words(value: &impl InWords, of: ObjectType) -> std::string::String {
        value.words(of).to_string()
    }

    #[test]
    fn objects_are_named() {
        use ObjectType::{Dpmac, Dpni, Dprc};
        let connect =
            dprc::Connect { kind1: Dpni, id1: 77, kind2: Dpmac, id2: 3, ..Default::default() };
        let expected = "{ one: dpni.77, interface1: 0, other: dpmac.3, interface2: 0, max_rate: 0, \
                        committed_rate: 0 }";
        assert_eq!(words(&connect, Dprc), expected);
        let command = dprc::Command::Connect(connect);
        assert_eq!(words(&command, Dprc), std::format!("Connect {expected}"));

        let mut assign = dprc::Assign {
            container: 2,
            options: dprc::request::EXPLICIT | dprc::request::PLUGGED,
            base_or_align: 5,
            kind: ResourceType::new("dpbp"),
            ..Default::default()
        };
        assert_eq!(
            words(&assign, Dprc),
            "{ container: dprc.2, options: 0x5 (EXPLICIT | PLUGGED), count: 0, object: dpbp.5 }"
        );
        assign.options = 0;
        assert_eq!(
            words(&assign, Dprc),
            "{ container: dprc.2, options: 0x0, count: 0, base_or_align: 5, kind: dpbp }"
        );
        let destination = blocks::Destination { id: 9, priority: 1, kind: 2 };
        assert_eq!(words(&destination, Dpni), "{ object: dpcon.9, priority: 1 }");
        let parked = blocks::Destination::default();
        assert_eq!(words(&parked, Dpni), "{ id: 0, priority: 0, kind: 0 }");
        let alone = dprc::GetConnectionReply { state: -1, ..Default::default() };
        assert_eq!(words(&alone, Dprc), "{ id: 0, interface: 0, kind: none, state: -1 }");
    }

    #[test]
    fn masks_offsets_and_defaults_are_readable() {
        use ObjectType::{Dpbp, Dpni, Dprc};
        let create = dprc::CreateContainer {
            options: dprc::option::SPAWN | dprc::option::IRQ_CFG | 0x400,
            icid: dprc::ICID_FROM_POOL,
            portal: dprc::PORTAL_FROM_POOL,
            label: Label::new("guest"),
        };
        assert_eq!(
            words(&create, Dprc),
            "{ options: 0x441 (SPAWN | IRQ_CFG | 0x400), icid: none, portal: none, label: \"guest\" }"
        );
        let made = dprc::CreateContainerReply { child: 2, portal_offset: 0x20_0000 };
        assert_eq!(words(&made, Dprc), "{ child: dprc.2, portal_offset: 0x200000 }");
        let mask = common::SetIrqMask { mask: 0x41, index: 0 };
        assert_eq!(words(&mask, Dprc), "{ mask: 0x41 (OBJ_ADDED | OBJ_CREATED), index: 0 }");
        assert_eq!(words(&mask, Dpni), "{ mask: 0x41 (LINK_CHANGED | 0x40), index: 0 }");
        assert_eq!(words(&mask, Dpbp), "{ mask: 0x41, index: 0 }");
        let address = dpni::SetPrimaryMacAddr { address: MacAddr([2, 0, 0, 0, 0, 1]) };
        assert_eq!(words(&address, Dpni), "{ address: 02:00:00:00:00:01 }");
        let counters = dpni::GetStatisticsReply { counters: [5, 0, 7, 0, 0, 0, 0] };
        assert_eq!(words(&counters, Dpni), "{ counters: [5, 0, 7, ..] }");
        assert_eq!(words(&(), Dpni), "");
        assert_eq!(words(&common::Command::Enable(common::Enable {}), Dpni), "Enable");
    }
}
