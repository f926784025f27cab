// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The command policy: what is refused is what is documented, and nothing else.

use super::Cases;
use mc_abi::{commands, common, dpmng, CommandInfo, Message, ObjectType};
use proptest::prelude::*;
use std::collections::BTreeSet;
use vfio_fsl_mc_core::command::{Command, Status};
use vfio_fsl_mc_core::policy::{answer, decide, judge, Mode, Rule, Verdict};

const KERNEL: u16 = 0x1234;

/// What the module's documentation lists, besides CLOSE.
const REFUSED: [(u16, Rule); 4] = [
    (0x010, Rule::InterruptAddress),
    (0x15f, Rule::InterruptAddress),
    (0x151, Rule::IsolationContext),
    (0x905, Rule::IsolationContext),
];

fn documented(number: u16, token: u16, own_token: u16) -> Option<Rule> {
    if number == 0x800 {
        return (own_token == token).then_some(Rule::DriverToken);
    }
    let listed = REFUSED.iter().find(|(refused, _)| *refused == number);
    listed.map(|(_, rule)| *rule)
}

#[test]
fn what_is_refused_is_what_is_documented() {
    let own_tokens = [KERNEL, 0];
    let tokens = [
        KERNEL,
        0,
        1,
        KERNEL - 1,
        KERNEL + 1,
        KERNEL.swap_bytes(),
        u16::MAX,
    ];
    let mut refused = BTreeSet::new();
    let mut cases = Cases::one_in_miri(13);
    for own_token in own_tokens {
        for number in 0..0x1000 {
            for version in 0..=15 {
                for token in tokens {
                    if !cases.take() {
                        continue;
                    }
                    let command = Command::new(number, version, token);
                    for command in [command, command.with_high_priority()] {
                        let refusal = judge(&command, || own_token);
                        let expected = documented(number, token, own_token);
                        assert_eq!(refusal.map(|r| r.rule), expected, "{number:#x} {token:#x}");
                        if let Some(refusal) = refusal {
                            assert!(refusal.reason.contains(": "), "says what to do instead");
                            refused.insert(number);
                        }
                    }
                }
            }
        }
    }
    assert_eq!(refused, BTreeSet::from([0x010, 0x151, 0x15f, 0x800, 0x905]));
}

/// Numbers mean different things in different families: what is refused by its
/// number must not be another family's harmless command.
#[test]
fn no_other_family_has_a_refused_number() {
    let is_refused =
        |info: &&CommandInfo| REFUSED.iter().any(|(refused, _)| *refused == info.number);
    let mut names = BTreeSet::new();
    for info in common::COMMANDS.iter().filter(is_refused) {
        names.insert(("common".to_owned(), info.name));
    }
    for info in dpmng::COMMANDS.iter().filter(is_refused) {
        names.insert(("dpmng".to_owned(), info.name));
    }
    for kind in ObjectType::ALL {
        for info in commands(kind).iter().filter(is_refused) {
            names.insert((kind.to_string(), info.name));
        }
    }
    let expected = [
        ("common".to_owned(), "SetIrq"),
        ("dprc".to_owned(), "CreateContainer"),
        ("dprc".to_owned(), "SetObjectIrq"),
    ];
    assert_eq!(names, BTreeSet::from(expected));
}

/// What DPDK sends from its start to its end, and what a guest's Linux and a
/// VMM send for it, by number; 0x800 with a token of their own.
const NEEDED: &[u16] = &[
    0x002, 0x003, 0x004, 0x005, 0x006, 0x012, 0x014, 0x016, 0x017, 0x0e0, 0x0e3, 0x0e4, 0x100,
    0x120, 0x157, 0x158, 0x159, 0x15a, 0x15e, 0x167, 0x168, 0x16c, 0x200, 0x20b, 0x210, 0x212,
    0x215, 0x216, 0x21a, 0x220, 0x222, 0x224, 0x225, 0x226, 0x228, 0x230, 0x25d, 0x25f, 0x260,
    0x262, 0x263, 0x265, 0x266, 0x267, 0x26c, 0x273, 0x274, 0x278, 0x800, 0x801, 0x803, 0x804,
    0x805, 0x807, 0x808, 0x80b, 0x830, 0x831, 0x832, 0x901, 0x903, 0x904, 0x908, 0x90b, 0x981,
    0x983, 0x984, 0x988, 0x98b, 0xa01, 0xa05,
];

#[test]
fn what_dpdk_and_guests_need_is_sent() {
    for number in NEEDED {
        for version in 1..=6 {
            let command = Command::new(*number, version, KERNEL + 1);
            assert_eq!(
                decide(&command, || KERNEL, || Mode::Strict),
                Verdict::Send,
                "{number:#x}"
            );
        }
    }
}

#[test]
fn modes_have_names() {
    for mode in [Mode::Strict, Mode::Log, Mode::Off] {
        let name = mode.name();
        assert_eq!(Mode::parse(name.as_bytes()), Some(mode));
        assert_eq!(Mode::parse(format!("{name}\n").as_bytes()), Some(mode));
        assert_eq!(Mode::parse(format!("{name}x").as_bytes()), None);
        assert_eq!(Mode::parse(format!(" {name}").as_bytes()), None);
        assert_eq!(Mode::parse(name.to_uppercase().as_bytes()), None);
    }
    assert_eq!(Mode::parse(b""), None);
    assert_eq!(Mode::default(), Mode::Strict);
}

proptest! {
    #[test]
    fn the_mode_says_what_a_broken_rule_costs(words: [u64; 8], kernel_token: u16) {
        let own_token = || kernel_token;
        let command = Command(words);
        let refusal = judge(&command, own_token);
        let under = |mode| decide(&command, own_token, || mode);
        prop_assert_eq!(under(Mode::Off), Verdict::Send);
        prop_assert_eq!(under(Mode::Log), refusal.map_or(Verdict::Send, Verdict::SendAndLog));
        prop_assert_eq!(under(Mode::Strict), refusal.map_or(Verdict::Send, Verdict::Refuse));
    }

    /// A refused command looks as if the MC had refused it: the same header with
    /// another status, and nothing of the request.
    #[test]
    fn a_refused_command_is_answered(words: [u64; 8]) {
        let answer = answer(&Command(words));
        let message = Message::from_bytes(&answer.to_bytes());
        let sent = Message::from_bytes(&Command(words).to_bytes());
        prop_assert_eq!(message.header, sent.header.with_status(mc_abi::Status::NoPrivilege));
        prop_assert_eq!(message.params.0, [0; 56]);
        prop_assert_eq!(answer.status(), Status::NoPrivilege.byte());
    }
}
