// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupts: what the guest sets goes to the host's routing, never to the board.

use crate::board_host::{Scene, call, open};
use dprc_assign::Msi;
use mc_abi::{ObjectType, Status, common, dpmcp, dprc};

const ADDRESS: u64 = 0x808_0040;

fn set(object: mc_abi::ObjectId, index: u8, address: u64, value: u32) -> dprc::SetObjectIrq {
    dprc::SetObjectIrq { value, index, address, user: 9, id: object.id, kind: object.kind }
}

#[test]
fn settings_are_kept_routed_and_never_passed_on() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let before = scene.fingerprint();
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    call(&mut guest, 0, root, &set(dpio, 0, ADDRESS, 5)).unwrap();
    let msi = Msi { address: ADDRESS, data: 5 };
    assert_eq!(guest.host().routes, [(dpio, 0, Some(msi))]);
    // Through the object's own token, with address 0: off.
    let token = open(&mut guest, 0, dpio).unwrap();
    let got = call(&mut guest, 0, token, &common::GetIrq { index: 0 }).unwrap();
    assert_eq!((got.address, got.value, got.user, got.kind), (ADDRESS, 5, 9, 0));
    let off = common::SetIrq { value: 0, index: 0, address: 0, user: 0 };
    call(&mut guest, 0, token, &off).unwrap();
    assert_eq!(guest.host().routes.last(), Some(&(dpio, 0, None)));
    let ask = dprc::GetObjectIrq { id: dpio.id, index: 0, kind: dpio.kind };
    assert_eq!(call(&mut guest, 0, root, &ask).unwrap().address, 0);
    // What the host has not, is not said to be there.
    guest.host().has_interrupts = false;
    assert_eq!(call(&mut guest, 0, root, &set(dpio, 0, ADDRESS, 6)), Err(Status::NoResource));
    assert_eq!(call(&mut guest, 0, root, &ask).unwrap().address, 0);
    guest.host().has_interrupts = true;
    let past = set(dpio, 200, ADDRESS, 5);
    assert_eq!(call(&mut guest, 0, root, &past), Err(Status::ConfigurationError));
    assert_eq!(scene.fingerprint(), before);
}

#[test]
fn a_guest_that_starts_again_leaves_no_routes_and_no_tokens() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    call(&mut guest, 0, root, &set(dpio, 0, ADDRESS, 5)).unwrap();
    guest.reset();
    assert_eq!(guest.host().routes.last(), Some(&(dpio, 0, None)));
    let answer = call(&mut guest, 0, root, &dprc::GetAttributes {});
    assert_eq!(answer.map(drop), Err(Status::AuthenticationError));
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    let ask = dprc::GetObjectIrq { id: dpio.id, index: 0, kind: dpio.kind };
    assert_eq!(call(&mut guest, 0, root, &ask).unwrap().address, 0);
}

#[test]
fn a_portal_tells_that_its_command_is_done() {
    let mut scene = Scene::new();
    let dpmcp = scene.member(ObjectType::Dpmcp);
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    let ask = dprc::GetObjectRegion { id: dpmcp.id, index: 0, kind: dpmcp.kind };
    call(&mut guest, 0, root, &ask).unwrap();
    let token = open(&mut guest, 0, dpmcp).unwrap();
    call(&mut guest, 0, root, &set(dpmcp, 0, ADDRESS, 3)).unwrap();
    let mask = common::SetIrqMask { mask: dpmcp::EVENT_COMMAND_DONE, index: 0 };
    call(&mut guest, 0, token, &mask).unwrap();
    let enable = common::SetIrqEnable { enable: true, index: 0 };
    call(&mut guest, 0, token, &enable).unwrap();
    assert!(guest.host().signals.is_empty() && guest.host().routes.is_empty());
    open(&mut guest, 1, dpmcp).unwrap();
    assert_eq!(guest.host().signals, [Msi { address: ADDRESS, data: 3 }]);
}
