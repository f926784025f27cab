// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Every command of every family, by the tables.

pub(crate) mod vectors;

use crate::*;
use proptest::prelude::*;
use std::{collections::BTreeSet, format, vec, vec::Vec};

fn families() -> Vec<(&'static str, &'static [CommandInfo])> {
    vec![
        ("common", common::COMMANDS),
        ("dpaiop", dpaiop::COMMANDS),
        ("dpbp", dpbp::COMMANDS),
        ("dpci", dpci::COMMANDS),
        ("dpcon", dpcon::COMMANDS),
        ("dpdbg", dpdbg::COMMANDS),
        ("dpdcei", dpdcei::COMMANDS),
        ("dpdmai", dpdmai::COMMANDS),
        ("dpdmux", dpdmux::COMMANDS),
        ("dpio", dpio::COMMANDS),
        ("dpmac", dpmac::COMMANDS),
        ("dpmcp", dpmcp::COMMANDS),
        ("dpmng", dpmng::COMMANDS),
        ("dpni", dpni::COMMANDS),
        ("dprc", dprc::COMMANDS),
        ("dprtc", dprtc::COMMANDS),
        ("dpseci", dpseci::COMMANDS),
        ("dpsw", dpsw::COMMANDS),
    ]
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
