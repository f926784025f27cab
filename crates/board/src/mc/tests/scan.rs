// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a bus driver asks when it finds its way about.

use crate::mc::testing::TestMc;
use mc_abi::{
    Label, Message, ObjectId, ObjectType, Params, Status, Token, common, dpbp, dpmcp, dpmng,
    dprc::{self, event},
};

#[test]
fn the_root_probe_of_linux_finds_version_container_and_chip() {
    let mut mc = TestMc::new();
    let version = mc.call(Token::NONE, &dpmng::GetVersion {}).unwrap();
    assert_eq!((version.major, version.minor), (10, 39));
    assert_eq!(mc.call(Token::NONE, &dpmng::GetContainerId {}).unwrap().id, 1);
    assert_eq!(mc.call(Token::NONE, &dpmng::GetSocVersion {}).unwrap().svr >> 16, 0x8736);
    let message = Message::command(0xa05, 1, Token::NONE, Params::ZERO);
    let answer = mc.send(1, &message).unwrap();
    assert_eq!(&answer.params.0[..4], &[6, 0, 7, 0]);
}

#[test]
fn a_container_lists_its_objects_by_index_and_by_name() {
    let mut mc = TestMc::new();
    let (dpbp, _) = mc.make(&dpbp::Create {});
    let dpmcp = mc.create(&dpmcp::Create { portal: dpmcp::PORTAL_FROM_POOL, options: 0 }).unwrap();
    let root = mc.root;
    assert_eq!(mc.call(root, &dprc::GetObjectCount {}).unwrap().count, 2);
    let listed: Vec<_> =
        (0..2).map(|index| mc.call(root, &dprc::GetObject { index }).unwrap().object).collect();
    assert_eq!(listed[0].kind, ObjectType::Dpbp);
    assert_eq!((listed[0].irqs, listed[0].regions), (1, 0));
    assert_eq!(listed[0].vendor, 0x1957);
    assert_eq!(listed[0].state, dprc::state::OPEN, "made at run time: not plugged");
    assert_eq!((listed[1].id, listed[1].regions), (dpmcp.id, 1));
    assert_eq!((listed[1].version_major, listed[1].version_minor), (4, 1));
    assert_eq!(listed[1].state, 0);
    let refused = mc.call(root, &dprc::GetObject { index: 2 });
    assert_eq!(refused, Err(Status::ConfigurationError));

    let by_name =
        mc.call(root, &dprc::GetObjectDescription { id: dpbp.id, kind: dpbp.kind }).unwrap().object;
    assert_eq!((by_name.id, by_name.kind), (dpbp.id, ObjectType::Dpbp));
    let missing = mc.call(root, &dprc::GetObjectDescription { id: 9, kind: dpbp.kind });
    assert_eq!(missing, Err(Status::NoResource));
}

#[test]
fn a_command_portal_is_64_kib_for_clients_that_know_and_64_bytes_for_others() {
    let mut mc = TestMc::new();
    let id = mc.create(&dpmcp::Create { portal: 7, options: 0 }).unwrap();
    let ask = dprc::GetObjectRegion { id: id.id, index: 0, kind: id.kind };
    for (version, size) in [(1, 0x40), (2, 0x40), (3, 0x1_0000)] {
        let region = mc.call_version(mc.root, &ask, version).unwrap();
        assert_eq!((region.offset, region.size), (0x7_0000, size), "version {version}");
        assert_eq!((region.window, region.base_address), (0, 0));
    }
    let none = dprc::GetObjectRegion { index: 1, ..ask };
    assert_eq!(mc.call(mc.root, &none), Err(Status::ConfigurationError));
}

#[test]
fn a_command_portal_keeps_its_options() {
    let mut mc = TestMc::new();
    let create = dpmcp::Create {
        portal: dpmcp::PORTAL_FROM_POOL,
        options: dpmcp::OPT_HIGH_PRIORITY_DISABLED,
    };
    let (id, token) = mc.make(&create);
    let attributes = mc.call(token, &dpmcp::GetAttributes {}).unwrap();
    assert_eq!((attributes.id, attributes.options), (id.id, 1));
    let old = mc.call_version(token, &dpmcp::GetAttributes {}, 1).unwrap();
    assert_eq!((old.id, old.options), (id.id, 0));
    let unknown = dpmcp::Create { options: 2, ..create };
    assert_eq!(mc.create(&unknown), Err(Status::ConfigurationError));
    assert_eq!(mc.call(token, &common::Enable {}), Err(Status::UnsupportedOperation));
    assert_eq!(mc.call(token, &common::Reset {}), Ok(()));
    mc.destroy(id).unwrap();
    mc.assert_pools_full();
}

#[test]
fn the_mc_has_a_container_of_its_own_that_the_root_may_look_into() {
    let mut mc = TestMc::new();
    let global = mc.open(ObjectId::new(ObjectType::Dprc, 0));
    assert_eq!(mc.call(global, &dprc::GetObjectCount {}).unwrap().count, 1);
    let only = mc.call(global, &dprc::GetObject { index: 0 }).unwrap().object;
    assert_eq!((only.kind, only.id, only.state & 2), (ObjectType::Dprc, 1, 0), "unplugged");
    let label = dprc::SetObjectLabel { id: 1, kind: ObjectType::Dprc, label: Label::new("x") };
    assert_eq!(mc.call(global, &label), Err(Status::NoPrivilege));
    assert_eq!(mc.create_in(global, &dpbp::Create {}), Err(Status::NoPrivilege));

    let (child, _) = mc.make_container();
    let refused = mc.try_open(child, ObjectId::new(ObjectType::Dprc, 0));
    assert_eq!(refused, Err(Status::AuthenticationError));
}

#[test]
fn a_portal_reaches_its_container_and_what_that_contains() {
    let mut mc = TestMc::new();
    let (one, one_token) = mc.make_container();
    let (two, two_token) = mc.make_container();
    let (inside, _) = mc.make_container_in(one_token, dprc::option::ALLOC).unwrap();
    let dpbp = mc.create_in(two_token, &dpbp::Create {}).unwrap();
    let name = |id| ObjectId::new(ObjectType::Dprc, id);

    assert!(mc.try_open(one, name(one)).is_ok());
    assert!(mc.try_open(one, name(inside)).is_ok());
    assert!(mc.try_open(two, dpbp).is_ok());
    for (from, what) in [(inside, name(one)), (one, name(1)), (one, name(two)), (one, dpbp)] {
        assert_eq!(mc.try_open(from, what), Err(Status::AuthenticationError), "{what}");
    }
    // A token that another container opened is no way around.
    let foreign = mc.call_from(one, two_token, &dprc::GetObjectCount {});
    assert_eq!(foreign, Err(Status::AuthenticationError));
    assert_eq!(mc.call_from(one, Token::NONE, &dpmng::GetContainerId {}).unwrap().id, one);
    // Nor is a token that is closed.
    mc.close(two_token).unwrap();
    let closed = mc.call(two_token, &dprc::GetObjectCount {});
    assert_eq!(closed, Err(Status::AuthenticationError));
}

#[test]
fn the_portal_of_a_dpmcp_has_the_authority_of_its_container() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let id = mc.create(&dpmcp::Create { portal: 9, options: 0 }).unwrap();
    assert_eq!(mc.state.portal_container(9), Some(1));
    let assign = dprc::Assign {
        container: child,
        options: dprc::request::EXPLICIT,
        count: 1,
        base_or_align: id.id,
        kind: mc_abi::ResourceType::new("dpmcp"),
    };
    mc.call(mc.root, &assign).unwrap();
    assert_eq!(mc.state.portal_container(9), Some(child));
    assert_eq!(mc.state.portal_container(10), None);
    // Its portal number is taken until it is destroyed.
    let again = mc.create(&dpmcp::Create { portal: 9, options: 0 });
    assert_eq!(again, Err(Status::NoResource));
    mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    assert_eq!(mc.state.portal_container(9), Some(1), "evicted to the parent");
    mc.destroy(id).unwrap();
    assert_eq!(mc.state.portal_container(9), None);
}

#[test]
fn a_command_portal_signals_that_a_command_is_done() {
    let mut mc = TestMc::new();
    let create = dpmcp::Create { portal: 5, options: 0 };
    let (id, token) = mc.make(&create);
    mc.listen(token, 0, 0x1000);
    mc.messages();
    let header = Message::command(0x831, 1, Token::NONE, Params::ZERO).header;
    mc.state.command_done(5, header);
    assert_eq!(mc.messages().len(), 1);
    let status = mc.call(token, &common::GetIrqStatus { status: 0, index: 0 }).unwrap();
    assert_eq!(status.status, dpmcp::EVENT_COMMAND_DONE);
    // Not for who does not want it, and not for a container's own portal.
    mc.state.command_done(5, mc_abi::Header(header.0 | 1 << 24));
    mc.state.command_done(0, header);
    assert_eq!(mc.messages(), []);
    mc.destroy(id).unwrap();
}

#[test]
fn a_containers_driver_hears_of_objects_that_come_and_go() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let root = mc.root;
    mc.listen(root, 0, 0x1000);
    mc.listen(token, 0, 0x2000);
    mc.messages();
    let seen = |mc: &mut TestMc, token| {
        let status = mc.call(token, &common::GetIrqStatus { status: 0, index: 0 }).unwrap();
        let clear = common::ClearIrqStatus { status: status.status, index: 0 };
        mc.call(token, &clear).unwrap();
        status.status
    };
    seen(&mut mc, root);

    let dpbp = mc.create(&dpbp::Create {}).unwrap();
    assert_eq!(seen(&mut mc, root), event::OBJ_CREATED);
    assert_eq!(mc.messages().len(), 1);
    let assign = |container, options| dprc::Assign {
        container,
        options: options | dprc::request::EXPLICIT,
        count: 1,
        base_or_align: dpbp.id,
        kind: mc_abi::ResourceType::new("dpbp"),
    };
    mc.call(mc.root, &assign(1, dprc::request::PLUGGED)).unwrap();
    assert_eq!(seen(&mut mc, root), event::OBJ_ADDED);
    mc.call(mc.root, &assign(1, 0)).unwrap();
    assert_eq!(seen(&mut mc, root), event::OBJ_REMOVED);
    mc.messages();
    mc.call(mc.root, &assign(child, 0)).unwrap();
    assert_eq!(seen(&mut mc, root), event::OBJ_REMOVED);
    assert_eq!(seen(&mut mc, token), event::OBJ_ADDED);
    let addresses: Vec<_> = mc.messages().iter().map(|e| format!("{e:?}")).collect();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    mc.call(mc.root, &dprc::DestroyContainer { child }).unwrap();
    assert_eq!(seen(&mut mc, root) & event::CONTAINER_DESTROYED, 0x10);
    mc.destroy(dpbp).unwrap();
    assert_eq!(seen(&mut mc, root), event::OBJ_DESTROYED);
}

#[test]
fn interrupts_leave_with_the_isolation_id_of_the_container_that_holds_the_object() {
    let mut mc = TestMc::new();
    let (child, token) = mc.make_container();
    let icid = mc.call(token, &dprc::GetAttributes {}).unwrap().icid;
    assert_ne!(icid, mc.call(mc.root, &dprc::GetAttributes {}).unwrap().icid);
    let dpbp = mc.create_in(token, &dpbp::Create {}).unwrap();
    let set = dprc::SetObjectIrq {
        value: 5,
        index: 0,
        address: 0x8000,
        user: 3,
        id: dpbp.id,
        kind: dpbp.kind,
    };
    mc.call_from(child, token, &set).unwrap();
    let get = dprc::GetObjectIrq { id: dpbp.id, index: 0, kind: dpbp.kind };
    let irq = mc.call(token, &get).unwrap();
    assert_eq!((irq.value, irq.address, irq.user, irq.irq_kind), (5, 0x8000, 3, 0));
    let open = mc.open(dpbp);
    mc.call(open, &common::SetIrqMask { mask: 1, index: 0 }).unwrap();
    mc.call(open, &common::SetIrqEnable { enable: true, index: 0 }).unwrap();
    mc.messages();
    mc.state.raise(dpbp, 0, 1);
    let message = crate::fabric::Message { icid: icid as u16, address: 0x8000, value: 5 };
    assert_eq!(mc.messages(), [message]);
    let past = mc.call(token, &dprc::GetObjectIrq { index: 1, ..get });
    assert_eq!(past, Err(Status::ConfigurationError));
}

#[test]
fn a_container_without_the_option_may_not_set_interrupts() {
    let mut mc = TestMc::new();
    let (child, token) =
        mc.make_container_in(mc.root, dprc::option::ALLOC | dprc::option::OBJ_CREATE).unwrap();
    let set = common::SetIrq { value: 1, index: 0, address: 1, user: 0 };
    assert_eq!(mc.call_from(child, token, &set), Err(Status::NoPrivilege));
    let set_object = dprc::SetObjectIrq { kind: ObjectType::Dprc, id: child, ..Default::default() };
    assert_eq!(mc.call_from(child, token, &set_object), Err(Status::NoPrivilege));
    assert_eq!(mc.call(token, &set), Ok(()), "its parent may");
}

#[test]
fn memory_that_is_free_is_listed() {
    let mut mc = TestMc::new();
    let get = dprc::GetMemory { partition: dprc::MEMORY_PEB, flags: 1, page: 0 };
    let memory = mc.call(mc.root, &get).unwrap();
    assert_eq!((memory.entries, memory.pages), (1, 1));
    assert_eq!(memory.blocks[0], dprc::Block { offset: 0x8_0000, size: 0x18_0000 });
    let other = dprc::GetMemory { partition: 1, ..get };
    assert_eq!(mc.call(mc.root, &other), Err(Status::ConfigurationError));
}
