// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Making, locking, resetting and destroying containers.

use super::assignment::assign;
use crate::mc::{Config, testing::TestMc};
use mc_abi::{
    Label, ObjectId, ObjectType, ResourceType, Status, common, dpbp, dpmcp,
    dprc::{self, option, request},
};

const TOOL: u32 = option::SPAWN | option::ALLOC | option::OBJ_CREATE | option::IRQ_CFG;

#[test]
fn a_container_has_its_own_isolation_id_and_portal() {
    let mut mc = TestMc::new();
    let request = dprc::CreateContainer {
        options: TOOL,
        icid: dprc::ICID_FROM_POOL,
        portal: dprc::PORTAL_FROM_POOL,
        label: Label::new("for a guest"),
    };
    let made = mc.call(mc.root, &request).unwrap();
    assert_eq!(made.child, 2);
    let token = mc.open(ObjectId::new(ObjectType::Dprc, 2));
    let attributes = mc.call(token, &dprc::GetAttributes {}).unwrap();
    assert_eq!((attributes.id, attributes.options), (2, 0x47));
    assert_eq!(made.portal_offset, u64::from(attributes.portal) * 0x1_0000);
    assert_eq!(mc.state.portal_container(attributes.portal), Some(2));
    let listed = mc.call(mc.root, &dprc::GetObject { index: 0 }).unwrap().object;
    assert_eq!((listed.kind, listed.id), (ObjectType::Dprc, 2));
    assert_eq!(listed.label, Label::new("for a guest"));
    assert_eq!((listed.irqs, listed.regions), (1, 1));
    assert_eq!(listed.state & dprc::state::PLUGGED, 0, "unplugged (board observation)");
}

#[test]
fn isolation_id_and_portal_can_be_chosen_where_they_are_free() {
    let mut mc = TestMc::new();
    let request = dprc::CreateContainer { icid: 30, portal: 100, ..Default::default() };
    let child = mc.call(mc.root, &request).unwrap().child;
    let token = mc.open(ObjectId::new(ObjectType::Dprc, child));
    let attributes = mc.call(token, &dprc::GetAttributes {}).unwrap();
    assert_eq!((attributes.icid, attributes.portal), (30, 100));
    let taken = dprc::CreateContainer { portal: 101, ..request.clone() };
    assert_eq!(mc.call(mc.root, &taken), Err(Status::NoResource));
    let taken = dprc::CreateContainer { icid: 31, ..request };
    assert_eq!(mc.call(mc.root, &taken), Err(Status::NoResource));
    mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    mc.assert_pools_full();
}

#[test]
fn unknown_options_are_refused() {
    let mut mc = TestMc::new();
    let refused = mc.make_container_in(mc.root, 0x100);
    assert_eq!(refused.map(drop), Err(Status::ConfigurationError));
    mc.assert_pools_full();
}

#[test]
fn isolation_ids_run_out() {
    let mut mc = TestMc::with(Config { icids: 3, ..Config::default() });
    mc.make_container();
    mc.make_container();
    let refused = mc.make_container_in(mc.root, 0);
    assert_eq!(refused.map(drop), Err(Status::NoResource));
}

#[test]
fn numbers_are_given_out_again() {
    let mut mc = TestMc::new();
    for _ in 0..3 {
        let (child, _) = mc.make_container();
        assert_eq!(child, 2);
        mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    }
}

/// Board observation: V-DPRC-2-NOSPAWN.
#[test]
fn without_spawn_a_container_has_no_children() {
    let mut mc = TestMc::new();
    let (_, token) = mc.make_container_in(mc.root, TOOL & !option::SPAWN).unwrap();
    let refused = mc.make_container_in(token, TOOL);
    assert_eq!(refused.map(drop), Err(Status::ConfigurationError));
    assert_eq!(mc.call(token, &dprc::GetObjectCount {}).unwrap().count, 0);
}

/// Board observation: V-DPRC-2-NOALLOC.
#[test]
fn without_alloc_a_container_draws_nothing_from_its_parent() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container_in(mc.root, TOOL & !option::ALLOC).unwrap();
    assert_eq!(mc.create_in(token, &dpbp::Create {}), Err(Status::NoResource));
    // What it was given it may use.
    let give = dprc::Assign {
        container: child,
        options: 0,
        count: 1,
        base_or_align: 0,
        kind: ResourceType::new("bp"),
    };
    mc.call(mc.root, &give).unwrap();
    let dpbp = mc.create_in(token, &dpbp::Create {}).unwrap();
    assert_eq!(mc.create_in(token, &dpbp::Create {}), Err(Status::NoResource));
    mc.destroy_in(token, dpbp).unwrap();
    assert!(mc.create_in(token, &dpbp::Create {}).is_ok());
}

/// Board observation: V-DPRC-2-NOCREATE.
#[test]
fn without_obj_create_only_the_parent_makes_objects() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container_in(mc.root, TOOL & !option::OBJ_CREATE).unwrap();
    assert!(mc.create_in(token, &dpbp::Create {}).is_ok());
    let own = mc.call_from(child, token, &dpbp::Create {});
    assert_eq!(own, Err(Status::NoPrivilege));
}

/// Board observation: V-DPRC-1.
#[test]
fn only_the_container_that_made_an_object_destroys_it() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let dpbp = mc.create(&dpbp::Create {}).unwrap();
    mc.call(mc.root, &assign(child, dpbp, 0)).unwrap();
    assert_eq!(mc.destroy_in(token, dpbp), Err(Status::NoPrivilege));
    assert!(mc.state.objects.contains_key(&dpbp));
    mc.destroy(dpbp).unwrap();
    assert_eq!(mc.destroy(dpbp), Err(Status::NoResource));
}

/// Board observation: V-DPRC-1 and V-DPRC-7.
#[test]
fn a_container_takes_what_it_made_along_and_leaves_what_it_was_given() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let made = mc.create_in(token, &dpbp::Create {}).unwrap();
    mc.call(token, &assign(child, made, request::PLUGGED)).unwrap();
    let given = mc.create(&dpbp::Create {}).unwrap();
    mc.call(mc.root, &assign(child, given, request::PLUGGED)).unwrap();
    mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    assert!(!mc.state.objects.contains_key(&made));
    let given = mc.state.object(given).unwrap();
    assert_eq!((given.container, given.plugged), (1, false));
    // The token of what is gone is dead.
    let dead = mc.call(token, &dprc::GetObjectCount {});
    assert_eq!(dead, Err(Status::AuthenticationError));
}

/// What was opened through its portals and not closed is nobody's any more.
#[test]
fn what_a_container_had_open_is_closed_when_it_is_gone() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let given = mc.create(&dpbp::Create {}).unwrap();
    mc.call(mc.root, &assign(child, given, 0)).unwrap();
    let inner = mc.try_open(child, given).unwrap();
    mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    let ask = dprc::GetObjectDescription { id: given.id, kind: given.kind };
    let state = mc.call(mc.root, &ask).unwrap().object.state;
    assert_eq!(state & dprc::state::OPEN, 0);
    let dead = mc.call(inner, &common::IsEnabled {}).map(drop);
    assert_eq!(dead, Err(Status::AuthenticationError));
    let (again, _) = mc.make_container();
    assert_eq!(mc.call(mc.root, &assign(again, given, 0)), Ok(()));
}

#[test]
fn containers_below_go_first_and_hand_things_up() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let (grandchild, below) = mc.make_container_in(token, TOOL).unwrap();
    // Made by the child, given to the grandchild: dies with the child.
    let lent = mc.create_in(token, &dpbp::Create {}).unwrap();
    mc.call(token, &assign(grandchild, lent, 0)).unwrap();
    // Made by the root, given down twice: ends up in the root.
    let far = mc.create(&dpbp::Create {}).unwrap();
    mc.call(mc.root, &assign(child, far, 0)).unwrap();
    mc.call(token, &assign(grandchild, far, 0)).unwrap();
    mc.create_in(below, &dpmcp::Create { portal: u32::MAX, options: 0 }).unwrap();
    mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    let left: Vec<_> = mc.state.objects.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["dprc.1", &far.to_string()]);
    mc.destroy(far).unwrap();
    mc.assert_pools_full();
}

/// Board observation: what a container made and gave away outlives it, and
/// nobody may destroy it.
#[test]
fn an_orphan_has_no_master_even_when_the_number_returns() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let dpbp = mc.create_in(token, &dpbp::Create {}).unwrap();
    let back = dprc::Unassign {
        child,
        options: request::EXPLICIT,
        count: 1,
        base_or_align: dpbp.id,
        kind: ResourceType::new("dpbp"),
    };
    mc.call(mc.root, &back).unwrap();
    mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    assert_eq!(mc.destroy(dpbp), Err(Status::NoPrivilege));
    let (again, token) = mc.make_container();
    assert_eq!(again, child);
    mc.call(mc.root, &assign(again, dpbp, 0)).unwrap();
    assert_eq!(mc.destroy_in(token, dpbp), Err(Status::NoPrivilege));
}

#[test]
fn only_a_parent_destroys_a_container() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let (grandchild, _) = mc.make_container_in(token, TOOL).unwrap();
    let destroy = |child| dprc::DestroyContainer { child };
    assert_eq!(mc.call(mc.root, &destroy(grandchild)), Err(Status::NoPrivilege));
    assert_eq!(mc.call(mc.root, &destroy(1)), Err(Status::NoPrivilege));
    assert_eq!(mc.call(token, &destroy(child)), Err(Status::NoPrivilege));
    assert_eq!(mc.call(mc.root, &destroy(77)), Err(Status::NoResource));
    assert_eq!(mc.call(token, &destroy(grandchild)), Ok(()));
}

/// Board observation: V-DPRC-3 and V-DPRC-12.
#[test]
fn a_locked_hierarchy_refuses_changes_but_labels() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let dpbp = mc.create_in(token, &dpbp::Create {}).unwrap();
    let (grandchild, below) = mc.make_container_in(token, TOOL).unwrap();
    let lock = |locked, child| dprc::SetLocked { locked, child };
    mc.call(mc.root, &lock(true, child)).unwrap();

    let no = Err(Status::NoPrivilege);
    assert_eq!(mc.create_in(token, &dpbp::Create {}).map(drop), no);
    assert_eq!(mc.create_in(below, &dpbp::Create {}).map(drop), no);
    assert_eq!(mc.destroy_in(token, dpbp), no);
    assert_eq!(mc.make_container_in(token, TOOL).map(drop), no);
    assert_eq!(mc.call(token, &dprc::DestroyContainer { child: grandchild }), no);
    assert_eq!(mc.call(token, &assign(child, dpbp, request::PLUGGED)), no);
    assert_eq!(mc.call(token, &assign(grandchild, dpbp, 0)), no);
    let unassign = dprc::Unassign { child: grandchild, count: 1, ..Default::default() };
    assert_eq!(mc.call(token, &unassign), no);
    assert_eq!(mc.call(token, &lock(true, grandchild)), no);

    let label = dprc::SetObjectLabel { id: dpbp.id, kind: dpbp.kind, label: Label::new("new") };
    assert_eq!(mc.call(token, &label), Ok(()));
    let ask = dprc::GetObjectDescription { id: dpbp.id, kind: dpbp.kind };
    assert_eq!(mc.call(token, &ask).unwrap().object.label, Label::new("new"));

    // The parent moves objects in: what locks are for.
    let guest = mc.create(&dpbp::Create {}).unwrap();
    assert_eq!(mc.call(mc.root, &assign(child, guest, 0)), Ok(()));

    mc.call(mc.root, &lock(false, child)).unwrap();
    assert_eq!(mc.call(token, &assign(child, dpbp, request::PLUGGED)), Ok(()));
    assert!(mc.create_in(below, &dpbp::Create {}).is_ok());
}

#[test]
fn a_reset_closes_what_the_container_had_open_and_resets_objects() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let (grandchild, below) = mc.make_container_in(token, TOOL).unwrap();
    let mut opened = Vec::new();
    for (container, at) in [(child, token), (grandchild, below)] {
        let dpbp = mc.create_in(at, &dpbp::Create {}).unwrap();
        let inner = mc.try_open(container, dpbp).unwrap();
        let outer = mc.open(dpbp);
        mc.call(outer, &common::Enable {}).unwrap();
        opened.push((inner, outer));
    }
    let on =
        |mc: &mut TestMc, token| mc.call(token, &common::IsEnabled {}).map(|reply| reply.enabled);
    let reset = |options| dprc::Reset { child, options };
    mc.call(token, &reset(dprc::RESET_NON_RECURSIVE)).unwrap();
    assert_eq!(on(&mut mc, opened[0].0), Err(Status::AuthenticationError));
    assert_eq!(on(&mut mc, opened[0].1), Ok(false));
    assert_eq!(on(&mut mc, opened[1].0), Ok(true));
    mc.call(mc.root, &reset(0)).unwrap();
    assert_eq!(on(&mut mc, opened[1].1), Ok(false));
    // Version 1 has no options: it goes all the way down.
    mc.call(opened[1].1, &common::Enable {}).unwrap();
    mc.call_version(token, &reset(dprc::RESET_NON_RECURSIVE), 1).unwrap();
    assert_eq!(on(&mut mc, opened[1].1), Ok(false));
    let up = mc.call(token, &dprc::Reset { child: 1, options: 0 });
    assert_eq!(up, Err(Status::NoPrivilege));
}
