// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Who may connect what.

use crate::mc::testing::Bench;
use mc_abi::{
    ObjectId, ObjectType, Status, dpbp, dpci, dpmac, dpni,
    dprc::{self, option},
};

fn dpci(bench: &mut Bench) -> ObjectId {
    bench.create(&dpci::Create { num_of_priorities: 1, options: 0 }).unwrap()
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
    let mut bench = Bench::new();
    let (one, two) = (dpci(&mut bench), dpci(&mut bench));
    assert_eq!(bench.call(bench.root, &ask(one)).unwrap().state, -1);
    bench.connect((one, 0), (two, 0)).unwrap();
    for (end, peer) in [(one, two), (two, one)] {
        let reply = bench.call(bench.root, &ask(end)).unwrap();
        assert_eq!((reply.id, reply.interface), (peer.id, 0));
        assert_eq!(reply.kind.as_bytes(), b"dpci");
        assert_ne!(reply.state, -1);
    }
    bench.call(bench.root, &disconnect(two)).unwrap();
    assert_eq!(bench.call(bench.root, &ask(one)).unwrap().state, -1);
    assert_eq!(bench.call(bench.root, &disconnect(one)), Err(Status::NoResource));
}

#[test]
fn an_end_has_one_peer_of_the_right_family() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..3).map(|_| dpci(&mut bench)).collect();
    let dpbp = bench.create(&dpbp::Create {}).unwrap();
    bench.connect((ids[0], 0), (ids[1], 0)).unwrap();
    let busy = bench.connect((ids[2], 0), (ids[1], 0));
    assert_eq!(busy, Err(Status::ConfigurationError));
    let no_interface = bench.connect((ids[2], 0), (dpbp, 0));
    assert_eq!(no_interface, Err(Status::NoResource));
    assert_eq!(bench.connect((ids[2], 1), (ids[1], 0)), Err(Status::NoResource));
    assert_eq!(bench.connect((ids[2], 0), (ids[2], 0)), Err(Status::ConfigurationError));
    assert_eq!(bench.call(bench.root, &ask(dpbp)), Err(Status::NoResource));
}

#[test]
fn a_destroyed_object_leaves_its_peer_alone() {
    let mut bench = Bench::new();
    let (one, two) = (dpci(&mut bench), dpci(&mut bench));
    bench.connect((one, 0), (two, 0)).unwrap();
    bench.destroy(one).unwrap();
    assert_eq!(bench.call(bench.root, &ask(two)).unwrap().state, -1);
    // The number returns without the connection (board observation).
    assert_eq!(dpci(&mut bench), one);
    assert_eq!(bench.call(bench.root, &ask(one)).unwrap().state, -1);
}

#[test]
fn interfaces_connect_to_ports_to_each_other_and_to_themselves() {
    let mut bench = Bench::new();
    let (_, token) = bench.make_container();
    let port = bench.create(&dpmac::Create { mac: 3 }).unwrap();
    let one = bench.create(&dpni::Create::default()).unwrap();
    let two = bench.create(&dpni::Create::default()).unwrap();
    let far = bench.create_in(token, &dpni::Create::default()).unwrap();
    bench.connect((one, 0), (port, 0)).unwrap();
    bench.connect((two, 0), (far, 0)).unwrap();
    // Cross-container: each side sees the other's name.
    assert_eq!(bench.call(token, &ask(far)).unwrap().id, two.id);
    bench.call(bench.root, &disconnect(far)).unwrap();
    bench.connect((two, 0), (two, 0)).unwrap();
    let reply = bench.call(bench.root, &ask(two)).unwrap();
    assert_eq!((reply.id, reply.kind.as_bytes()), (two.id, &b"dpni"[..]));
    bench.call(bench.root, &disconnect(two)).unwrap();
    assert_eq!(bench.call(bench.root, &ask(two)).unwrap().state, -1);
    bench.destroy(port).unwrap();
    assert_eq!(bench.call(bench.root, &ask(one)).unwrap().state, -1);
}

/// Board observation: V-DPCI-1 and V-DPRC-2-TOPO.
#[test]
fn a_container_needs_the_option_and_both_ends() {
    let mut bench = Bench::new();
    let (child, token) = bench.make_container();
    let create = dpci::Create { num_of_priorities: 1, options: 0 };
    let one = bench.create_in(token, &create).unwrap();
    let two = bench.create_in(token, &create).unwrap();
    assert_eq!(bench.call(token, &connect(one, two)), Err(Status::NoPrivilege));
    bench.call(bench.root, &connect(one, two)).unwrap();
    assert_eq!(bench.call(token, &disconnect(one)), Err(Status::NoPrivilege));
    bench.call(bench.root, &disconnect(one)).unwrap();

    let options = option::ALLOC | option::OBJ_CREATE | option::TOPOLOGY_CHANGES;
    let (_, token) = bench.make_container_in(bench.root, options).unwrap();
    let inner = bench.create_in(token, &create).unwrap();
    let outer = dpci(&mut bench);
    assert_eq!(bench.call(token, &connect(inner, outer)), Err(Status::NoPrivilege));
    // An object that is not there (board observation).
    let missing = ObjectId::new(ObjectType::Dpci, 99);
    assert_eq!(bench.call(token, &connect(inner, missing)), Err(Status::NoPrivilege));
    let other = bench.create_in(token, &create).unwrap();
    assert_eq!(bench.call(token, &connect(inner, other)), Ok(()));
    assert_eq!(bench.call(token, &disconnect(other)), Ok(()));
    // The root connects across containers; each sees its own end.
    bench.call(bench.root, &connect(one, inner)).unwrap();
    assert_eq!(bench.call(token, &ask(inner)).unwrap().id, one.id);
    assert_eq!(bench.call(token, &ask(one)), Err(Status::NoResource));
    let _ = child;
}
