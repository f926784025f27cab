// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Objects that come and go while the guest runs.

use crate::board_host::{BoardHost, PORTALS, Scene, call, make, open};
use dprc_assign::{Emulation, Msi, PORTAL_STRIDE};
use mc_abi::{
    Message, ObjectId, ObjectType, Request, Status, Token, Wire, common, dpbp, dpmcp, dprc,
};

const MSI: Msi = Msi { address: 0x808_0040, data: 8 };

/// Lets the guest listen to its container; gives its token.
fn listen(scene: &Scene, guest: &mut Emulation<BoardHost>) -> Token {
    let root = open(guest, 0, scene.guest.object).unwrap();
    let set = common::SetIrq { value: MSI.data, index: 0, address: MSI.address, user: 0 };
    call(guest, 0, root, &set).unwrap();
    call(guest, 0, root, &common::SetIrqMask { mask: 0xff, index: 0 }).unwrap();
    call(guest, 0, root, &common::SetIrqEnable { enable: true, index: 0 }).unwrap();
    root
}

fn events(guest: &mut Emulation<BoardHost>, root: Token) -> u32 {
    let ask = common::GetIrqStatus { status: 0, index: 0 };
    let status = call(guest, 0, root, &ask).unwrap().status;
    call(guest, 0, root, &common::ClearIrqStatus { status, index: 0 }).unwrap();
    status
}

#[test]
fn an_object_that_comes_is_told_and_can_be_opened() {
    let mut scene = Scene::new();
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    guest.objects_changed().unwrap();
    assert!(guest.host().signals.is_empty());
    let id = make(&mut scene.root, scene.guest, &dpbp::Create {});
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().signals, [MSI]);
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_ADDED);
    assert_eq!(call(&mut guest, 0, root, &dprc::GetObjectCount {}).unwrap().count, 8);
    open(&mut guest, 0, ObjectId::new(ObjectType::Dpbp, id)).unwrap();
}

#[test]
fn an_object_that_goes_takes_its_tokens_portal_and_interrupt_along() {
    let mut scene = Scene::new();
    let portal = dpmcp::PORTAL_FROM_POOL;
    let id = make(&mut scene.root, scene.guest, &dpmcp::Create { portal, options: 0 });
    let dpmcp = ObjectId::new(ObjectType::Dpmcp, id);
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    let ask = dprc::GetObjectRegion { id, index: 0, kind: dpmcp.kind };
    call(&mut guest, 0, root, &ask).unwrap();
    let through = open(&mut guest, 1, scene.guest.object).unwrap();
    let own = open(&mut guest, 0, dpmcp).unwrap();
    ::dprc::manage::destroy(&mut scene.root, scene.guest, dpmcp).unwrap();
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, [dpmcp]);
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_REMOVED);
    assert_eq!(call(&mut guest, 0, own, &common::Reset {}), Err(Status::AuthenticationError));
    // Its portal is nobody's by now. Zeros there would say that each command is done.
    let answer = call(&mut guest, 1, through, &common::Disable {});
    assert_eq!(answer, Err(Status::AuthenticationError));
    assert!(!guest.host().shown.lock().unwrap().contains_key(&(PORTALS + PORTAL_STRIDE)));
    // The next one gets its place, without the tokens that were opened through it.
    let again = make(&mut scene.root, scene.guest, &dpmcp::Create { portal, options: 0 });
    guest.objects_changed().unwrap();
    let ask = dprc::GetObjectRegion { id: again, index: 0, kind: dpmcp.kind };
    assert_eq!(call(&mut guest, 0, root, &ask).unwrap().offset, PORTAL_STRIDE);
    let answer = call(&mut guest, 1, through, &dprc::GetAttributes {});
    assert_eq!(answer.map(drop), Err(Status::AuthenticationError));
}

#[test]
fn a_command_that_finds_its_own_portal_gone_is_refused() {
    let mut scene = Scene::new();
    let portal = dpmcp::PORTAL_FROM_POOL;
    let id = make(&mut scene.root, scene.guest, &dpmcp::Create { portal, options: 0 });
    let dpmcp = ObjectId::new(ObjectType::Dpmcp, id);
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    let ask = dprc::GetObjectRegion { id, index: 0, kind: dpmcp.kind };
    call(&mut guest, 0, root, &ask).unwrap();
    let through = open(&mut guest, 1, scene.guest.object).unwrap();
    call(&mut guest, 1, through, &dprc::GetObjectCount {}).unwrap();
    ::dprc::manage::destroy(&mut scene.root, scene.guest, dpmcp).unwrap();
    // The emulation looks for what is in the container when the guest asks for it.
    let answer = call(&mut guest, 1, through, &dprc::GetObjectCount {}).map(|reply| reply.count);
    assert_eq!(answer, Err(Status::AuthenticationError));
    assert_eq!(guest.host().gone, [dpmcp]);
}

#[test]
fn an_object_that_is_unplugged_leaves_the_guest_and_comes_back() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    let region = dprc::GetObjectRegion { id: dpio.id, index: 0, kind: dpio.kind };
    call(&mut guest, 0, root, &region).unwrap();
    let token = open(&mut guest, 0, dpio).unwrap();
    let set = common::SetIrq { value: 9, index: 0, address: MSI.address, user: 0 };
    call(&mut guest, 0, token, &set).unwrap();

    plug(&mut scene, dpio, false);
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, [dpio]);
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_REMOVED);
    assert_eq!(call(&mut guest, 0, token, &common::Reset {}), Err(Status::AuthenticationError));
    // It lives, and can be moved: nobody has it open.
    assert!(!scene.is_open(token));
    // The guest does not get it back by itself.
    let commands = guest.host().commands;
    assert_eq!(open(&mut guest, 0, dpio), Err(Status::AuthenticationError));
    assert_eq!(call(&mut guest, 0, root, &region).map(drop), Err(Status::NoResource));
    let msi = dprc::SetObjectIrq {
        value: 9,
        index: 0,
        address: MSI.address,
        user: 0,
        id: dpio.id,
        kind: dpio.kind,
    };
    assert_eq!(call(&mut guest, 0, root, &msi), Err(Status::NoResource));
    assert_eq!(guest.host().commands, commands);
    assert_eq!(call(&mut guest, 0, root, &dprc::GetObjectCount {}).unwrap().count, 6);
    guest.objects_changed().unwrap();
    assert_eq!(events(&mut guest, root), 0);
    assert!(!guest.is_stale());

    plug(&mut scene, dpio, true);
    guest.objects_changed().unwrap();
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_ADDED);
    assert_eq!(guest.host().gone, [dpio]);
    let ask = dprc::GetObjectIrq { id: dpio.id, index: 0, kind: dpio.kind };
    assert_eq!(call(&mut guest, 0, root, &ask).unwrap().address, 0);
    let mapped = guest.host().mapped.len();
    call(&mut guest, 0, root, &region).unwrap();
    assert_eq!(guest.host().mapped.len(), mapped + 1);
    open(&mut guest, 0, dpio).unwrap();
}

/// Linux asks for the regions of an object only when it lists it for the first time.
#[test]
fn an_object_that_is_plugged_again_at_once_is_missed_first() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    plug(&mut scene, dpio, false);
    guest.objects_changed().unwrap();
    plug(&mut scene, dpio, true);
    guest.objects_changed().unwrap();
    comes_back(&mut guest, root, dpio);
}

#[test]
fn an_object_that_was_never_plugged_is_not_there() {
    let mut scene = Scene::new();
    let id = scene.root.call(scene.guest, &dpbp::Create {}).unwrap().id;
    let dpbp = ObjectId::new(ObjectType::Dpbp, id);
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    assert!(!guest.objects().contains(&dpbp));
    assert_eq!(open(&mut guest, 0, dpbp), Err(Status::AuthenticationError));
    plug(&mut scene, dpbp, true);
    guest.objects_changed().unwrap();
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_ADDED);
    open(&mut guest, 0, dpbp).unwrap();
}

fn plug(scene: &mut Scene, object: ObjectId, plugged: bool) {
    let (open, container) = (scene.guest, scene.guest.object);
    ::dprc::manage::assign(&mut scene.root, open, object, container, plugged).unwrap();
}

#[test]
fn an_object_that_is_made_again_goes_and_comes() {
    let mut scene = Scene::new();
    let dpbp = scene.member(ObjectType::Dpbp);
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    let token = open(&mut guest, 0, dpbp).unwrap();
    ::dprc::manage::destroy(&mut scene.root, scene.guest, dpbp).unwrap();
    assert_eq!(make(&mut scene.root, scene.guest, &dpbp::Create {}), dpbp.id);
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, [dpbp]);
    comes_back(&mut guest, root, dpbp);
    assert_eq!(call(&mut guest, 0, token, &common::Reset {}), Err(Status::AuthenticationError));
}

#[test]
fn an_object_whose_registers_are_elsewhere_goes_and_comes() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    let region = dprc::GetObjectRegion { id: dpio.id, index: 0, kind: dpio.kind };
    let before = call(&mut guest, 0, root, &region).unwrap();
    guest.objects_changed().unwrap();
    assert!(guest.host().gone.is_empty());
    guest.host().answer = |command, mut answer| {
        if command.header.number() == dprc::GetObjectRegion::NUMBER {
            let mut region = dprc::GetObjectRegionReply::decode(&answer.params, 3).unwrap();
            region.offset += 0x10_0000;
            region.encode(&mut answer.params, 3);
        }
        answer
    };
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, [dpio]);
    comes_back(&mut guest, root, dpio);
    assert_eq!(call(&mut guest, 0, root, &region).unwrap(), before);
    assert_eq!(guest.host().mapped.len(), 2);
}

/// A guest that is told that an object has gone finds it gone, and after that it comes.
fn comes_back(guest: &mut Emulation<BoardHost>, root: Token, object: ObjectId) {
    assert_eq!(events(guest, root), dprc::event::OBJ_REMOVED);
    guest.objects_changed().unwrap();
    assert_eq!(events(guest, root), 0);
    assert_eq!(open(guest, 0, object), Err(Status::AuthenticationError));
    assert!(!guest.is_stale());
    let count = call(guest, 0, root, &dprc::GetObjectCount {}).unwrap().count;
    assert!(!guest.objects().contains(&object) && guest.objects().len() == count as usize);
    assert!(guest.is_stale());
    guest.objects_changed().unwrap();
    assert_eq!(events(guest, root), dprc::event::OBJ_ADDED);
    assert!(guest.objects().contains(&object) && !guest.is_stale());
    open(guest, 0, object).unwrap();
}

#[test]
fn what_went_with_an_object_is_not_closed() {
    let mut scene = Scene::new();
    let dpbp = scene.member(ObjectType::Dpbp);
    let mut guest = scene.emulation();
    let token = open(&mut guest, 0, dpbp).unwrap();
    ::dprc::manage::destroy(&mut scene.root, scene.guest, dpbp).unwrap();
    // Somebody else of the host's gets the number.
    let somebody = loop {
        let open = scene.root.open(scene.guest.object).unwrap();
        if open.token == token {
            break open;
        }
        scene.root.close(open).unwrap();
    };
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, [dpbp]);
    scene.root.call(somebody, &dprc::GetAttributes {}).unwrap();
}

#[test]
fn containers_below_are_not_seen() {
    let mut scene = Scene::new();
    let request = dprc::CreateContainer {
        icid: dprc::ICID_FROM_POOL,
        portal: dprc::PORTAL_FROM_POOL,
        ..Default::default()
    };
    let child = scene.root.call(scene.guest, &request).unwrap().child;
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    assert_eq!(call(&mut guest, 0, root, &dprc::GetObjectCount {}).unwrap().count, 7);
    let child = ObjectId::new(ObjectType::Dprc, child);
    assert_eq!(open(&mut guest, 0, child), Err(Status::AuthenticationError));
    let reset = dprc::Reset { child: child.id, options: 0 };
    assert_eq!(call(&mut guest, 0, root, &reset), Err(Status::NoPrivilege));
}

/// Lets `change` happen when the emulation asks for the object at `index`, with the number of
/// the list, from 0, in which it does.
fn while_listed(
    guest: &mut Emulation<BoardHost>,
    index: u32,
    mut change: impl FnMut(u32) + Send + 'static,
) {
    let mut lists = 0;
    guest.host().before = Some(Box::new(move |command| {
        let is_object = command.header.number() == dprc::GetObject::NUMBER;
        if is_object && dprc::GetObject::decode(&command.params, 1).unwrap().index == index {
            change(lists);
            lists += 1;
        }
    }));
}

#[test]
fn what_moves_up_in_the_list_while_another_goes_has_not_gone() {
    let mut scene = Scene::new();
    let listed = scene.list(scene.guest);
    let [first, third] = [0, 2].map(|at: usize| ObjectId::new(listed[at].kind, listed[at].id));
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    let token = open(&mut guest, 0, third).unwrap();
    let (board, destroy) = (scene.board.clone(), destroy(&scene, first));
    while_listed(&mut guest, 2, move |list| {
        if list == 0 {
            assert_eq!(board.mc().execute(0, &destroy).header.status(), Status::Ok);
        }
    });
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, [first]);
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_REMOVED);
    let names: Vec<ObjectId> =
        listed[1..].iter().map(|object| ObjectId::new(object.kind, object.id)).collect();
    assert_eq!(guest.objects(), names);
    call(&mut guest, 0, token, &common::GetIrqMask { index: 0 }).unwrap();
}

#[test]
fn what_stays_in_a_container_that_always_changes_has_not_gone() {
    let mut scene = Scene::new();
    // One of the family that is listed first, so that all others move.
    let first = scene.list(scene.guest)[0].kind;
    assert_eq!(first, ObjectType::Dpni);
    let before = scene.list(scene.guest).len();
    let mut guest = scene.emulation();
    let (board, container) = (scene.board.clone(), scene.guest.token);
    let mut extra = None;
    while_listed(&mut guest, 2, move |_| {
        let command = match extra.take() {
            None => mc_abi::dpni::Create::default().message(container),
            Some(id) => destroy_in(container, ObjectId::new(first, id)),
        };
        let is_create = command.header.number() == mc_abi::dpni::Create::NUMBER;
        let answer = board.mc().execute(0, &command);
        assert_eq!(answer.header.status(), Status::Ok);
        extra = is_create.then(|| common::Created::decode(&answer.params, 1).unwrap().id);
    });
    let commands = guest.host().commands;
    for _ in 0..3 {
        guest.objects_changed().unwrap();
    }
    assert!(guest.host().gone.is_empty(), "{:?}", guest.host().gone);
    assert!(guest.is_stale());
    assert!(guest.host().commands - commands <= 3 * 4 * (before as u64 + 2));
    // When it is quiet, all is known.
    guest.host().before = None;
    guest.objects_changed().unwrap();
    assert_eq!(guest.objects().len(), scene.list(scene.guest).len());
    assert!(!guest.is_stale());
}

#[test]
fn a_look_that_fails_misses_nothing() {
    let mut scene = Scene::new();
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    make(&mut scene.root, scene.guest, &dpbp::Create {});
    guest.host().is_silent = true;
    assert_eq!(guest.objects_changed(), Err(Status::Timeout));
    assert!(guest.is_stale());
    guest.host().is_silent = false;
    guest.objects_changed().unwrap();
    assert!(!guest.is_stale());
    assert_eq!(guest.host().signals, [MSI]);
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_ADDED);
}

#[test]
fn a_container_that_is_taken_away_is_empty_for_good() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = scene.emulation();
    let root = listen(&scene, &mut guest);
    let token = open(&mut guest, 0, dpio).unwrap();
    let all = guest.objects().len();
    guest.host().is_revoked = true;
    guest.objects_changed().unwrap();
    assert!(!guest.is_stale() && guest.objects().is_empty());
    assert_eq!(guest.host().gone.len(), all);
    assert_eq!(guest.host().signals, [MSI]);
    // Linux asks for that, and finds nothing.
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_REMOVED);
    assert_eq!(call(&mut guest, 0, root, &dprc::GetObjectCount {}).unwrap().count, 0);
    let refused = Err(Status::AuthenticationError);
    assert_eq!(call(&mut guest, 0, token, &common::Enable {}), refused);
    assert_eq!(open(&mut guest, 0, scene.guest.object).map(drop), refused);
    let look = (guest.objects_changed(), guest.is_stale(), guest.host().signals.len());
    assert_eq!(look, (Ok(()), false, 1));
}

/// The command through the root's portal that destroys an object of the guest's.
fn destroy(scene: &Scene, object: ObjectId) -> Message {
    destroy_in(scene.guest.token, object)
}

fn destroy_in(container: Token, object: ObjectId) -> Message {
    let mut params = mc_abi::Params::ZERO;
    common::Destroy { id: object.id }.encode(&mut params, 1);
    Message::command(common::DESTROY + object.kind.code(), 1, container, params)
}
