// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Pools as commands see them.

use crate::mc::testing::TestMc;
use mc_abi::{
    ObjectId, ObjectType, ResourceType, Status, Token, dpbp,
    dprc::{self, iteration, option, request},
};

fn count(mc: &mut TestMc, token: Token, kind: &str) -> Result<u32, Status> {
    let kind = ResourceType::new(kind);
    mc.call(token, &dprc::GetResourceCount { kind }).map(|reply| reply.count)
}

/// All ranges, the way tools ask.
fn ranges(mc: &mut TestMc, token: Token, kind: &str) -> Vec<(u32, u32)> {
    let kind = ResourceType::new(kind);
    let mut ask = dprc::GetResourceIds { kind, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let range = mc.call(token, &ask).unwrap();
        found.push((range.base, range.last));
        if range.iteration == iteration::LAST {
            return found;
        }
        ask = dprc::GetResourceIds {
            kind,
            iteration: range.iteration,
            base: range.base,
            last: range.last,
        };
    }
}

fn give(container: u32, kind: &str, options: u32, count: u32, base: u32) -> dprc::Assign {
    let kind = ResourceType::new(kind);
    dprc::Assign { container, options, count, base_or_align: base, kind }
}

#[test]
fn pools_are_listed_and_all_names_are_known() {
    let mut mc = TestMc::new();
    let global = mc.open(ObjectId::new(ObjectType::Dprc, 0));
    let pools = mc.call(global, &dprc::GetPoolCount {}).unwrap().count;
    let mut names = Vec::new();
    for index in 0..pools {
        let kind = mc.call(global, &dprc::GetPool { index }).unwrap().kind;
        let name = std::str::from_utf8(kind.as_bytes()).unwrap().to_owned();
        assert!(count(&mut mc, global, &name).unwrap() > 0, "{name}");
        names.push(name);
    }
    for name in ["mcp", "swp", "bp", "fq", "cg", "qd", "opr"] {
        assert!(names.iter().any(|n| n == name), "{name} is listed on a board");
    }
    let past = mc.call(global, &dprc::GetPool { index: pools });
    assert_eq!(past, Err(Status::ConfigurationError));
    assert_eq!(count(&mut mc, global, "tea"), Err(Status::ConfigurationError));
}

/// Board observation: V-CEIL-1.
#[test]
fn buffer_pools_are_refused_exactly_when_the_count_is_zero() {
    let mut mc = TestMc::new();
    let global = mc.open(ObjectId::new(ObjectType::Dprc, 0));
    let free = count(&mut mc, global, "bp").unwrap();
    let made: Vec<_> = (0..free).map(|_| mc.create(&dpbp::Create {}).unwrap()).collect();
    assert_eq!(count(&mut mc, global, "bp"), Ok(0));
    assert_eq!(mc.create(&dpbp::Create {}), Err(Status::NoResource));
    for id in made {
        mc.destroy(id).unwrap();
    }
    assert_eq!(count(&mut mc, global, "bp"), Ok(free));
}

#[test]
fn resources_are_handed_down_and_back() {
    let mut mc = TestMc::new();
    let global = mc.open(ObjectId::new(ObjectType::Dprc, 0));
    let (child, token) = mc.make_container();
    let root = mc.root;
    let all = count(&mut mc, global, "fq").unwrap();
    mc.call(mc.root, &give(child, "fq", request::EXPLICIT, 4, 100)).unwrap();
    mc.call(mc.root, &give(child, "fq", request::ALIGNED, 2, 64)).unwrap();
    mc.call(mc.root, &give(child, "fq", 0, 1, 0)).unwrap();
    assert_eq!(ranges(&mut mc, token, "fq"), [(1, 1), (64, 65), (100, 103)]);
    assert_eq!(count(&mut mc, token, "fq"), Ok(7));
    assert_eq!(count(&mut mc, global, "fq"), Ok(all - 7));
    let back = dprc::Unassign {
        child,
        options: request::EXPLICIT,
        count: 2,
        base_or_align: 101,
        kind: ResourceType::new("fq"),
    };
    mc.call(mc.root, &back).unwrap();
    assert_eq!(ranges(&mut mc, token, "fq"), [(1, 1), (64, 65), (100, 100), (103, 103)]);
    // They are the root's own now, and what is left goes back to it.
    assert_eq!(count(&mut mc, root, "fq"), Ok(2));
    mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    assert_eq!(count(&mut mc, root, "fq"), Ok(7));
    mc.assert_pools_full();
    let empty = dprc::GetResourceIds { kind: ResourceType::new("swp"), ..Default::default() };
    assert_eq!(mc.call(mc.root, &empty), Err(Status::NoResource));
}

#[test]
fn more_than_there_is_cannot_be_handed_over() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    for ask in [
        give(child, "bp", 0, 1000, 0),
        give(child, "bp", request::EXPLICIT, 2, 64),
        give(child, "bp", request::EXPLICIT, u32::MAX, u32::MAX),
        give(child, "bp", request::ALIGNED, 65, 1 << 20),
    ] {
        assert_eq!(mc.call(mc.root, &ask), Err(Status::NoResource), "{ask:?}");
    }
    assert_eq!(count(&mut mc, token, "bp"), Ok(0));
    let unassign =
        dprc::Unassign { child, count: 1, kind: ResourceType::new("bp"), ..Default::default() };
    // The child may allocate, but has none of its own that it could give back.
    assert_eq!(mc.call(mc.root, &unassign), Err(Status::NoResource));
}

#[test]
fn a_quota_limits_what_a_child_draws() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let kind = ResourceType::new("bp");
    let ask = dprc::GetResourceQuota { child, kind };
    assert_eq!(mc.call(mc.root, &ask).unwrap().quota, dprc::QUOTA_BY_OPTIONS);
    let set = |quota| dprc::SetResourceQuota { child, quota, kind };
    mc.call(mc.root, &set(2)).unwrap();
    assert_eq!(mc.call(mc.root, &ask).unwrap().quota, 2);
    let first = mc.create_in(token, &dpbp::Create {}).unwrap();
    mc.create_in(token, &dpbp::Create {}).unwrap();
    assert_eq!(mc.create_in(token, &dpbp::Create {}), Err(Status::NoResource));
    // What a container below draws comes through the child.
    let (_, below) = mc.make_container_in(token, option::ALLOC).unwrap();
    assert_eq!(mc.create_in(below, &dpbp::Create {}), Err(Status::NoResource));
    mc.destroy_in(token, first).unwrap();
    let drawn = mc.create_in(below, &dpbp::Create {}).unwrap();
    assert_eq!(mc.create_in(token, &dpbp::Create {}), Err(Status::NoResource));
    mc.destroy_in(below, drawn).unwrap();
    mc.call(mc.root, &set(dprc::QUOTA_BY_OPTIONS)).unwrap();
    assert!(mc.create_in(token, &dpbp::Create {}).is_ok());
    assert_eq!(mc.call(token, &set(1)), Err(Status::NoPrivilege), "not its own parent");
}

#[test]
fn a_quota_holds_for_what_is_handed_on() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let (grandchild, below) = mc.make_container_in(token, 0).unwrap();
    let kind = ResourceType::new("bp");
    mc.call(mc.root, &dprc::SetResourceQuota { child, quota: 2, kind }).unwrap();
    let refused = mc.call(token, &give(grandchild, "bp", 0, 3, 0));
    assert_eq!(refused, Err(Status::NoResource));
    mc.call(token, &give(grandchild, "bp", 0, 2, 0)).unwrap();
    assert_eq!(count(&mut mc, below, "bp"), Ok(2));
}

#[test]
fn a_quota_overrules_the_option() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container_in(mc.root, option::OBJ_CREATE).unwrap();
    let set = dprc::SetResourceQuota { child, quota: 1, kind: ResourceType::new("bp") };
    mc.call(mc.root, &set).unwrap();
    assert!(mc.create_in(token, &dpbp::Create {}).is_ok());
    assert_eq!(mc.create_in(token, &dpbp::Create {}), Err(Status::NoResource));
}
