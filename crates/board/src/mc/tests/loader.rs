// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layouts that are made, and those that cannot be.

use crate::{
    dpl::{
        Config, Connection, Container, Dpl, Endpoint, Family, Object, ObjectName, Placement,
        family::{DpbpConfig, DpciConfig, DpmcpConfig},
    },
    mc::{self, LoadError, State},
};
use mc_abi::{Label, ObjectId, ObjectType};

fn name(family: Family, id: u32) -> ObjectName {
    ObjectName { family, id }
}

fn place(object: ObjectName) -> Placement {
    Placement { object, plugged: true, label: None }
}

fn root(objects: Vec<Placement>) -> Container {
    Container { id: 1, options: 0x43, objects, ..Default::default() }
}

fn load(layout: &Dpl) -> Result<State, LoadError> {
    let mut state = State::new(mc::Config::default());
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
    let (one, two) = (name(Family::Dpci, 4), name(Family::Dpci, 7));
    let dpci = || Config::Dpci(DpciConfig { num_of_priorities: 2, options: 0 });
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
        objects: vec![Object { id: 4, config: dpci() }, Object { id: 7, config: dpci() }],
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
    assert!(state.effects.is_empty());
    assert!(state.objects.values().flat_map(|o| &o.irqs).all(|irq| irq.status == 0));
}

#[test]
fn what_cannot_be_made_is_named_with_advice() {
    let bp = |id| Object { id, config: Config::Dpbp(DpbpConfig::default()) };
    let dpbp = |id| place(name(Family::Dpbp, id));
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
    let portal = DpmcpConfig { portal_id: Some(0), options: 0 };
    let taken_portal = Dpl {
        containers: vec![root(vec![place(name(Family::Dpmcp, 1))])],
        objects: vec![Object { id: 1, config: Config::Dpmcp(portal) }],
        ..Default::default()
    };
    let lonely = Dpl {
        containers: vec![root(vec![])],
        connections: vec![Connection {
            endpoint1: Endpoint { object: name(Family::Dpci, 0), interface: 0 },
            endpoint2: Endpoint { object: name(Family::Dpci, 1), interface: 0 },
            committed_rate: 0,
            max_rate: 0,
        }],
        ..Default::default()
    };
    let texts = [
        (too_many, "dpbp.64: no bp is left of the board's 64"),
        (undefined, "dpbp.3: dprc.1 holds it, but it is not defined"),
        (foreign_icid, "dprc.2: icid 5 is taken, or none of this board's (23 to 38)"),
        (no_root, "dprc.2: it does not descend"),
        (wrong_root, "dprc.3: the root container has the number 1"),
        (taken_portal, "dpmcp.1: the MC refuses: no resources"),
        (lonely, "connection of dpci.0 and dpci.1: there is no such interface"),
    ];
    for (layout, expected) in texts {
        let error = load(&layout).map(drop).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(!error.advice.is_empty());
    }
}
