// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What Linux does around a board: portals, mappings, interrupts, resets, one user at a time.

mod world;

use board::faults::{Action, Faults, Rule};
use dprc::qbman::Source;
use dprc::{
    Access, Backend, Dataplane, DmaBuffer, Error, InterfaceConfig, McPortal, Pool, PortalError,
};
use dprc_board::{Contents, InProcessBoard, Options};
use mc_abi::common::{Enable, IsEnabled};
use mc_abi::{ObjectId, ObjectType, Request, Status, Token, dpbp, dpcon, dpmng};
use std::time::Duration;
use world::{Pair, container};

fn pages(count: usize) -> DmaBuffer {
    DmaBuffer::allocate(count * 4096).unwrap()
}

fn first(held: &dyn Backend, kind: ObjectType) -> ObjectId {
    let plane = Dataplane::open(held).unwrap();
    plane.objects().find(|object| object.kind == kind).expect("one of each")
}

#[test]
fn the_containers_own_portal_is_in_the_container() {
    let (_board, held) = container();
    let mut portal = held.portal().unwrap();
    let id = portal.call(Token::NONE, &dpmng::GetContainerId {}).unwrap().id;
    assert_eq!(format!("dprc.{id}"), held.name());
    let error = portal.open(ObjectId::new(ObjectType::Dprc, 1)).unwrap_err();
    assert!(error.status().is_some(), "the root is not the container's: {error}");
}

/// All lead to the same registers.
#[test]
fn portals_of_a_container_take_turns() {
    const ROUNDS: u32 = 10_000;
    let (_board, held) = container();
    let plane = Dataplane::open(&held).unwrap();
    let pools: Vec<ObjectId> =
        plane.objects().filter(|object| object.kind == ObjectType::Dpbp).collect();
    assert_eq!(pools.len(), 2);
    std::thread::scope(|scope| {
        for pool in pools {
            let mut portal = held.portal().unwrap();
            scope.spawn(move || {
                let mut open = portal.session(pool).unwrap();
                for round in 0..ROUNDS {
                    let found = open.call(&dpbp::GetAttributes {}).unwrap().id;
                    assert_eq!(found, pool.id, "round {round}");
                }
                open.close().unwrap();
            });
        }
    });
}

#[test]
fn a_dpmcp_is_a_region_of_registers() {
    let (_board, held) = container();
    let dpmcp = first(&held, ObjectType::Dpmcp);
    let region = held.map_region(dpmcp, 0).unwrap();
    let command = mc_abi::Request::message(&dpmng::GetVersion {}, Token::NONE).to_bytes();
    for word in (0..8).rev() {
        let bytes = command[8 * word..8 * word + 8].try_into().unwrap();
        region.store(8 * word, u64::from_le_bytes(bytes)).unwrap();
    }
    let header = mc_abi::Header(region.load(0).unwrap());
    assert_eq!(header.status(), Status::Ok);
    let stranger = ObjectId::new(ObjectType::Dpio, 999);
    for (object, index) in [(dpmcp, 1), (stranger, 0)] {
        let error = held.map_region(object, index).unwrap_err();
        let refused = matches!(error, Error::Portal(PortalError::Refused { .. }));
        assert!(refused && error.to_string().contains("GetObjectRegion"), "{error}");
    }
    let error = held.map_region(dpmcp, 300).unwrap_err().to_string();
    assert_eq!(error, format!("region 300 of {dpmcp} is not there"));
    let own: ObjectId = held.name().parse().unwrap();
    let error = held.map_region(own, 0).unwrap_err().to_string();
    assert!(error.contains("may not be mapped"), "{error}");
}

#[test]
fn addresses_are_given_once_and_are_free_again() {
    let (_board, held) = container();
    let map = |iova, count| held.map(pages(count), iova, Access::ReadWrite);
    let one = map(0x10_0000, 4).unwrap();
    for (iova, count) in [(0x10_0000, 1), (0x10_3000, 1), (0xf_f000, 2), (0xf_f000, 9)] {
        let error = map(iova, count).unwrap_err();
        assert!(error.to_string().contains("mapped there already"), "{iova:#x}: {error}");
        assert_eq!(error.buffer.size(), count * 4096, "the buffer is given back");
    }
    let beside = [map(0xf_f000, 1).unwrap(), map(0x10_4000, 1).unwrap()];
    let buffer = one.unmap().unwrap();
    held.map(buffer, 0x10_0000, Access::Read).unwrap().unmap().unwrap();
    drop(beside);
    for iova in [0x1001, 1 << 48, u64::MAX - 4095] {
        assert!(map(iova, 1).is_err(), "{iova:#x}");
    }
    // The page of the interrupts' messages.
    assert!(map(0x0800_0000, 1).is_err() && map(0x07ff_f000, 3).is_err());
}

#[test]
fn a_container_has_one_user_and_is_reset_after_the_last() {
    let (board, held) = container();
    let id: ObjectId = held.name().parse().unwrap();
    let error = board.open(id).unwrap_err().to_string();
    assert!(error.contains("held already"), "{error}");
    let dpbp = first(&held, ObjectType::Dpbp);
    let enabled = |portal: &mut McPortal| {
        let mut open = portal.session(dpbp).unwrap();
        open.call(&IsEnabled {}).unwrap().enabled
    };
    let mut portal = held.portal().unwrap();
    portal.session(dpbp).unwrap().call(&Enable {}).unwrap();
    drop(held);
    assert!(enabled(&mut portal), "a portal is a user, too");
    drop(portal);
    let held = board.open(id).unwrap();
    let mut portal = held.portal().unwrap();
    assert!(!enabled(&mut portal), "it was reset");
    portal.session(dpbp).unwrap().call(&Enable {}).unwrap();
    held.reset().unwrap();
    assert!(!enabled(&mut portal), "it was reset on request");
    let error = board.open(ObjectId::new(ObjectType::Dprc, 77)).unwrap_err();
    assert!(error.to_string().contains("dprc.77"), "{error}");
}

#[test]
fn what_a_program_leaves_behind_does_not_disturb_the_next() {
    let (board, held) = container();
    let id: ObjectId = held.name().parse().unwrap();
    let mut held = held;
    for _ in 0..3 {
        let mut pair = Pair::new(&held);
        let fd = pair.put(&world::frame(60, 1));
        assert_eq!(pair.portal.enqueue(pair.one.transmit, &[fd]).unwrap(), 1);
        // A frame waits, buffers are in the pool, interfaces are on.
        drop(pair);
        drop(held);
        held = board.open(id).unwrap();
        let mut pair = Pair::new(&held);
        assert_eq!(pair.free(), Pair::BUFFERS);
        let source = Source::Queue(pair.other.receive_queue());
        assert!(pair.receive(source).is_empty());
    }
}

#[test]
fn interrupts_are_switched_off_when_dropped() {
    let (_board, held) = container();
    let id: ObjectId = held.name().parse().unwrap();
    let interrupt = held.enable_interrupt(id, 0).unwrap();
    interrupt.simulate().unwrap();
    assert_eq!(interrupt.events().take().unwrap(), 1);
    assert!(interrupt.mask().unwrap_err().to_string().contains("cannot be masked"));
    // The first would switch it off when it goes.
    assert!(matches!(held.enable_interrupt(id, 0), Err(Error::InterruptTaken { index: 0, .. })));
    interrupt.disable().unwrap();
    held.enable_interrupt(id, 0).unwrap().disable().unwrap();
    let error = held.enable_interrupt(id, 9).unwrap_err();
    assert!(matches!(error, Error::Portal(PortalError::Refused { .. })), "{error}");
    assert!(held.enable_interrupt(id, 256).is_err());
    let dpio = first(&held, ObjectType::Dpio);
    drop(held.enable_interrupt(dpio, 0).unwrap());
    let mut portal = held.portal().unwrap();
    let mut open = portal.session(id).unwrap();
    let get = mc_abi::dprc::GetObjectIrq { id: dpio.id, index: 0, kind: dpio.kind };
    let irq = open.call(&get).unwrap();
    assert_eq!((irq.address, irq.value), (0, 0));
}

#[test]
fn a_firmware_that_hangs_is_waited_for_as_long_as_is_wanted() {
    let mut faults = Faults::default();
    faults.add(Rule { kind: None, number: Some(0x831), action: Action::Hang, times: Some(1) });
    let config = board::BoardConfig { faults, ..Default::default() };
    let board = InProcessBoard::with(Options { config, ..Options::default() }).unwrap();
    let id = board.make_container(&Contents::pair_of_interfaces()).unwrap();
    let held = board.open(id).unwrap();
    let dpmcp = first(&held, ObjectType::Dpmcp);
    let mut portal = McPortal::new("dpmcp.0", held.map_region(dpmcp, 0).unwrap());
    portal.set_patience(Some(Duration::from_secs(10)));
    let id = portal.call(Token::NONE, &dpmng::GetContainerId {}).unwrap().id;
    assert_eq!(format!("dprc.{id}"), held.name());
    portal.set_patience(Some(Duration::from_millis(10)));
    let error = portal.call(Token::NONE, &dpmng::GetVersion {}).unwrap_err();
    assert!(
        matches!(error, PortalError::Silent { waited, .. } if waited.as_secs() < 10),
        "{error}"
    );
    assert!(error.to_string().contains("GetVersion"), "{error}");
}

#[test]
fn what_could_not_be_set_up_can_be_taken_again() {
    let (_board, held) = container();
    let mut plane = Dataplane::open(&held).unwrap();
    let mut portal = plane.portal().unwrap();
    let frames = plane.frames(8, 2048).unwrap();
    let pool = plane.pool(&mut portal, &frames).unwrap();
    let wrong = Pool { object: ObjectId::new(ObjectType::Dpbp, 999), ..pool };
    let first = plane.interface(&InterfaceConfig::new(pool)).unwrap();
    for _ in 0..3 {
        let error = plane.interface(&InterfaceConfig::new(wrong)).unwrap_err();
        assert!(matches!(error, Error::Portal(PortalError::Refused { .. })), "{error}");
    }
    let second = plane.interface(&InterfaceConfig::new(pool)).unwrap();
    assert_ne!(first.object, second.object);
    // One that is in use stays so.
    let again = InterfaceConfig { object: Some(first.object), ..InterfaceConfig::new(pool) };
    for _ in 0..2 {
        let error = plane.interface(&again).unwrap_err().to_string();
        assert!(error.contains("or taken"), "{error}");
    }
}

#[test]
fn what_was_switched_on_before_a_refusal_is_switched_off() {
    let mut faults = Faults::default();
    let (kind, number) = (Some(ObjectType::Dpcon), Some(dpcon::GetAttributes::NUMBER));
    let action = Action::Status(Status::Busy);
    faults.add(Rule { kind, number, action, times: Some(1) });
    let config = board::BoardConfig { faults, ..Default::default() };
    let board = InProcessBoard::with(Options { config, ..Options::default() }).unwrap();
    let id = board.make_container(&Contents::pair_of_interfaces()).unwrap();
    let held = board.open(id).unwrap();
    let mut plane = Dataplane::open(&held).unwrap();
    let error = plane.channel().unwrap_err().to_string();
    assert!(error.contains("GetAttributes"), "{error}");
    plane.stop().unwrap();
    let dpcon = first(&held, ObjectType::Dpcon);
    let mut open = plane.mc().session(dpcon).unwrap();
    assert!(!open.call(&IsEnabled {}).unwrap().enabled);
    drop(open);
    assert_eq!(plane.channel().unwrap().object, dpcon);
}

/// As Linux's driver has it.
#[test]
fn the_containers_own_portal_has_no_deadlines() {
    let (_board, held) = container();
    let mut portal = held.portal().unwrap();
    portal.set_patience(Some(Duration::from_secs(1)));
    let error = portal.call(Token::NONE, &dpmng::GetVersion {}).unwrap_err().to_string();
    assert!(error.contains("a deadline takes a mapped dpmcp"), "{error}");
    portal.set_patience(None);
    portal.call(Token::NONE, &dpmng::GetVersion {}).unwrap();
}
