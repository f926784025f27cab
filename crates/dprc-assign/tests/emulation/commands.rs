// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a guest is answered.

use crate::board_host::{GUEST_ICID, PORTALS, QUEUES, Scene, call, make, open, send};
use dprc_assign::PORTAL_STRIDE;
use mc_abi::{
    Label, Message, ObjectId, ObjectType, Request, ResourceType, Status, Token, common, dpcon,
    dpio, dpmng, dprc,
};

#[test]
fn a_driver_finds_its_container() {
    let scene = Scene::new();
    let mut guest = scene.emulation();
    let version = call(&mut guest, 0, Token::NONE, &dpmng::GetVersion {}).unwrap();
    assert!(version.major >= 10);
    let id = call(&mut guest, 0, Token::NONE, &dpmng::GetContainerId {}).unwrap().id;
    assert_eq!(id, scene.guest.object.id);
    let token = open(&mut guest, 0, scene.guest.object).unwrap();
    let attributes = call(&mut guest, 0, token, &dprc::GetAttributes {}).unwrap();
    assert_eq!((attributes.icid, attributes.portal), (GUEST_ICID.into(), 0));
    assert_eq!(attributes.options, dprc::option::IRQ_CFG);
    let count = call(&mut guest, 0, token, &dprc::GetObjectCount {}).unwrap().count;
    assert_eq!(count, 7);
    for index in 0..count {
        let object = call(&mut guest, 0, token, &dprc::GetObject { index }).unwrap().object;
        let ask = dprc::GetObjectDescription { id: object.id, kind: object.kind };
        let description = call(&mut guest, 0, token, &ask).unwrap().object;
        assert_eq!((description.irqs, description.regions), (object.irqs, object.regions));
        for index in 0..object.regions {
            let ask = dprc::GetObjectRegion { id: object.id, index, kind: object.kind };
            let region = call(&mut guest, 0, token, &ask).unwrap();
            let at = region.base_address + region.offset;
            let window = if object.kind == ObjectType::Dpio { QUEUES } else { PORTALS };
            assert_eq!(region.base_address, window);
            assert!(region.size > 0 && at + u64::from(region.size) <= window + 0x400_0000);
        }
    }
    let past = call(&mut guest, 0, token, &dprc::GetObject { index: count });
    assert_eq!(past.map(drop), Err(Status::ConfigurationError));
    // Only the portals of queues are mapped, each region once.
    let mapped = &guest.host().mapped;
    assert!(!mapped.is_empty());
    assert!(mapped.iter().all(|(region, _)| region.object.kind == ObjectType::Dpio));
}

#[test]
fn control_registers_say_booted_whatever_is_stored() {
    let scene = Scene::new();
    let mut guest = scene.emulation();
    let control = guest.windows().control() - guest.windows().portals();
    let word = |guest: &dprc_assign::Emulation<_>, register: u64| {
        let mut bytes = [0xff; 4];
        guest.load(control + register, &mut bytes);
        u32::from_le_bytes(bytes)
    };
    // GCR1, GSR, FAPR, the last one: those that bus drivers read.
    for round in 0..2 {
        let read = [0, 8, 0x28, 0x3_fffc].map(|register| word(&guest, register));
        assert_eq!(read, [0, 1, 0, 0], "round {round}");
        for register in [0, 8, 0x28] {
            guest.store(control + register, &u32::MAX.to_le_bytes());
        }
    }
    let mut wide = [0xff; 8];
    guest.load(control + 4, &mut wide);
    assert_eq!(wide, [0, 0, 0, 0, 1, 0, 0, 0]);
    call(&mut guest, 0, Token::NONE, &dpmng::GetVersion {}).unwrap();
}

#[test]
fn a_dpmcp_is_a_portal_with_tokens_of_its_own() {
    let mut scene = Scene::new();
    let (dpmcp, dpio) = (scene.member(ObjectType::Dpmcp), scene.member(ObjectType::Dpio));
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    // A portal that the guest has not asked for is not there, and refuses all.
    let version = call(&mut guest, 1, Token::NONE, &dpmng::GetVersion {});
    assert_eq!(version.map(drop), Err(Status::AuthenticationError));
    let ask = dprc::GetObjectRegion { id: dpmcp.id, index: 0, kind: dpmcp.kind };
    let region = call(&mut guest, 0, root, &ask).unwrap();
    assert_eq!((region.base_address, region.offset), (PORTALS, PORTAL_STRIDE));
    let token = open(&mut guest, 1, dpio).unwrap();
    call(&mut guest, 1, token, &common::Enable {}).unwrap();
    // Neither portal knows the other's token.
    let refused = Err(Status::AuthenticationError);
    assert_eq!(call(&mut guest, 0, token, &common::Disable {}), refused);
    assert_eq!(call(&mut guest, 1, root, &dprc::GetAttributes {}).map(drop), refused);
    // Nor does the guest reach what the host has open, whose token it guesses.
    for guess in 0..64 {
        let known = [token.0, root.0].contains(&guess);
        let answer = call(&mut guest, 0, Token(guess), &common::Enable {});
        assert!(known || answer == Err(Status::AuthenticationError), "{guess}");
    }
    // A reset of the dpmcp closes what was opened through its portal.
    let own = open(&mut guest, 0, dpmcp).unwrap();
    call(&mut guest, 0, own, &common::Reset {}).unwrap();
    assert_eq!(call(&mut guest, 1, token, &common::Enable {}), Err(Status::AuthenticationError));
    assert!(call(&mut guest, 0, root, &dprc::GetAttributes {}).is_ok());
}

#[test]
fn what_is_another_containers_is_not_there() {
    let mut scene = Scene::new();
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    let own = scene.member(ObjectType::Dpni);
    for object in [
        scene.foreign(ObjectType::Dpni),
        scene.other.object,
        scene.root_open.object,
        ObjectId::new(ObjectType::Dpni, 999),
    ] {
        // The status is that of a Management Complex whose container cannot reach it, which
        // nobody asks.
        let before = guest.host().commands;
        assert_eq!(open(&mut guest, 0, object), Err(Status::AuthenticationError), "{object}");
        assert_eq!(guest.host().commands, before, "{object}");
        let ask = dprc::GetObjectRegion { id: object.id, index: 0, kind: object.kind };
        assert_eq!(call(&mut guest, 0, root, &ask).map(drop), Err(Status::NoResource));
        let set = dprc::SetObjectIrq {
            value: 1,
            index: 0,
            address: 0x800_0000,
            user: 0,
            id: object.id,
            kind: object.kind,
        };
        assert_eq!(call(&mut guest, 0, root, &set), Err(Status::NoResource));
        let ask = dprc::GetObjectDescription { id: object.id, kind: object.kind };
        assert_eq!(call(&mut guest, 0, root, &ask).map(drop), Err(Status::NoResource));
        let ask = dprc::GetConnection { id: object.id, interface: 0, kind: object.kind };
        assert_eq!(call(&mut guest, 0, root, &ask).map(drop), Err(Status::NoResource));
    }
    assert!(open(&mut guest, 0, own).is_ok());
}

#[test]
fn a_connection_is_told_to_whom_an_end_of_it_belongs() {
    let mut scene = Scene::new();
    let own = scene.member(ObjectType::Dpni);
    let request = dprc::CreateContainer {
        options: dprc::option::ALL & !dprc::option::AIOP,
        icid: dprc::ICID_FROM_POOL,
        portal: dprc::PORTAL_FROM_POOL,
        ..Default::default()
    };
    let child = scene.root.call(scene.guest, &request).unwrap().child;
    let child = scene.root.open(ObjectId::new(ObjectType::Dprc, child)).unwrap();
    let [below, peer] =
        [0, 1].map(|_| make(&mut scene.root, child, &mc_abi::dpni::Create::default()));
    let kind = ObjectType::Dpni;
    for (id1, id2) in [(own.id, peer), (below, below)] {
        let ends = dprc::Connect { id1, kind1: kind, id2, kind2: kind, ..Default::default() };
        scene.root.call(scene.root_open, &ends).unwrap();
    }
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    let mut ask = |id| {
        let ask = dprc::GetConnection { id, interface: 0, kind };
        call(&mut guest, 0, root, &ask)
    };
    let told = ask(own.id).unwrap();
    assert_eq!((told.id, told.kind), (peer, ResourceType::new("dpni")));
    // The board would tell it: the container can reach it.
    assert_eq!(ask(below).map(drop), Err(Status::NoResource));
}

#[test]
fn what_reaches_beyond_the_container_does_not_get_to_the_mc() {
    let mut scene = Scene::new();
    let dpni = scene.member(ObjectType::Dpni);
    let mut guest = scene.emulation();
    let token = open(&mut guest, 0, dpni).unwrap();
    let before = guest.host().commands;
    let enable = mc_abi::dpni::SpEnable { direction: 1, enable: 1 };
    assert_eq!(call(&mut guest, 0, token, &enable), Err(Status::NoPrivilege));
    assert_eq!(guest.host().commands, before);
}

#[test]
fn what_has_gone_does_not_keep_a_container_from_its_reset() {
    let mut scene = Scene::new();
    let listed = scene.list(scene.guest);
    let (first, rest) = listed.split_first().unwrap();
    let first = ObjectId::new(first.kind, first.id);
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    let own = dprc::Reset { child: scene.guest.object.id, options: 0 };
    ::dprc::manage::destroy(&mut scene.root, scene.guest, first).unwrap();
    call(&mut guest, 0, root, &own).unwrap();
    for object in rest.iter().filter(|object| object.kind != ObjectType::Dpmcp) {
        assert!(guest.host().resets.contains(&ObjectId::new(object.kind, object.id)));
    }
    assert!(guest.is_stale() && !guest.host().resets.contains(&first));
    // A refusal for what is there is one.
    guest.objects_changed().unwrap();
    guest.host().answer = |command, mut answer| {
        if command.header.number() == common::Reset::NUMBER {
            answer.header = answer.header.with_status(Status::Busy);
        }
        answer
    };
    assert_eq!(call(&mut guest, 0, root, &own), Err(Status::Busy));
}

/// Commands that need a right, with the status of a container without any.
#[test]
fn what_needs_a_right_is_refused_as_a_container_without_it() {
    let mut scene = Scene::new();
    let bare = Scene::with(dprc::option::IRQ_CFG | dprc::option::ALLOC);
    let dpbp = scene.member(ObjectType::Dpbp);
    let before = scene.fingerprint();
    let mut guest = scene.emulation();
    let token = open(&mut guest, 0, scene.guest.object).unwrap();
    let own = scene.guest.object.id;
    let kind = ResourceType::new("dpbp");
    let plug = dprc::Assign {
        container: own,
        options: dprc::request::EXPLICIT,
        count: 1,
        base_or_align: dpbp.id,
        kind,
    };
    assert_eq!(call(&mut guest, 0, token, &plug), Err(Status::NoPrivilege));
    let connect = dprc::Connect { id1: dpbp.id, ..Default::default() };
    assert_eq!(call(&mut guest, 0, token, &connect), Err(Status::NoPrivilege));
    let label = dprc::SetObjectLabel { id: dpbp.id, label: Label::new("x"), kind: dpbp.kind };
    assert_eq!(call(&mut guest, 0, token, &label), Err(Status::NoPrivilege));
    // Held against a board whose container has none.
    let open_it = Message::open(ObjectId::new(ObjectType::Dprc, own));
    let bare_token = bare.board.mc().execute(bare.portal, &open_it).header.token();
    let child = dprc::CreateContainer {
        icid: dprc::ICID_FROM_POOL,
        portal: dprc::PORTAL_FROM_POOL,
        ..Default::default()
    };
    let commands = [
        child.message(token),
        dprc::DestroyContainer { child: own }.message(token),
        mc_abi::dpbp::Create {}.message(token),
        dpcon::Create { num_priorities: 2 }.message(token),
        dprc::SetLocked { locked: true, child: 99 }.message(token),
    ];
    for command in commands {
        let here = send(&mut guest, 0, &command).header.status();
        let header = command.header.with_token(bare_token);
        let there = bare.board.mc().execute(bare.portal, &Message { header, ..command });
        let number = command.header.number();
        if number == dprc::DestroyContainer::NUMBER {
            // A container that is not below is not there, or is no child.
            assert_ne!(here, Status::Ok);
            continue;
        }
        assert_eq!(here, there.header.status(), "{number:#x}");
    }
    assert_eq!(scene.fingerprint(), before);
}

#[test]
fn the_hosts_offsets_are_not_told() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    for index in 0..2 {
        let ask = dprc::GetObjectRegion { id: dpio.id, index, kind: dpio.kind };
        call(&mut guest, 0, root, &ask).unwrap();
    }
    let token = open(&mut guest, 0, dpio).unwrap();
    let attributes = call(&mut guest, 0, token, &dpio::GetAttributes {}).unwrap();
    assert_eq!(attributes.id, dpio.id);
    assert_eq!(attributes.qbman_portal_ce_offset, 0);
    assert_eq!(attributes.qbman_portal_ci_offset, 0x1_0000);
    assert!(attributes.clk > 0);
}

#[test]
fn a_container_resets_what_is_in_it_and_stays_open() {
    let mut scene = Scene::new();
    let (dpni, dpio) = (scene.member(ObjectType::Dpni), scene.member(ObjectType::Dpio));
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    let token = open(&mut guest, 0, dpni).unwrap();
    call(&mut guest, 0, token, &common::IsEnabled {}).unwrap();
    let other = dprc::Reset { child: scene.other.object.id, options: 0 };
    assert_eq!(call(&mut guest, 0, root, &other), Err(Status::NoPrivilege));
    assert!(guest.host().resets.is_empty());
    let own = dprc::Reset { child: scene.guest.object.id, options: 0 };
    call(&mut guest, 0, root, &own).unwrap();
    assert!(guest.host().resets.contains(&dpni) && guest.host().resets.contains(&dpio));
    assert_eq!(call(&mut guest, 0, token, &common::Enable {}), Err(Status::AuthenticationError));
    assert!(call(&mut guest, 0, root, &dprc::GetAttributes {}).is_ok());
    // The host's own token is another one, and lives.
    guest.objects_changed().unwrap();
    assert_eq!(guest.objects().len(), 7);
}
