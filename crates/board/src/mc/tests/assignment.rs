// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Moving and plugging objects.

use crate::mc::testing::TestMc;
use mc_abi::{
    ObjectId, ObjectType, ResourceType, Status, dpbp,
    dprc::{self, request},
};

/// Moves one object to a container, as the parent does.
pub(super) fn assign(container: u32, id: ObjectId, options: u32) -> dprc::Assign {
    dprc::Assign {
        container,
        options: options | request::EXPLICIT,
        count: 1,
        base_or_align: id.id,
        kind: ResourceType::new(id.kind.name()),
    }
}

/// Takes one object back from a container, as the parent does.
pub(super) fn unassign(child: u32, id: ObjectId) -> dprc::Unassign {
    dprc::Unassign {
        child,
        options: request::EXPLICIT,
        count: 1,
        base_or_align: id.id,
        kind: ResourceType::new(id.kind.name()),
    }
}

#[test]
fn an_object_goes_down_and_up_again() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let dpbp = mc.create(&dpbp::Create {}).unwrap();
    mc.call(mc.root, &assign(child, dpbp, request::PLUGGED)).unwrap();
    let object = mc.state.object(dpbp).unwrap();
    assert_eq!((object.container, object.plugged), (child, true));
    // It stands in one list, not in two.
    let lists = [mc.root, token].map(|t| mc.call(t, &dprc::GetObjectCount {}).unwrap().count);
    assert_eq!(lists, [1, 1], "the child in the root, the object in the child");
    mc.call(token, &assign(child, dpbp, 0)).unwrap();
    mc.call(mc.root, &unassign(child, dpbp)).unwrap();
    assert_eq!(mc.state.object(dpbp).unwrap().container, 1);
}

/// Board observation: V-DPRC-6.
#[test]
fn siblings_do_not_trade() {
    let mut mc = TestMc::new();
    let (one, token) = mc.make_container();
    let (two, _) = mc.make_container();
    let dpbp = mc.create_in(token, &dpbp::Create {}).unwrap();
    assert_eq!(mc.call(token, &assign(two, dpbp, 0)), Err(Status::NoPrivilege));
    // Nor does the parent move past its child.
    assert_eq!(mc.call(mc.root, &assign(two, dpbp, 0)), Err(Status::NoPrivilege));
    assert_eq!(mc.state.object(dpbp).unwrap().container, one);
}

#[test]
fn plugged_or_open_objects_stay_where_they_are() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let dpbp = mc.create(&dpbp::Create {}).unwrap();
    mc.call(mc.root, &assign(1, dpbp, request::PLUGGED)).unwrap();
    assert_eq!(mc.call(mc.root, &assign(child, dpbp, 0)), Err(Status::InvalidState));
    mc.call(mc.root, &assign(1, dpbp, 0)).unwrap();
    let token = mc.open(dpbp);
    assert_eq!(mc.call(mc.root, &assign(child, dpbp, 0)), Err(Status::InvalidState));
    mc.close(token).unwrap();
    assert_eq!(mc.call(mc.root, &assign(child, dpbp, 0)), Ok(()));
}

#[test]
fn any_object_of_a_family_can_be_asked_for() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let ids: Vec<_> = (0..3).map(|_| mc.create(&dpbp::Create {}).unwrap()).collect();
    mc.call(mc.root, &assign(1, ids[0], request::PLUGGED)).unwrap();
    let any = |count| dprc::Assign {
        container: child,
        options: 0,
        count,
        base_or_align: 0,
        kind: ResourceType::new("dpbp"),
    };
    assert_eq!(mc.call(mc.root, &any(3)), Err(Status::NoResource));
    assert_eq!(mc.state.object(ids[1]).unwrap().container, 1, "all or nothing");
    mc.call(mc.root, &any(2)).unwrap();
    let holders = ids.iter().map(|id| mc.state.object(*id).unwrap().container);
    assert_eq!(holders.collect::<Vec<_>>(), [1, child, child]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let (other, _) = mc.make_container();
    let dpbp = mc.create(&dpbp::Create {}).unwrap();
    let mut refused = |ask: dprc::Assign| mc.call(mc.root, &ask).unwrap_err();
    let a = |id| assign(child, id, 0);
    let missing = ObjectId::new(ObjectType::Dpbp, 40);
    assert_eq!(refused(a(missing)), Status::NoResource);
    let any = dprc::Assign { options: 0, count: 0, ..a(dpbp) };
    assert_eq!(refused(any), Status::ConfigurationError);
    let far = dprc::Assign { base_or_align: u32::MAX, count: u32::MAX, ..a(dpbp) };
    assert_eq!(refused(far), Status::NoResource);
    let container = ObjectId::new(ObjectType::Dprc, other);
    assert_eq!(refused(a(container)), Status::ConfigurationError);
    let nowhere = dprc::Assign { container: 99, ..a(dpbp) };
    assert_eq!(refused(nowhere), Status::NoResource);
    let unknown = dprc::Assign { kind: ResourceType::new("tea"), ..a(dpbp) };
    assert_eq!(refused(unknown), Status::ConfigurationError);
}

#[test]
fn an_object_by_its_number_needs_no_count() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let dpbp = mc.create(&dpbp::Create {}).unwrap();
    let restool = dprc::Assign { count: 0, ..assign(child, dpbp, 0) };
    mc.call(mc.root, &restool).unwrap();
    assert_eq!(mc.state.object(dpbp).unwrap().container, child);
}

#[test]
fn a_container_can_be_plugged() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let id = ObjectId::new(ObjectType::Dprc, child);
    mc.call(mc.root, &assign(1, id, request::PLUGGED)).unwrap();
    assert!(mc.state.object(id).unwrap().plugged);
}
