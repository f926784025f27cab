// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Who may connect what.

use crate::mc::testing::TestMc;
use mc_abi::{
    ObjectId, ObjectType, Status, dpbp, dpci, dpmac, dpni,
    dprc::{self, option},
};

fn dpci(mc: &mut TestMc) -> ObjectId {
    mc.create(&dpci::Create { num_of_priorities: 1, options: 0 }).unwrap()
}

fn ask(id: ObjectId) -> dprc::GetConnection {
    dprc::GetConnection { id: id.id, interface: 0, kind: id.kind }
}

fn connect(one: ObjectId, two: ObjectId) -> dprc::Connect {
    dprc::Connect {
        id1: one.id,
        kind1: one.kind,
        id2: two.id,
        kind2: two.kind,
        ..Default::default()
    }
}

fn disconnect(id: ObjectId) -> dprc::Disconnect {
    dprc::Disconnect { id: id.id, interface: 0, kind: id.kind }
}

#[test]
fn a_connection_is_seen_from_both_sides_until_it_ends() {
    let mut mc = TestMc::new();
    let (one, two) = (dpci(&mut mc), dpci(&mut mc));
    assert_eq!(mc.call(mc.root, &ask(one)).unwrap().state, -1);
    mc.connect((one, 0), (two, 0)).unwrap();
    for (end, peer) in [(one, two), (two, one)] {
        let reply = mc.call(mc.root, &ask(end)).unwrap();
        assert_eq!((reply.id, reply.interface), (peer.id, 0));
        assert_eq!(reply.kind.as_bytes(), b"dpci");
        assert_ne!(reply.state, -1);
    }
    mc.call(mc.root, &disconnect(two)).unwrap();
    assert_eq!(mc.call(mc.root, &ask(one)).unwrap().state, -1);
    assert_eq!(mc.call(mc.root, &disconnect(one)), Err(Status::NoResource));
}

#[test]
fn an_end_has_one_peer_of_the_right_family() {
    let mut mc = TestMc::new();
    let ids: Vec<_> = (0..3).map(|_| dpci(&mut mc)).collect();
    let dpbp = mc.create(&dpbp::Create {}).unwrap();
    mc.connect((ids[0], 0), (ids[1], 0)).unwrap();
    let busy = mc.connect((ids[2], 0), (ids[1], 0));
    assert_eq!(busy, Err(Status::ConfigurationError));
    let no_interface = mc.connect((ids[2], 0), (dpbp, 0));
    assert_eq!(no_interface, Err(Status::NoResource));
    assert_eq!(mc.connect((ids[2], 1), (ids[1], 0)), Err(Status::NoResource));
    assert_eq!(mc.connect((ids[2], 0), (ids[2], 0)), Err(Status::ConfigurationError));
    assert_eq!(mc.call(mc.root, &ask(dpbp)), Err(Status::NoResource));
}

#[test]
fn a_destroyed_object_leaves_its_peer_alone() {
    let mut mc = TestMc::new();
    let (one, two) = (dpci(&mut mc), dpci(&mut mc));
    mc.connect((one, 0), (two, 0)).unwrap();
    mc.destroy(one).unwrap();
    assert_eq!(mc.call(mc.root, &ask(two)).unwrap().state, -1);
    // The number returns without the connection (board observation).
    assert_eq!(dpci(&mut mc), one);
    assert_eq!(mc.call(mc.root, &ask(one)).unwrap().state, -1);
}

#[test]
fn interfaces_connect_to_ports_to_each_other_and_to_themselves() {
    let mut mc = TestMc::new();
    let (_, token) = mc.make_container();
    let port = mc.create(&dpmac::Create { mac: 3 }).unwrap();
    let one = mc.create(&dpni::Create::default()).unwrap();
    let two = mc.create(&dpni::Create::default()).unwrap();
    let far = mc.create_in(token, &dpni::Create::default()).unwrap();
    mc.connect((one, 0), (port, 0)).unwrap();
    mc.connect((two, 0), (far, 0)).unwrap();
    // Cross-container: each side sees the other's name.
    assert_eq!(mc.call(token, &ask(far)).unwrap().id, two.id);
    mc.call(mc.root, &disconnect(far)).unwrap();
    mc.connect((two, 0), (two, 0)).unwrap();
    let reply = mc.call(mc.root, &ask(two)).unwrap();
    assert_eq!((reply.id, reply.kind.as_bytes()), (two.id, &b"dpni"[..]));
    mc.call(mc.root, &disconnect(two)).unwrap();
    assert_eq!(mc.call(mc.root, &ask(two)).unwrap().state, -1);
    mc.destroy(port).unwrap();
    assert_eq!(mc.call(mc.root, &ask(one)).unwrap().state, -1);
}

/// Board observation: V-DPCI-1 and V-DPRC-2-TOPO.
#[test]
fn a_container_needs_the_option_and_both_ends() {
    let mut mc = TestMc::new();
    let (_, token) = mc.make_container();
    let create = dpci::Create { num_of_priorities: 1, options: 0 };
    let one = mc.create_in(token, &create).unwrap();
    let two = mc.create_in(token, &create).unwrap();
    assert_eq!(mc.call(token, &connect(one, two)), Err(Status::NoPrivilege));
    mc.call(mc.root, &connect(one, two)).unwrap();
    assert_eq!(mc.call(token, &disconnect(one)), Err(Status::NoPrivilege));
    mc.call(mc.root, &disconnect(one)).unwrap();

    let options = option::ALLOC | option::OBJ_CREATE | option::TOPOLOGY_CHANGES;
    let (_, token) = mc.make_container_in(mc.root, options).unwrap();
    let inner = mc.create_in(token, &create).unwrap();
    let outer = dpci(&mut mc);
    assert_eq!(mc.call(token, &connect(inner, outer)), Err(Status::NoPrivilege));
    // An object that is not there (board observation).
    let missing = ObjectId::new(ObjectType::Dpci, 99);
    assert_eq!(mc.call(token, &connect(inner, missing)), Err(Status::NoPrivilege));
    let other = mc.create_in(token, &create).unwrap();
    assert_eq!(mc.call(token, &connect(inner, other)), Ok(()));
    assert_eq!(mc.call(token, &disconnect(other)), Ok(()));
    // The root connects across containers; each sees its own end.
    mc.call(mc.root, &connect(one, inner)).unwrap();
    assert_eq!(mc.call(token, &ask(inner)).unwrap().id, one.id);
    assert_eq!(mc.call(token, &ask(one)), Err(Status::NoResource));
}
