// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Objects that come and go while the guest runs.

use crate::board_host::{Scene, call, make, open};
use dprc_assign::{Emulation, Msi};
use mc_abi::{ObjectId, ObjectType, Status, Token, common, dpbp, dpmcp, dprc};

const MSI: Msi = Msi { address: 0x808_0040, data: 8 };

/// Lets the guest listen to its container; gives its token.
fn listen(scene: &Scene, guest: &mut Emulation<crate::board_host::BoardHost>) -> Token {
    let root = open(guest, 0, scene.guest.object).unwrap();
    let set = common::SetIrq { value: MSI.data, index: 0, address: MSI.address, user: 0 };
    call(guest, 0, root, &set).unwrap();
    call(guest, 0, root, &common::SetIrqMask { mask: 0xff, index: 0 }).unwrap();
    call(guest, 0, root, &common::SetIrqEnable { enable: true, index: 0 }).unwrap();
    root
}

fn events(guest: &mut Emulation<crate::board_host::BoardHost>, root: Token) -> u32 {
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
    guest.objects_changed();
    assert!(guest.host().signals.is_empty());
    let id = make(&mut scene.root, scene.guest, &dpbp::Create {});
    guest.objects_changed();
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
    guest.objects_changed();
    assert_eq!(guest.host().gone, [dpmcp]);
    assert_eq!(events(&mut guest, root), dprc::event::OBJ_REMOVED);
    assert_eq!(call(&mut guest, 0, own, &common::Reset {}), Err(Status::AuthenticationError));
    let mut nothing = [0xff; 8];
    guest.load(dprc_assign::PORTAL_STRIDE, &mut nothing);
    assert_eq!(nothing, [0; 8]);
    // The next one gets its place, without the tokens that were opened through it.
    let again = make(&mut scene.root, scene.guest, &dpmcp::Create { portal, options: 0 });
    guest.objects_changed();
    let ask = dprc::GetObjectRegion { id: again, index: 0, kind: dpmcp.kind };
    assert_eq!(call(&mut guest, 0, root, &ask).unwrap().offset, dprc_assign::PORTAL_STRIDE);
    let answer = call(&mut guest, 1, through, &dprc::GetAttributes {});
    assert_eq!(answer.map(drop), Err(Status::AuthenticationError));
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
