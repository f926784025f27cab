// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layouts that are made, and those that cannot be.

use crate::{
    dpl::{Config, Connection, Container, Dpl, Endpoint, Object, Placement},
    mc::{self, LoadError, State, testing::booted},
};
use mc_abi::{Label, ObjectId, ObjectType, dpbp, dpci, dpdmux, dpmac, dpmcp, dpsw};

fn name(kind: ObjectType, id: u32) -> ObjectId {
    ObjectId::new(kind, id)
}

fn place(object: ObjectId) -> Placement {
    Placement { object, plugged: true, label: None }
}

fn root(objects: Vec<Placement>) -> Container {
    Container { id: 1, options: 0x43, objects, ..Default::default() }
}

fn load(layout: &Dpl) -> Result<State, LoadError> {
    let (mut state, _) = booted(mc::Config::default());
    state.load(layout, None).map(|()| state)
}

#[test]
fn an_empty_layout_gives_the_root() {
    let state = load(&Dpl::default()).unwrap();
    assert_eq!(state.objects.len(), 1);
    assert_eq!(state.portal_container(0), Some(1));
    let root = state.object(ObjectId::new(ObjectType::Dprc, 1)).unwrap();
    assert!(!root.plugged);
}

#[test]
fn containers_objects_labels_and_connections_are_made() {
    let (one, two) = (name(ObjectType::Dpci, 4), name(ObjectType::Dpci, 7));
    let dpci = || Config::Dpci(dpci::Create { num_of_priorities: 2, options: 0 });
    let end = |object| Endpoint { object, interface: 0 };
    let layout = Dpl {
        containers: vec![
            Container {
                id: 5,
                parent: Some(1),
                options: 0x42,
                icid: Some(30),
                portal_id: Some(12),
                label: Some("guest".into()),
                objects: vec![Placement { plugged: false, label: Some("x".into()), ..place(two) }],
            },
            root(vec![place(one)]),
        ],
        objects: vec![Object::new(4, dpci()), Object::new(7, dpci())],
        connections: vec![Connection {
            endpoint1: end(one),
            endpoint2: end(two),
            committed_rate: 0,
            max_rate: 0,
        }],
        ..Default::default()
    };
    let state = load(&layout).unwrap();
    let object = |kind, id| state.object(ObjectId::new(kind, id)).unwrap();
    let child = object(ObjectType::Dprc, 5);
    assert_eq!((child.container, child.plugged, child.label), (1, true, Label::new("guest")));
    assert_eq!((state.icid(5), state.portal_container(12)), (Some(30), Some(5)));
    let (a, b) = (object(ObjectType::Dpci, 4), object(ObjectType::Dpci, 7));
    assert_eq!((a.container, a.plugged, a.creator), (1, true, 1));
    assert_eq!((b.container, b.plugged, b.label), (5, false, Label::new("x")));
    assert_eq!(state.peer(mc::Endpoint::new(ObjectType::Dpci, 4, 0)).unwrap().object.id, 7);
    // Nothing is left to tell to nobody.
    assert!(state.pass.is_empty());
    assert!(state.objects.values().flat_map(|o| &o.irqs).all(|irq| irq.status == 0));
}

#[test]
fn switches_and_demultiplexers_are_made_and_connected() {
    let (dpsw, dpdmux, dpmac) =
        (name(ObjectType::Dpsw, 2), name(ObjectType::Dpdmux, 0), name(ObjectType::Dpmac, 3));
    let switch = dpsw::Create { num_ifs: 4, flooding_cfg: 1, ..Default::default() };
    let demux = dpdmux::Create { method: 2, num_ifs: 2, default_if: 1, ..Default::default() };
    let connection = |one, two: (ObjectId, u16)| Connection {
        endpoint1: Endpoint { object: one, interface: 0 },
        endpoint2: Endpoint { object: two.0, interface: two.1 },
        committed_rate: 0,
        max_rate: 0,
    };
    let layout = |interface| Dpl {
        containers: vec![root(vec![place(dpsw), place(dpdmux), place(dpmac)])],
        objects: vec![
            Object::new(2, Config::Dpsw(switch.clone())),
            Object::new(0, Config::Dpdmux(demux.clone())),
            Object::new(3, Config::Dpmac(dpmac::Create { mac: 3 })),
        ],
        connections: vec![connection(dpmac, (dpdmux, 0)), connection(dpsw, (dpdmux, interface))],
        ..Default::default()
    };
    let state = load(&layout(2)).unwrap();
    let peer = state.peer(mc::Endpoint::new(ObjectType::Dpdmux, 0, 2)).unwrap();
    assert_eq!(peer, mc::Endpoint::new(ObjectType::Dpsw, 2, 0));
    // Nobody was there whom the MC could have notified of the connections.
    assert!(state.objects.values().flat_map(|o| &o.irqs).all(|irq| irq.status == 0));
    let error = load(&layout(3)).map(drop).unwrap_err().to_string();
    assert!(error.contains("dpsw.2.0 and dpdmux.0.3: dpdmux.0 has no interface 3"), "{error}");
}

#[test]
fn what_cannot_be_made_is_named_with_advice() {
    let bp = |id| Object::new(id, Config::Dpbp(dpbp::Create {}));
    let dpbp = |id| place(name(ObjectType::Dpbp, id));
    let child = |icid, portal_id| Container {
        id: 2,
        parent: Some(1),
        icid,
        portal_id,
        ..Default::default()
    };
    let too_many = Dpl {
        containers: vec![root((0..80).map(dpbp).collect())],
        objects: (0..80).map(bp).collect(),
        ..Default::default()
    };
    let undefined = Dpl { containers: vec![root(vec![dpbp(3)])], ..Default::default() };
    let foreign_icid =
        Dpl { containers: vec![root(vec![]), child(Some(5), None)], ..Default::default() };
    let no_root = Dpl { containers: vec![child(None, None)], ..Default::default() };
    let wrong_root =
        Dpl { containers: vec![Container { id: 3, ..Default::default() }], ..Default::default() };
    let portal = dpmcp::Create { portal: 0, options: 0 };
    let taken_portal = Dpl {
        containers: vec![root(vec![place(name(ObjectType::Dpmcp, 1))])],
        objects: vec![Object::new(1, Config::Dpmcp(portal))],
        ..Default::default()
    };
    let lonely = Dpl {
        containers: vec![root(vec![])],
        connections: vec![Connection {
            endpoint1: Endpoint { object: name(ObjectType::Dpci, 0), interface: 0 },
            endpoint2: Endpoint { object: name(ObjectType::Dpci, 1), interface: 0 },
            committed_rate: 0,
            max_rate: 0,
        }],
        ..Default::default()
    };
    let texts = [
        (too_many, "dpbp.64: no bp is left that dpbp.64 may draw, of the board's 64"),
        (undefined, "dpbp.3: dprc.1 holds it, but it is not defined"),
        (foreign_icid, "dprc.2: icid 5 is taken, or none of this board's (23 to 38)"),
        (no_root, "dprc.2: it does not descend"),
        (wrong_root, "dprc.3: the root container has the number 1"),
        (taken_portal, "dpmcp.1: mcp 0 is not free for dpmcp.1"),
        (lonely, "connection of dpci.0 and dpci.1: there is no dpci.0"),
    ];
    for (layout, expected) in texts {
        let error = load(&layout).map(drop).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(!error.advice.is_empty());
    }
}

/// The numbers stand for the MC itself and for nobody: objects of such a
/// container would be in no list.
#[test]
fn no_container_has_the_number_of_the_mc_or_of_nobody() {
    for id in [0, u32::MAX] {
        let child = Container { id, parent: Some(1), ..Default::default() };
        let layout = Dpl { containers: vec![root(vec![]), child], ..Default::default() };
        let error = load(&layout).unwrap_err();
        assert_eq!(error.object, format!("dprc.{id}"));
        assert!(error.reason.contains("number"), "{error}");
    }
}
