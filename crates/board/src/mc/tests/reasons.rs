// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a trace says of refused commands: refusals with the same status are told
//! apart by their reasons.

use crate::mc::{Record, containers, dispatch, portal::record, testing::TestMc};
use mc_abi::{
    Header, Message, ObjectId, ObjectType, Params, Request, Status, Token, common, dpbp,
    dprc::{self, option},
};

/// The line of a trace for a message through portal 0 of a container.
fn line(mc: &mut TestMc, container: Option<u32>, message: &Message) -> String {
    let done = dispatch::execute(&mut mc.state, container, message, true);
    let record: Record = record(0, container, message, &done);
    record.to_string()
}

fn refused(mc: &mut TestMc, token: Token, request: &impl Request) -> String {
    let line = line(mc, Some(containers::ROOT), &request.message(token));
    line.rsplit(" -> ").next().expect("a line has words").to_owned()
}

fn connect(one: ObjectId, two: ObjectId) -> dprc::Connect {
    dprc::Connect {
        kind1: one.kind,
        id1: one.id,
        kind2: two.kind,
        id2: two.id,
        ..Default::default()
    }
}

#[test]
fn refusals_with_the_same_status_have_their_own_reasons() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let own = mc.create(&dpbp::Create {}).expect("a dpbp can be made");
    let (poor, inside) =
        mc.make_container_in(root, option::OBJ_CREATE | option::ALLOC).expect("a container");
    let theirs = mc.create_in(inside, &dpbp::Create {}).expect("a dpbp can be made there");
    let gone = ObjectId::new(ObjectType::Dpni, 77);

    let connects = [
        (root, connect(gone, own), "no privilege (0x4): there is no dpni.77"),
        (
            inside,
            connect(theirs, theirs),
            "no privilege (0x4): dprc.2 lacks the option TOPOLOGY_CHANGES",
        ),
    ];
    for (token, request, expected) in connects {
        assert_eq!(refused(&mut mc, token, &request), expected);
    }
    let foreign = mc.make_container_in(root, option::TOPOLOGY_CHANGES).expect("a container").1;
    assert_eq!(
        refused(&mut mc, foreign, &connect(own, theirs)),
        "no privilege (0x4): dpbp.0 is not in dprc.3 or below"
    );

    let moved = |id: u32| dprc::Assign {
        container: poor,
        options: dprc::request::EXPLICIT,
        base_or_align: id,
        kind: mc_abi::ResourceType::new("dpbp"),
        ..Default::default()
    };
    assert_eq!(refused(&mut mc, root, &moved(9)), "no resources (0x8): there is no dpbp.9");
    assert_eq!(
        refused(&mut mc, root, &moved(theirs.id)),
        "no privilege (0x4): dpbp.1 is not in dprc.1"
    );
}

#[test]
fn tokens_and_portals_without_authority_say_why() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let message = common::Enable {}.message(Token(0x4711));
    let expected = [
        (
            Some(1),
            "portal 0 of dprc.1: token 0x4711 command 0x002 v1 -> authentication error (0x3): token 0x4711 stands for no open object",
        ),
        (
            None,
            "portal 0: token 0x4711 command 0x002 v1 -> authentication error (0x3): the portal belongs to no container",
        ),
    ];
    for (container, text) in expected {
        assert_eq!(line(&mut mc, container, &message), text);
    }
    // An object of the parent's, opened by the child.
    let (id, token) = mc.make(&dpbp::Create {});
    let theirs = line(&mut mc, Some(child), &common::Enable {}.message(token));
    assert!(theirs.ends_with("(0x3): dpbp.0 is not in dprc.2 or below"), "{theirs}");
    let opened = line(&mut mc, Some(child), &Message::open(id));
    assert!(opened.ends_with("(0x3): dpbp.0 is not in dprc.2 or below"), "{opened}");
}

/// A message with its status and nothing else is what went to software before and
/// goes there now.
#[test]
fn a_reason_stays_in_the_trace() {
    let mut mc = TestMc::new();
    let message = common::Enable {}.message(Token(9));
    let done = dispatch::execute(&mut mc.state, Some(containers::ROOT), &message, true);
    let expected = message.header.with_status(Status::AuthenticationError);
    assert_eq!(done.answer, Message { header: Header(expected.0), params: Params::ZERO });
}
